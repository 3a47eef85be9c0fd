# SPDX-License-Identifier: MIT
"""The bytes between us and a server that we send to: replies in the order of the commands, however they arrive.

Commands may be written before the replies to earlier ones have come (RFC 2920 §3.1), so replies queue here until they
are asked for. RFC 3207 §4.2: what the server said before the handshake, and unasked, ends the session.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections import deque

from protocols.smtp.client_grammar import BadReply, Reply, ReplyReader

HIGH_WATER_BYTES = 256 * 1024
HANDSHAKE_SECONDS = 30
MOST_UNREAD_REPLIES = 200
"""Then nothing more is read until they have been asked for: a server that talks on and on must not fill our memory."""


class WireLost(Exception):
    """The connection is gone, or what came on it makes no sense; the text says why in plain words."""


class ClientWire(asyncio.Protocol):
    """One connection. Any failure ends it: there is no way back into step with the server."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self._reader = ReplyReader()
        self._replies: deque[Reply] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self._drain: asyncio.Future[None] | None = None
        self._paused = False
        self._problem = ""
        self._ended = asyncio.Event()

    # ------------------------------------------------------------ what asyncio tells

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]
        self.transport.set_write_buffer_limits(HIGH_WATER_BYTES)  # type: ignore[union-attr]

    def data_received(self, data: bytes) -> None:
        self._reader.feed(data)
        try:
            while (reply := self._reader.next_reply()) is not None:
                self._replies.append(reply)
        except BadReply as error:
            self._fail(f"The server sent something that is no SMTP reply ({error}).")
            self.abort()
        if len(self._replies) > MOST_UNREAD_REPLIES and self.transport is not None and not self._problem:
            self.transport.pause_reading()
        self._wake()

    def eof_received(self) -> bool:
        self._fail("The server closed the connection.")
        return False

    def connection_lost(self, error: Exception | None) -> None:
        self._ended.set()
        self._fail(f"The connection was lost ({describe(error)})." if error else "The server closed the connection.")

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        if self._drain is not None and not self._drain.done():
            self._drain.set_result(None)

    def _fail(self, problem: str) -> None:
        self._problem = self._problem or problem
        self.resume_writing()
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    # ------------------------------------------------------------ what the client does

    @property
    def lost(self) -> bool:
        """Nothing more can be sent."""
        return bool(self._problem)

    @property
    def answered(self) -> bool:
        """A reply is here already: without having been asked for, when nothing is outstanding."""
        return bool(self._replies) or not self._reader.empty

    def write(self, data: bytes) -> None:
        if self._problem and not self._replies:
            raise WireLost(self._problem)
        if self.transport is not None and not self._problem:
            self.transport.write(data)

    async def drain(self, seconds: float) -> None:
        """Wait until the server has taken most of what was written."""
        if not self._paused or self._problem:
            return
        self._drain = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(seconds):
                await self._drain
        except TimeoutError:
            self._fail(f"The server took nothing more for {seconds:g} seconds.")
            self.abort()
            raise WireLost(self._problem) from None

    async def reply(self, seconds: float) -> Reply:
        """The next reply. Raises WireLost; what came before the connection was lost is still given."""
        if not self._replies:
            await self._wait(seconds)
        if not self._replies:
            raise WireLost(self._problem)
        reply = self._replies.popleft()
        if len(self._replies) == MOST_UNREAD_REPLIES and self.transport is not None and not self._problem:
            self.transport.resume_reading()
        return reply

    async def _wait(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                while not self._replies and not self._problem:
                    self._waiter = asyncio.get_running_loop().create_future()
                    await self._waiter
        except TimeoutError:
            self._fail(f"The server did not answer within {seconds:g} seconds.")
            self.abort()

    async def start_tls(self, context: ssl.SSLContext, server_hostname: str) -> None:
        """Raises WireLost, and ssl.SSLError with the connection gone."""
        if self.answered:
            self._fail("The server spoke before encryption had begun.")
            self.abort()
        if self._problem or self.transport is None:
            raise WireLost(self._problem)
        loop = asyncio.get_running_loop()
        try:
            upgraded = await loop.start_tls(
                self.transport,
                self,
                context,
                server_hostname=server_hostname,
                ssl_handshake_timeout=HANDSHAKE_SECONDS,
            )
        except OSError as error:  # ssl.SSLError is one.
            self._fail(f"Encryption could not be started ({describe(error)}).")
            self.abort()
            raise
        if upgraded is None:
            raise WireLost("The connection was lost while encryption was being started.")
        self.transport = upgraded
        self.transport.set_write_buffer_limits(HIGH_WATER_BYTES)

    def tls_text(self) -> str:
        """Version and cipher, empty when there is none."""
        found = self.transport.get_extra_info("ssl_object") if self.transport is not None else None
        cipher = found.cipher() if found is not None else None
        return f"{found.version()} {cipher[0]}" if found is not None and cipher else ""

    @property
    def peer_address(self) -> str:
        peer = self.transport.get_extra_info("peername") if self.transport is not None else None
        return str(peer[0]) if isinstance(peer, tuple) else ""

    def close(self) -> None:
        if self.transport is not None:
            self.transport.close()

    async def wait_closed(self, seconds: float) -> None:
        """Until the connection is gone; a peer that does not take part in that is left."""
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._ended.wait()
        finally:
            self.abort()

    def abort(self) -> None:
        self._fail("The connection was ended here.")
        if self.transport is not None:
            self.transport.abort()


def describe(error: BaseException) -> str:
    """What the system says of a failure, in its own words."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return error.verify_message
    if isinstance(error, ssl.SSLError):
        return (error.reason or str(error)).replace("_", " ").lower()
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__
