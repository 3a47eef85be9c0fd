# SPDX-License-Identifier: MIT
"""Dot-stuffing, TOP, blank ends and surrogates: tables, and every place to cut."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from protocols.pop3.bodies import MAX_HEADER_BYTES, MAX_HELD_BYTES, BlankEndStripper, DotStuffer, TopCut, downgrade


def _cuts(data: bytes) -> Iterator[list[bytes]]:
    """The whole, each way to cut it in two, and single bytes."""
    yield [data]
    for place in range(1, len(data)):
        yield [data[:place], data[place:]]
    yield [data[place : place + 1] for place in range(len(data))]


@pytest.mark.parametrize(
    ("data", "stuffed"),
    [
        (b"", b".\r\n"),
        (b"a", b"a\r\n.\r\n"),
        (b"a\r", b"a\r\r\n.\r\n"),
        (b"a\n", b"a\n\r\n.\r\n"),
        (b"a\r\n", b"a\r\n.\r\n"),
        (b".", b"..\r\n.\r\n"),
        (b".\r\n", b"..\r\n.\r\n"),
        (b"..\r\n.", b"...\r\n..\r\n.\r\n"),
        (b"a.b\r\n.c\r\n", b"a.b\r\n..c\r\n.\r\n"),
        (b"a\r\n\r\n.\r\n", b"a\r\n\r\n..\r\n.\r\n"),
        (b"bare\n.\n", b"bare\n..\n\r\n.\r\n"),
    ],
)
def test_dot_stuffing(data: bytes, stuffed: bytes) -> None:
    for pieces in _cuts(data):
        stuffer = DotStuffer()
        assert b"".join(map(stuffer.feed, pieces)) + stuffer.finish() == stuffed


@pytest.mark.parametrize(
    ("data", "lines", "top"),
    [
        (b"", 5, b""),
        (b"A: 1\r\n", 0, b"A: 1\r\n"),
        (b"A: 1\r\n\r\n", 0, b"A: 1\r\n\r\n"),
        (b"A: 1\r\n\r\none\r\ntwo\r\n", 0, b"A: 1\r\n\r\n"),
        (b"A: 1\r\n\r\none\r\ntwo\r\n", 1, b"A: 1\r\n\r\none\r\n"),
        (b"A: 1\r\n\r\none\r\ntwo", 2, b"A: 1\r\n\r\none\r\ntwo"),
        (b"A: 1\r\n\r\none\r\ntwo\r\n", 9999999999, b"A: 1\r\n\r\none\r\ntwo\r\n"),
        (b"\r\none\r\ntwo\r\n", 1, b"\r\none\r\n"),
        (b"A: 1\r\n\rB: 2\r\n\r\none\r\n", 0, b"A: 1\r\n\rB: 2\r\n\r\n"),
        (b"A: 1\n\none\ntwo\n", 1, b"A: 1\n\none\n"),
        (b"A: 1\r\n\r\n\r\n\r\nx\r\n", 2, b"A: 1\r\n\r\n\r\n\r\n"),
    ],
)
def test_top(data: bytes, lines: int, top: bytes) -> None:
    for pieces in _cuts(data):
        cut = TopCut(lines)
        assert b"".join(map(cut.feed, pieces)) == top


def test_top_says_when_the_rest_is_not_wanted() -> None:
    cut = TopCut(1)
    cut.feed(b"A: 1\r\n")
    assert not cut.done
    cut.feed(b"\r\none\r\n")
    assert cut.done


@pytest.mark.parametrize(
    ("data", "stripped"),
    [
        (b"", b""),
        (b"a", b"a"),
        (b"a\r\n", b"a\r\n"),
        (b"a\r\n\r\n", b"a\r\n"),
        (b"a\r\n\r\nb\r\n\r\n\r\n", b"a\r\n\r\nb\r\n"),
        (b"\r\n\r\n", b"\r\n"),
        (b"a\r\n \r\n", b"a\r\n \r\n"),
    ],
)
def test_blank_end(data: bytes, stripped: bytes) -> None:
    for pieces in _cuts(data):
        stripper = BlankEndStripper()
        assert b"".join(map(stripper.feed, pieces)) + stripper.finish() == stripped


def test_endless_blank_lines_are_not_held() -> None:
    stripper = BlankEndStripper()
    sent = sum(len(stripper.feed(b"\r\n" * 1000)) for _ in range(100))
    assert sent == 200_000 - MAX_HELD_BYTES


@pytest.mark.parametrize(
    ("data", "sent"),
    [
        (b"", b""),
        ("Subject: ü\r\n\r\nä\r\n".encode(), "Subject: =?utf-8?b?w7w=?=\r\n\r\nä\r\n".encode()),
        ("Subject: ü\r\n".encode(), b"Subject: =?utf-8?b?w7w=?=\r\n"),
        ("Subject: u\r\n\r\nä\r\n".encode(), "Subject: u\r\n\r\nä\r\n".encode()),
        (b"Subject: \xfc\r\n\r\nx\r\n", b"Subject: \xfc\r\n\r\nx\r\n"),
    ],
)
def test_surrogates(data: bytes, sent: bytes) -> None:
    for pieces in _cuts(data):
        longer, changed = downgrade(iter(pieces))
        assert b"".join(changed) == sent
        assert longer == len(sent) - len(data)


def test_endless_headers_are_not_held() -> None:
    data = [b"X: " + "ü".encode() * 30_000 + b"\r\n"] * 40
    longer, changed = downgrade(iter(data))
    assert longer == 0
    assert len(next(changed)) < MAX_HEADER_BYTES + len(data[0]) + 1
    assert sum(map(len, changed)) > 0
