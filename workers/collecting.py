# SPDX-License-Identifier: MIT
"""Collecting: one session of a Collector, by its method. Runs, their order and their history are `connecting`'s.

Spec connectors 4 and 6. A function here returns when the session is over, whatever came of it: only cancellation
passes through, after which nothing is lost or fetched twice.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

from mailserver.connectors.values import CollectMethod, CollectorSettings, Outcome, TaskLog, TaskResult
from workers.imap_collecting import check_imap, collect_imap
from workers.pop3_collecting import check_pop3, collect_pop3
from workers.smtp_collecting import check_feed, check_odmr, collect_feed, collect_odmr
from workers.tools import WorkerTools

_logger = logging.getLogger("pillarbox.collecting")

Collect = Callable[[CollectorSettings, str, TaskLog, WorkerTools], Awaitable[TaskResult]]

METHODS: dict[CollectMethod, Collect] = {
    CollectMethod.POP3: collect_pop3,
    CollectMethod.IMAP: collect_imap,
    CollectMethod.INCOMING_SMTP: collect_feed,
    CollectMethod.ODMR: collect_odmr,
}
CHECKS: dict[CollectMethod, Collect] = {
    CollectMethod.POP3: check_pop3,
    CollectMethod.IMAP: check_imap,
    CollectMethod.INCOMING_SMTP: check_feed,
    CollectMethod.ODMR: check_odmr,
}


async def run_collector(collector: CollectorSettings, owner: str, log: TaskLog, tools: WorkerTools) -> TaskResult:
    """Fetch everything that is there. `owner` is the holder of the run's lease."""
    return await _run(METHODS, collector, owner, log, tools)


async def check_collector(collector: CollectorSettings, owner: str, log: TaskLog, tools: WorkerTools) -> TaskResult:
    """Connect, log in, look how much is there, and fetch nothing: the *Test* button."""
    return await _run(CHECKS, collector, owner, log, tools)


async def _run(
    methods: dict[CollectMethod, Collect], collector: CollectorSettings, owner: str, log: TaskLog, tools: WorkerTools
) -> TaskResult:
    if collector.credentials.problem:
        return TaskResult(Outcome.FAILED, collector.credentials.problem)
    try:
        return await methods[collector.method](collector, owner, log, tools)
    except Exception as error:  # one collector must not take the rest of the run with it
        _logger.exception("our bug in the collector %s", collector.name)
        return TaskResult(Outcome.FAILED, f"An error of this server's own: {error}. The details are in errors.log.")
