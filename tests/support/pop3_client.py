# SPDX-License-Identifier: MIT
"""A POP3 client in memory: says lines to `serve_pop3` and reads what comes back."""

from __future__ import annotations

import asyncio

from protocols.net.stream import ConnectionLost
from protocols.pop3.server import serve_pop3
from tests.support.fakes import ELSEWHERE, PATIENCE_SECONDS, MemoryStream, World, settle


class MemoryPop3:
    """One session in a world. Use it as a context manager: the session is over when the block ends."""

    def __init__(self, world: World, address: str = ELSEWHERE) -> None:
        self.stream = MemoryStream(address)
        self.connection = world.connect(self.stream)
        self.task = asyncio.get_running_loop().create_task(self._run())

    async def __aenter__(self) -> MemoryPop3:
        await self.settle()
        self.heard()
        return self

    async def __aexit__(self, *exc: object) -> None:
        self.stream.connection_lost(None)
        await asyncio.wait_for(asyncio.gather(self.task, return_exceptions=True), PATIENCE_SECONDS)

    async def say(self, *lines: str) -> bytes:
        """All lines in one write; what the server says until it waits again."""
        self.stream.data_received("".join(f"{line}\r\n" for line in lines).encode())
        await self.settle()
        return self.heard()

    async def log_in(self, name: str, password: str) -> bytes:
        return await self.say(f"USER {name}", f"PASS {password}")

    async def settle(self) -> None:
        await settle(self.stream, self.task)

    def heard(self) -> bytes:
        written = bytes(self.stream.transport.written)
        self.stream.transport.written.clear()
        return written

    async def _run(self) -> None:
        try:
            await serve_pop3(self.connection)
        except ConnectionLost:
            self.stream.close()
