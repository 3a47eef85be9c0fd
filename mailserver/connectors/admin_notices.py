# SPDX-License-Identifier: MIT
"""When the administrator is told of an error of a Sender or a Collector (spec senders 8.7, *Message control*).

An error is reported once it has lasted for a while, again after a second gap, and then now and then; a success resets
the sequence. What the message says, and sending it, is `workers.error_notices`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction

from mailserver import clock
from mailserver.config.connection_settings import (
    ALL_NETWORK_ERRORS,
    CONNECTION_ERRORS,
    ERROR_FIRST_MINUTES,
    ERROR_LATER_MINUTES,
    ERROR_SECOND_MINUTES,
)
from mailserver.config.snapshot import Snapshot
from mailserver.connectors.models import ReportedError

MAX_ERROR_CHARACTERS = 4000


@dataclass(frozen=True, slots=True)
class Failure:
    """An error that lasts: since when, how often it was reported, and whether it is time to report it."""

    since: datetime
    reports: int
    due: bool


def record_failure(component: int, object_id: int, error: str, connect_error: bool, settings: Snapshot) -> Failure:
    """It has failed, perhaps again."""
    now = clock.now()
    with transaction.atomic():
        row, made = ReportedError.objects.select_for_update().get_or_create(
            component=component,
            object_id=object_id,
            defaults={"error": error[:MAX_ERROR_CHARACTERS], "first_seen": now, "last_seen": now},
        )
        if not made:
            row.error, row.last_seen = error[:MAX_ERROR_CHARACTERS], now
            row.save(update_fields=["error", "last_seen"])
    return Failure(row.first_seen, row.reports, _is_due(row, connect_error, settings, now))


def record_report(component: int, object_id: int) -> None:
    """The administrator has been told."""
    now = clock.now()
    with transaction.atomic():
        row = ReportedError.objects.select_for_update().filter(component=component, object_id=object_id).first()
        if row is not None:
            row.reports, row.last_report = row.reports + 1, now
            row.save(update_fields=["reports", "last_report"])


def record_success(component: int, object_id: int) -> None:
    """It works: the next error begins a sequence of its own."""
    if ReportedError.objects.filter(component=component, object_id=object_id).exists():
        ReportedError.objects.filter(component=component, object_id=object_id).delete()


def _is_due(row: ReportedError, connect_error: bool, settings: Snapshot, now: datetime) -> bool:
    if not settings.get(CONNECTION_ERRORS):
        return False
    if connect_error and settings.get(ALL_NETWORK_ERRORS):
        return True
    if row.last_report is None:
        return now >= row.first_seen + timedelta(minutes=settings.get(ERROR_FIRST_MINUTES))
    gap = ERROR_SECOND_MINUTES if row.reports == 1 else ERROR_LATER_MINUTES
    return now >= row.last_report + timedelta(minutes=settings.get(gap))
