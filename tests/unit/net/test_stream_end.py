# SPDX-License-Identifier: MIT
"""How a connection ends: the last words arrive, also when the peer was still talking."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator

import pytest

from protocols.net import stream as module
from protocols.net.stream import Stream
from tests.support.waiting import wait_until

LAST_WORDS = b"421 4.4.2 Good-bye\r\n"


@pytest.fixture
async def pair() -> AsyncIterator[tuple[Stream, socket.socket]]:
    """A stream and the socket of its peer, over TCP: only there does unread input cause a reset."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        peer = socket.create_connection(server.getsockname(), timeout=10)
        accepted, _ = server.accept()
    stream = Stream()
    await asyncio.get_running_loop().connect_accepted_socket(lambda: stream, accepted)
    with peer:
        yield stream, peer
    stream.abort()


async def test_last_words_arrive_though_input_was_not_read(pair: tuple[Stream, socket.socket]) -> None:
    stream, peer = pair
    await asyncio.to_thread(peer.sendall, b"x" * 1_000_000)
    await stream.read()
    await stream.write(LAST_WORDS)
    stream.close()
    await asyncio.to_thread(peer.sendall, b"y" * 1_000_000)
    assert await asyncio.to_thread(read_to_the_end, peer) == LAST_WORDS


async def test_peer_that_never_ends_is_let_go(
    pair: tuple[Stream, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "DISCARD_SECONDS", 0.05)
    stream, peer = pair
    stream.close()
    assert await asyncio.to_thread(read_to_the_end, peer) == b""
    await asyncio.to_thread(wait_until, lambda: stream.lost, 10, "the end")


async def test_peer_that_ends_first_is_let_go_at_once(pair: tuple[Stream, socket.socket]) -> None:
    stream, peer = pair
    stream.close()
    peer.shutdown(socket.SHUT_WR)
    await asyncio.to_thread(wait_until, lambda: stream.lost, module.DISCARD_SECONDS / 2, "the end")


def read_to_the_end(peer: socket.socket) -> bytes:
    """Until the other side says that it is done; raises ConnectionResetError when it was cut off."""
    said = b""
    while piece := peer.recv(65536):
        said += piece
    return said
