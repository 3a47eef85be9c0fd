# SPDX-License-Identifier: MIT
"""The outgoing queue as people see it: what waits, and holding, releasing or deleting it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from django.db import transaction
from django.db.models import Count, Q, Sum

from mailserver import notices
from mailserver.journey.records import JourneyStep
from mailserver.journey.services import record_step
from mailserver.outqueue.models import QueuedRecipient


@dataclass(frozen=True, slots=True)
class Waiting:
    """One recipient of a message that waits; `reverse_path` is empty for the null path."""

    id: int
    ref: str
    reverse_path: str
    recipient: str
    size: int
    status: str
    queued: datetime
    sender_name: str
    notify: str
    original_recipient: str
    dsn_return: str
    envelope_id: str


@dataclass(frozen=True, slots=True)
class QueueCounts:
    """Recipients that wait and that are held; messages they belong to, and the bytes of those."""

    waiting: int = 0
    held: int = 0
    messages: int = 0
    size: int = 0


_COLUMNS = tuple("user__address" if name == "sender_name" else name for name in Waiting.__dataclass_fields__)


def list_queue(limit: int | None = None) -> list[Waiting]:
    """Everything in the queue, oldest first."""
    rows = QueuedRecipient.objects.order_by("pk").values_list(*_COLUMNS)[:limit]
    return [_waiting(row) for row in rows]


def find_queued(key: str) -> list[Waiting]:
    """One row by its number, or all recipients of a message by its ref."""
    found = Q(pk=int(key)) if key.isascii() and key.isdecimal() and len(key) < 19 else Q(ref=key.strip().upper())
    return [_waiting(row) for row in QueuedRecipient.objects.filter(found).order_by("pk").values_list(*_COLUMNS)]


def counts() -> QueueCounts:
    """How full the queue is. A message counts once, however many recipients it has."""
    status = QueuedRecipient.Status
    totals = QueuedRecipient.objects.aggregate(
        waiting=Count("pk", filter=Q(status=status.WAITING)),
        held=Count("pk", filter=Q(status=status.HELD)),
        messages=Count("ref", distinct=True),
    )
    sizes = QueuedRecipient.objects.order_by().values("ref", "size").distinct().aggregate(total=Sum("size"))
    return QueueCounts(**totals, size=sizes["total"] or 0)


def hold(ids: Collection[int]) -> int:
    """Keep these from being sent until they are released; says how many were not held before."""
    return _change(ids, QueuedRecipient.Status.WAITING, QueuedRecipient.Status.HELD)


def release(ids: Collection[int]) -> int:
    """Let these be sent again; says how many were held."""
    return _change(ids, QueuedRecipient.Status.HELD, QueuedRecipient.Status.WAITING)


def delete(ids: Collection[int]) -> int:
    """Take these out of the queue for good, and write that into their journeys; says how many there were."""
    with transaction.atomic():
        rows = list(QueuedRecipient.objects.select_for_update().filter(pk__in=list(ids)).order_by("pk"))
        for row in rows:
            record_step(row.ref, JourneyStep.DELETED, row.recipient, "Taken out of the outgoing queue")
        QueuedRecipient.objects.filter(pk__in=[row.pk for row in rows]).delete()
        transaction.on_commit(_publish)
    return len(rows)


def _change(ids: Collection[int], old: QueuedRecipient.Status, new: QueuedRecipient.Status) -> int:
    with transaction.atomic():
        changed = QueuedRecipient.objects.filter(pk__in=list(ids), status=old).update(status=new)
        transaction.on_commit(_publish)
    return changed


def _publish() -> None:
    notices.publish([notices.QUEUE])


def _waiting(row: tuple[object, ...]) -> Waiting:
    values = dict(zip(Waiting.__dataclass_fields__, row, strict=True))
    return Waiting(**{**values, "sender_name": values["sender_name"] or ""})  # type: ignore[arg-type]
