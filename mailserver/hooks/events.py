# SPDX-License-Identifier: MIT
"""One frozen record per hook point: what the script is told."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from mailserver.values import Address, Client, Envelope


@dataclass(frozen=True, slots=True)
class Connected:
    """A connection was accepted; nothing has been sent. Numbers as in spec services 5.3."""

    client: Client
    service_bandwidth: int
    bandwidth: int


@dataclass(frozen=True, slots=True)
class LoggedIn:
    """A user logged in."""

    client: Client
    service_bandwidth: int
    bandwidth: int
    user: int
    user_name: str


@dataclass(frozen=True, slots=True)
class MailFromGiven:
    """MAIL FROM, found good."""

    client: Client
    login: str
    helo: str
    reverse_path: Address | None


@dataclass(frozen=True, slots=True)
class RecipientGiven:
    """RCPT TO, found good."""

    client: Client
    login: str
    helo: str
    reverse_path: Address | None
    recipient: Address


@dataclass(frozen=True, slots=True)
class MessageReceived:
    """A whole message, about to be filed."""

    client: Client
    login: str
    helo: str
    envelope: Envelope
    header: bytes
    size: int


@dataclass(frozen=True, slots=True)
class Queued:
    """A message is about to join the outgoing queue (spec senders 8.3). Numbers are seconds; 0 means not."""

    login: str
    reverse_path: Address | None
    created: datetime
    subject: str
    client: str
    size: int
    priority: int
    header: bytes
    hold_seconds: int
    delete_after_seconds: int


@dataclass(frozen=True, slots=True)
class QueueChange:
    """What a script wants of a message that joins the queue; None leaves a value as it is."""

    priority: int | None = None
    hold: bool | None = None
    hold_seconds: int | None = None
    delete_after_seconds: int | None = None


@dataclass(frozen=True, slots=True)
class SendStarted:
    """A Sender begins (spec senders 5.1, 6.1)."""

    sender: int
    name: str
    direct: bool
    max_messages: int = 0
    max_recipients: int = 0
    max_recipients_per_message: int = 0
    verify_certificate: bool = False


@dataclass(frozen=True, slots=True)
class SendLimits:
    """What a script made of the numbers in `SendStarted`; None leaves a value as it is."""

    max_messages: int | None = None
    max_recipients: int | None = None
    max_recipients_per_message: int | None = None
    verify_certificate: bool | None = None


@dataclass(frozen=True, slots=True)
class SendCandidate:
    """A message that a Sender is about to send (spec senders 5.2, 6.5)."""

    started: SendStarted
    ref: str
    size: int
    created: datetime
    tries: int
    last_try: datetime | None
    reverse_path: Address | None
    recipients: tuple[Address, ...]
    header: bytes


@dataclass(frozen=True, slots=True)
class CandidateVerdict:
    """`priority` 100 goes first, 1 last: the other way round than the queue's own."""

    skip: bool = False
    priority: int = 50
    force_last_try: bool = False
    reason: str = ""


@dataclass(frozen=True, slots=True)
class TargetFound:
    """The server that a message goes to is known (spec senders 5.3)."""

    started: SendStarted
    login: str
    reverse_path: Address | None
    server: str
    domain: str
    size: int
    header: bytes


@dataclass(frozen=True, slots=True)
class TargetDetails:
    """How a script wants that server to be spoken to; None leaves a value as it is."""

    try_tls: bool | None = None
    force_tls: bool | None = None
    port: int | None = None
    tls_from_start: bool | None = None
    username: str | None = None
    password: str | None = None
    ehlo_name: str | None = None
    local_address: str | None = None
    timeout_seconds: int | None = None
    verify_certificate: bool | None = None
    min_tls: str | None = None
    """`1.0` to `1.3`; what is older than this server's own minimum changes nothing."""
    use_chunking: bool | None = None
    use_8bitmime: bool | None = None
    use_pipelining: bool | None = None
    """False: as if the server did not offer it."""


@dataclass(frozen=True, slots=True)
class RemoteReplied:
    """A reply of the server that we send to (spec senders 5.4, 6.4); lines joined by CRLF, codes included."""

    started: SendStarted
    last_command: str
    reply: str


@dataclass(frozen=True, slots=True)
class ReturnPathComputed:
    """The return path of one transaction, before it is used (spec senders 5.5)."""

    started: SendStarted
    computed: Address | None
    queued: Address | None
    original: Address | None
    """As whoever submitted the message gave it."""
    login: str
    recipients: tuple[Address, ...]
    created: datetime
    header: bytes
    size: int
    client: str
    subject: str
    all_recipients: tuple[Address, ...]
    """Of the message, whichever this transaction is for."""


@dataclass(frozen=True, slots=True)
class ServersSought:
    """Servers for a domain are being looked for (spec senders 5.7)."""

    started: SendStarted
    domain: str
    tries: int
    size: int


@dataclass(frozen=True, slots=True)
class ServerOverrides:
    """Servers by preference instead of the domain's own; with `only`, as if there were no records but these."""

    servers: tuple[tuple[int, str], ...] = ()
    only: bool = False


@dataclass(frozen=True, slots=True)
class ServerVerdict:
    """Whether a server may be used; `hold_minutes` keeps the message when none may."""

    use: bool
    hold_minutes: int | None = None


@dataclass(frozen=True, slots=True)
class CollectStarted:
    """A Collector's session (spec connectors 4.11)."""

    collector: int
    name: str


@dataclass(frozen=True, slots=True)
class MessageListed:
    """A message at the provider that has not been fetched; `header` is there when it was asked for."""

    collector: int
    key: str
    size: int
    header: bytes


@dataclass(frozen=True, slots=True)
class MessageCollected:
    """A message was fetched and routed, and is about to be filed (`ProcessMessage`)."""

    collector: int
    key: str
    reverse_path: Address | None
    subject: str
    recipients: tuple[Address, ...]
    header: bytes
    size: int


@dataclass(frozen=True, slots=True)
class CollectVerdict:
    """What a script wants done with a collected message."""

    to_original_recipients: bool = True
    recipients: tuple[str, ...] = ()
    delete: bool | None = None
    ignore: bool = False
    reason: str = ""


@dataclass(frozen=True, slots=True)
class LanRulesAsked:
    """LAN forwarding rules are about to be tried on a recipient (spec senders 10.4)."""

    reverse_path: Address | None
    recipient: Address
    check: bool
    internal: bool
    collector: int
    """-1 for mail that came by SMTP."""
    rules: tuple[LanRuleView, ...]


@dataclass(frozen=True, slots=True)
class LanRuleView:
    """One rule as scripts see and may change it."""

    id: int
    in_address: str
    server: str
    username: str
    password: str
    out_address: str
    comment: str = ""
    extra: str = ""


@dataclass(frozen=True, slots=True)
class LanQueued:
    """A message joins the LAN forwarding queue: its return path may be changed."""

    reverse_path: Address | None
    original: Address
    target: Address
    collector: int
    server: str
    rule: int
    comment: str = ""
    extra: str = ""


@dataclass(frozen=True, slots=True)
class ErrorNotice:
    """The administrator, or somebody else, is about to be told of a failure (spec senders 8.7)."""

    component: int
    id: int
    kind: int
    severity: int
    error: str
    connect_error: bool
    title: str
    text: str
    target: str
    sender: str


@dataclass(frozen=True, slots=True)
class NoticeChange:
    """The notice as a script wants it; an empty target suppresses it, `force` sends it in any case."""

    title: str
    text: str
    target: str
    sender: str
    force: bool = False


@dataclass(frozen=True, slots=True)
class NuisanceSeen:
    """A client broke its protocol again and again, or once beyond bearing, and its session is being ended for that."""

    client: Client
    reason: str
    """For the log and for administrators."""
