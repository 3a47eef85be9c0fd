# SPDX-License-Identifier: MIT
"""When to try again, when to warn, when to give up."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from mailserver.outqueue.retry import LAN_POLICY, RetryPolicy, next_attempt, warning_moment

QUEUED = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
POLICY = RetryPolicy((5, 15, 30), give_up_hours=2, warn_hours=1)

WAITS = [
    # tries, minutes since it was queued, minutes until the next
    (1, 0, 5),
    (2, 5, 15),
    (3, 20, 30),
    (4, 50, 30),
    (9, 80, 30),
    (0, 0, 5),  # nothing was reached: the wait does not grow
    (9, 100, 20),  # the last try comes when the time is up
    (9, 119, 1),
    (9, 120, None),
    (1, 5000, None),
]


@pytest.mark.parametrize(("tries", "age", "wait"), WAITS)
def test_next_attempt(tries: int, age: int, wait: int | None) -> None:
    now = QUEUED + timedelta(minutes=age)
    expected = None if wait is None else now + timedelta(minutes=wait)
    assert next_attempt(POLICY, tries, QUEUED, now) == expected


def test_no_waits_at_all_are_the_usual_ones() -> None:
    assert next_attempt(RetryPolicy(()), 1, QUEUED, QUEUED) == QUEUED + timedelta(minutes=5)


def test_warning() -> None:
    assert warning_moment(POLICY, QUEUED) == QUEUED + timedelta(hours=1)
    assert warning_moment(RetryPolicy(warn_hours=0), QUEUED) is None


def test_nearby_servers_are_tried_every_five_minutes() -> None:
    assert next_attempt(LAN_POLICY, 50, QUEUED, QUEUED) == QUEUED + timedelta(minutes=5)
