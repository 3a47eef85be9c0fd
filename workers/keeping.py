# SPDX-License-Identifier: MIT
"""Keeping a run going: its leases are renewed, its progress is stored, and it ends when somebody says so.

`Keeper.guard` runs a coroutine beside a look at the database each second, and cancels it when the run is to stop.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from collections.abc import Awaitable, Callable

from mailserver.connectors import runs
from mailserver.connectors.values import Outcome, TaskResult
from mailserver.errors import MailError
from mailserver.leases import services as leases
from protocols.net.offload import Offload
from workers.run_log import RunLog

log = logging.getLogger("pillarbox.runs")

LOOK_SECONDS = 1.0
EXTEND_SECONDS = 10.0
STOPPED = "Stopped on request."
LOST = "Another worker has taken over, because this one did not report for too long."
ENDING = "The server was stopped meanwhile."

ending = threading.Event()
"""Set when the worker process is asked to end: what runs stops, and can go on after the next start."""

Perform = Callable[[RunLog], Awaitable[TaskResult]]


class Keeper:
    """One run's. `run` None: it has no row (yet)."""

    def __init__(self, offload: Offload, owner: str, run: int | None = None) -> None:
        self._offload = offload
        self._owner = owner
        self.run = run
        self.outcomes: list[Outcome] = []
        self.why_stopped = ""
        self._leases: set[str] = set()
        self._open: dict[int, RunLog] = {}
        self._extended = time.monotonic()

    def hold(self, lease: str) -> None:
        """This holder has the lease: renew it until `let_go`."""
        self._leases.add(lease)

    def let_go(self, lease: str) -> None:
        self._leases.discard(lease)

    async def guard(self, work: Awaitable[None]) -> None:
        """Until the work is done, or the run is to stop; tasks that were open then are closed with the reason."""
        working = asyncio.ensure_future(work)
        watching = asyncio.ensure_future(self._watch())
        try:
            await asyncio.wait({working, watching}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (working, watching):
                task.cancel()
            await asyncio.gather(watching, return_exceptions=True)
            with contextlib.suppress(asyncio.CancelledError):
                await working
        await self._close_open_tasks()

    async def do_task(
        self, kind: str, name: str, perform: Perform, *, sender: int | None = None, collector: int | None = None
    ) -> TaskResult:
        """A task with its row, from beginning to end. What it raises is our bug, and the task's failure."""
        assert self.run is not None
        task = await self._offload(runs.begin_task, self.run, kind, name, sender=sender, collector=collector)
        told = RunLog()
        self._open[task] = told
        result = await perform_safely(name, perform, told)
        self.outcomes.append(result.outcome)
        await self._offload(runs.end_task, task, result.outcome, result.text, told.progress())
        self._open.pop(task, None)
        return result

    def adopt(self, task: int, told: RunLog) -> None:
        """A task that began before it had a row, and that somebody else ends."""
        self._open[task] = told

    def release(self, task: int) -> None:
        """It has ended."""
        self._open.pop(task, None)

    async def look(self) -> bool:
        """Store what is new, and renew what is held; whether the run may go on."""
        if time.monotonic() - self._extended >= EXTEND_SECONDS:
            self._extended = time.monotonic()
            for lease in list(self._leases):
                if not await self._offload(leases.extend, lease, self._owner, runs.LEASE_SECONDS):
                    self.why_stopped = LOST
                    return False
        if self.run is not None:
            news = {task: told.progress() for task, told in self._open.items() if told.changed}
            if await self._offload(runs.record_progress, self.run, news):
                self.why_stopped = STOPPED
        if ending.is_set():
            self.why_stopped = ENDING
        return not self.why_stopped

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            try:
                if not await self.look():
                    return
            except MailError as error:  # the database is away: a lease that runs out meanwhile is noticed afterwards
                log.warning("a run's progress is not stored: %s", error)

    async def _close_open_tasks(self) -> None:
        for task, told in list(self._open.items()):
            self.outcomes.append(Outcome.FAILED)
            await self._offload(runs.end_task, task, Outcome.FAILED, self.why_stopped, told.progress())
        self._open.clear()


async def perform_safely(name: str, perform: Perform, told: RunLog) -> TaskResult:
    """One task must not take the rest of the run with it."""
    try:
        return await perform(told)
    except MailError as error:
        return TaskResult(Outcome.FAILED, f"This server cannot go on: {error.note or error}.")
    except Exception as error:  # the task wrapper
        log.exception("our bug in %s", name)
        return TaskResult(Outcome.FAILED, f"An error of this server's own: {error}. The details are in errors.log.")
