# SPDX-License-Identifier: MIT
"""SMTP over real sockets: an ordinary client, TLS, slow and vanishing peers, and deadlines."""

from __future__ import annotations

import asyncio
import contextlib
import smtplib
import socket
import struct
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import pytest

from mailserver.config.catalog import ServiceKind
from mailserver.store.memory import MemoryStore
from mailserver.values import Protocol
from protocols.net.stream import ConnectionLost, Stream
from protocols.smtp import reception
from protocols.smtp.server import serve_smtp
from tests.support.certificates import client_context, server_context
from tests.support.fakes import World, make_world
from tests.support.waiting import until

T = TypeVar("T")
MESSAGE = "From: a@client.example\r\nSubject: hello\r\n\r\n.dots\r\n..and more\r\n"


class Daemon:
    """A world's SMTP service on a loopback port."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.port = 0
        self.tasks: set[asyncio.Task[None]] = set()

    def accept(self, stream: Stream) -> None:
        task = asyncio.get_running_loop().create_task(self._serve(stream))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def _serve(self, stream: Stream) -> None:
        with contextlib.suppress(ConnectionLost):
            await serve_smtp(self.world.connect(stream))
        stream.close()

    async def over(self) -> None:
        """Every session has ended."""
        await until(lambda: not self.tasks, 10, "the sessions to end")


@pytest.fixture
async def daemon(tmp_path: Path) -> AsyncIterator[Daemon]:
    world = make_world(ServiceKind.SMTP, Protocol.SMTP, tls=server_context())
    world.store = MemoryStore(tmp_path)
    world.client["address"] = "192.0.2.7"
    world.add_user("bob", "secret")
    running = Daemon(world)
    listener = await asyncio.get_running_loop().create_server(lambda: Stream(running.accept), "127.0.0.1", 0)
    running.port = listener.sockets[0].getsockname()[1]
    yield running
    listener.close()
    for task in running.tasks:
        task.cancel()
    await asyncio.gather(*running.tasks, return_exceptions=True)


async def by_smtplib(daemon: Daemon, conversation: Callable[[smtplib.SMTP], T]) -> T:
    """Python's own client, in a thread of its own."""

    def run() -> T:
        with smtplib.SMTP("localhost", daemon.port, "client.example", timeout=10) as client:
            return conversation(client)

    return await asyncio.to_thread(run)


def connect(daemon: Daemon) -> socket.socket:
    peer = socket.create_connection(("127.0.0.1", daemon.port), 10)
    peer.settimeout(10)
    return peer


def stored(world: World) -> list[bytes]:
    entries = world.store.list_entries(world.user("bob").inbox)
    return [content.body or b"" for content in world.store.read_contents([entry.content for entry in entries])]


async def test_smtplib_delivers(daemon: Daemon) -> None:
    refused = await by_smtplib(daemon, lambda client: client.sendmail("a@b.example", ["bob@example.test"], MESSAGE))
    assert refused == {}
    assert stored(daemon.world) == [MESSAGE.encode()]
    await daemon.over()


async def test_smtplib_logs_in_under_tls_and_submits(daemon: Daemon) -> None:
    def conversation(client: smtplib.SMTP) -> None:
        client.starttls(context=client_context())
        client.login("bob", "secret")
        client.sendmail("bob@example.test", ["bob@example.test", "friend@elsewhere.example"], MESSAGE)

    await by_smtplib(daemon, conversation)
    (content,) = daemon.world.store.read_contents([daemon.world.store.queued[0][0]])
    assert b"with ESMTPSA\r\n\t(TLSv1.3 " in content.head


async def test_smtplib_is_told_why(daemon: Daemon) -> None:
    def conversation(client: smtplib.SMTP) -> int:
        with pytest.raises(smtplib.SMTPRecipientsRefused) as caught:
            client.sendmail("a@b.example", ["friend@elsewhere.example"], MESSAGE)
        return caught.value.recipients["friend@elsewhere.example"][0]

    assert await by_smtplib(daemon, conversation) == 550


async def test_peer_that_resets_in_the_middle_of_a_message(daemon: Daemon) -> None:
    def run() -> None:
        with connect(daemon) as peer:
            peer.sendall(b"EHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<bob@example.test>\r\nDATA\r\nhalf")
            while b"354" not in peer.recv(4096):
                pass
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    await asyncio.to_thread(run)
    await daemon.over()
    assert stored(daemon.world) == []


async def test_peer_that_says_nothing_is_told_so(daemon: Daemon) -> None:
    daemon.world.service = replace(daemon.world.service, idle_timeout_seconds=0)

    def run() -> bytes:
        with connect(daemon) as peer, peer.makefile("rb") as lines:
            return bytes(lines.read())

    heard = (await asyncio.to_thread(run)).split(b"\r\n")
    assert heard[0].startswith(b"220 ")
    assert heard[1] == b"421 4.4.2 mail.example.test Timeout, closing the connection"


async def test_message_that_trickles_is_given_up(daemon: Daemon, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each byte comes in time, the message as a whole does not."""
    monkeypatch.setattr(reception, "MIN_BYTES_PER_SECOND", 1e9)
    daemon.world.service = replace(daemon.world.service, idle_timeout_seconds=0.3)
    reader, writer = await asyncio.open_connection("127.0.0.1", daemon.port)
    writer.write(b"EHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<bob@example.test>\r\nDATA\r\n")
    listening = asyncio.create_task(reader.read())
    async with asyncio.timeout(10):
        while not listening.done():
            writer.write(b"x")
            await asyncio.wait((listening,), timeout=0.02)
    writer.close()
    assert listening.result().endswith(b"421 4.4.2 mail.example.test Timeout, closing the connection\r\n")
    assert "connection was lost" in daemon.world.store.steps[0].detail


async def test_other_sessions_go_on_beside_a_peer_that_reads_nothing(daemon: Daemon) -> None:
    def flood(peer: socket.socket) -> None:
        peer.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                peer.send(b"HELP\r\n" * 1000)

    peer = await asyncio.to_thread(connect, daemon)
    with peer:
        await asyncio.to_thread(flood, peer)
        await by_smtplib(daemon, lambda client: client.sendmail("a@b.example", ["bob@example.test"], MESSAGE))
    assert stored(daemon.world) == [MESSAGE.encode()]
