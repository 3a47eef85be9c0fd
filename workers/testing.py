# SPDX-License-Identifier: MIT
"""Doing what *Test* buttons ask for: connect, log in, ask the DNS, and show what was said (design section 3)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import uvloop

from mailserver.connectors.remote_tests import TakenTest, finish_test, take_test
from mailserver.connectors.values import Outcome, TaskLog, TaskResult
from mailserver.leases import services as leases
from workers.connecting import RunCollector, RunSender
from workers.keeping import perform_safely
from workers.run_log import RunLog
from workers.tools import WorkerTools

LONGEST_SECONDS = 60.0
"""Somebody sits before the page and waits."""
TOO_LONG = f"The other server has not answered to the end within {LONGEST_SECONDS:.0f} seconds."
FINE = "It works."


CheckDns = Callable[[str, TaskLog, WorkerTools], Awaitable[TaskResult]]


@dataclass(frozen=True, slots=True)
class Checkers:
    """Who tries what: the real ones, or a test's."""

    check_sender: RunSender
    check_collector: RunCollector
    check_dns: CheckDns


def do_tests(tools: WorkerTools, checkers: Checkers) -> int:
    """Everything that waits to be tried; gives how many there were."""
    count = 0
    while (test := take_test()) is not None:
        told = RunLog()
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            result = runner.run(_try(test, told, tools, checkers))
        progress = told.progress()
        text = "\n".join(part for part in (result.text or FINE, progress.notes) if part)
        finish_test(test.id, result.outcome is Outcome.OK, text, progress.transcript)
        count += 1
    return count


async def _try(test: TakenTest, told: RunLog, tools: WorkerTools, checkers: Checkers) -> TaskResult:
    owner = leases.make_owner()

    async def perform(log: RunLog) -> TaskResult:
        if test.sender is not None:
            return await checkers.check_sender(test.sender, owner, log, tools)
        if test.collector is not None:
            return await checkers.check_collector(test.collector, owner, log, tools)
        return await checkers.check_dns(test.dns_name, log, tools)

    try:
        async with asyncio.timeout(LONGEST_SECONDS):
            return await perform_safely("a test", perform, told)
    except TimeoutError:
        return TaskResult(Outcome.FAILED, TOO_LONG)
