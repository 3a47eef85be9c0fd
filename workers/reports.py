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

LOOKS = 10
"""How often it is looked what is still to be told, where others are telling it at the same time. Afterwards the order
is carried out later."""


def send_report(payload: Mapping[str, object]) -> None:
    """What was ordered with `outqueue.recording.order_report`, as far as it is still true."""
    send_reports(payload, worker_tools())


def send_reports(payload: Mapping[str, object], tools: WorkerTools) -> None:
    """One report for each return path that the message has; there is hardly ever more than one."""
    ref, action, rows = str(payload["ref"]), Action(str(payload["action"])), payload.get("rows")
    numbers = [int(row) for row in rows] if isinstance(rows, list) else []
    for _ in range(LOOKS):
        told = [_send(due, tools) for due in find_due_reports(ref, action, numbers)]
        if all(told):
            return
    raise MailError(Kind.IN_USE, f"others are telling the sender of {ref} at this moment")


def _send(due: DueReport, tools: WorkerTools) -> bool:
    """False: of some of these another worker has told him in the meantime."""
    content = next(iter(tools.store.read_contents([due.content])), None)
    if content is not None and content.path is not None and not content.path.exists():
        content = None  # He is told all the same, without his message.
    with tools.store.open_spool() as spool:
        unit = asyncio.run(build_report_unit(due, content, spool, tools.snapshot(), tools.hooks, clock.now()))
        try:
            tools.store.submit(unit).result()
        except MailError as error:
            if error.kind is not Kind.EXISTS:
                raise
            return False
    return True
