# SPDX-License-Identifier: MIT
"""Sending outside of runs: as soon as something waits, and when its next try has come (design section 6).

One thread in each worker process, with an event loop of its own, so that it needs neither the broker nor a place in
the worker's pool: a long collection never holds up mail going out. Leases keep two workers from sending one Sender's
mail. It looks when it is woken, when something has been sent, and every POLL_SECONDS.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import uvloop
from django.db import DatabaseError, InterfaceError

from mailserver.connectors import runs
from mailserver.connectors.reading import read_senders
from mailserver.connectors.values import Outcome, SenderSettings, TaskResult
from mailserver.database import run_in_database
from mailserver.errors import MailError
from mailserver.leases import services as leases
from mailserver.outqueue.taking import has_due, sender_lease
from workers.connecting import RunSender
from workers.error_notices import SENDER, report_result
from workers.keeping import LOOK_SECONDS, Keeper, perform_safely
from workers.run_log import RunLog
from workers.tools import WorkerTools

log = logging.getLogger("pillarbox.sending")

POLL_SECONDS = 10.0
FIRST_REST_SECONDS = 10.0
LONGEST_REST_SECONDS = 300.0
BUSY_REST_SECONDS = 2.0
"""While somebody else has the lease: he sends what is there, and whatever comes in until he is done."""
BUSY_LOOK_SECONDS = 0.5
"""While somebody sends already, what comes in is mostly found by him: looking at each notice would cost as much as
sending does."""


@dataclass(frozen=True, slots=True)
class Job:
    """Something that is sent at once. `has_due` may take a query or two; `perform` is done under `lease`."""

    key: str
    name: str
    lease: str
    has_due: Callable[[], bool]
    perform: Callable[[str, RunLog, WorkerTools], Awaitable[TaskResult]]
    connection: int | None = None
    sender: int | None = None
    """Both None: no history is kept of it."""
    settings: object = None
    """What it is done with: a job that failed rests until that has changed, or for a while."""


@dataclass(frozen=True, slots=True)
class _Rest:
    """Until when (by the monotonic clock), how long that is, and what had failed."""

    until: float
    seconds: float
    settings: object


def sender_jobs(run_sender: RunSender) -> Callable[[], list[Job]]:
    """A job for each Sender that sends at once."""

    def make(sender: SenderSettings) -> Job:
        return Job(
            key=f"sender:{sender.id}",
            name=sender.name,
            lease=sender_lease(sender.id),
            has_due=lambda: has_due(sender),
            perform=lambda owner, told, tools: run_sender(sender, owner, told, tools),
            connection=sender.connection,
            sender=sender.id,
            settings=sender,
        )

    return lambda: [make(sender) for sender in read_senders() if sender.enabled and sender.send_immediately]


class ImmediateSending(threading.Thread):
    """Until `end`. `sources` give the jobs there are now."""

    def __init__(self, tools: Callable[[], WorkerTools], sources: Sequence[Callable[[], list[Job]]]) -> None:
        super().__init__(name="immediate-sending", daemon=True)
        self._make_tools = tools
        self._sources = sources
        self._loop: asyncio.AbstractEventLoop | None = None
        self._look = asyncio.Event()
        self._ending = threading.Event()
        self._active: dict[str, asyncio.Task[None]] = {}
        self._resting: dict[str, _Rest] = {}

    def wake(self) -> None:
        """Something may have come into the queue; from any thread."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._look.set)

    def end(self) -> None:
        """Stop what is being sent, without losing anything, and wait for it."""
        self._ending.set()
        self.wake()
        self.join(timeout=10)

    def run(self) -> None:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(self._main())

    async def _main(self) -> None:
        self._loop = asyncio.get_running_loop()
        while not self._ending.is_set():
            self._look.clear()
            try:
                await self._begin_what_is_due()
            except (MailError, DatabaseError, InterfaceError) as error:
                log.warning("the queue cannot be looked at: %s", error)
            except Exception:  # our bug; without this thread no mail would leave until the next start
                log.exception("the queue cannot be looked at")
            await self._wait()
        for task in self._active.values():
            task.cancel()
        await asyncio.gather(*self._active.values(), return_exceptions=True)
        self._loop = None

    async def _wait(self) -> None:
        if self._active:
            await asyncio.sleep(BUSY_LOOK_SECONDS)
        try:
            async with asyncio.timeout(POLL_SECONDS):
                await self._look.wait()
        except TimeoutError:
            return

    async def _begin_what_is_due(self) -> None:
        """Every job that has something to do, that is not being done, and that does not rest after a failure."""
        jobs = await asyncio.to_thread(run_in_database, self._find_due, frozenset(self._active))
        if not jobs:
            return
        tools = await asyncio.to_thread(run_in_database, self._make_tools)
        for job in jobs:
            task = asyncio.get_running_loop().create_task(self._do(job, tools))
            self._active[job.key] = task

    def _find_due(self, active: frozenset[str]) -> list[Job]:
        jobs = [job for source in self._sources for job in source()]
        now = time.monotonic()
        return [job for job in jobs if job.key not in active and not self._rests(job, now) and job.has_due()]

    def _rests(self, job: Job, now: float) -> bool:
        """A job that somebody has changed meanwhile is tried at once."""
        rest = self._resting.get(job.key)
        return rest is not None and rest.until > now and rest.settings == job.settings

    async def _do(self, job: Job, tools: WorkerTools) -> None:
        owner = leases.make_owner()
        done = busy = False
        try:
            if not await tools.offload(leases.acquire, job.lease, owner, runs.LEASE_SECONDS):
                busy = True
                return
            try:
                done = await _Sending(job, owner, tools).send()
            finally:
                await asyncio.shield(tools.offload(leases.release, job.lease, owner))
        except MailError as error:
            log.warning("%s: %s", job.name, error)
        except Exception:  # the task wrapper: one job must not end the others
            log.exception("our bug in %s", job.name)
        finally:
            self._active.pop(job.key, None)
            if done:
                self._resting.pop(job.key, None)
                self._look.set()
            else:
                self._rest(job, 0.0 if busy else FIRST_REST_SECONDS)

    def _rest(self, job: Job, seconds: float) -> None:
        """What came to nothing is not tried again at once, each time later; what somebody else does, a little later."""
        rest = self._resting.get(job.key)
        if seconds and rest is not None and rest.settings == job.settings:
            seconds = min(LONGEST_REST_SECONDS, max(seconds, 2 * rest.seconds))
        self._resting[job.key] = _Rest(time.monotonic() + (seconds or BUSY_REST_SECONDS), seconds, job.settings)


class _Sending:
    """One job once: a row of the history as soon as there is something to tell."""

    def __init__(self, job: Job, owner: str, tools: WorkerTools) -> None:
        self._job = job
        self._owner = owner
        self._tools = tools
        self._told = RunLog()
        self._keeper = Keeper(tools.offload, owner)
        self._keeper.hold(job.lease)
        self._task: int | None = None
        self._result = TaskResult(Outcome.FAILED)

    async def send(self) -> bool:
        """Whether anything was done."""
        try:
            await self._keeper.guard(self._work())
        finally:
            await asyncio.shield(self._finish())
        return self._told.done > 0 and self._result.outcome is not Outcome.FAILED

    async def _work(self) -> None:
        working = asyncio.ensure_future(
            perform_safely(self._job.name, lambda told: self._job.perform(self._owner, told, self._tools), self._told)
        )
        try:
            await asyncio.wait({working}, timeout=LOOK_SECONDS)
            if not working.done():
                await self._begin_row()
            self._result = await working
        finally:
            working.cancel()
            await asyncio.shield(asyncio.wait({working}))  # The lease is his until nothing is on the wire any more.
        if self._task is not None:
            self._keeper.release(self._task)
        if self._job.sender is not None:
            await report_result(self._tools, SENDER, self._job.sender, self._job.name, self._result)

    async def _begin_row(self) -> None:
        if self._job.connection is None or self._keeper.run is not None:
            return
        run = await self._tools.offload(runs.begin_immediate, self._job.connection, self._owner)
        if run is not None:
            self._keeper.run = run.id
            self._task = await self._tools.offload(
                runs.begin_task, run.id, runs.SENDER, self._job.name, sender=self._job.sender
            )
            self._keeper.adopt(self._task, self._told)

    async def _finish(self) -> None:
        if self._told.touched or self._result.outcome is not Outcome.OK:
            await self._begin_row()
        if self._keeper.run is None or self._task is None:
            return
        text = self._result.text or (self._keeper.why_stopped if self._result.outcome is Outcome.FAILED else "")
        await self._tools.offload(runs.end_task, self._task, self._result.outcome, text, self._told.progress())
        await self._tools.offload(runs.end_run, self._keeper.run, [self._result.outcome])
