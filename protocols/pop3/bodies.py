# SPDX-License-Identifier: MIT
"""Message text on its way out, piece by piece: dot-stuffing, the cut of TOP, blank lines at the end, surrogates.

RFC 1939 §3 (byte-stuffing), §7 (TOP), RFC 6856 §2.1 (clients without UTF8). Pure. What comes out does not depend on
where the pieces are cut. Stored messages end their lines with CRLF; should one hold a bare LF all the same, a dot
behind it is stuffed too, because most clients take LF for a line's end and would see the end of the message there.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

from mailserver.mime.downgrade import downgrade_header

MAX_HEADER_BYTES = 1024 * 1024
"""Longer header sections are not looked through for UTF-8, so that no more of a message is ever held whole."""


class DotStuffer:
    """RFC 1939 §3: a dot that begins a line is doubled, and a line with one dot ends it all."""

    def __init__(self) -> None:
        self._tail = b"\r\n"

    def feed(self, data: bytes) -> bytes:
        if not data:
            return b""
        stuffed = data.replace(b"\n.", b"\n..")
        if data.startswith(b".") and self._tail.endswith(b"\n"):
            stuffed = b"." + stuffed
        self._tail = (self._tail + data[-2:])[-2:]
        return stuffed

    def finish(self) -> bytes:
        """The terminator; first the line end that the last line lacks."""
        return b".\r\n" if self._tail == b"\r\n" else b"\r\n.\r\n"


def stuff_whole(data: bytes) -> bytes:
    """What a DotStuffer makes of all of it."""
    stuffer = DotStuffer()
    return stuffer.feed(data) + stuffer.finish()


class TopCut:
    """The header, the blank line behind it, and the first `lines` lines of the body."""

    def __init__(self, lines: int) -> None:
        self._lines_left = lines
        self._in_header = True
        self._line = b""
        """What is known of the header line under way, as far as it tells whether that is blank."""

    @property
    def done(self) -> bool:
        """Nothing of what follows is wanted."""
        return not self._in_header and self._lines_left == 0

    def feed(self, data: bytes) -> bytes:
        start = self._skip_header(data) if self._in_header else 0
        return data[: self._skip_lines(data, start)]

    def _skip_header(self, data: bytes) -> int:
        """Where the body begins in this piece, or the piece's end."""
        place = 0
        while (end := data.find(b"\n", place)) >= 0:
            line = self._line + data[place : min(end, place + 2)]
            self._line = b""
            place = end + 1
            if line in (b"", b"\r"):
                self._in_header = False
                return place
        self._line = (self._line + data[place : place + 2])[:2]
        return len(data)

    def _skip_lines(self, data: bytes, place: int) -> int:
        """Where the wanted lines end in this piece."""
        if self._in_header:
            return len(data)
        if self._lines_left > len(data):
            self._lines_left -= data.count(b"\n", place)
            return len(data)
        while self._lines_left and place < len(data):
            end = data.find(b"\n", place)
            if end < 0:
                return len(data)
            self._lines_left -= 1
            place = end + 1
        return place


class BlankEndStripper:
    """Leaves out blank lines at the end of a message (spec services 3.2). One line end stays."""

    def __init__(self) -> None:
        self._held = b""

    def feed(self, data: bytes) -> bytes:
        data = self._held + data
        text = data.rstrip(b"\r\n")
        self._held = data[len(text) :]
        if len(self._held) <= MAX_HELD_BYTES:
            return text
        text, self._held = data[:-MAX_HELD_BYTES], data[-MAX_HELD_BYTES:]
        return text

    def finish(self) -> bytes:
        return b"\r\n" if self._held else b""


MAX_HELD_BYTES = 64 * 1024
"""A message that ends in more blank lines than this keeps some: memory is bounded for those who send such things."""


def downgrade(pieces: Iterator[bytes]) -> tuple[int, Iterator[bytes]]:
    """The message for a client without UTF8, and by how many bytes it is longer than the stored one."""
    begun = bytearray()
    end = -1
    for piece in pieces:
        begun += piece
        end = begun.find(b"\r\n\r\n", max(0, len(begun) - len(piece) - 3))
        if end >= 0 or len(begun) > MAX_HEADER_BYTES:
            break
    if end < 0 and len(begun) > MAX_HEADER_BYTES:
        return 0, chain((bytes(begun),), pieces)
    header = bytes(begun if end < 0 else begun[: end + 2])
    changed = downgrade_header(header)
    return len(changed) - len(header), chain((changed, bytes(begun[len(header) :])), pieces)
