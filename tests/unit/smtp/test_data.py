# SPDX-License-Identifier: MIT
"""The cutting of what arrives: message data for every place where it may be cut, and command lines."""

from __future__ import annotations

import pytest

from protocols.smtp.data import MAX_AUTH_OCTETS, DataDecoder, Fault, LineBuffer
from protocols.smtp.grammar import GrammarError, Wrong

MESSAGES = [
    (b".\r\n", b""),
    (b"\r\n.\r\n", b"\r\n"),
    (b"text\r\n.\r\n", b"text\r\n"),
    (b"..\r\n.\r\n", b".\r\n"),
    (b"...\r\n.\r\n", b"..\r\n"),
    (b".text\r\n.\r\n", b"text\r\n"),
    (b"a\r\n..b\r\n..\r\n.\r\n", b"a\r\n.b\r\n.\r\n"),
    (b"a.\r\n.\r\n", b"a.\r\n"),
    (b"a\r\n\r\n\r\n.\r\n", b"a\r\n\r\n\r\n"),
    (b"Subject: x\r\n\r\n\xff\xfe\r\n.\r\n", b"Subject: x\r\n\r\n\xff\xfe\r\n"),
]
FAULTS = [
    (b".\n", Fault.SMUGGLING),
    (b"a\n.\n", Fault.SMUGGLING),
    (b"a\n.\r\n", Fault.SMUGGLING),
    (b"a\r\n.\nx", Fault.SMUGGLING),
    (b"a\r\n.\rx", Fault.SMUGGLING),
    (b"a\r.\rx", Fault.SMUGGLING),
    (b"a\r.\r\n.\r\n", Fault.SMUGGLING),
    (b"a\r\n.\r\r\n.\r\n", Fault.SMUGGLING),
    (b"\n.\r\n.\r\n", Fault.SMUGGLING),
    (b".\r.\r\n.\r\n", Fault.SMUGGLING),
    (b"a\nb\r\n.\r\n", Fault.BARE_NEWLINE),
    (b"a\rb\r\n.\r\n", Fault.BARE_NEWLINE),
    (b"a\r\r\n.\r\n", Fault.BARE_NEWLINE),
    (b"a\n\r\n.\r\n", Fault.BARE_NEWLINE),
    (b"\na\r\n.\r\n", Fault.BARE_NEWLINE),
    (b"a\n..b\r\n.\r\n", Fault.BARE_NEWLINE),
    (b"a\0b\r\n.\r\n", Fault.NUL),
    (b"a\0b\nc\r\n.\r\n", Fault.BARE_NEWLINE),
    (b"123456789\r\n.\r\n", Fault.TOO_BIG),
    (b"12345\r\n123\r\n.\r\n", Fault.TOO_BIG),
]


def decode(pieces: list[bytes], **limits: int) -> tuple[bytes, DataDecoder]:
    """What a session does with the pieces."""
    decoder = DataDecoder(**limits)
    message = b""
    for piece in pieces:
        message += decoder.feed(piece)
        if decoder.finished:
            break
    return message, decoder


def cuts(wire: bytes) -> list[list[bytes]]:
    """The wire in every two pieces, and byte by byte."""
    halves = [[wire[:place], wire[place:]] for place in range(len(wire))]
    return [*halves, [wire[place : place + 1] for place in range(len(wire))]]


@pytest.mark.parametrize(("wire", "message"), MESSAGES)
def test_message_wherever_it_is_cut(wire: bytes, message: bytes) -> None:
    for pieces in cuts(wire):
        decoded, decoder = decode(pieces)
        assert decoded == message
        assert decoder.finished
        assert decoder.fault is None
        assert decoder.size == len(message)
        assert decoder.eight_bit == (not message.isascii())


@pytest.mark.parametrize(("wire", "fault"), FAULTS)
def test_fault_wherever_it_is_cut(wire: bytes, fault: Fault) -> None:
    for pieces in cuts(wire):
        _, decoder = decode(pieces, max_bytes=10)
        assert decoder.fault is fault, pieces
        assert decoder.finished


def test_what_follows_the_end_is_given_back() -> None:
    _, decoder = decode([b"a\r\n.\r\nQUIT\r\n"])
    assert decoder.rest == b"QUIT\r\n"


def test_nothing_behind_a_false_end_is_looked_at() -> None:
    _, decoder = decode([b"a\n.\r\nMAIL FROM:<evil@evil.example>\r\n"])
    assert decoder.rest == b""


def test_end_is_found_behind_a_fault() -> None:
    message, decoder = decode([b"a\nb\r\n", b"c\r\n.\r\nNOOP\r\n"])
    assert (message, decoder.fault, decoder.rest) == (b"", Fault.BARE_NEWLINE, b"NOOP\r\n")


@pytest.mark.parametrize(
    ("wire", "limit", "fault"),
    [
        (b"1234567890\r\n.\r\n", 10, None),
        (b"12345678901\r\n.\r\n", 10, Fault.LINE_TOO_LONG),
        (b"..23456789\r\n.\r\n", 9, None),
        (b"12345\r\n12345\r\n123456\r\n.\r\n", 5, Fault.LINE_TOO_LONG),
        (b"12345\r\n12345\r\n\r\n.\r\n", 5, None),
        (b"12345678901\r\n.\r\n", 0, None),
    ],
)
def test_line_limit_wherever_it_is_cut(wire: bytes, limit: int, fault: Fault | None) -> None:
    for pieces in cuts(wire):
        assert decode(pieces, max_line_bytes=limit)[1].fault is fault


def test_size_limit_is_exact() -> None:
    assert decode([b"1234\r\n..\r\n.\r\n"], max_bytes=9)[1].fault is None
    assert decode([b"1234\r\n..\r\n.\r\n"], max_bytes=8)[1].fault is Fault.TOO_BIG


def test_lines() -> None:
    buffer = LineBuffer()
    buffer.receive(b"NOOP\r\nQU")
    assert buffer.next_line() == b"NOOP"
    assert buffer.next_line() is None
    buffer.receive(b"IT\r")
    assert buffer.next_line() is None
    buffer.receive(b"\n\r\nrest")
    assert buffer.next_line() == b"QUIT"
    assert buffer.next_line() == b""
    assert buffer.waiting == 4
    assert buffer.take() == b"rest"
    assert buffer.waiting == 0


def test_bare_newline_ends_a_line_that_is_refused() -> None:
    buffer = LineBuffer()
    buffer.receive(b"NOOP\nQUIT\r\n")
    with pytest.raises(GrammarError) as caught:
        buffer.next_line()
    assert caught.value.wrong is Wrong.LINE_END
    assert buffer.next_line() == b"QUIT"


@pytest.mark.parametrize("piece_bytes", [1000, 65536])
def test_endless_line_costs_no_memory_and_is_refused_once(piece_bytes: int) -> None:
    buffer = LineBuffer()
    for _ in range(10_000_000 // piece_bytes):
        buffer.receive(b"x" * piece_bytes)
        assert buffer.next_line() is None
        assert buffer.waiting <= MAX_AUTH_OCTETS
    buffer.receive(b"\r\nNOOP\r\n")
    with pytest.raises(GrammarError) as caught:
        buffer.next_line()
    assert caught.value.wrong is Wrong.LINE_LENGTH
    assert buffer.next_line() == b"NOOP"
