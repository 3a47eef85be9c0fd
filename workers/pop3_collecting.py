# SPDX-License-Identifier: MIT
"""Collecting from a POP3 server."""

from __future__ import annotations

from mailserver.connectors.values import CollectorSettings, Outcome, TaskLog, TaskResult
from workers.tools import WorkerTools


async def collect_pop3(collector: CollectorSettings, owner: str, log: TaskLog, tools: WorkerTools) -> TaskResult:
    """Everything that is there."""
    return TaskResult(Outcome.OK)


async def check_pop3(collector: CollectorSettings, owner: str, log: TaskLog, tools: WorkerTools) -> TaskResult:
    """Connect, log in, look how much is there."""
    return TaskResult(Outcome.OK)
