# SPDX-License-Identifier: MIT
"""COMPRESS=DEFLATE: both ways, cut anywhere, and against those who send bombs."""

from __future__ import annotations

import zlib

import pytest

from mailserver.errors import ProtocolViolation
from protocols.imap.deflate import MAX_INFLATED_BYTES, DeflateLayer


class Client:
    """As RFC 4978 wants one: raw deflate, flushed after each line."""

    def __init__(self) -> None:
        self._deflater = zlib.compressobj(wbits=-15)
        self._inflater = zlib.decompressobj(wbits=-15)

    def pack(self, data: bytes) -> bytes:
        return self._deflater.compress(data) + self._deflater.flush(zlib.Z_SYNC_FLUSH)

    def unpack(self, data: bytes) -> bytes:
        return self._inflater.decompress(data)


def test_both_ways() -> None:
    client, server = Client(), DeflateLayer()
    for number in range(100):
        line = b"a%d NOOP\r\n" % number
        assert b"".join(server.receive(client.pack(line))) == line
        assert client.unpack(server.send(line)) == line


def test_byte_by_byte() -> None:
    client, server = Client(), DeflateLayer()
    packed = client.pack(b"a NOOP\r\n" * 50)
    assert b"".join(piece for byte in packed for piece in server.receive(bytes([byte]))) == b"a NOOP\r\n" * 50


@pytest.mark.parametrize("size", [MAX_INFLATED_BYTES - 1, MAX_INFLATED_BYTES, MAX_INFLATED_BYTES + 1, 20_000_000])
def test_what_unpacks_into_much_comes_in_small_pieces(size: int) -> None:
    client, server = Client(), DeflateLayer()
    sizes = [len(piece) for piece in server.receive(client.pack(b"x" * size))]
    assert sum(sizes) == size
    assert max(sizes) <= MAX_INFLATED_BYTES


@pytest.mark.parametrize("data", [b"a NOOP\r\n\xff\xff", b"\xff" * 10, zlib.compress(b"with a header")])
def test_broken_data_ends_the_connection(data: bytes) -> None:
    with pytest.raises(ProtocolViolation) as caught:
        list(DeflateLayer().receive(data))
    assert not caught.value.may_continue


def test_a_stream_that_ends_ends_the_connection() -> None:
    finished = zlib.compressobj(wbits=-15)
    data = finished.compress(b"a NOOP\r\n") + finished.flush(zlib.Z_FINISH)
    with pytest.raises(ProtocolViolation):
        list(DeflateLayer().receive(data + b"more"))
