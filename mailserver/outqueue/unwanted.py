# SPDX-License-Identifier: MIT
"""Messages that no Sender takes: all are switched off, or their domain filtering leaves these messages out.

Nobody would ever try them, so that nobody would tell their senders either. They are looked at from time to time, and
get the warning and the failure report that a message gets whose server cannot be reached.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from django.db.models import F

from mailserver import clock
from mailserver.connectors.reading import read_senders
from mailserver.outqueue.choosing import COLUMNS, WINDOW, Row, current_assignment, due, in_sending_order, pick
from mailserver.outqueue.ordering import SendingOrder
from mailserver.outqueue.recording import policy_of, record_unwanted
from mailserver.outqueue.taking import give_back_for_the_gone
from mailserver.outqueue.values import Route

MOST_LOOKED_AT = 10_000
"""Recipients in one look: a fraction of a second's work. Of a longer queue each look has another part."""


def judge_unwanted(now: datetime) -> int:
    """Note it of those that no Sender takes, and have their senders told in time; says how many were given up."""
    assignment = current_assignment()
    if assignment.takes_everything:
        return 0
    give_back_for_the_gone()
    policies = {sender.id: policy_of(sender) for sender in read_senders()}
    return sum(
        record_unwanted([row[0] for row in pick(rows, assignment, None)], policies, now) for rows in _windows(now)
    )


def _windows(now: datetime) -> Iterator[list[Row]]:
    """The due rows of this minute's part of the queue, some at a time."""
    rows = due(Route.SENDERS, now)
    parts = 1 + rows.count() // MOST_LOOKED_AT
    part = int(now.timestamp()) // 60 % parts
    rows = rows.annotate(part=F("id") % parts).filter(part=part).order_by("pk")
    last = 0
    while window := list(rows.filter(pk__gt=last).values_list(*COLUMNS)[:WINDOW]):
        last = window[-1][0]
        yield window


def count_unwanted() -> int:
    """Messages that could be sent now and that no Sender takes, among the first MOST_LOOKED_AT recipients."""
    rows = in_sending_order(due(Route.SENDERS, clock.now()), SendingOrder()).values_list(*COLUMNS)
    return len({row[1] for row in pick(list(rows[:MOST_LOOKED_AT]), current_assignment(), None)})
