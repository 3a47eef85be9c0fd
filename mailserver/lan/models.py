# SPDX-License-Identifier: MIT
"""The rules of LAN forwarding, in the order in which they are tried."""

from __future__ import annotations

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models


class LanForwardingRule(models.Model):
    """Mail for these addresses goes to this server. Spec senders 10.1."""

    class Condition(models.TextChoices):
        """Which mail the rule is for."""

        ALL = "all", "All mail"
        SMTP = "smtp", "Mail received by SMTP"
        POP3 = "pop3", "Mail collected from a provider"

    position = models.PositiveIntegerField(
        default=100, help_text="Rules are tried from the lowest number to the highest; the first that fits decides."
    )
    addresses = models.TextField(
        help_text="One a line, complete, such as ann@branch.example; * and ? stand for anything."
        " ~@branch.example: only when nobody else has the address."
    )
    server = models.CharField("target server", max_length=255, help_text="Its name or address.")
    port = models.PositiveIntegerField(
        default=25,
        validators=[MinValueValidator(1), MaxValueValidator(65535)],
        help_text="Usually 25 or 587. Encryption from the first byte (465) cannot be used.",
    )
    username = models.CharField(max_length=320, blank=True, help_text="Empty: no log-in.")
    secret = models.BinaryField(null=True, editable=False)
    rewrite = models.CharField(
        "rewrite address",
        max_length=320,
        blank=True,
        help_text="Another recipient. *@other.example keeps the part before the @; empty keeps the whole address.",
    )
    condition = models.CharField(max_length=8, choices=Condition.choices, default=Condition.ALL)
    comment = models.CharField(max_length=300, blank=True)

    class Meta:
        ordering = ("position", "id")
        verbose_name = "LAN forwarding rule"

    def __str__(self) -> str:
        lines = self.addresses.split()
        more = f" and {len(lines) - 1} more" if len(lines) > 1 else ""
        return f"{lines[0] if lines else 'Nobody'}{more} to {self.server}"
