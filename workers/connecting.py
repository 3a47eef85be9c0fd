# SPDX-License-Identifier: MIT
"""Running Connections: one at a time on the whole installation, its Sender and its Collectors beside each other.

Spec connectors 6. The marks are in the database (`connectors.triggers`), so this task may be lost or doubled: whoever
gets the lease does all that is marked, and looks once more when he has given it back.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta

import uvloop

from mailserver.connectors import runs
from mailserver.connectors.reading import read_collector, read_collectors, read_sender_of
from mailserver.connectors.runs import BegunRun
from mailserver.connectors.values import (
    Cause,
    CollectMethod,
    CollectorSettings,
    Outcome,
    SenderSettings,
    TaskLog,
    TaskResult,
)
from mailserver.leases import services as leases
from mailserver.outqueue.services import retry_deferred
from mailserver.outqueue.taking import count_due, has_due, sender_lease
from workers.error_notices import COLLECTOR, SENDER, report_result
from workers.keeping import Keeper, ending
from workers.run_log import RunLog
from workers.tools import WorkerTools

log = logging.getLogger("pillarbox.runs")

LEASE_WAIT_SECONDS = 60.0
LEASE_LOOK_SECONDS = 0.3
MOST_ROUNDS = 50
"""How often the queue is looked at again in one run; a reply that breeds replies does not keep it up for ever."""
BEING_SENT = "The queue is being sent already."

AT_ONCE = (CollectMethod.INCOMING_SMTP, CollectMethod.ODMR)
"""Collectors that begin first, beside the others: they mostly wait (spec connectors 6.4)."""

RunSender = Callable[[SenderSettings, str, TaskLog, WorkerTools], Awaitable[TaskResult]]
RunCollector = Callable[[CollectorSettings, str, TaskLog, WorkerTools], Awaitable[TaskResult]]


ASKED_FOR = (Cause.MANUAL, Cause.FILE, Cause.URGENT)
"""Somebody wants it now: what waits for its next try is tried as well. A connection for an urgent message sends all
waiting messages (spec senders 8.4)."""
URGENT_REST = timedelta(minutes=5)
"""What was tried later than that keeps its own time when a message is urgent: with many of these one after another,
whatever waits would be tried each time, and its next regular try be hours away (RFC 5321 §4.5.4.1)."""


@dataclass(frozen=True, slots=True)
class Performers:
    """Who does the work: the real ones, or a test's."""

    run_sender: RunSender
    run_collector: RunCollector


def run_marked(tools: WorkerTools, performers: Performers) -> int:
    """Run whatever is marked, one after the other; gives how many ran here. Blocks for as long as that takes.

    A worker that is to end begins nothing more: what is marked stays so for the next one.
    """
    count = 0
    while not ending.is_set() and (runs.has_marked() or runs.has_abandoned()):
        owner = leases.make_owner()
        if not leases.acquire(runs.RUN_LEASE, owner, runs.LEASE_SECONDS):
            break
        try:
            while not ending.is_set() and (run := runs.begin_next(owner)) is not None:
                with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                    runner.run(run_connection(run, owner, tools, performers))
                count += 1
        finally:
            leases.release(runs.RUN_LEASE, owner)
    return count


def waiting_for(connection: int) -> int:
    """How many messages this Connection could send now, for the schedule's conditions."""
    sender = read_sender_of(connection)
    return count_due(sender.id) if sender is not None and sender.enabled else 0


async def run_connection(run: BegunRun, owner: str, tools: WorkerTools, performers: Performers) -> Outcome:
    """One run, whole; its outcome is stored."""
    log.info("connecting: %s (%s)", run.connection_name, run.cause.value)
    keeper = Keeper(tools.offload, owner, run.id)
    keeper.hold(runs.RUN_LEASE)
    try:
        await keeper.guard(_Run(run, owner, tools, performers, keeper).work())
    except BaseException:
        await tools.offload(runs.end_run, run.id, [*keeper.outcomes, Outcome.FAILED])
        raise
    outcome = await tools.offload(runs.end_run, run.id, keeper.outcomes)
    log.info("%s: %s", run.connection_name, outcome.value)
    return outcome


class _Run:
    """The tasks of one run."""

    def __init__(self, run: BegunRun, owner: str, tools: WorkerTools, performers: Performers, keeper: Keeper) -> None:
        self._run = run
        self._owner = owner
        self._tools = tools
        self._performers = performers
        self._keeper = keeper
        self._collected = asyncio.Event()

    async def work(self) -> None:
        """Both directions at the same time (spec connectors 6.2)."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._send())
            tasks.create_task(self._collect())

    # ------------------------------------------------------------ sending

    async def _send(self) -> None:
        sender = await self._tools.offload(read_sender_of, self._run.connection)
        if sender is None or not sender.enabled:
            return
        result = await self._keeper.do_task(
            runs.SENDER, sender.name, lambda told: self._send_all(sender, told), sender=sender.id
        )
        await report_result(self._tools, SENDER, sender.id, sender.name, result)

    async def _send_all(self, sender: SenderSettings, told: RunLog) -> TaskResult:
        """What waits; and at the end, unless it is told not to, what has come in the meantime (items 4 and 6)."""
        if self._run.cause in ASKED_FOR:
            rested = URGENT_REST if self._run.cause is Cause.URGENT else timedelta()
            await self._tools.offload(retry_deferred, sender.id, rested)
        result = await self._send_round(sender, told)
        await self._collected.wait()
        if sender.only_waiting_at_start or _has_limits(sender):
            return result
        for _ in range(MOST_ROUNDS):
            done = told.done
            if not await self._tools.offload(has_due, sender):
                break
            told.begin_round()
            result = worse(result, await self._send_round(sender, told))
            if told.done == done:  # only what nobody wants to try now is left
                break
        return result

    async def _send_round(self, sender: SenderSettings, told: RunLog) -> TaskResult:
        """Under the Sender's own lease. While it sends at once elsewhere, its turn is waited for."""
        if not await self._tools.offload(has_due, sender):
            return TaskResult(Outcome.OK)
        lease = sender_lease(sender.id)
        give_up = time.monotonic() + LEASE_WAIT_SECONDS
        while not await self._tools.offload(leases.acquire, lease, self._owner, runs.LEASE_SECONDS):
            if time.monotonic() > give_up:
                return TaskResult(Outcome.OK, BEING_SENT)
            await asyncio.sleep(LEASE_LOOK_SECONDS)
        self._keeper.hold(lease)
        try:
            return await self._performers.run_sender(sender, self._owner, told, self._tools)
        finally:
            self._keeper.let_go(lease)
            await asyncio.shield(self._tools.offload(leases.release, lease, self._owner))

    # ------------------------------------------------------------ collecting

    async def _collect(self) -> None:
        """Spec connectors 6.3: those that mostly wait first, then one by one, earliest first."""
        try:
            collectors = await self._tools.offload(read_collectors, self._run.connection)
            async with asyncio.TaskGroup() as waiting:
                for collector in collectors:
                    if collector.method in AT_ONCE:
                        waiting.create_task(self._collect_one(collector.id))
                for collector in collectors:
                    if collector.method not in AT_ONCE:
                        await self._collect_one(collector.id)
        finally:
            self._collected.set()

    async def _collect_one(self, number: int) -> None:
        """As it is set when its turn comes: it may have been switched off meanwhile."""
        collector = await self._tools.offload(read_collector, number)
        if collector is None or not collector.enabled:
            return
        result = await self._keeper.do_task(
            runs.COLLECTOR,
            collector.name,
            lambda told: self._performers.run_collector(collector, self._owner, told, self._tools),
            collector=collector.id,
        )
        await report_result(self._tools, COLLECTOR, collector.id, collector.name, result)


def worse(one: TaskResult, other: TaskResult) -> TaskResult:
    """The result of two rounds: a failure of either is not forgotten."""
    if one.outcome is Outcome.OK:
        return other
    if other.outcome is Outcome.OK:
        return TaskResult(Outcome.PARTLY, one.text, one.connect_error)
    return one


def _has_limits(sender: SenderSettings) -> bool:
    """What is left over was left for a later connection on purpose (spec senders 3)."""
    return bool(sender.max_messages_per_session or sender.max_recipients_per_session or sender.rate_recipients)
