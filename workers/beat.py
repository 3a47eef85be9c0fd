# SPDX-License-Identifier: MIT
"""The timetable: what comes round again and again, and when next.

Each recurring thing is a work row with its moment in it, so that what was missed while the machine was off is done
at the next tick, and a second worker on another machine does not do it again. Pure, but for `ensure_recurring`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo

from mailserver import clock
from mailserver.config.catalog import TIME_ZONE
from mailserver.config.stored import get_setting
from mailserver.work import services as work

NIGHTLY_AT = time(3, 20)
"""When offices sleep, and clear of the hour at which clocks are put forward and back."""


@dataclass(frozen=True, slots=True)
class Recurring:
    """A kind of work and its next moment after `now`, in the installation's time zone."""

    kind: str
    next_moment: Callable[[datetime, ZoneInfo], datetime]


def next_hour(now: datetime, zone: ZoneInfo) -> datetime:
    """An hour from now; in which minute of the hour does not matter."""
    return now + timedelta(hours=1)


def next_minute(now: datetime, zone: ZoneInfo) -> datetime:
    """A minute from now."""
    return now + timedelta(minutes=1)


def next_night(now: datetime, zone: ZoneInfo) -> datetime:
    """The next NIGHTLY_AT on the office's clocks."""
    local = now.astimezone(zone)
    tonight = datetime.combine(local.date(), NIGHTLY_AT, zone)
    if tonight <= local:
        tonight = datetime.combine(local.date() + timedelta(days=1), NIGHTLY_AT, zone)
    return tonight.astimezone(now.tzinfo)


RECURRING = (
    Recurring("index-texts", next_minute),
    Recurring("expire-queued", next_minute),
    Recurring("clean-store", next_hour),
    Recurring("clean-records", next_night),
)


def ensure_recurring() -> None:
    """Every recurring thing has its row; the one that was just done gets its next."""
    now = clock.now()
    zone = ZoneInfo(get_setting(TIME_ZONE))
    for recurring in RECURRING:
        work.ensure(recurring.kind, recurring.next_moment(now, zone))
