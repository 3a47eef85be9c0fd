# SPDX-License-Identifier: MIT
"""A connection that we opened, and on which the other side now sends us mail: ODMR after ATRN.

RFC 2645 §5.3. Our own SMTP server speaks on it, with the limits of the installation's SMTP service; it takes mail for
local users only, and nobody logs in. So this is the one place beside `serve` that starts it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from mailserver.config.catalog import AUTHENTICATION, LOCAL_WITHOUT_LOGIN, ServiceKind
from mailserver.config.snapshot import Service, Snapshot
from mailserver.hooks.interface import Hooks
from mailserver.store.interface import MailStore
from mailserver.users.authentication import Authenticator
from mailserver.values import Client, Protocol, UserId
from protocols.net.connection import Connection, LiveSession
from protocols.net.offload import Offload
from protocols.net.stream import Stream
from protocols.net.transcript import Transcript
from protocols.smtp import replies
from protocols.smtp.server import serve_smtp

ODMR = "odmr"
"""What journeys call the source of such mail."""
_TAKEN = (replies.filed("").rstrip(), replies.queued("").rstrip())


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a session needs of the process that it runs in."""

    snapshot: Callable[[], Snapshot]
    store: MailStore
    hooks: Hooks
    offload: Offload
    authenticator: Authenticator


class CountingTranscript(Transcript):
    """Goes to whoever watches the run, and counts what was taken."""

    enabled = True

    def __init__(self, wire: Callable[[str], None], taken: Callable[[], None]) -> None:
        self._wire = wire
        self._taken = taken
        self.count = 0
        self.broken = False
        """The other side went without a word."""

    def received(self, line: bytes) -> None:
        self._wire(f"S: {line.decode('utf-8', 'replace')}")

    def sent(self, reply: bytes) -> None:
        for line in reply.rstrip(b"\r\n").split(b"\r\n"):
            self._wire(f"C: {line.decode('utf-8', 'replace')}")
        if reply.startswith(_TAKEN):
            self.count += 1
            self._taken()

    def note(self, text: str) -> None:
        self.broken = self.broken or text == "connection lost"
        self._wire(f"- {text}")


async def serve_turned(
    stream: Stream,
    around: Surroundings,
    wire: Callable[[str], None],
    taken: Callable[[], None],
    source: str = ODMR,
) -> CountingTranscript:
    """From our greeting to the end; gives the transcript, which knows how many messages were taken. `taken` is called
    for each. The stream is closed."""
    address, port = stream.peer
    local_address, local_port = stream.local
    client = Client(
        Protocol.SMTP,
        0,
        0,
        address,
        port,
        encrypted=stream.encrypted,
        tls=stream.tls,
        local_address=local_address,
        local_port=local_port,
        may_relay=False,
    )
    transcript = CountingTranscript(wire, taken)
    connection = Connection(
        stream=stream,
        client=client,
        service=_service(around.snapshot()),
        snapshot=around.snapshot,
        tls_context=lambda: None,
        store=around.store,
        authenticator=around.authenticator,
        hooks=around.hooks,
        offload=around.offload,
        transcript=transcript,
        live=LiveSession(0, "ODMR", address),
        apply_bandwidth=_unlimited,
        source=source,
    )
    try:
        await serve_smtp(connection)
    finally:
        stream.close()
    return transcript


def _service(snapshot: Snapshot) -> Service:
    """As the SMTP service is, which takes mail from everywhere; but nobody can log in."""
    known = next((service for service in snapshot.services if service.kind is ServiceKind.SMTP), None)
    options = dict(known.options) if known is not None else {}
    options |= {AUTHENTICATION.name: "off", LOCAL_WITHOUT_LOGIN.name: True}
    return Service(0, ServiceKind.SMTP, "ODMR", Protocol.SMTP, options=options)


async def _unlimited(user: UserId) -> None:
    """Nobody logs in."""
