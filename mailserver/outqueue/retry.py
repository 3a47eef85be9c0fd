# SPDX-License-Identifier: MIT
"""When to try again: the timetable of the outgoing queue.

RFC 5321 §4.5.4.1. Spec senders 7.3. Pure: knows neither the queue's tables nor the clock.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """The waits between tries, the last of which repeats; when to give up; when to warn the sender (0: never)."""

    minutes: tuple[int, ...] = (5, 15, 30, 60, 120)
    give_up_hours: int = 72
    warn_hours: int = 4


LAN_POLICY = RetryPolicy(minutes=(5,))
"""Spec senders 10.3: the target is nearby, and expected to be there."""


def next_attempt(policy: RetryPolicy, tries: int, since: datetime, now: datetime) -> datetime | None:
    """The next moment to try after `tries` tries, or None once the message has expired.

    The RFC asks for half an hour between tries. The first waits are shorter: a server that greylists accepts after a
    few minutes, and a person is waiting for the answer. The last try comes when the time is up, not a wait later.
    """
    expiry = since + timedelta(hours=policy.give_up_hours)
    if now >= expiry:
        return None
    waits = policy.minutes or RetryPolicy().minutes
    wait = waits[min(max(tries, 1), len(waits)) - 1]
    return min(now + timedelta(minutes=wait), expiry)


def warning_moment(policy: RetryPolicy, since: datetime) -> datetime | None:
    """When the sender is to be told that the message is late; None: never."""
    return since + timedelta(hours=policy.warn_hours) if policy.warn_hours else None
