# SPDX-License-Identifier: MIT
"""Bytes that have come and are not used up: lines and stretches taken from the front. Pure.

Nothing is looked at twice: the search for a line's end goes on where the last one stopped.
"""

from __future__ import annotations

KEPT_TAIL_BYTES = 64
"""As much of the end of a discarded line as is kept: enough to see a literal announced."""


class LineTooLong(Exception):
    """No line end within the limit; `start` is how the line begins."""

    def __init__(self, start: bytes) -> None:
        super().__init__("line too long")
        self.start = start


class Incoming:
    """A buffer that grows at the back and is used up from the front."""

    def __init__(self) -> None:
        self._bytes = bytearray()
        self._searched = 0
        self._tail = b""

    def __len__(self) -> int:
        return len(self._bytes)

    def add(self, data: bytes) -> None:
        self._bytes += data

    def clear(self) -> None:
        self._bytes.clear()
        self._searched = 0

    def take_line(self, limit: int) -> bytes | None:
        """The next line without its end, None if it has not all come.

        Quirk: a bare LF ends a line as well, for people who try things with netcat.
        """
        place = self._bytes.find(b"\n", self._searched, limit + 2)
        if place >= 0:
            line = self.take(place + 1)[:-1]
            return line[:-1] if line.endswith(b"\r") else line
        if len(self._bytes) >= limit + 2:
            self._searched = 0
            raise LineTooLong(bytes(self._bytes[:1000]))
        self._searched = len(self._bytes)
        return None

    def take(self, size: int) -> bytes:
        """The first `size` bytes, or as many as there are."""
        taken = bytes(self._bytes[:size])
        del self._bytes[:size]
        self._searched = 0
        return taken

    def discard(self, size: int) -> int:
        """Drop as many bytes as there are, up to `size`; how many that was."""
        dropped = min(size, len(self._bytes))
        del self._bytes[:dropped]
        return dropped

    def discard_line(self) -> tuple[int, bytes | None]:
        """Drop what has come of a line: how many bytes, and once it has ended its last few, without the line end."""
        place = self._bytes.find(b"\n")
        size = place + 1 if place >= 0 else len(self._bytes)
        self._tail = (self._tail + bytes(self._bytes[max(0, size - KEPT_TAIL_BYTES) : size]))[-KEPT_TAIL_BYTES:]
        del self._bytes[:size]
        if place < 0:
            return size, None
        tail, self._tail = self._tail.rstrip(b"\r\n"), b""
        return size, tail
