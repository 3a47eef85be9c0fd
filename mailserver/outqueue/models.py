# SPDX-License-Identifier: MIT
"""Messages waiting to leave: one row for each recipient."""

from __future__ import annotations

from django.db import models


class QueuedRecipient(models.Model):
    """One recipient of a message that waits; rows of one message share `content` and `ref`.

    The RFC 3461 parameters are kept as they came: `notify` space-separated, `original_recipient` and
    `envelope_id` in xtext.
    """

    class Status(models.TextChoices):
        """What happens next. Sending comes with the senders' issue; until then rows wait or are held."""

        WAITING = "waiting", "Waiting"
        HELD = "held", "Held"

    ref = models.CharField(max_length=26, db_index=True)
    content = models.ForeignKey("store.Content", on_delete=models.PROTECT, related_name="queued")
    user = models.ForeignKey("users.User", on_delete=models.SET_NULL, null=True, related_name="+")
    reverse_path = models.CharField(max_length=320, blank=True)
    recipient = models.CharField(max_length=320)
    domain = models.CharField(max_length=255, db_index=True)
    notify = models.CharField(max_length=40, blank=True)
    original_recipient = models.CharField(max_length=600, blank=True)
    dsn_return = models.CharField(max_length=4, blank=True)
    envelope_id = models.CharField(max_length=100, blank=True)
    smtputf8 = models.BooleanField(default=False)
    eight_bit = models.BooleanField(default=False)
    size = models.PositiveBigIntegerField()
    status = models.CharField(max_length=10, choices=Status.choices, default=Status.WAITING, db_index=True)
    queued = models.DateTimeField()

    class Meta:
        ordering = ("id",)

    def __str__(self) -> str:
        return f"{self.recipient} ({self.get_status_display()})"
