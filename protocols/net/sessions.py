# SPDX-License-Identifier: MIT
"""What becomes of an accepted connection: access rules, limits, TLS, bandwidth, then the protocol's session.

Spec services 1.4 (access), 1.7 item 6 (the order of checks), 5 (bandwidth). Counts are those of this process.
An exception that a session lets through is our bug: it is logged whole with the session's number and costs that
session alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from mailserver.activity.services import SessionBrief
from mailserver.config.snapshot import Service, Snapshot
from mailserver.hooks.events import Connected, LoggedIn
from mailserver.hooks.interface import Hooks
from mailserver.security.networks import parse_address
from mailserver.store.interface import MailStore
from mailserver.users.authentication import Authenticator
from mailserver.values import Client, Protocol, UserId
from protocols.net.admission import Occupancy, Refusal, Surrounding, decide, may_connect
from protocols.net.bandwidth import Pools
from protocols.net.connection import Connection, LiveSession, SessionHandler
from protocols.net.offload import Offload
from protocols.net.stream import HANDSHAKE_SECONDS, ConnectionLost, DeadlinePassed, Stream
from protocols.net.transcript import SILENT, FileTranscript, Transcript

log = logging.getLogger("pillarbox.sessions")

FAREWELL_SECONDS = 1.0
"""How long the last words to a client that is sent away may take."""
END_SECONDS = 3.0
"""How long an ended session may take to put away its things."""
BANDWIDTH_RANGE = range(-1000, 1_000_000_000)
"""What a bandwidth hook may answer (spec services 5.3)."""


@dataclass(frozen=True, slots=True)
class ServedProtocol:
    """A protocol as the daemon runs it: the session, the words for each Refusal, and those for a shutdown."""

    handler: SessionHandler
    refusals: Mapping[Refusal, bytes]
    farewell: Callable[[str], bytes] = lambda hostname: b""
    """What a session that the server ends is told last, given the host's name; nothing where the RFC wants nothing."""


@dataclass(frozen=True, slots=True)
class SessionTools:
    """What every session is given; joined in `serve.py`."""

    protocols: Mapping[Protocol, ServedProtocol]
    snapshot: Callable[[], Snapshot]
    tls_context: Callable[[], ssl.SSLContext | None]
    surrounding: Callable[[], Surrounding]
    store: MailStore
    authenticator: Authenticator
    hooks: Hooks
    offload: Offload
    pools: Pools


@dataclass(slots=True)
class Counts:
    """What this process has seen since it started; for `/metrics`."""

    accepted: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    bytes_in: Counter[str] = field(default_factory=Counter)
    bytes_out: Counter[str] = field(default_factory=Counter)
    bugs: int = 0


@dataclass(slots=True, eq=False)
class _Session:
    """One client and the task that serves it."""

    service: Service
    client: Client
    live: LiveSession
    limit: int
    task: asyncio.Task[None] | None = None
    stream: Stream | None = None


@dataclass(frozen=True, slots=True)
class LoggedInSession:
    """Whose a session is."""

    user: UserId
    _task: asyncio.Task[None]

    def end(self) -> None:
        """End it. One that is being ended already is left to say its last words."""
        if not self._task.cancelling():
            self._task.cancel()


class Sessions:
    """Every session of this process."""

    def __init__(self, tools: SessionTools, on_bug: Callable[[BaseException, Client], None] | None = None) -> None:
        """`on_bug` is told what a session let through; the log is told in any case."""
        self._tools = tools
        self._on_bug = on_bug
        self._sessions: dict[tuple[Protocol, int], _Session] = {}
        self._last_number: Counter[Protocol] = Counter()
        self._occupancy = Occupancy()
        self._draining = False
        self.counts = Counts()

    # ------------------------------------------------------------ coming in

    def accept(self, accepted: socket.socket, service_id: int) -> None:
        """Start a session, or send the client away with the protocol's words."""
        snapshot = self._tools.snapshot()
        service = snapshot.service(service_id)
        try:
            address, port = _readable(accepted.getpeername())
            local_address, local_port = _readable(accepted.getsockname())
        except OSError:  # gone before we looked
            service = None
        if service is None or not service.enabled or self._draining:
            accepted.close()
            return
        surrounding = self._tools.surrounding()
        decision = decide(service, snapshot.global_access, address, surrounding)
        allowed = may_connect(service, snapshot.global_access, address, surrounding, decision)
        refusal = self._occupancy.find_refusal(service, address) if allowed else Refusal.NOT_ALLOWED
        if refusal is not None:
            self._refuse(accepted, service, refusal, address)
            return
        self._last_number[service.protocol] += 1
        client = Client(
            protocol=service.protocol,
            service_id=service.id,
            session=self._last_number[service.protocol],
            address=address,
            port=port,
            local_address=local_address,
            local_port=local_port,
            trusted=decision.trusted,
            may_relay=decision.allow,
            rule_users=decision.users,
        )
        live = LiveSession(client.session, service.name, address)
        self._start(_Session(service, client, live, service.bandwidth), accepted)

    def _refuse(self, accepted: socket.socket, service: Service, refusal: Refusal, address: str) -> None:
        """A word and the end. Nothing can be said in clear where the client expects TLS."""
        self.counts.refused[service.protocol] += 1
        log.info("%s: connection from %s refused: %s", service.name, address, refusal.value)
        with contextlib.suppress(OSError), accepted:
            if service.encryption != "ssl":
                accepted.send(self._tools.protocols[service.protocol].refusals[refusal])
            accepted.shutdown(socket.SHUT_WR)

    # ------------------------------------------------------------ a session's life

    def _start(self, session: _Session, accepted: socket.socket) -> None:
        key = session.client.protocol, session.client.session
        self._sessions[key] = session
        self._occupancy.enter(session.service, session.client.address)
        self.counts.accepted[session.client.protocol] += 1
        session.task = asyncio.create_task(self._run(session, accepted), name=f"{key[0]} session {key[1]}")
        session.task.add_done_callback(lambda _task: self._forget(key))

    def _forget(self, key: tuple[Protocol, int]) -> None:
        session = self._sessions.pop(key)
        self._occupancy.leave(session.service, session.client.address)

    async def _run(self, session: _Session, accepted: socket.socket) -> None:
        """From the accepted socket to the closed stream. The one place of the daemon that catches everything."""
        try:
            await self._open(session, accepted)
            await self._tools.protocols[session.client.protocol].handler(await self._connection(session))
        except (ConnectionLost, DeadlinePassed):
            pass
        except asyncio.CancelledError:
            await self._say_farewell(session)
            raise
        except Exception as error:  # noqa: BLE001 - the session loop
            self._report_bug(error, session.client)
        finally:
            self._close(session)

    async def _open(self, session: _Session, accepted: socket.socket) -> None:
        """Make the stream, with TLS first where the service speaks nothing else."""
        loop = asyncio.get_running_loop()
        context = self._tools.tls_context() if session.service.encryption == "ssl" else None
        if session.service.encryption == "ssl" and context is None:
            accepted.close()
            raise ConnectionLost("there is no certificate")
        stream = Stream()
        try:
            if context is None:
                await loop.connect_accepted_socket(lambda: stream, accepted)
            else:
                await loop.connect_accepted_socket(
                    lambda: stream, accepted, ssl=context, ssl_handshake_timeout=HANDSHAKE_SECONDS
                )
        except OSError as error:  # SSLError and TimeoutError are OSErrors
            accepted.close()
            raise ConnectionLost(f"TLS handshake: {error}") from error
        stream.encrypted = context is not None
        session.stream = stream
        session.client = replace(session.client, encrypted=stream.encrypted, tls=stream.tls)

    async def _connection(self, session: _Session) -> Connection:
        assert session.stream is not None
        transcript: Transcript = SILENT
        if session.service.log_sessions:
            transcript = FileTranscript(session.client, session.service.name)
        await self._limit(session, Connected(session.client, session.service.bandwidth, session.limit))

        async def apply_bandwidth(user: UserId) -> None:
            known = self._tools.snapshot().directory.users.get(user)
            name = known.name if known is not None else ""
            event = LoggedIn(session.client, session.service.bandwidth, session.limit, int(user), name)
            await self._limit(session, event)

        return Connection(
            stream=session.stream,
            client=session.client,
            service=session.service,
            snapshot=self._tools.snapshot,
            tls_context=self._tools.tls_context,
            store=self._tools.store,
            authenticator=self._tools.authenticator,
            hooks=self._tools.hooks,
            offload=self._tools.offload,
            transcript=transcript,
            live=session.live,
            apply_bandwidth=apply_bandwidth,
        )

    async def _limit(self, session: _Session, event: Connected | LoggedIn) -> None:
        """The hook's answer replaces the limit in force; nonsense keeps it (spec services 5.3, 5.4)."""
        assert session.stream is not None
        answer = await self._tools.hooks.on_bandwidth(event)
        changed = answer is not None and answer in BANDWIDTH_RANGE and answer != session.limit
        if answer is not None and changed:
            session.limit = answer
        if changed or isinstance(event, Connected):
            session.stream.meter = self._tools.pools.meter(session.limit)

    async def _say_farewell(self, session: _Session) -> None:
        """RFC 5321 §3.8: 421 may be said at any time. RFC 1939 §3: a POP3 session is closed without a word."""
        if session.stream is None or session.stream.lost:
            return
        words = self._tools.protocols[session.client.protocol].farewell(self._tools.snapshot().hostname)
        with contextlib.suppress(ConnectionLost, DeadlinePassed, TimeoutError):
            async with asyncio.timeout(FAREWELL_SECONDS):
                await session.stream.write(words)

    def _close(self, session: _Session) -> None:
        if session.stream is not None:
            session.stream.close()
            self.counts.bytes_in[session.client.protocol] += session.stream.bytes_in
            self.counts.bytes_out[session.client.protocol] += session.stream.bytes_out

    def _report_bug(self, error: Exception, client: Client) -> None:
        self.counts.bugs += 1
        log.error("our bug in %s session %d", client.protocol, client.session, exc_info=error)
        if self._on_bug is not None:
            self._on_bug(error, client)

    # ------------------------------------------------------------ from outside

    def __len__(self) -> int:
        return len(self._sessions)

    def briefs(self, limit: int) -> list[SessionBrief]:
        """What the console shows, oldest first."""
        return [
            SessionBrief(
                protocol=session.client.protocol.value,
                id=session.live.id,
                service=session.live.service,
                client=session.live.client,
                started=session.live.started.isoformat(timespec="seconds"),
                login=session.live.login,
                doing=session.live.doing,
            )
            for session, _ in zip(self._sessions.values(), range(limit), strict=False)
        ]

    def logged_in(self) -> list[LoggedInSession]:
        """The sessions in which somebody has logged in by now."""
        return [
            LoggedInSession(session.live.user.id, session.task)
            for session in self._sessions.values()
            if session.live.user is not None and session.task is not None
        ]

    def end(self, key: str) -> None:
        """End the session that `SessionBrief.key` names; one that is gone is passed over."""
        self._cancel(
            session for (protocol, number), session in self._sessions.items() if f"{protocol.value}:{number}" == key
        )

    def end_services(self, kept: Iterable[int]) -> None:
        """End the sessions of every service that is not among those kept: it was switched off or deleted."""
        staying = frozenset(kept)
        self._cancel(session for session in self._sessions.values() if session.service.id not in staying)

    async def drain(self, seconds: float) -> None:
        """Take no more clients, give those that are here some time, then end them."""
        self._draining = True
        await self._wait(seconds)
        self._cancel(self._sessions.values())
        await self._wait(FAREWELL_SECONDS + END_SECONDS)
        for session in self._sessions.values():
            if session.stream is not None:
                session.stream.abort()

    async def _wait(self, seconds: float) -> None:
        tasks = [session.task for session in self._sessions.values() if session.task is not None]
        if tasks:
            await asyncio.wait(tasks, timeout=seconds)

    @staticmethod
    def _cancel(sessions: Iterable[_Session]) -> None:
        for session in list(sessions):
            if session.task is not None:
                session.task.cancel()


def _readable(name: tuple[Any, ...]) -> tuple[str, int]:
    """A socket name's address and port; IPv4 mapped into IPv6 is given as IPv4."""
    return str(parse_address(name[0])), int(name[1])
