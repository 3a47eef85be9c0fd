# SPDX-License-Identifier: MIT
"""Senders, collectors and runs as plain values: what workers, clients and the console speak in. Pure."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import Protocol

MAX_CONNECTIONS = 10
"""Spec connectors 1."""


class Encryption(enum.StrEnum):
    """How a session with another server is protected (spec senders 3, connectors 4.3)."""

    NONE = "none"
    OPPORTUNISTIC = "opportunistic"
    STARTTLS = "starttls"
    TLS = "tls"


class LoginMethod(enum.StrEnum):
    """How we log in to another server. AUTOMATIC takes the strongest that is offered and safe."""

    NONE = "none"
    AUTOMATIC = "automatic"
    PLAIN = "plain"
    LOGIN = "login"
    CRAM_MD5 = "cram-md5"
    APOP = "apop"
    XOAUTH2 = "xoauth2"
    OAUTHBEARER = "oauthbearer"


class SendMethod(enum.StrEnum):
    """Spec senders 2."""

    RELAY = "smtp-relay"
    DIRECT = "smtp-direct"


class CollectMethod(enum.StrEnum):
    """Spec connectors 4.1; IMAP is our addition (design section 6)."""

    POP3 = "pop3"
    IMAP = "imap"
    INCOMING_SMTP = "incoming-smtp"
    ODMR = "odmr"


class Outcome(enum.StrEnum):
    """How a task or a run ended; what colours *Last poll* (spec connectors 5.2)."""

    OK = "ok"
    PARTLY = "partly"
    FAILED = "failed"


class Cause(enum.StrEnum):
    """What started a run (spec connectors 2.3), and sending at once."""

    SCHEDULE = "schedule"
    MANUAL = "manual"
    FILE = "file"
    URGENT = "urgent"
    IMMEDIATE = "immediate"
    IDLE = "idle"


@dataclass(frozen=True, slots=True)
class RemoteServer:
    """Another server, and how to speak to it."""

    host: str
    port: int
    encryption: Encryption = Encryption.NONE
    verify_certificate: bool = False


@dataclass(frozen=True, slots=True)
class Credentials:
    """What we log in with. `oauth` is the number of an OAuth account that has tokens instead of `password`."""

    method: LoginMethod = LoginMethod.NONE
    username: str = ""
    password: str = field(default="", repr=False)
    oauth: int | None = None
    problem: str = ""
    """Why the stored password cannot be used, in a sentence that names its owner: nobody tries to log in without."""


@dataclass(frozen=True, slots=True)
class SenderSettings:
    """A Sender with its Connection, read whole, secrets opened. Texts in little languages are as the form has them."""

    id: int
    name: str
    connection: int
    connection_name: str
    default: bool
    enabled: bool
    method: SendMethod
    send_immediately: bool
    servers: tuple[RemoteServer, ...] = ()
    credentials: Credentials = field(default_factory=Credentials)
    verify_certificate: bool = False
    max_messages_per_session: int = 0
    max_recipients_per_message: int = 0
    max_recipients_per_session: int = 0
    rate_recipients: int = 0
    rate_minutes: int = 0
    return_path_mode: str = "keep"
    return_path: str = ""
    dns_servers: str = ""
    dns_overrides: str = ""
    dns_cache_size: int = 1000
    threads: int = 10
    max_per_domain: int = 2
    direct_port: int = 25
    domain_filter: str = ""
    ehlo_name: str = ""
    only_waiting_at_start: bool = False
    smaller_first: bool = False
    reverse_order: bool = False
    retry_minutes: tuple[int, ...] = (5, 15, 30, 60, 120)
    give_up_hours: int = 72
    warn_hours: int = 4


@dataclass(frozen=True, slots=True)
class Routing:
    """Whom collected mail is for (spec connectors 4.4, 4.5)."""

    method: str = "single"
    """`single`, `headers`, `one-address` or `subject`."""
    target: str = ""
    accepted_domains: str = ""
    special_fields: str = ""
    read_received_reversed: bool = False
    ignore_received: bool = False
    disable_default_mapping: bool = False
    shared_address: str = ""
    marker_prefix: str = "["
    marker_suffix: str = "]"
    errors_action: str = "message-to"
    """`error-to-admin`, `message-to-admin`, `error-to`, `message-to`, `bounce` or `remote`."""
    errors_to: str = ""


@dataclass(frozen=True, slots=True)
class CollectorSettings:
    """A Collector, read whole, its secret opened."""

    id: int
    name: str
    method: CollectMethod
    enabled: bool
    priority: int
    server: RemoteServer
    credentials: Credentials
    routing: Routing
    max_kilobytes: int = 0
    leave_on_server_days: int = 0
    use_download_rules: bool = False
    detect_duplicates: bool = True
    folders: tuple[str, ...] = ("INBOX",)
    after: str = "delete"
    """IMAP, once the leave days are over: `delete`, `move` or `keep`."""
    move_to: str = ""
    idle: bool = False
    wait_seconds: int = 60
    use_etrn: bool = False
    etrn_parameters: str = ""
    odmr_domains: str = ""


class TaskLog(Protocol):
    """Where a task of a run tells how far it is. Cheap to call; it is stored now and then, and at the end."""

    def expect(self, messages: int, size_bytes: int = 0) -> None:
        """There is so much to do, as far as known."""
        ...

    def advance(self, messages: int = 1, size_bytes: int = 0) -> None:
        """So much more is done."""
        ...

    def note(self, text: str) -> None:
        """A line that an administrator shall read on the run: what went wrong, in plain words."""
        ...

    def wire(self, line: str) -> None:
        """A line of the dialogue, `C: ` or `S: ` in front, secrets already blanked."""
        ...


@dataclass(frozen=True, slots=True)
class TaskResult:
    """How a sender or a collector came out of a run; `text` is one sentence for people, empty when all went well."""

    outcome: Outcome
    text: str = ""
    connect_error: bool = False
    """The other server could not be reached at all, or the line broke (spec senders 8.7)."""
