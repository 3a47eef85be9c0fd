# SPDX-License-Identifier: MIT
"""Dates as message headers write them. RFC 5322 §3.3 and §4.3. Pure."""

from __future__ import annotations

from datetime import UTC, date, datetime
from email.utils import parsedate_to_datetime

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def format_date(moment: datetime) -> str:
    """An aware moment, in UTC: `Mon, 02 Mar 2026 09:30:00 +0000`. English in every locale."""
    utc = moment.astimezone(UTC)
    return (
        f"{_DAYS[utc.weekday()]}, {utc.day:02d} {_MONTHS[utc.month - 1]} {utc.year:04d} "
        f"{utc.hour:02d}:{utc.minute:02d}:{utc.second:02d} +0000"
    )


def find_date(text: str) -> datetime | None:
    """The moment that a Date field names, in UTC, obsolete forms included; None when nobody could tell."""
    try:
        moment = parsedate_to_datetime(text)
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def find_written_day(text: str) -> date | None:
    """The day as it stands in the Date field, whatever the time zone (RFC 9051 §6.4.4, SENTBEFORE)."""
    try:
        return parsedate_to_datetime(text).date()
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
