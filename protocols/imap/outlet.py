# SPDX-License-Identifier: MIT
"""What a session sends: gathered into large writes, compressed where that was agreed (RFC 4978).

A session that answers from memory lets others have their turn after each write.
"""

from __future__ import annotations

import asyncio

from protocols.imap.deflate import DeflateLayer
from protocols.net.stream import Stream

FLUSH_BYTES = 64 * 1024
"""Gathered responses are written when they have grown to this."""


class Outlet:
    """One per session. Every write must be taken by the client within `patience_seconds`."""

    def __init__(self, stream: Stream, patience_seconds: float) -> None:
        self.layer: DeflateLayer | None = None
        """Set once the client compresses."""
        self._stream = stream
        self._patience_seconds = patience_seconds
        self._gathered: list[bytes] = []
        self._size = 0

    async def put(self, data: bytes) -> None:
        """Raises ConnectionLost, DeadlinePassed."""
        self._gathered.append(data)
        self._size += len(data)
        if self._size >= FLUSH_BYTES:
            await self.flush()
            await asyncio.sleep(0)

    async def flush(self) -> None:
        """Write what has been gathered. Raises ConnectionLost, DeadlinePassed."""
        if self._gathered:
            data = self.take()
            self._stream.set_deadline(self._patience_seconds)
            await self._stream.write(data if self.layer is None else self.layer.send(data))

    def take(self) -> bytes:
        """What has been gathered, for somebody else to write."""
        data = b"".join(self._gathered)
        self._gathered.clear()
        self._size = 0
        return data
