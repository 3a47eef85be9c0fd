# SPDX-License-Identifier: MIT
"""Collectors that stay connected: the provider says that there is something new, and it is fetched at once.

RFC 2177, design section 6. Each such mailbox is a job of the thread that does things at once (`immediate.py`), which
gives it a lease of its own, so that one worker watches it, and lets it rest after a failure, each time longer. A watch
ends when the collector is changed, switched off, or scheduling is paused. What it fetches is a run of its own in the
history, with the cause `idle`, and may overlap with a scheduled one: nothing is filed twice.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from mailserver.connectors import runs
from mailserver.connectors.reading import read_collector, read_watched
from mailserver.connectors.triggers import is_paused
from mailserver.connectors.values import CollectorSettings, Outcome, TaskLog, TaskResult
from protocols.imap.client import ImapClient
from workers.error_notices import COLLECTOR, report_result
from workers.imap_collecting import FAILURES, open_mailbox
from workers.immediate import Job
from workers.keeping import Keeper
from workers.tools import WorkerTools

LOOK_SECONDS = 10.0
"""How soon a watch notices that its collector has been changed."""
SOUND_SECONDS = 60.0
"""A session that lasted so long was none that the provider ends at once: another is begun without a rest."""

RunCollector = Callable[[CollectorSettings, str, TaskLog, WorkerTools], Awaitable[TaskResult]]


def watch_jobs(run_collector: RunCollector) -> Callable[[], list[Job]]:
    """A job for each collector that stays connected; none while scheduling is paused."""

    def make(collector: CollectorSettings) -> Job:
        return Job(
            key=f"watch:{collector.id}",
            name=collector.name,
            lease=f"collector-watch:{collector.id}",
            has_due=lambda: True,
            perform=lambda owner, told, tools: watch_mailbox(collector, owner, told, tools, run_collector),
        )

    return lambda: [] if is_paused() else [make(collector) for collector in read_watched()]


async def watch_mailbox(
    collector: CollectorSettings, owner: str, told: TaskLog, tools: WorkerTools, run_collector: RunCollector
) -> TaskResult:
    """Until the connection breaks, or the collector is not to be watched any more."""
    return await _Watch(collector, owner, told, tools, run_collector).run()


@dataclass(slots=True)
class _Watch:
    collector: CollectorSettings
    owner: str
    told: TaskLog
    tools: WorkerTools
    run_collector: RunCollector

    async def run(self) -> TaskResult:
        if self.collector.credentials.problem:
            return TaskResult(Outcome.FAILED, self.collector.credentials.problem)
        loop = asyncio.get_running_loop()
        try:
            client = await open_mailbox(self.collector, self.told, self.tools)
        except FAILURES as error:
            return TaskResult(Outcome.FAILED, str(error))
        begun = loop.time()
        watching = asyncio.ensure_future(self._watch(client))
        changing = asyncio.ensure_future(self._await_change())
        try:
            await asyncio.wait({watching, changing}, return_when=asyncio.FIRST_COMPLETED)
            if watching.done():
                await watching
            return TaskResult(Outcome.OK)
        except FAILURES as error:
            sound = loop.time() - begun >= SOUND_SECONDS
            return TaskResult(Outcome.OK if sound else Outcome.FAILED, str(error))
        finally:
            if loop.time() - begun >= SOUND_SECONDS:
                self.told.advance()
            for task in (watching, changing):
                task.cancel()
            await asyncio.gather(watching, changing, return_exceptions=True)
            client.close()

    async def _watch(self, client: ImapClient) -> None:
        """The first folder: a connection hears of one only. What came while nobody listened is fetched first."""
        await client.select(self.collector.folders[0])
        await self._collect()
        while True:
            if await client.wait_for_news():
                await self._collect()

    async def _collect(self) -> None:
        """One run of this collector, with its row in the history."""
        run = await self.tools.offload(runs.begin_watched, self.collector.id, self.owner)
        if run is None:
            return
        keeper = Keeper(self.tools.offload, self.owner, run.id)
        results: list[TaskResult] = []

        async def work() -> None:
            results.append(
                await keeper.do_task(
                    runs.COLLECTOR,
                    self.collector.name,
                    lambda told: self.run_collector(self.collector, self.owner, told, self.tools),
                    collector=self.collector.id,
                )
            )

        try:
            await keeper.guard(work())
        finally:
            await asyncio.shield(self.tools.offload(runs.end_run, run.id, keeper.outcomes))
        for result in results:
            await report_result(self.tools, COLLECTOR, self.collector.id, self.collector.name, result)

    async def _await_change(self) -> None:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            if await self.tools.offload(is_paused):
                return
            present = await self.tools.offload(read_collector, self.collector.id)
            if present != self.collector:
                return
