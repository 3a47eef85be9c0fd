# SPDX-License-Identifier: MIT
"""A client that has said good-bye leaves no connection open, whatever the server does then.

An open one would be noticed at some later time only, when Python finds that nobody has it any more.
"""

from __future__ import annotations

import asyncio
import gc
import socketserver
import threading
import warnings
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

import pytest
import uvloop

from mailserver.connectors.values import RemoteServer
from protocols.imap.client import ImapClient
from protocols.pop3.client import Pop3Client
from protocols.smtp.client import SessionOptions, open_session
from protocols.smtp.feed_client import FeedClient

Visit = Callable[[int], Awaitable[None]]


def ignore(line: str) -> None:
    """Nobody reads the dialogue."""


async def visit_pop3(port: int) -> None:
    client = await Pop3Client.connect(RemoteServer("127.0.0.1", port), ignore)
    await client.quit()


async def visit_imap(port: int) -> None:
    client = await ImapClient.connect(RemoteServer("127.0.0.1", port), ignore)
    await client.logout()


async def visit_feed(port: int) -> None:
    client = await FeedClient.connect(RemoteServer("127.0.0.1", port), "office.test", ignore)
    await client.quit()


async def visit_smtp(port: int) -> None:
    client = await open_session("127.0.0.1", port, SessionOptions("server.test", "office.test"))
    await client.quit()


ANSWERS: dict[Visit, dict[bytes, bytes]] = {
    visit_pop3: {b"": b"+OK\r\n", b"CAPA": b"-ERR\r\n", b"QUIT": b"+OK\r\n"},
    visit_imap: {b"": b"* OK [CAPABILITY IMAP4rev1]\r\n", b"LOGOUT": b"* BYE\r\n%s OK\r\n"},
    visit_feed: {b"": b"220 server.test\r\n", b"EHLO": b"250 server.test\r\n", b"QUIT": b"221 bye\r\n"},
    visit_smtp: {b"": b"220 server.test\r\n", b"EHLO": b"250 server.test\r\n", b"QUIT": b"221 bye\r\n"},
}
"""What a server says at first, and to these commands."""


@contextmanager
def staying_server(answers: dict[bytes, bytes]) -> Iterator[int]:
    """One that ends no connection itself, also when the other end has said that it will send nothing more; its port."""
    ended = threading.Event()

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            self.wfile.write(answers[b""])
            for line in self.rfile:
                first, *others = line.split()
                for verb in (first, *others[:1]):
                    self.wfile.write(answers.get(verb, b"").replace(b"%s", first))
            ended.wait(30)

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True

    with Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            ended.set()
            server.shutdown()
            thread.join()


@pytest.mark.parametrize("make_loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
@pytest.mark.parametrize("visit", [visit_pop3, visit_imap, visit_feed, visit_smtp])
def test_nothing_is_left_open(visit: Visit, make_loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    gc.collect()
    with staying_server(ANSWERS[visit]) as port, warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        with asyncio.Runner(loop_factory=make_loop) as runner:
            runner.run(visit(port))
        gc.collect()
    assert [str(warning.message) for warning in found] == []
