# SPDX-License-Identifier: MIT
"""Messages that nothing sends: no Sender takes them, or the one that does never runs.

All are switched off, or their domain filtering leaves these messages out; or the Connection is in no schedule, or the
schedule is paused. Nobody would ever try them, so that nobody would tell their senders either. They are looked at from
time to time, and get the warning and the failure report that a message gets whose server cannot be reached.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import datetime
from functools import cache

from django.db.models import F

from mailserver import clock
from mailserver.connectors.reading import read_senders
from mailserver.connectors.sender_order import AskedSender, senders_in_order
from mailserver.connectors.triggers import find_scheduled
from mailserver.leases import services as leases
from mailserver.outqueue.assignment import Assignment
from mailserver.outqueue.choosing import COLUMNS, WINDOW, Row, assign, due, in_sending_order, make_assignment
from mailserver.outqueue.models import QueuedRecipient
from mailserver.outqueue.ordering import SendingOrder
from mailserver.outqueue.recording import policy_of, record_unwanted
from mailserver.outqueue.taking import count_due, give_back_for_the_gone, sender_lease
from mailserver.outqueue.values import Route

MOST_LOOKED_AT = 10_000
"""Recipients in one look: a fraction of a second's work. Of a longer queue each look has some part."""
_chance = random.SystemRandom()
"""Which part: whatever is counted by the clock falls into step with the looks, and leaves one part out for days."""


def judge_unwanted(now: datetime) -> int:
    """Note it of those that nothing sends, and have their senders told in time; says how many were given up."""
    senders = senders_in_order()
    assignment = make_assignment(senders)
    idle = _find_idle(senders, assignment)
    if assignment.takes_everything and not idle:
        return 0
    give_back_for_the_gone()
    policies = {sender.id: policy_of(sender) for sender in read_senders()}
    given_up = 0
    for rows in _windows(now):
        takers = {row[0]: taker for row, taker in assign(rows, assignment) if taker is None or taker in idle}
        given_up += record_unwanted(takers, policies, now)
    return given_up


def _find_idle(senders: Iterable[AskedSender], assignment: Assignment) -> dict[int, AskedSender]:
    """Senders of which nothing makes a run: not what comes in, not the schedule; and which do not run now either.

    Looking through the schedule takes a while, so nobody is, as long as nothing waits.
    """
    slow = {sender.id: sender for sender in senders if sender.id in assignment.asked and not sender.send_immediately}
    waits = QueuedRecipient.objects.filter(status=QueuedRecipient.Status.WAITING, route=Route.SENDERS)
    if not slow or not waits.exists():
        return {}
    sender_of = {sender.connection: sender.id for sender in slow.values()}

    @cache
    def waiting(connection: int) -> int:
        return count_due(sender_of[connection]) if connection in sender_of else 0

    scheduled = find_scheduled(waiting)
    return {
        number: sender
        for number, sender in slow.items()
        if sender.connection not in scheduled and leases.find_holder(sender_lease(number)) is None
    }


def _windows(now: datetime) -> Iterator[list[Row]]:
    """The due rows of a part of the queue, some at a time."""
    rows = due(Route.SENDERS, now)
    parts = 1 + rows.count() // MOST_LOOKED_AT
    rows = rows.annotate(part=F("id") % parts).filter(part=_chance.randrange(parts)).order_by("pk")
    last = 0
    while window := list(rows.filter(pk__gt=last).values_list(*COLUMNS)[:WINDOW]):
        last = window[-1][0]
        yield window


def count_unwanted() -> Counter[str]:
    """Messages that could be sent now and that nothing sends, by the name of the Connection that would; empty: none
    would. Among the first MOST_LOOKED_AT recipients."""
    senders = senders_in_order()
    assignment = make_assignment(senders)
    idle = _find_idle(senders, assignment)
    names: dict[int | None, str] = {None: "", **{number: sender.name for number, sender in idle.items()}}
    rows = in_sending_order(due(Route.SENDERS, clock.now()), SendingOrder()).values_list(*COLUMNS)
    found = assign(list(rows[:MOST_LOOKED_AT]), assignment)
    return Counter(name for name, _ in {(names[taker], row[1]) for row, taker in found if taker in names})
