# SPDX-License-Identifier: MIT
"""A queued message as a sender gets it, and what it says afterwards of each recipient. Pure."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from datetime import datetime

from mailserver.store.interface import LanTarget
from mailserver.values import Address, ContentId, DsnNotify, DsnReturn


class Route(enum.StrEnum):
    """Two queues: what Senders take, and what LAN forwarding takes (spec senders 10)."""

    SENDERS = "senders"
    LAN = "lan"


@dataclass(frozen=True, slots=True)
class QueuedOne:
    """One recipient that is to be tried now. `id` names it in an `Attempt`; `original_recipient` is in xtext.

    `tries` counts those that reached a server; `lan` is there for LAN forwarding.
    """

    id: int
    address: Address
    notify: frozenset[DsnNotify] = frozenset()
    original_recipient: str = ""
    tries: int = 0
    priority: int = 50
    last_attempt: datetime | None = None
    route: Route = Route.SENDERS
    lan: LanTarget | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class QueuedMessage:
    """A message and those of its recipients that are to be tried now; `envelope_id` is in xtext.

    `content` is read from the store when its turn comes. `size` is that of the stored content, its Return-Path line
    included; what is sent is a little smaller.
    """

    ref: str
    content: ContentId
    size: int
    reverse_path: Address | None
    login: str
    client: str
    subject: str
    queued: datetime
    dsn_return: DsnReturn | None
    envelope_id: str
    smtputf8: bool
    eight_bit: bool
    recipients: tuple[QueuedOne, ...]
    all_recipients: tuple[Address, ...] = ()
    """Also those that are done with, or not due; as long as they are in the queue's list."""


class AttemptResult(enum.StrEnum):
    """How a try came out for one recipient."""

    SENT = "sent"
    """The server took responsibility for it."""
    DEFERRED = "deferred"
    """Not now: a reply that begins with 4, a connection that failed, a name that could not be looked up."""
    FAILED = "failed"
    """Never: a reply that begins with 5."""
    UNTRIED = "untried"
    """It was taken from the queue and nothing was said of it: the session's limit was reached, a script skipped it."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """What became of one recipient. `id` is its `QueuedOne.id`; nothing but that is needed for UNTRIED.

    `reply` is what the server said, every line with its code, joined by newlines; where no server said anything it is
    ours, in the same form: `451 4.4.1 mx.example.net does not answer`. `status` is the enhanced status code (RFC
    3463), found in the reply when it is left empty.
    """

    id: int
    result: AttemptResult
    reply: str = ""
    status: str = ""
    server: str = ""
    """The host as it was named, with its port when that is not 25."""
    tls: str = ""
    """The protocol and the cipher; empty when the session was not encrypted."""
    started: datetime | None = None
    remote: bool = True
    """The reply is the server's, not ours."""
    dsn_passed_on: bool = False
    """The server offered DSN and was given the recipient's parameters: reports of success are its business now."""
    reached: bool = True
    """False: no server could be connected to. Such a try does not lengthen the wait for the next (spec senders 7.3)."""
    last_try: bool = False
    """A script wants no further try: DEFERRED counts as FAILED (spec senders 5.2, ForceLastTry)."""
    hold_minutes: int | None = None
    """UNTRIED and DEFERRED: not again before so many minutes have passed (spec senders 5.7, CheckServer)."""
