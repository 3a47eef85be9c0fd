# SPDX-License-Identifier: MIT
"""What a protocol's `server.py` is given for one accepted connection. Put together by `listener.py`."""

from __future__ import annotations

import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime

from mailserver import clock, logs
from mailserver.config.snapshot import Service, Snapshot
from mailserver.hooks.events import NuisanceSeen
from mailserver.hooks.interface import Hooks
from mailserver.store.interface import MailStore
from mailserver.users.authentication import Authenticator, LoggedInUser
from mailserver.values import Client, UserId
from protocols.net.offload import Offload
from protocols.net.stream import Stream
from protocols.net.transcript import Transcript


@dataclass(slots=True)
class LiveSession:
    """What the console shows of a session; the session says who entered and left, and keeps `doing` up to date."""

    id: int
    service: str
    client: str
    started: datetime = field(default_factory=clock.now)
    user: LoggedInUser | None = None
    doing: str = ""

    def enter(self, user: LoggedInUser) -> None:
        """The login was checked; from now on the session ends when the user is deleted or switched off."""
        self.user = user

    def leave(self) -> None:
        """The session goes on without a user (RFC 8437 §3)."""
        self.user = None

    @property
    def login(self) -> str:
        return self.user.address if self.user else ""


@dataclass(slots=True)
class Connection:
    """Everything that a session needs, and nothing global."""

    stream: Stream
    client: Client
    service: Service
    """The Service row as it was when the connection was accepted; its limits hold for the whole session."""
    snapshot: Callable[[], Snapshot]
    """The present snapshot; ask once per command."""
    tls_context: Callable[[], ssl.SSLContext | None]
    """For STARTTLS; None when there is no certificate."""
    store: MailStore
    authenticator: Authenticator
    hooks: Hooks
    offload: Offload
    """`await connection.offload(function, *arguments)` runs a blocking service in a thread."""
    transcript: Transcript
    live: LiveSession
    apply_bandwidth: Callable[[UserId], Awaitable[None]]
    """To be awaited once after each successful login (spec services 5.3)."""
    source: str = ""
    """What journeys call the source of its mail, where that is not the protocol's name."""

    async def report_nuisance(self, reason: str) -> None:
        """The client will not keep to its protocol, and is about to be sent away for it."""
        client = self.client
        logs.security(f"{client.protocol.value} nuisance from {client.address}, session {client.session}: {reason}")
        await self.hooks.on_nuisance(NuisanceSeen(client, reason))


SessionHandler = Callable[[Connection], Awaitable[None]]
"""What a protocol's `server.py` offers. Returns when the session is over; the listener closes the stream, also when
the handler raises. ConnectionLost and cancellation may pass through it; anything else is logged as our bug."""
