# SPDX-License-Identifier: MIT
"""Doing what the work rows ask for: the kinds there are, the task that does what is due, and the tick.

A row is taken under a lease, done, and removed; one that fails is tried again later, later each time.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from celery import shared_task

from mailserver.connectors.oauth import SIGN_IN
from mailserver.connectors.remembering import note_answer
from mailserver.connectors.triggers import URGENT_WORK, connect_urgently
from mailserver.outqueue.recording import REPORT
from mailserver.pipeline.filing import ANSWER_WORK
from mailserver.project.celery import TICK
from mailserver.users.services import send_welcome
from mailserver.users.welcome import KIND as WELCOME
from mailserver.work import services as work
from workers.beat import ensure_recurring
from workers.housekeeping import clean_records, clean_store, expire_queued
from workers.indexing import index_texts
from workers.oauth import advance_sign_in
from workers.performing import begin_what_waits, look_at_schedule
from workers.reports import send_report

log = logging.getLogger("pillarbox.work")


@dataclass(frozen=True, slots=True)
class WorkKind:
    """What a kind of row means. The lease must outlast the work, or another worker does it as well."""

    function: Callable[[Mapping[str, object]], None]
    lease_seconds: int = 120


KINDS: dict[str, WorkKind] = {
    WELCOME: WorkKind(send_welcome),
    SIGN_IN: WorkKind(advance_sign_in),
    REPORT: WorkKind(send_report),
    URGENT_WORK: WorkKind(lambda payload: _connect_urgently()),
    ANSWER_WORK: WorkKind(note_answer),
    "index-texts": WorkKind(index_texts),
    "expire-queued": WorkKind(expire_queued),
    "clean-store": WorkKind(clean_store, lease_seconds=3600),
    "clean-records": WorkKind(clean_records, lease_seconds=3600),
}


@shared_task(name="workers.do_due")
def do_due() -> int:
    """Everything that is due and free, oldest first; gives how many were tried."""
    owner = work.make_owner()
    tried = 0
    while _do_one(owner):
        tried += 1
    return tried


@shared_task(name=TICK)
def tick() -> int:
    """What nobody was woken for: the schedule, recurring work, work whose time has come or whose worker died."""
    look_at_schedule()
    ensure_recurring()
    return do_due() if work.has_due(KINDS) else 0


def _connect_urgently() -> None:
    """An urgent message waits (spec connectors 3.6)."""
    connect_urgently()
    begin_what_waits()


def _do_one(owner: str) -> bool:
    """Do one row; false when there was none."""
    leased = work.take({name: kind.lease_seconds for name, kind in KINDS.items()}, owner)
    if leased is None:
        return False
    try:
        KINDS[leased.kind].function(leased.payload)
    except Exception as error:
        log.error("work %d (%s) failed, try %d", leased.id, leased.kind, leased.tries, exc_info=error)
        work.fail(leased, f"{type(error).__name__}: {error}")
    else:
        work.finish(leased)
    return True
