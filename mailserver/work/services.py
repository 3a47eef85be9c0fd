# SPDX-License-Identifier: MIT
"""Work rows: asking for something to be done later, and the lease under which a worker does it.

A row is done at least once: whoever took it and vanished loses the lease, and another takes it again. So the
functions behind the kinds read their rows afresh and may run twice without harm. The kinds themselves are listed
in `workers.work`.
"""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import Q

from mailserver import clock, notices
from mailserver.work.models import WorkItem

FIRST_RETRY_SECONDS = 30
LONGEST_RETRY_SECONDS = 3600
LATE_SECONDS = 60
MAX_ERROR_LENGTH = 2000


@dataclass(frozen=True, slots=True)
class Leased:
    """A piece of work that this holder has until `lease_until`."""

    id: int
    kind: str
    payload: Mapping[str, Any]
    tries: int
    owner: str
    lease_until: datetime


def request(kind: str, payload: Mapping[str, Any] | None = None, not_before: datetime | None = None) -> int:
    """Ask for work in the caller's transaction; a worker is woken when that commits. Gives the row's number."""
    now = clock.now()
    row = WorkItem.objects.create(kind=kind, payload=dict(payload or {}), created=now, not_before=not_before or now)
    if row.not_before <= now:
        transaction.on_commit(lambda: notices.publish([notices.WORK]))
    return row.pk


def ensure(kind: str, not_before: datetime) -> bool:
    """Have a row of a kind that comes round again and again; whether it had to be made.

    Two workers that ask in the same instant may make two: the work is done twice, which does no harm.
    """
    with transaction.atomic():
        if WorkItem.objects.filter(kind=kind).exists():
            return False
        WorkItem.objects.create(kind=kind, created=clock.now(), not_before=not_before)
    return True


def make_owner() -> str:
    """A name for a lease holder that no other has had."""
    return f"{socket.gethostname()[:60]}:{os.getpid()}:{secrets.token_hex(6)}"


def take(lease_seconds: Mapping[str, int], owner: str) -> Leased | None:
    """Lease the oldest row that is due and that nobody holds; None when there is nothing to do.

    `lease_seconds` has the kinds that the caller can do, and how long each may take at most.
    """
    now = clock.now()
    free = Q(lease_until__isnull=True) | Q(lease_until__lt=now)
    with transaction.atomic():
        rows = WorkItem.objects.select_for_update(skip_locked=True)
        row = rows.filter(free, kind__in=list(lease_seconds), not_before__lte=now).order_by("not_before", "id").first()
        if row is None:
            return None
        row.lease_owner = owner
        row.lease_until = now + timedelta(seconds=lease_seconds[row.kind])
        row.tries += 1
        row.save(update_fields=["lease_owner", "lease_until", "tries"])
    return Leased(row.pk, row.kind, row.payload, row.tries, owner, row.lease_until)


def has_due(kinds: Collection[str]) -> bool:
    """Whether `take` would find something; asks without writing."""
    now = clock.now()
    free = Q(lease_until__isnull=True) | Q(lease_until__lt=now)
    return WorkItem.objects.filter(free, kind__in=list(kinds), not_before__lte=now).exists()


def extend(work: Leased, lease_seconds: int) -> bool:
    """More time for long work; false when the lease was lost, and the holder should stop."""
    until = clock.now() + timedelta(seconds=lease_seconds)
    return bool(_held(work).update(lease_until=until))


def finish(work: Leased) -> bool:
    """It is done: the row goes. False when somebody else has it by now."""
    return bool(_held(work).delete()[0])


def fail(work: Leased, error: str) -> None:
    """It did not work: try again later, later each time."""
    wait = min(LONGEST_RETRY_SECONDS, FIRST_RETRY_SECONDS * 2 ** min(work.tries - 1, 10))
    _held(work).update(
        not_before=clock.now() + timedelta(seconds=wait),
        lease_owner="",
        lease_until=None,
        last_error=error[:MAX_ERROR_LENGTH],
    )


def list_payloads(kind: str) -> list[Mapping[str, Any]]:
    """What is still to be done of this kind."""
    return list(WorkItem.objects.filter(kind=kind).values_list("payload", flat=True))


def count_late() -> int:
    """Rows that should have been done more than LATE_SECONDS ago, whoever has them; for displays."""
    return WorkItem.objects.filter(not_before__lt=clock.now() - timedelta(seconds=LATE_SECONDS)).count()


def _held(work: Leased) -> Any:
    return WorkItem.objects.filter(pk=work.id, lease_owner=work.owner)
