# SPDX-License-Identifier: MIT
"""One connection: read, write, deadlines, bandwidth, the switch to TLS. Every protocol runs on it.

Leaves syntax to the protocols. Memory for one connection is bounded: reading pauses at `READ_HIGH_BYTES`, writing
waits while the peer is slow, and a deadline ends both. RFC 3207 §4.2, RFC 2595 §4: bytes that arrived before the
switch to TLS are never taken for bytes that came after it.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from typing import Any

from protocols.net.bandwidth import UNLIMITED, Meter

READ_HIGH_BYTES = 256 * 1024
"""Stop reading from the socket above this; a pipelining client never needs more in flight."""
WRITE_HIGH_BYTES = 256 * 1024
"""Let writers wait above this: four 64 KiB pieces of a message."""
LINGER_SECONDS = 10
"""How long a closed connection may take to accept the last words."""
DISCARD_SECONDS = 2
"""How long what a peer still sends is read and thrown away after our last words."""
HANDSHAKE_SECONDS = 30
"""TLS handshakes that take longer are ended; Postfix allows as much (smtpd_starttls_timeout in stress)."""


class ConnectionLost(Exception):
    """The peer went away, or the server ended the connection; there is nobody to answer."""


class DeadlinePassed(Exception):
    """The peer took too long; the connection can still be written to."""


class BytesBeforeTls(Exception):
    """The peer sent commands behind STARTTLS without waiting: an injection attempt (CVE-2011-0411)."""


class LineTooLong(Exception):
    """`readuntil` did not find its separator within the limit; what was read has been thrown away."""


class Stream(asyncio.Protocol):
    """A connection. One task reads and writes at a time; `abort` may be called by anybody."""

    def __init__(self, on_open: Callable[[Stream], None] | None = None) -> None:
        self._on_open = on_open
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()
        self._reading_paused = False
        self._writing_paused = False
        self._eof = False
        self._lost = False
        self._nudged = False
        self._waiter: asyncio.Future[None] | None = None
        self._deadline = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._closing = False
        self.meter: Meter = UNLIMITED
        self.encrypted = False
        self.bytes_in = 0
        self.bytes_out = 0

    # ------------------------------------------------------------ for the event loop

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport) or hasattr(transport, "write")
        self._transport = transport  # type: ignore[assignment]
        self._open.set_write_buffer_limits(high=WRITE_HIGH_BYTES)
        if self._on_open is not None:
            self._on_open(self)

    def data_received(self, data: bytes) -> None:
        self.bytes_in += len(data)
        if self._closing:
            return
        self._buffer += data
        if len(self._buffer) > READ_HIGH_BYTES and not self._reading_paused:
            self._reading_paused = True
            self._open.pause_reading()
        self._wake()

    def eof_received(self) -> bool:
        self._eof = True
        self._wake()
        if self._closing:
            self._let_go()
        return not self.encrypted

    def pause_writing(self) -> None:
        self._writing_paused = True

    def resume_writing(self) -> None:
        self._writing_paused = False
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        self._eof = self._lost = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._wake()

    # ------------------------------------------------------------ for sessions

    @property
    def peer(self) -> tuple[str, int]:
        """Address and port of the other end; an IPv4 address mapped into IPv6 is given as IPv4."""
        return _address(self._open.get_extra_info("peername"))

    @property
    def local(self) -> tuple[str, int]:
        """Address and port that the peer connected to."""
        return _address(self._open.get_extra_info("sockname"))

    @property
    def tls(self) -> str:
        """Version and cipher, such as `TLSv1.3 TLS_AES_256_GCM_SHA384`; empty in clear."""
        if not self.encrypted:
            return ""
        ssl_object: Any = self._open.get_extra_info("ssl_object")
        cipher = ssl_object.cipher() if ssl_object is not None else None
        return f"{cipher[1] if cipher[1] != 'TLSv1/SSLv3' else 'TLSv1.2'} {cipher[0]}" if cipher else "TLS"

    @property
    def lost(self) -> bool:
        return self._lost

    def set_deadline(self, seconds: float) -> None:
        """From now on reads and writes must be done within `seconds`; the next call moves the deadline."""
        self._deadline = self._loop.time() + seconds
        if self._timer is None or self._timer.when() > self._deadline:
            if self._timer is not None:
                self._timer.cancel()
            self._timer = self._loop.call_at(self._deadline, self._on_timer)

    def clear_deadline(self) -> None:
        """Wait for ever."""
        self._deadline = float("inf")

    async def read(self, limit_bytes: int = 65536) -> bytes:
        """What has arrived, at most `limit_bytes`; b"" when the peer has closed. Raises DeadlinePassed."""
        while not self._buffer:
            if self._eof:
                return b""
            await self._wait()
        return await self._take(min(limit_bytes, len(self._buffer)))

    async def wait_input(self) -> bool:
        """Until there is something to read, or the peer has closed: true. False when somebody has called `nudge`."""
        while not self._buffer and not self._eof:
            if self._nudged:
                self._nudged = False
                return False
            await self._wait()
        return True

    def nudge(self) -> None:
        """Something has happened that the peer may want to hear of: end a `wait_input`, now or the next one."""
        self._nudged = True
        self._wake()

    async def readuntil(self, separator: bytes = b"\n", limit_bytes: int = 65536) -> bytes:
        """Up to and including the separator; what is left when the peer closed first.

        Raises LineTooLong after more than `limit_bytes` (the line is skipped to its end), DeadlinePassed.
        """
        scanned = 0
        skipping = False
        while True:
            found = self._buffer.find(separator, max(0, scanned - len(separator) + 1))
            if found >= 0:
                size = found + len(separator)
                if skipping or size > limit_bytes:
                    await self._take(size)
                    raise LineTooLong
                return await self._take(size)
            scanned = len(self._buffer)
            if scanned > limit_bytes:
                skipping = True
                await self._take(scanned - len(separator) + 1)
                scanned = len(self._buffer)
            if self._eof:
                if skipping:
                    raise LineTooLong
                return await self._take(scanned) if scanned else b""
            await self._wait()

    async def write(self, data: bytes) -> None:
        """Send; waits while the peer is slow. Raises ConnectionLost, DeadlinePassed."""
        if self._lost or self._closing:
            raise ConnectionLost
        if self.meter is not UNLIMITED:
            await self._write_metered(data)
            return
        self.bytes_out += len(data)
        self._open.write(data)
        if self._writing_paused:
            await self._wait_writable()

    async def start_tls(
        self, context: ssl.SSLContext, last_words: bytes = b"", server_hostname: str | None = None
    ) -> None:
        """Send `last_words` in clear and switch; as a client where the server's name is given.

        Raises BytesBeforeTls (nothing sent), ConnectionLost.
        """
        if self._buffer:
            raise BytesBeforeTls
        if self._lost:
            raise ConnectionLost
        if last_words:
            self._open.write(last_words)
        self.clear_deadline()
        try:
            transport = await self._loop.start_tls(
                self._open,
                self,
                context,
                server_side=server_hostname is None,
                server_hostname=server_hostname,
                ssl_handshake_timeout=HANDSHAKE_SECONDS,
            )
        except (OSError, ssl.SSLError, TimeoutError) as error:
            self.abort()
            raise ConnectionLost(f"TLS handshake: {error}") from error
        if transport is None:
            raise ConnectionLost
        self._transport = transport
        self.encrypted = True
        self._open.set_write_buffer_limits(high=WRITE_HIGH_BYTES)

    def close(self) -> None:
        """Send what is buffered, then close; a peer that does not take it is cut off after `LINGER_SECONDS`.

        A socket closed with input unread is reset, which destroys the last words on their way: so in clear we only say
        that we are done, and read on, for `DISCARD_SECONDS` at most, until the peer is done too.
        """
        if self._closing or self._transport is None:
            return
        self._closing = True
        if self._lost:
            return
        if self._eof or self.encrypted or not self._open.can_write_eof():
            self._let_go()
            return
        self._buffer.clear()
        if self._reading_paused:
            self._open.resume_reading()
        self._open.write_eof()
        self._set_timer(DISCARD_SECONDS, self._let_go)

    def abort(self) -> None:
        """Cut the connection now; whoever waits on it gets ConnectionLost or b""."""
        self._closing = True
        if self._transport is not None and not self._lost:
            self._open.abort()
        self._eof = self._lost = True
        self._wake()

    # ------------------------------------------------------------ inside

    @property
    def _open(self) -> asyncio.Transport:
        assert self._transport is not None
        return self._transport

    def _let_go(self) -> None:
        """Close as soon as everything is sent."""
        if not self._lost:
            self._open.close()
            self._set_timer(LINGER_SECONDS, self.abort)

    def _set_timer(self, seconds: float, callback: Callable[[], None]) -> None:
        """The one timer of a connection; it ends with it."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(seconds, callback)

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _on_timer(self) -> None:
        self._timer = None
        if self._deadline == float("inf"):
            return
        if self._loop.time() < self._deadline:
            self._timer = self._loop.call_at(self._deadline, self._on_timer)
            return
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(DeadlinePassed())

    async def _wait(self) -> None:
        if self._deadline and self._loop.time() >= self._deadline:
            raise DeadlinePassed
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    async def _wait_writable(self) -> None:
        while self._writing_paused and not self._lost:
            await self._wait()
        if self._lost:
            raise ConnectionLost

    async def _take(self, size: int) -> bytes:
        data = bytes(memoryview(self._buffer)[:size])
        del self._buffer[:size]
        if self._reading_paused and len(self._buffer) < READ_HIGH_BYTES // 2 and not self._lost:
            self._reading_paused = False
            self._open.resume_reading()
        if self.meter is not UNLIMITED:
            await self.meter.spend(size)
        return data

    async def _write_metered(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            piece = view[: self.meter.piece_bytes]
            await self.meter.spend(len(piece))
            if self._lost:
                raise ConnectionLost
            self.bytes_out += len(piece)
            self._open.write(bytes(piece))
            await self._wait_writable()
            view = view[len(piece) :]


def _address(name: Any) -> tuple[str, int]:
    if not name or not isinstance(name, tuple):
        return "", 0
    host = str(name[0])
    return host.removeprefix("::ffff:") if "." in host else host, int(name[1])
