# SPDX-License-Identifier: MIT
"""Connections, Senders, Collectors, the schedule, runs, and what collectors remember.

Spec connectors 1 to 6, senders 1 to 7. Written by `services.py` and its neighbours; secrets are sealed with the
installation's key (`mailserver.vault`), never stored in clear.
"""

from __future__ import annotations

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models

from mailserver.connectors.history_models import OUTCOMES, ConnectionRun, RemoteTest, ReportedError, RunTask

__all__ = [
    "Collector",
    "Connection",
    "ConnectionRun",
    "DownloadRule",
    "OAuthAccount",
    "OAuthSignIn",
    "RelayServer",
    "RemoteMessage",
    "RemoteTest",
    "ReportedError",
    "RunTask",
    "ScheduleItem",
    "ScheduleState",
    "SeenMessage",
    "Sender",
]

PORT_VALIDATORS = [MinValueValidator(1), MaxValueValidator(65535)]


class Encryption(models.TextChoices):
    """Values of `connectors.values.Encryption`."""

    NONE = "none", "None"
    OPPORTUNISTIC = "opportunistic", "STARTTLS if available"
    STARTTLS = "starttls", "STARTTLS"
    TLS = "tls", "TLS from the first byte"


class LoginMethod(models.TextChoices):
    """Values of `connectors.values.LoginMethod`."""

    NONE = "none", "No log-in"
    AUTOMATIC = "automatic", "Automatic"
    PLAIN = "plain", "Password (PLAIN, USER and PASS)"
    LOGIN = "login", "Password (LOGIN)"
    CRAM_MD5 = "cram-md5", "CRAM-MD5"
    APOP = "apop", "APOP"
    XOAUTH2 = "xoauth2", "OAuth2 (XOAUTH2)"
    OAUTHBEARER = "oauthbearer", "OAuth2 (OAUTHBEARER)"


class Connection(models.Model):
    """A way to the outside; runs its Sender and the Collectors that are linked to it. Its number is its key."""

    name = models.CharField(max_length=100, unique=True, help_text="For displays and error messages only.")
    is_default = models.BooleanField(
        "default connection",
        default=False,
        help_text="Runs when the schedule says 'Default connections', and its Sender is the first to be asked.",
    )
    untouched = models.BooleanField(default=False, editable=False)
    """Made by the first start and never changed: an imported Connection takes its place."""
    marked = models.DateTimeField(null=True, editable=False)
    """It is to run as soon as no other Connection does; since when (spec connectors 3.5)."""
    marked_cause = models.CharField(max_length=12, blank=True, editable=False)
    last_poll = models.DateTimeField(null=True, editable=False)
    last_outcome = models.CharField(max_length=10, blank=True, choices=OUTCOMES, editable=False)

    class Meta:
        ordering = ("id",)

    def __str__(self) -> str:
        return self.name


class OAuthAccount(models.Model):
    """Permission to use a mailbox at a provider: RFC 6749 tokens, sealed, instead of a password."""

    class Provider(models.TextChoices):
        """Whose addresses and scopes are known."""

        MICROSOFT = "microsoft", "Microsoft 365, Outlook.com"
        GOOGLE = "google", "Google"
        OTHER = "other", "Another provider"

    name = models.CharField(max_length=100, unique=True)
    provider = models.CharField(max_length=12, choices=Provider.choices, default=Provider.MICROSOFT)
    username = models.CharField("mailbox", max_length=320, help_text="The mailbox's address.")
    client_id = models.CharField(max_length=300)
    client_secret = models.BinaryField(null=True, editable=False)
    authorize_url = models.CharField("authorisation address", max_length=500, blank=True)
    token_url = models.CharField("token address", max_length=500, blank=True)
    device_url = models.CharField("device code address", max_length=500, blank=True)
    scopes = models.CharField(max_length=500, blank=True)
    refresh_token = models.BinaryField(null=True, editable=False)
    access_token = models.BinaryField(null=True, editable=False)
    expires = models.DateTimeField(null=True, editable=False)
    last_error = models.TextField(blank=True, editable=False)

    class Meta:
        ordering = ("id",)
        verbose_name = "OAuth2 account"

    def __str__(self) -> str:
        return self.name


class OAuthSignIn(models.Model):
    """Somebody is giving that permission: in this browser (RFC 6749 §4.1), or with a code elsewhere (RFC 8628)."""

    class Way(models.TextChoices):
        """How it comes to us."""

        BROWSER = "browser", "In this browser"
        DEVICE = "device", "With a code, on any device"

    class State(models.TextChoices):
        """Who is to do something next."""

        PERSON = "person", "Waiting for somebody to sign in"
        WORKER = "worker", "Asking the provider"
        DONE = "done", "Signed in"
        FAILED = "failed", "Failed"

    account = models.ForeignKey(OAuthAccount, on_delete=models.CASCADE, related_name="sign_ins")
    way = models.CharField(max_length=8, choices=Way.choices)
    state = models.CharField(max_length=8, choices=State.choices)
    text = models.TextField(blank=True)
    created = models.DateTimeField()
    expires = models.DateTimeField()
    state_digest = models.CharField(max_length=64, blank=True, db_index=True)
    redirect_uri = models.CharField(max_length=500, blank=True)
    secret = models.BinaryField(null=True)
    """The code verifier, or the device code, sealed."""
    code = models.BinaryField(null=True)
    """What the provider gave the browser, sealed."""
    user_code = models.CharField(max_length=100, blank=True)
    verification_url = models.CharField(max_length=500, blank=True)
    interval_seconds = models.PositiveIntegerField(default=5)

    class Meta:
        ordering = ("-id",)

    def __str__(self) -> str:
        return f"{self.account}: {self.get_state_display()}"


class Sender(models.Model):
    """How a Connection sends (spec senders 2 to 4, 7). Made and deleted with its Connection."""

    class Method(models.TextChoices):
        """Values of `connectors.values.SendMethod`."""

        RELAY = "smtp-relay", "Through a provider's server (SMTP Relay)"
        DIRECT = "smtp-direct", "To each recipient's server (SMTP Direct)"

    class ReturnPath(models.TextChoices):
        """Spec senders 3.1."""

        KEEP = "keep", "Leave as is"
        FIXED = "fixed", "Always use this address"
        LOGIN = "login", "Use the address of the user who sent it"
        DOMAIN = "domain", "Keep the part before the @, change the domain"

    connection = models.OneToOneField(Connection, on_delete=models.CASCADE, related_name="sender")
    enabled = models.BooleanField(default=True)
    method = models.CharField(max_length=12, choices=Method.choices, default=Method.RELAY)
    send_immediately = models.BooleanField(
        default=False, help_text="Send as soon as a message is waiting, without waiting for the schedule."
    )
    login_method = models.CharField(max_length=12, choices=LoginMethod.choices, default=LoginMethod.NONE)
    username = models.CharField(max_length=320, blank=True)
    secret = models.BinaryField(null=True, editable=False)
    oauth = models.ForeignKey(OAuthAccount, on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    verify_certificate = models.BooleanField(
        "check the server's certificate", default=False, help_text="Do not send when it is not valid for the server."
    )
    max_messages_per_session = models.PositiveIntegerField(default=0, help_text="0: no limit.")
    max_recipients_per_message = models.PositiveIntegerField(
        default=0, help_text="A message with more recipients is sent several times. 0: no limit."
    )
    max_recipients_per_session = models.PositiveIntegerField(default=0, help_text="0: no limit.")
    rate_recipients = models.PositiveIntegerField("at most so many recipients", default=0, help_text="0: no limit.")
    rate_minutes = models.PositiveIntegerField("within so many minutes", default=0)
    return_path_mode = models.CharField(max_length=8, choices=ReturnPath.choices, default=ReturnPath.KEEP)
    return_path = models.CharField(max_length=320, blank=True)
    dns_servers = models.CharField(
        "DNS servers", max_length=300, blank=True, help_text="Addresses, separated by commas. Empty: this machine's."
    )
    dns_overrides = models.TextField("DNS overrides", blank=True)
    dns_cache_size = models.PositiveIntegerField("DNS cache size", default=1000)
    threads = models.PositiveIntegerField(
        "messages sent at the same time", default=10, validators=[MinValueValidator(1), MaxValueValidator(200)]
    )
    max_per_domain = models.PositiveIntegerField(
        "sessions with one domain", default=2, validators=[MinValueValidator(1), MaxValueValidator(50)]
    )
    direct_port = models.PositiveIntegerField("port", default=25, validators=PORT_VALIDATORS)
    domain_filter = models.TextField("domain filtering", blank=True)
    ehlo_name = models.CharField("EHLO name", max_length=255, blank=True, help_text="Empty: the server's host name.")
    only_waiting_at_start = models.BooleanField("only send messages waiting at start of connection", default=False)
    smaller_first = models.BooleanField("send smaller messages first", default=False)
    reverse_order = models.BooleanField("reverse send order", default=False)
    retry_minutes = models.CharField(
        "try again after (minutes)",
        max_length=200,
        default="5, 15, 30, 60, 120",
        help_text="The waits between tries; the last one repeats.",
    )
    give_up_hours = models.PositiveIntegerField("give up after (hours)", default=72, validators=[MinValueValidator(1)])
    warn_hours = models.PositiveIntegerField("warn the sender after (hours)", default=4, help_text="0: never.")

    class Meta:
        ordering = ("connection_id",)

    def __str__(self) -> str:
        return f"Sender of {self.connection}"


class RelayServer(models.Model):
    """One server of a relay's list; they are tried in this order (spec senders 3)."""

    sender = models.ForeignKey(Sender, on_delete=models.CASCADE, related_name="servers")
    position = models.PositiveIntegerField(default=0)
    host = models.CharField(max_length=255)
    port = models.PositiveIntegerField(default=25, validators=PORT_VALIDATORS)
    encryption = models.CharField(max_length=14, choices=Encryption.choices, default=Encryption.OPPORTUNISTIC)

    class Meta:
        ordering = ("sender_id", "position", "id")

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


class Collector(models.Model):
    """A mailbox at a provider, or another way in which mail is fetched (spec connectors 4)."""

    class Method(models.TextChoices):
        """Values of `connectors.values.CollectMethod`."""

        POP3 = "pop3", "Download from a POP3 server"
        IMAP = "imap", "Download from an IMAP server"
        INCOMING_SMTP = "incoming-smtp", "Incoming SMTP mail feed"
        ODMR = "odmr", "ODMR (ATRN) mail collection"

    class Routing(models.TextChoices):
        """Spec connectors 4.4."""

        SINGLE = "single", "Send all messages to a specified user"
        HEADERS = "headers", "Route by parsing message headers"
        ONE_ADDRESS = "one-address", "Work with a single e-mail address, by the names beside it"
        SUBJECT = "subject", "Search subject lines for a marker"

    class Errors(models.TextChoices):
        """Spec connectors 4.5."""

        ERROR_TO_ADMIN = "error-to-admin", "Send an error message to the main administrator"
        MESSAGE_TO_ADMIN = "message-to-admin", "Send the incoming message to the main administrator"
        ERROR_TO = "error-to", "Send an error message to a user"
        MESSAGE_TO = "message-to", "Send the incoming message to a user"
        BOUNCE = "bounce", "Bounce to the sender and keep no copy"
        REMOTE = "remote", "Pass on as mail for another site (*REMOTE)"

    class After(models.TextChoices):
        """What happens at an IMAP server with a message that was collected, once the leave days are over."""

        DELETE = "delete", "Delete it"
        MOVE = "move", "Move it into another folder"
        KEEP = "keep", "Leave it there"

    name = models.CharField(max_length=100, unique=True)
    method = models.CharField(max_length=14, choices=Method.choices, default=Method.POP3)
    enabled = models.BooleanField(default=True)
    priority = models.IntegerField(default=10, help_text="A lower number is collected earlier.")
    connections = models.ManyToManyField(Connection, blank=True, related_name="collectors")
    server = models.CharField(max_length=255, blank=True)
    port = models.PositiveIntegerField(default=110, validators=PORT_VALIDATORS)
    encryption = models.CharField(max_length=14, choices=Encryption.choices, default=Encryption.NONE)
    verify_certificate = models.BooleanField("check the server's certificate", default=False)
    login_method = models.CharField(max_length=12, choices=LoginMethod.choices, default=LoginMethod.AUTOMATIC)
    username = models.CharField(max_length=320, blank=True)
    secret = models.BinaryField(null=True, editable=False)
    oauth = models.ForeignKey(OAuthAccount, on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    max_kilobytes = models.PositiveIntegerField(
        "maximum message size to download (kB)", default=0, help_text="Larger ones are asked about. 0: no limit."
    )
    leave_on_server_days = models.PositiveIntegerField(
        "leave messages on the server (days)", default=0, help_text="0: delete right after the download."
    )
    use_download_rules = models.BooleanField(default=False)
    detect_duplicates = models.BooleanField(default=True)
    routing = models.CharField(max_length=12, choices=Routing.choices, default=Routing.SINGLE)
    target = models.CharField("target user", max_length=320, blank=True)
    accepted_domains = models.TextField(blank=True, help_text="Domains or addresses, separated by ;")
    special_fields = models.TextField("special header fields", blank=True)
    read_received_reversed = models.BooleanField("read Received fields in reverse", default=False)
    ignore_received = models.BooleanField("ignore Received fields", default=False)
    disable_default_mapping = models.BooleanField("disable default user to user mappings", default=False)
    shared_address = models.CharField(max_length=320, blank=True)
    marker_prefix = models.CharField(max_length=20, default="[", blank=True)
    marker_suffix = models.CharField(max_length=20, default="]", blank=True)
    errors_action = models.CharField(max_length=18, choices=Errors.choices, default=Errors.ERROR_TO_ADMIN)
    errors_to = models.CharField(max_length=320, blank=True)
    folders = models.TextField(default="INBOX", blank=True, help_text="One folder a line.")
    after = models.CharField(max_length=8, choices=After.choices, default=After.DELETE)
    move_to = models.CharField(max_length=255, blank=True)
    idle = models.BooleanField(
        "stay connected", default=False, help_text="Collect as soon as the server says that there is something new."
    )
    wait_seconds = models.PositiveIntegerField("wait for an incoming session (seconds)", default=60)
    use_etrn = models.BooleanField("use ETRN", default=False)
    etrn_parameters = models.CharField("parameters for ETRN", max_length=500, blank=True)
    odmr_domains = models.CharField("domains", max_length=1000, blank=True, help_text="Separated by commas.")

    class Meta:
        ordering = ("priority", "id")

    def __str__(self) -> str:
        return self.name


class RemoteMessage(models.Model):
    """What a collector remembers of a message at the provider: so none is fetched twice (spec connectors 4.3).

    `key` is the UIDL, or for IMAP the folder, its UIDVALIDITY and the UID.
    """

    collector = models.ForeignKey(Collector, on_delete=models.CASCADE, related_name="remembered")
    key = models.CharField(max_length=400)
    first_seen = models.DateTimeField()
    downloaded = models.DateTimeField(null=True)
    deleted = models.DateTimeField(null=True)
    last_listed = models.DateTimeField()
    size = models.PositiveBigIntegerField(default=0)
    ref = models.CharField(max_length=26, blank=True)
    digest = models.CharField(max_length=64, blank=True)
    query = models.CharField(max_length=10, blank=True)
    """Empty, `asked` or `wanted` (spec connectors 4.7)."""
    query_token = models.CharField(max_length=40, blank=True, db_index=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=("collector", "key"), name="remote_message_once")]

    def __str__(self) -> str:
        return self.key


class SeenMessage(models.Model):
    """A user got a collected message of this Message-ID: another copy is dropped (spec connectors 4.8)."""

    user = models.ForeignKey("users.User", on_delete=models.CASCADE, related_name="+", db_index=False)
    digest = models.CharField(max_length=64)
    seen = models.DateTimeField(db_index=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=("user", "digest"), name="seen_message_once")]


class ScheduleItem(models.Model):
    """When Connections run (spec connectors 3.3)."""

    class Mode(models.TextChoices):
        """Modes A and B."""

        EVERY = "every", "Again and again between two times"
        ONCE = "once", "Once at a time"

    enabled = models.BooleanField(default=True)
    name = models.CharField(max_length=100, blank=True)
    connections = models.ManyToManyField(Connection, blank=True, related_name="schedule_items")
    to_default = models.BooleanField("default connections", default=False)
    deny = models.BooleanField(
        "deny", default=False, help_text="Nothing runs at these times: this item blocks instead of connecting."
    )
    mode = models.CharField(max_length=6, choices=Mode.choices, default=Mode.EVERY)
    every_minutes = models.PositiveIntegerField(default=10, validators=[MinValueValidator(1), MaxValueValidator(1439)])
    start = models.TimeField("from", default="00:00")
    end = models.TimeField("to", default="23:59")
    once_at = models.TimeField("at", null=True, blank=True)
    days = models.CharField(max_length=7, default="1234567", help_text="1 is Monday, 7 is Sunday.")
    minimum_messages = models.PositiveIntegerField(
        "only when so many messages wait", default=0, help_text="0: no condition."
    )
    untouched = models.BooleanField(default=False, editable=False)

    class Meta:
        ordering = ("id",)

    def __str__(self) -> str:
        return self.name or f"Item {self.pk}"


class ScheduleState(models.Model):
    """One row: whether scheduling is paused, and the last minute that was looked at."""

    id = models.SmallIntegerField(primary_key=True, default=1)
    paused = models.BooleanField(default=False)
    paused_since = models.DateTimeField(null=True)
    paused_by_file = models.CharField(max_length=60, blank=True)
    """The file in the data folder that pauses it, as the worker last saw it (spec connectors 3.2)."""
    resumed = models.DateTimeField(null=True)
    """When somebody resumed it: pause files that are older go at the next tick."""
    minute = models.DateTimeField(null=True)


class DownloadRule(models.Model):
    """What a collector does with a message before it is fetched (spec connectors 4.6)."""

    class Action(models.TextChoices):
        """Those of the spec's fourteen that are documented, and the two that follow from them."""

        DOWNLOAD = "download", "Download"
        DOWNLOAD_DELETE = "download-delete", "Download and delete"
        REDIRECT = "redirect", "Redirect"
        COPY = "copy", "Copy"
        REDIRECT_DELETE = "redirect-delete", "Download, redirect and delete"
        COPY_DELETE = "copy-delete", "Download, copy and delete"
        IGNORE = "ignore", "Ignore"
        DELETE = "delete", "Silently delete"
        DELETE_WARN = "delete-warn", "Delete and warn"
        DELETE_WARN_COPY = "delete-warn-copy", "Delete and warn, with a copy of the warning"
        DELETE_WARN_REDIRECT = "delete-warn-redirect", "Delete and warn somebody else"
        QUERY = "query", "Ask"
        QUERY_COPY = "query-copy", "Ask, and somebody else too"
        QUERY_REDIRECT = "query-redirect", "Ask somebody else"

    position = models.PositiveIntegerField(default=0)
    name = models.CharField(max_length=100)
    enabled = models.BooleanField(default=True)
    action = models.CharField(max_length=22, choices=Action.choices, default=Action.DOWNLOAD)
    targets = models.CharField("redirect or copy to", max_length=1000, blank=True)
    match_all = models.BooleanField(default=True, help_text="Off: one condition is enough.")
    conditions = models.JSONField(default=list, blank=True)
    """A list of `{"kind": ..., "field": ..., "value": ...}`."""

    class Meta:
        ordering = ("position", "id")

    def __str__(self) -> str:
        return self.name
