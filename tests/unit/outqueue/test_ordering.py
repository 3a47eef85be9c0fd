# SPDX-License-Identifier: MIT
"""Both senses of priority, and the four orders."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from mailserver.outqueue.ordering import RUN_PRIORITY, SendingOrder, sort_messages
from mailserver.outqueue.values import QueuedMessage, QueuedOne
from mailserver.values import Address, ContentId

NOW = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)


def message(name: str, minute: int, size: int, *priorities: int) -> QueuedMessage:
    recipients = tuple(
        QueuedOne(number, Address("x", "r.example"), priority=priority)
        for number, priority in enumerate(priorities or (50,))
    )
    queued = NOW + timedelta(minutes=minute)
    return QueuedMessage(
        ref=name, content=ContentId(1), size=size, reverse_path=None, login="", client="", subject="", queued=queued,
        dsn_return=None, envelope_id="", smtputf8=False, eight_bit=False, recipients=recipients,
    )  # fmt: skip


EARLY, MIDDLE, LATE = message("early", 1, 500), message("middle", 5, 900), message("late", 9, 100)
ORDERS = [
    (SendingOrder(), "early middle late"),
    (SendingOrder(smaller_first=True), "late early middle"),
    (SendingOrder(reverse=True), "late middle early"),
    (SendingOrder(smaller_first=True, reverse=True), "middle early late"),
]


def names(*candidates: tuple[QueuedMessage, int], order: SendingOrder | None = None) -> str:
    return " ".join(found.ref for found in sort_messages(candidates, order or SendingOrder()))


@pytest.mark.parametrize(("order", "expected"), ORDERS)
def test_the_four_orders(order: SendingOrder, expected: str) -> None:
    assert names(*((one, RUN_PRIORITY) for one in (MIDDLE, LATE, EARLY)), order=order) == expected


def test_the_smaller_number_of_the_queue_goes_first() -> None:
    first, last = message("first", 9, 1, 1), message("last", 0, 1, 100)
    assert names((last, 50), (EARLY, 50), (first, 50)) == "first early last"


def test_the_larger_number_of_a_script_goes_first_and_wins() -> None:
    first = message("first", 9, 1, 100)
    assert names((message("low", 0, 1, 1), 1), (EARLY, 50), (first, 100)) == "first early low"


def test_the_best_of_a_messages_recipients_counts() -> None:
    assert names((EARLY, 50), (message("mixed", 9, 1, 90, 10), 50)) == "mixed early"
