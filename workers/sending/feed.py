# SPDX-License-Identifier: MIT
"""What is to be sent next, for sessions that ask: taken from the queue some at a time, the next ones while these go.

Scripts are asked here about each message (`CheckFile`), and their priority orders the messages that were taken
together; the queue's own order goes before that, for a queue may be longer than what is looked at in one go.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace

from mailserver import clock
from mailserver.outqueue.ordering import SendingOrder, sort_messages
from mailserver.outqueue.values import Attempt, QueuedMessage, QueuedOne
from workers.sending.outbound import Outbound, make_outbound, unreached, untried
from workers.sending.sessions import SendingRun

log = logging.getLogger("pillarbox.sending")

BATCH = 100
"""Messages taken at a time: enough for ten sessions, and few megabytes."""

Judge = Callable[[Sequence[QueuedOne]], list[Attempt]]
Take = Callable[[int, Collection[int]], Sequence[QueuedMessage]]
"""How many at most, and which recipients are left out."""


class Feed:
    """One run's. `take` is a service; it is called in a thread."""

    def __init__(self, run: SendingRun, take: Take, batch: int = BATCH, *, ask_scripts: bool = True) -> None:
        self._run = run
        self._scripts = ask_scripts
        self._take = take
        self._batch = batch
        self._buffer: deque[Outbound] = deque()
        self._fetching: asyncio.Task[list[Outbound]] | None = None
        self._left_out: set[int] = set()
        self._lock = asyncio.Lock()
        self._closed = False

    @property
    def waiting(self) -> int:
        """How many are here and could be begun at once."""
        return len(self._buffer)

    async def next(self) -> Outbound | None:
        """The next message; None when nothing waits at the moment. Raises MailError."""
        async with self._lock:
            if not self._buffer and not self._closed:
                self._buffer.extend(await self._fetched())
            if len(self._buffer) == self._batch // 2 and self._fetching is None and not self._closed:
                self._fetching = asyncio.create_task(self._fetch())
            return self._buffer.popleft() if self._buffer else None

    def put_back(self, outbound: Outbound) -> None:
        """It was not begun: somebody else shall have it."""
        self._buffer.appendleft(outbound)

    def leave(self, recipients: Sequence[QueuedOne]) -> None:
        """These are not for this run."""
        self._left_out.update(one.id for one in recipients)

    async def close(self) -> list[int]:
        """Nothing more is wanted; the recipients that were taken and not begun."""
        self._closed = True
        if self._fetching is not None:
            self._buffer.extend(await self._fetched())
        left = [one.id for outbound in self._buffer for one in outbound.queued.recipients]
        self._buffer.clear()
        return left

    async def _fetched(self) -> list[Outbound]:
        task, self._fetching = self._fetching or asyncio.create_task(self._fetch()), None
        return await task

    async def _fetch(self) -> list[Outbound]:
        """Until there is something that scripts want sent, or nothing is left."""
        while True:
            taken = await self._run.tools.offload(self._take, self._batch, frozenset(self._left_out))
            if not taken:
                return []
            self._run.claims.take(one for message in taken for one in message.recipients)
            read = await self._read(taken)
            if found := await self._ask_scripts(read) if self._scripts else read:
                return found

    async def _read(self, taken: Sequence[QueuedMessage]) -> list[Outbound]:
        """With their bytes. A content that is gone cannot be sent by anybody; a file that cannot be read, not now: the
        disk may come back, and the other messages need not wait for it."""
        wanted = [message.content for message in taken]
        contents = {
            found.id: found for found in await self._run.tools.offload(self._run.tools.store.read_contents, wanted)
        }
        read = []
        for message in taken:
            content = contents.get(message.content)
            if content is None:
                reply = "554 5.3.0 The stored message is gone"
                await self._run.record(message.ref, unreached(message.recipients, reply, message.queued))
                continue
            try:
                read.append(make_outbound(message, content))
            except OSError as error:
                log.error("%s cannot be read: %s", message.ref, error)
                reply = f"451 4.3.0 The stored message cannot be read: {error.strerror}"
                await self._run.record(message.ref, unreached(message.recipients, reply, clock.now()))
        return read

    async def _ask_scripts(self, outbounds: Sequence[Outbound]) -> list[Outbound]:
        run = self._run
        chosen: dict[int, Outbound] = {}
        for outbound in outbounds:
            verdict = await run.tools.hooks.on_send_candidate(outbound.candidate(run.started))
            if verdict is not None and verdict.skip:
                self.leave(outbound.queued.recipients)
                run.told.wire(f"-- a script leaves {outbound.queued.ref} for later: {verdict.reason}")
                await run.record(outbound.queued.ref, untried(outbound.queued.recipients))
            elif verdict is not None:
                outbound = replace(outbound, last_try=verdict.force_last_try, priority=verdict.priority)
                chosen[id(outbound.queued)] = outbound
            else:
                chosen[id(outbound.queued)] = outbound
        if all(outbound.priority == 50 for outbound in chosen.values()):
            return list(chosen.values())
        order = SendingOrder(run.sender.smaller_first, run.sender.reverse_order)
        ordered = sort_messages(((outbound.queued, outbound.priority) for outbound in chosen.values()), order)
        return [chosen[id(queued)] for queued in ordered]


async def judge_everything(run: SendingRun, feed: Feed, judge: Judge) -> None:
    """The same of whatever waits, so that none of it is due for a while; what is due again meanwhile is left."""
    seen: set[int] = set()
    attempts: list[Attempt] = []
    while (outbound := await feed.next()) is not None:
        recipients = outbound.queued.recipients
        if not seen.isdisjoint(one.id for one in recipients):
            feed.put_back(outbound)
            break
        seen.update(one.id for one in recipients)
        attempts += judge(recipients)
        if not feed.waiting:
            await run.record_many(attempts)
            attempts = []
    await run.record_many(attempts)
