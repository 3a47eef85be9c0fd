# SPDX-License-Identifier: MIT
"""Recording what became of messages, many sessions' at a time: while one transaction runs, the next one fills.

A session waits for its own before it begins another message, so that a worker that is killed can only repeat what was
on the wire at that moment. While the database is away it is waited for, as long as the worker lives: what was sent must
be known here, and is recorded whoever has the claim by then (`outqueue.recording`).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import time
from collections.abc import Callable, Sequence

from mailserver.errors import Kind, MailError
from mailserver.outqueue.values import Attempt
from protocols.net.offload import Offload
from workers.keeping import ending

log = logging.getLogger("pillarbox.sending")

FIRST_PAUSE_SECONDS = 0.1
LONGEST_PAUSE_SECONDS = 2.0
"""Between tries to write, while the database is out of reach; each is twice the one before. A worker that is to end is
not kept for longer."""
TELL_SECONDS = 300.0
"""Between two lines about it in the log."""
LAST_SECONDS = 5.0
"""How long a worker that is to end goes on trying; what it cannot record may then go out again."""

GATHER_SECONDS = 0.005
"""How long a transaction waits for sessions that have not finished their message: twice as many messages in one cost
little more than half of them in two."""

Write = Callable[[Sequence[Attempt]], None]
_Waiting = tuple[Sequence[Attempt], asyncio.Future[None]]


class Recorder:
    """One run's. `write` is a service; it is called in a thread."""

    def __init__(self, offload: Offload, write: Write) -> None:
        self._offload = offload
        self._write = write
        self._waiting: list[_Waiting] = []
        self._flushing: asyncio.Task[None] | None = None
        self._full = asyncio.Event()
        self.sessions = 1
        """How many may have something to record at the same time."""

    async def record(self, attempts: Sequence[Attempt]) -> None:
        """Returns when these are committed. Being cancelled does not stop the writing."""
        if not attempts:
            return
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((attempts, done))
        if len(self._waiting) >= self.sessions:
            self._full.set()
        if self._flushing is None or self._flushing.done():
            self._flushing = asyncio.create_task(self._flush())
        await asyncio.shield(done)

    async def close(self) -> None:
        """Write what waits."""
        if self._flushing is not None:
            await asyncio.shield(self._flushing)

    async def _flush(self) -> None:
        while self._waiting:
            await self._gather()
            batch, self._waiting = self._waiting, []
            if not await self._settle(batch):
                for waiting in batch:
                    await self._settle([waiting])

    async def _settle(self, batch: Sequence[_Waiting]) -> bool:
        """Write, and tell those who wait. False: an error of ours, which of several may be only one's."""
        failure: Exception | None = None
        try:
            await self._commit([attempt for attempts, _ in batch for attempt in attempts])
        except MailError as error:
            failure = error
        except Exception as error:  # our bug; the sessions wait for an end all the same
            log.exception("what was sent cannot be recorded")
            failure = error
        ours = failure is not None and (not isinstance(failure, MailError) or failure.kind is Kind.INTERNAL)
        if ours and len(batch) > 1:
            return False
        for _, done in batch:
            if done.cancelled():
                continue
            if failure is None:
                done.set_result(None)
            else:
                done.set_exception(failure)
                done.exception()  # A session that was cancelled does not ask for it.
        return True

    async def _gather(self) -> None:
        self._full.clear()
        if len(self._waiting) < self.sessions:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(GATHER_SECONDS):
                    await self._full.wait()

    async def _commit(self, attempts: Sequence[Attempt]) -> None:
        pause, told, until = FIRST_PAUSE_SECONDS, -math.inf, math.inf
        while True:
            try:
                await self._offload(self._write, attempts)
                return
            except MailError as error:
                now = time.monotonic()
                until = min(until, now + LAST_SECONDS) if ending.is_set() else until
                if error.kind not in (Kind.UNAVAILABLE, Kind.STORAGE_FULL) or now >= until:
                    raise
                if now >= told + TELL_SECONDS:
                    told = now
                    log.warning("what was sent cannot be recorded, trying again: %s", error)
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
