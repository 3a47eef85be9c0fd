# SPDX-License-Identifier: MIT
"""What an administrator has chosen: settings, services, access rules, bandwidth pools, certificates; the revision.

Changed only through `services.py`, which raises the revision in the same transaction.
"""

from __future__ import annotations

from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models

from mailserver.config.catalog import ServiceKind


class Revision(models.Model):
    """One row. Whoever sees another number than the one its snapshot was built from builds a new snapshot."""

    id = models.SmallIntegerField(primary_key=True, default=1)
    number = models.BigIntegerField(default=1)


class StoredSetting(models.Model):
    """A general setting that differs from its default; `value` is JSON of the catalogue's type."""

    name = models.CharField(max_length=100, primary_key=True)
    value = models.JSONField()


class Service(models.Model):
    """Something that listens. Options of its protocol are in `options`, by catalogue name."""

    class Encryption(models.TextChoices):
        """Spec services 1.3."""

        NONE_OR_TLS = "none", "Clear, TLS offered (STARTTLS)"
        TLS = "tls", "TLS required (STARTTLS)"
        SSL = "ssl", "TLS from the first byte"

    class Bandwidth(models.TextChoices):
        """Spec services 5.1."""

        NO_LIMIT = "none", "No limit"
        CUSTOM = "custom", "A limit for each connection"
        POOL = "pool", "Share a bandwidth pool"

    kind = models.CharField(max_length=20, choices=[(kind.value, kind.value) for kind in ServiceKind], editable=False)
    name = models.CharField(max_length=100, unique=True, help_text="A label for displays and logs only.")
    enabled = models.BooleanField(default=True, help_text="Off: nothing listens, and open sessions are ended.")
    encryption = models.CharField(
        max_length=10,
        choices=Encryption.choices,
        default=Encryption.NONE_OR_TLS,
        help_text="A service that receives mail from the Internet must also accept clear sessions.",
    )
    require_encrypted_login = models.BooleanField(
        "require encryption for plain-text logins",
        default=True,
        help_text="Passwords in clear are refused unless the session is encrypted or comes from this machine.",
    )
    use_global_access = models.BooleanField(
        "use the global access rules as well",
        default=False,
        help_text="A client must then be allowed by both lists.",
    )
    bandwidth = models.CharField(
        max_length=10, choices=Bandwidth.choices, default=Bandwidth.NO_LIMIT, verbose_name="bandwidth throttling"
    )
    bandwidth_bytes = models.PositiveIntegerField(
        "bytes per second",
        default=0,
        validators=[MaxValueValidator(999_999_999)],
        help_text="For a limit of each connection.",
    )
    bandwidth_pool = models.PositiveIntegerField(
        "bandwidth pool", null=True, blank=True, validators=[MinValueValidator(1), MaxValueValidator(1000)]
    )
    max_sessions = models.PositiveIntegerField(
        "maximum sessions", default=1000, help_text="All clients together. 0: no limit."
    )
    max_sessions_per_address = models.PositiveIntegerField(
        "maximum sessions of one address", default=50, help_text="Never applied to this machine itself. 0: no limit."
    )
    idle_timeout_seconds = models.PositiveIntegerField(
        "idle time-out (seconds)",
        default=300,
        validators=[MinValueValidator(10), MaxValueValidator(86400)],
        help_text="A client that says nothing for so long is disconnected. The standards ask for 300 or more for "
        "SMTP, 600 or more for POP3, 1800 or more for IMAP4.",
    )
    log_sessions = models.BooleanField(
        "log every session", default=False, help_text="Writes each command and reply to a log file, passwords blanked."
    )
    options = models.JSONField(default=dict, blank=True)

    class Meta:
        ordering = ("id",)

    def __str__(self) -> str:
        return self.name


class Binding(models.Model):
    """A local address and port on which a service listens (spec services 1.2)."""

    service = models.ForeignKey(Service, on_delete=models.CASCADE, related_name="bindings")
    address = models.GenericIPAddressField(
        help_text="An address of this machine; 0.0.0.0 for all IPv4 addresses, :: for all."
    )
    port = models.PositiveIntegerField(validators=[MinValueValidator(1), MaxValueValidator(65535)])

    class Meta:
        ordering = ("id",)
        constraints = [
            models.UniqueConstraint(
                fields=("address", "port"),
                name="binding_once",
                violation_error_message="Another service already listens on this address and port.",
            )
        ]

    def __str__(self) -> str:
        return f"[{self.address}]:{self.port}" if ":" in self.address else f"{self.address}:{self.port}"


class AccessRule(models.Model):
    """One line of an access list; the list without a service is the global one (spec services 1.4, 1.5)."""

    class Matches(models.TextChoices):
        """Spec services 1.4, column Type. GeoIP comes with the intrusion issue."""

        ANY = "any", "Any address"
        LOCAL = "local", "Local networks"
        ROUTERS = "routers", "Routers"
        NETWORK = "network", "An address or network"

    service = models.ForeignKey(Service, on_delete=models.CASCADE, null=True, blank=True, related_name="access_rules")
    position = models.PositiveIntegerField(default=0)
    allow = models.BooleanField(default=True)
    matches = models.CharField(max_length=10, choices=Matches.choices, default=Matches.NETWORK)
    network = models.CharField(
        max_length=64, blank=True, help_text="Such as 192.168.1.0/24, 2001:db8::/32 or one address."
    )
    allow_unauthenticated = models.BooleanField(
        "without login", default=False, help_text="SMTP: may send without logging in."
    )
    users = models.ManyToManyField("users.User", blank=True, help_text="Only these may log in through this rule.")
    comment = models.CharField(max_length=200, blank=True)

    class Meta:
        ordering = ("service_id", "position", "id")

    def __str__(self) -> str:
        return f"{'allow' if self.allow else 'block'} {self.network or self.get_matches_display()}"


class BandwidthPool(models.Model):
    """A pool's allowance; pools without a row are unlimited (spec services 5.2)."""

    number = models.PositiveIntegerField(primary_key=True, validators=[MinValueValidator(1), MaxValueValidator(1000)])
    name = models.CharField(max_length=100, blank=True)
    bytes_per_second = models.PositiveIntegerField(help_text="Shared by every connection of the pool. 0: unlimited.")

    class Meta:
        ordering = ("number",)

    def __str__(self) -> str:
        return self.name or f"Pool {self.number}"


class CapabilityHiding(models.Model):
    """Capabilities that IMAP4 does not announce to a user, or to a mail program that trips over them."""

    user = models.ForeignKey(
        "users.User", on_delete=models.CASCADE, null=True, blank=True, help_text="Empty: everybody."
    )
    client = models.CharField(
        "mail program",
        max_length=100,
        blank=True,
        help_text="Part of the name and version that the program gives itself, such as Outlook 16. Empty: any.",
    )
    capabilities = models.CharField(
        "not announced",
        max_length=500,
        validators=[
            RegexValidator(r"^[!-~]+( +[!-~]+)*\Z", "Write the words of the CAPABILITY line with blanks in between.")
        ],
        help_text="Words of the CAPABILITY line, such as CONDSTORE QRESYNC.",
    )
    comment = models.CharField(max_length=200, blank=True)

    class Meta:
        ordering = ("id",)
        verbose_name = "hidden capability"
        verbose_name_plural = "hidden capabilities"

    def __str__(self) -> str:
        return f"{self.capabilities} hidden from {self.client or 'every program'}"


class Certificate(models.Model):
    """The server's certificate chain and its key, the key encrypted with the installation's (design section 2)."""

    chain_pem = models.TextField("certificate chain", help_text="PEM: the server's certificate first.")
    encrypted_key = models.BinaryField()
    self_signed = models.BooleanField(default=False, editable=False)
    created = models.DateTimeField(auto_now_add=True)

    class Meta:
        get_latest_by = "id"

    def __str__(self) -> str:
        return "self-signed certificate" if self.self_signed else "certificate"
