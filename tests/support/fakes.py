# SPDX-License-Identifier: MIT
"""A small world for one session: users in a table, the memory store, and a stream without a socket.

`World` builds the `Connection` that a protocol's session handler is given; a test changes `service`, `settings` or
the authenticator first, and looks at the store afterwards.
"""

from __future__ import annotations

import asyncio
import hashlib
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from mailserver import clock
from mailserver.config.catalog import ServiceKind
from mailserver.config.snapshot import Directory, Service, Snapshot, User
from mailserver.errors import Kind, MailError
from mailserver.hooks.interface import Hooks
from mailserver.journey.records import next_ref
from mailserver.store.interface import Filing, NewContent, NewEntry, Unit
from mailserver.store.memory import MemoryStore
from mailserver.users.authentication import LoggedInUser, ScramVerifier
from mailserver.users.scram import MIN_ITERATIONS, derive_scram_verifier
from mailserver.values import Address, Body, Client, Protocol, UserId
from protocols.net.connection import Connection, LiveSession
from protocols.net.offload import DirectOffload, Offload
from protocols.net.stream import BytesBeforeTls, ConnectionLost, Stream
from protocols.net.transcript import SILENT, Transcript

DOMAIN = "example.test"
ELSEWHERE = "192.0.2.7"
"""A client that is not this machine."""
PATIENCE_SECONDS = 10
"""No step of a test session takes so long."""


@dataclass(slots=True)
class Account:
    """A user of the table."""

    user: LoggedInUser
    password: str
    recoverable: bool = False
    active: bool = True


class TableAuthenticator:
    """An Authenticator over a table; remembers what it was told."""

    def __init__(self) -> None:
        self.accounts: dict[str, Account] = {}
        self.failures: list[tuple[str, str, bool]] = []
        """Login, reason, and whether it counts."""
        self.unavailable = False
        self._last_logins: dict[UserId, float] = {}

    def add(self, account: Account) -> None:
        self.accounts[account.user.name] = self.accounts[account.user.address] = account

    def check_password(self, login: str, password: str, client: Client) -> LoggedInUser:
        account = self._find(login)
        if account is None or account.password != password or not account.active:
            self.failures.append((login, "wrong password", True))
            raise MailError(Kind.BAD_CREDENTIALS, "wrong password")
        return account.user

    def find_remembered(self, login: str, password: str, client: Client) -> LoggedInUser | None:
        return None

    def find_scram_verifier(self, login: str) -> ScramVerifier:
        account = self._find(login)
        salt = hashlib.sha256(login.lower().encode()).digest()[:16]
        return derive_scram_verifier(account.password if account else "\0", salt, MIN_ITERATIONS)

    def find_secret(self, login: str) -> str | None:
        account = self._find(login)
        return account.password if account and account.recoverable else None

    def admit(self, login: str, client: Client) -> LoggedInUser:
        account = self._find(login)
        if account is None or not account.active:
            raise MailError(Kind.BAD_CREDENTIALS, "disabled")
        return account.user

    def record_failure(self, login: str, client: Client, reason: str, *, counts: bool = True) -> None:
        self.failures.append((login, reason, counts))

    def may_log_in_again(self, user: UserId, delay_seconds: int) -> bool:
        now = clock.now().timestamp()
        if now - self._last_logins.get(user, 0.0) < delay_seconds:
            return False
        self._last_logins[user] = now
        return True

    def _find(self, login: str) -> Account | None:
        if self.unavailable:
            raise MailError(Kind.UNAVAILABLE, "no database")
        return self.accounts.get(login.lower())


class MemoryTransport(asyncio.Transport):
    """Collects what is written. `hold` makes it a peer that reads nothing."""

    def __init__(self, peer: tuple[str, int]) -> None:
        super().__init__({"peername": peer, "sockname": ("127.0.0.1", 110)})
        self.written = bytearray()
        self.closed = False
        self.reading = True

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if not self.closed:
            self.written += data

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Nothing is ever held back."""

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def can_write_eof(self) -> bool:
        return False

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.closed = True


class MemoryStream(Stream):
    """A Stream without a socket. TLS is only pretended: bytes stay as they are."""

    def __init__(self, address: str = ELSEWHERE) -> None:
        super().__init__()
        self.transport = MemoryTransport((address, 40000))
        self.connection_made(self.transport)

    @property
    def waits_for_input(self) -> bool:
        """The session has taken everything and wants more."""
        return self._waiter is not None and not self._buffer and not self._writing_paused

    async def start_tls(
        self, context: ssl.SSLContext, last_words: bytes = b"", server_hostname: str | None = None
    ) -> None:
        if self._buffer:
            raise BytesBeforeTls
        if self._lost:
            raise ConnectionLost
        self.transport.write(last_words)
        self.encrypted = True


async def settle(stream: MemoryStream, task: asyncio.Task[None]) -> None:
    """Let the session work until it wants input, or is over."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not task.done() and not stream.waits_for_input:  # noqa: ASYNC110 - a turn of the loop is the event
            await asyncio.sleep(0)


@dataclass(slots=True)
class World:
    """Everything around the sessions of one test."""

    protocol: Protocol
    service: Service
    store: MemoryStore
    authenticator: TableAuthenticator = field(default_factory=TableAuthenticator)
    hooks: Hooks = field(default_factory=Hooks)
    settings: dict[str, Any] = field(default_factory=dict)
    users: list[User] = field(default_factory=list)
    domains: tuple[str, ...] = (DOMAIN,)
    offload: Offload = field(default_factory=DirectOffload)
    tls: ssl.SSLContext | None = None
    transcript: Transcript = SILENT
    client: dict[str, Any] = field(default_factory=dict)
    """Fields of `Client` that differ from the usual."""
    sessions: int = 0
    logged_in: list[UserId] = field(default_factory=list)
    """For whom `apply_bandwidth` was awaited."""

    def add_user(self, name: str, password: str, *, recoverable: bool = False, **changes: Any) -> User:
        user_id = UserId(len(self.users) + 1)
        address = Address(name, self.domains[0])
        inbox = self.store.add_user(user_id)
        user = replace(User(user_id, name, address, inbox.id), **changes)
        self.users.append(user)
        self.authenticator.add(Account(LoggedInUser(user_id, name, str(address)), password, recoverable, user.active))
        return user

    def add_message(self, name: str, data: bytes, head: bytes = b"") -> None:
        """File a message in the user's Inbox."""
        user = self.user(name)
        body = Body(len(data), hashlib.sha256(data).hexdigest(), data)
        filing = Filing(NewContent(next_ref(), body, head), (NewEntry(user.inbox),))
        self.store.submit(Unit(filings=(filing,))).result()

    def user(self, name: str) -> User:
        return next(user for user in self.users if user.name == name)

    def snapshot(self) -> Snapshot:
        return Snapshot(
            settings=self.settings,
            services=(self.service,),
            directory=Directory(self.domains, self.users),
            hostname="mail.example.test",
        )

    def connect(self, stream: Stream) -> Connection:
        """A connection as the listener would build it."""
        self.sessions += 1
        address, port = stream.peer
        client = Client(self.protocol, self.service.id, self.sessions, address, port, encrypted=stream.encrypted)
        return Connection(
            stream=stream,
            client=replace(client, **self.client),
            service=self.service,
            snapshot=self.snapshot,
            tls_context=lambda: self.tls,
            store=self.store,
            authenticator=self.authenticator,
            hooks=self.hooks,
            offload=self.offload,
            transcript=self.transcript,
            live=LiveSession(self.sessions, self.service.name, address),
            apply_bandwidth=self._apply_bandwidth,
        )

    async def _apply_bandwidth(self, user: UserId) -> None:
        self.logged_in.append(user)


def make_world(kind: ServiceKind, protocol: Protocol, *, tls: ssl.SSLContext | None = None, **service: Any) -> World:
    """A world with one service and nobody in it."""
    return World(protocol, Service(1, kind, kind.value, protocol, **service), MemoryStore(), tls=tls)


def change_options(world: World, options: Mapping[str, Any]) -> None:
    """Give the service other options of its protocol."""
    world.service = replace(world.service, options={**world.service.options, **options})


WorldMaker = Callable[[], World]
