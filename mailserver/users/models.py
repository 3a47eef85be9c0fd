# SPDX-License-Identifier: MIT
"""The mail user, who is also Django's user."""

from __future__ import annotations

from typing import ClassVar

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models

from mailserver.values import Protocol

NAME_PATTERN = r"^[a-z0-9._-]{1,32}\Z"


def all_protocols() -> list[str]:
    """What a new user may use: everything."""
    return [protocol.value for protocol in Protocol]


class UserManager(BaseUserManager["User"]):
    """Finds users by what they log in with."""

    def get_by_natural_key(self, username: str | None) -> User:
        return self.get(address=(username or "").lower())


class User(AbstractBaseUser):
    """Somebody with a mailbox. Created and changed through `services.py`, which keeps `address` and the secrets right.

    `password` holds the Argon2 hash; `scram_verifier` is `iterations:salt:stored key:server key` (RFC 5803 parts);
    `recoverable_secret` is the password encrypted with the installation's key, kept only where switched on.
    """

    name = models.CharField(
        max_length=32,
        validators=[RegexValidator(NAME_PATTERN, "Use 1 to 32 letters, digits, dots, dashes or underscores.")],
        help_text="The part in front of the @, and the log-in name.",
    )
    domain = models.ForeignKey("addressing.Domain", on_delete=models.PROTECT, related_name="users")
    address = models.CharField(max_length=320, unique=True, editable=False)
    full_name = models.CharField(max_length=200, blank=True)
    comments = models.TextField(blank=True)
    is_active = models.BooleanField("enabled", default=True, help_text="Off: cannot log in; mail is still delivered.")
    is_admin = models.BooleanField("administrator", default=False, help_text="May use this console.")
    allowed_protocols = models.JSONField(default=all_protocols, blank=True)
    max_outgoing_bytes = models.PositiveBigIntegerField(
        "maximum size of an outgoing message (bytes)", default=0, help_text="0: no limit of this user's own."
    )
    may_send_out = models.BooleanField("may send Internet mail", default=True, help_text="Off: internal mail only.")
    quota_megabytes = models.PositiveIntegerField(
        "mailbox quota (MB)",
        default=0,
        help_text="Mail programs show how much of it is used. Mail is never refused for it. 0: none.",
    )
    send_priority = models.PositiveSmallIntegerField(
        "priority in the outgoing queue",
        default=50,
        validators=[MinValueValidator(1), MaxValueValidator(100)],
        help_text="1 to 100; messages with a smaller number are sent first.",
    )
    hold_sent_seconds = models.PositiveIntegerField(
        "hold sent messages for (seconds)",
        default=0,
        validators=[MaxValueValidator(7 * 86400)],
        help_text="Internet mail waits so long in the outgoing queue, where it can be stopped. 0: not at all.",
    )
    scram_verifier = models.CharField(max_length=300, blank=True, editable=False)
    recoverable_secret = models.BinaryField(null=True, blank=True, editable=False)
    keep_recoverable = models.BooleanField(
        "allow APOP and CRAM-MD5",
        default=False,
        help_text="Keeps the password in a form that can be decrypted. Takes effect when the password is next set.",
    )
    last_pop3_login = models.DateTimeField(null=True, editable=False)
    created = models.DateTimeField(auto_now_add=True)

    USERNAME_FIELD = "address"
    REQUIRED_FIELDS: ClassVar[list[str]] = []
    objects = UserManager()

    class Meta:
        ordering = ("name", "domain_id")
        constraints = [
            models.UniqueConstraint(
                fields=("name", "domain"),
                name="user_name_once_in_domain",
                violation_error_message="There is already a user of this name in this domain.",
            )
        ]

    def __str__(self) -> str:
        return self.address

    @property
    def is_staff(self) -> bool:
        return self.is_admin

    @property
    def is_superuser(self) -> bool:
        return self.is_admin

    def has_perm(self, perm: str, obj: object = None) -> bool:
        """Administrators may do everything; there are no finer rights (spec users 1.3)."""
        return self.is_active and self.is_admin

    def has_perms(self, perms: list[str], obj: object = None) -> bool:
        return self.has_perm("")

    def has_module_perms(self, app_label: str) -> bool:
        return self.has_perm("")

    def get_full_name(self) -> str:
        return self.full_name or self.name

    def get_short_name(self) -> str:
        return self.name
