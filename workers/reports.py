# SPDX-License-Identifier: MIT
"""Telling senders what became of their messages: failures, delays, and successes where the next server does not.

The report and the note that the sender has been told are one unit of the store: however often the work is done, and by
however many workers, he is told once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from mailserver import clock
from mailserver.errors import Kind, MailError
from mailserver.outqueue.outcome import Action
from mailserver.outqueue.report import DueReport
from mailserver.outqueue.reporting import find_due_reports
from mailserver.pipeline.reports import build_report_unit
from workers.tools import WorkerTools, worker_tools


def send_report(payload: Mapping[str, object]) -> None:
    """What was ordered with `outqueue.recording.order_report`, as far as it is still true."""
    send_reports(payload, worker_tools())


def send_reports(payload: Mapping[str, object], tools: WorkerTools) -> None:
    """One report for each return path that the message has; there is hardly ever more than one."""
    rows = payload.get("rows")
    numbers = [int(row) for row in rows] if isinstance(rows, list) else []
    for due in find_due_reports(str(payload["ref"]), Action(str(payload["action"])), numbers):
        _send(due, tools)


def _send(due: DueReport, tools: WorkerTools) -> None:
    content = next(iter(tools.store.read_contents([due.content])), None)
    if content is not None and content.path is not None and not content.path.exists():
        content = None  # He is told all the same, without his message.
    with tools.store.open_spool() as spool:
        unit = asyncio.run(build_report_unit(due, content, spool, tools.snapshot(), tools.hooks, clock.now()))
        try:
            tools.store.submit(unit).result()
        except MailError as error:
            if error.kind is not Kind.EXISTS:  # Else another worker has told him in the meantime.
                raise
