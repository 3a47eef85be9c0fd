# SPDX-License-Identifier: MIT
"""A daemon's sessions and listening sockets for tests: real sockets on loopback, uvloop, no database."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any

import uvloop

from mailserver.config.catalog import ServiceKind
from mailserver.config.snapshot import Binding, Service, Snapshot
from mailserver.hooks.interface import Hooks
from mailserver.store.memory import MemoryStore
from mailserver.users.authentication import LoggedInUser
from mailserver.values import Client, Protocol, UserId
from protocols.net.admission import Refusal, Surrounding
from protocols.net.bandwidth import Pools
from protocols.net.connection import Connection
from protocols.net.listener import Listeners, OwnSockets
from protocols.net.offload import DirectOffload
from protocols.net.sessions import ServedProtocol, Sessions, SessionTools
from protocols.net.sockets import binding_of, open_listening
from tests.support.fakes import TableAuthenticator

REFUSALS: Mapping[Refusal, bytes] = {refusal: f"NO {refusal.name}\r\n".encode() for refusal in Refusal}
PATIENCE_SECONDS = 10


def run(scenario: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """On the event loop that the daemon uses."""

    async def bounded() -> None:
        async with asyncio.timeout(6 * PATIENCE_SECONDS):
            await scenario()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(bounded())


async def echo(connection: Connection) -> None:
    """A protocol: greets, gives lines back, says BYE to `quit`, breaks at `bug`, waits for ever at `sleep`.

    `login NUMBER ADDRESS` is believed.
    """
    stream = connection.stream
    await stream.write(b"HELLO\r\n")
    while line := await stream.readuntil(b"\n"):
        connection.live.doing = line.decode().strip()
        if line == b"bug\r\n":
            raise ValueError("a bug")
        if line == b"sleep\r\n":
            await asyncio.get_running_loop().create_future()
        if line.startswith(b"login "):
            _, number, address = line.decode().split()
            connection.live.enter(LoggedInUser(UserId(int(number)), address.partition("@")[0], address))
        if line == b"quit\r\n":
            await stream.write(b"BYE\r\n")
            return
        await stream.write(line)


@dataclass
class Daemon:
    """Sessions and listeners around a snapshot that the test changes with `apply`. Make it on the event loop."""

    service: Service
    handler: Callable[[Connection], Coroutine[Any, Any, None]] = echo
    hooks: Hooks = field(default_factory=Hooks)
    context: ssl.SSLContext | None = None
    surrounding: Surrounding = field(default_factory=Surrounding)
    bugs: list[tuple[BaseException, Client]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.snapshot = Snapshot(services=(self.service,), hostname="mail.example.test")
        self.pools = Pools()
        self._peers: list[Peer] = []
        served = ServedProtocol(self.handler, REFUSALS, lambda hostname: f"FAREWELL {hostname}\r\n".encode())
        self.sessions = Sessions(
            SessionTools(
                protocols={Protocol.POP3: served},
                snapshot=lambda: self.snapshot,
                tls_context=lambda: self.context,
                surrounding=lambda: self.surrounding,
                store=MemoryStore(),
                authenticator=TableAuthenticator(),
                hooks=self.hooks,
                offload=DirectOffload(),
                pools=self.pools,
            ),
            on_bug=lambda error, client: self.bugs.append((error, client)),
        )
        self.listeners = Listeners(OwnSockets({}), self.sessions.accept)

    async def apply(self, *services: Service) -> None:
        """As the daemon does when the settings have changed."""
        self.snapshot = Snapshot(services=services, hostname="mail.example.test")
        self.sessions.end_services(service.id for service in services if service.enabled)
        await self.listeners.apply(self.snapshot)

    async def __aenter__(self) -> Daemon:
        await self.apply(self.service)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.listeners.close()
        await self.sessions.drain(0)
        for peer in self._peers:
            await peer.close()

    async def connect(self, context: ssl.SSLContext | None = None) -> Peer:
        binding = self.service.bindings[0]
        name = "localhost" if context else None
        peer = Peer(*await asyncio.open_connection(binding.address, binding.port, ssl=context, server_hostname=name))
        self._peers.append(peer)
        return peer


@dataclass
class Peer:
    """A client."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def line(self) -> bytes:
        async with asyncio.timeout(PATIENCE_SECONDS):
            return await self.reader.readline()

    async def ask(self, text: bytes) -> bytes:
        self.writer.write(text + b"\r\n")
        return await self.line()

    async def rest(self) -> bytes:
        """Everything until the end of the connection."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            try:
                return await self.reader.read()
            except ConnectionResetError:
                return b""

    async def close(self) -> None:
        self.writer.close()
        with contextlib.suppress(OSError):
            await self.writer.wait_closed()


def make_service(**fields: Any) -> Service:
    """A service on a free port of loopback."""
    number = fields.pop("id", 1)
    return Service(
        number,
        ServiceKind.POP3,
        f"Test {number}",
        Protocol.POP3,
        **{"bindings": (free_binding(),), **fields},
    )


def free_binding(address: str = "127.0.0.1") -> Binding:
    with open_listening(Binding(address, 0)) as listening:
        return binding_of(listening)


def listens(binding: Binding) -> bool:
    try:
        socket.create_connection((binding.address, binding.port), timeout=5).close()
    except OSError:
        return False
    return True
