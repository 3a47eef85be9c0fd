# SPDX-License-Identifier: MIT
"""The outgoing queue as people see it: what waits, and holding, releasing, hurrying or deleting it.

What is being sent at this moment is past being held or deleted: such recipients are left, and not counted. What a
Sender has taken and not begun is given back within a second, and is waited for so long.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Count, Q, QuerySet, Sum

from mailserver import clock, notices
from mailserver.errors import InvalidInput
from mailserver.journey.records import JourneyStep, JourneyStepRecord
from mailserver.journey.services import record_steps
from mailserver.leases.services import holds_any
from mailserver.outqueue.models import IN_QUEUE as IN_QUEUE
from mailserver.outqueue.models import QueuedRecipient, SendAttempt
from mailserver.outqueue.outcome import Action, RowState, wants
from mailserver.outqueue.recalling import recall
from mailserver.outqueue.recording import find_untold, order_report
from mailserver.outqueue.taking import read_notify
from mailserver.store.chunks import in_chunks

PRIORITIES = range(1, 101)
TAKEN_OUT = "An administrator took this message out of the outgoing queue."


@dataclass(frozen=True, slots=True)
class Waiting:
    """One recipient of a message; `reverse_path` is empty for the null path, `claim` when nobody is sending it."""

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
    login: str
    client: str
    subject: str
    priority: int
    urgent: bool
    hold_until: datetime | None
    delete_after: datetime | None
    next_attempt: datetime | None
    tries: int
    last_server: str
    last_reply: str
    claim: str
    route: str
    lan_server: str

    @property
    def state(self) -> str:
        """In one or two words, as the queue's page has it (spec senders 8.1)."""
        if self.status in IN_QUEUE and self.claim:
            return "sending"
        if self.status == QueuedRecipient.Status.WAITING and self.on_timer:
            return "on timer"
        return self.status

    @property
    def on_timer(self) -> bool:
        """It is held, and will be released by itself."""
        return self.hold_until is not None and self.hold_until > clock.now()


@dataclass(frozen=True, slots=True)
class Tried:
    """One try to send to one recipient."""

    started: datetime
    server: str
    tls: str
    result: str


@dataclass(frozen=True, slots=True)
class QueueCounts:
    """Recipients that wait and that are held (by hand or by a timer); messages they belong to, and their bytes."""

    waiting: int = 0
    held: int = 0
    messages: int = 0
    size: int = 0


_COLUMNS = tuple("user__address" if name == "sender_name" else name for name in Waiting.__dataclass_fields__)


def list_queue(limit: int | None = None) -> list[Waiting]:
    """Every recipient that waits or is held, oldest first."""
    rows = QueuedRecipient.objects.filter(status__in=IN_QUEUE).order_by("pk").values_list(*_COLUMNS)[:limit]
    return [_waiting(row) for row in rows]


def find_queued(key: str, *, finished: bool = False) -> list[Waiting]:
    """One row by its number, or all recipients of a message by its ref; with `finished` also what is done with."""
    found = Q(pk=int(key)) if key.isascii() and key.isdecimal() and len(key) < 19 else Q(ref=key.strip().upper())
    if not finished:
        found &= Q(status__in=IN_QUEUE)
    return [_waiting(row) for row in QueuedRecipient.objects.filter(found).order_by("pk").values_list(*_COLUMNS)]


def list_attempts(id_: int) -> list[Tried]:
    """What has been tried for a recipient, and what was said, oldest first."""
    rows = SendAttempt.objects.filter(queued=id_).order_by("pk")
    return [Tried(*row) for row in rows.values_list("started", "server", "tls", "result")]


def counts() -> QueueCounts:
    """How full the queue is. A message counts once, however many recipients it has."""
    now = clock.now()
    status = QueuedRecipient.Status
    rows = QueuedRecipient.objects.filter(status__in=IN_QUEUE)
    held = Q(status=status.HELD) | Q(hold_until__gt=now)
    totals = rows.aggregate(
        all=Count("pk"),
        held=Count("pk", filter=held),
        messages=Count("ref", distinct=True),
    )
    sizes = rows.order_by().values("ref", "size").distinct().aggregate(total=Sum("size"))
    waiting = totals["all"] - totals["held"]
    return QueueCounts(waiting, totals["held"], totals["messages"], sizes["total"] or 0)


def count_done_with(ids: Collection[int]) -> int:
    """How many of these have been sent or given up."""
    done = QueuedRecipient.objects.exclude(status__in=IN_QUEUE)
    return sum(done.filter(pk__in=chunk).count() for chunk in in_chunks(list(ids)))


# ---------------------------------------------------------------- changing


def hold(ids: Collection[int]) -> int:
    """Keep these from being sent until they are released; says how many were not held before.

    What is being sent at this moment is held only if that fails.
    """
    recalled = recall(ids, hold_all=True)
    if recalled.pending:
        _note_pending(recalled.pending)
    new = Q(status=QueuedRecipient.Status.WAITING) | Q(pk__in=recalled.held)
    free = set(ids) - recalled.gone
    return _change(free, new, JourneyStep.HELD, lambda rows: rows.update(status=QueuedRecipient.Status.HELD))


def _note_pending(ids: Collection[int]) -> None:
    """Nobody else would ever say why it stayed here."""
    with transaction.atomic():
        rows = _lock_all(ids, Q(status=QueuedRecipient.Status.HELD))
        _record(rows, JourneyStep.HELD, "It is being sent at this moment, and is held if that fails")
        transaction.on_commit(_publish)


def release(ids: Collection[int]) -> int:
    """Let these be sent again, also those on a timer; says how many were held. Their age counts from now on."""
    now = clock.now()
    held = Q(status=QueuedRecipient.Status.HELD) | Q(status=QueuedRecipient.Status.WAITING, hold_until__gt=now)
    released = {"status": QueuedRecipient.Status.WAITING, "hold_until": now}
    return _change(ids, held, JourneyStep.RELEASED, lambda rows: rows.update(**released))


def retry(ids: Collection[int]) -> int:
    """Try these as soon as their Sender runs, whatever the timetable says; held ones stay held. Says how many."""
    now = clock.now()
    waiting = Q(status=QueuedRecipient.Status.WAITING)

    def hurry(rows: QuerySet[QueuedRecipient]) -> None:
        rows.filter(hold_until__gt=now).update(hold_until=now)
        rows.update(next_attempt=None)

    return _change(ids, waiting, None, hurry)


def retry_deferred(sender: int, rested: timedelta = timedelta()) -> int:
    """What this Sender has tried in vain, and not within the time `rested`, is due again at once: somebody said
    'Connect now', or has an urgent message. Says how many."""
    now = clock.now()
    deferred = QueuedRecipient.objects.filter(
        Q(last_attempt=None) | Q(last_attempt__lte=now - rested),
        status=QueuedRecipient.Status.WAITING,
        sender_id=sender,
        next_attempt__gt=now,
    )
    return deferred.update(next_attempt=None)


def set_priority(ids: Collection[int], priority: int) -> int:
    """The smaller number goes first; says how many were changed. Raises InvalidInput."""
    if priority not in PRIORITIES:
        raise InvalidInput({"priority": [f"A priority is a number from 1 to 100, not {priority}."]})
    in_queue = Q(status__in=IN_QUEUE) & ~Q(priority=priority)
    return _change(ids, in_queue, None, lambda rows: rows.update(priority=priority))


def delete(ids: Collection[int]) -> int:
    """Take these out for good, and write that into their journeys; the senders are not told. Says how many there were.

    What is done with leaves the list, and its journey as it is; but not before its sender has been told of it.
    """
    free = set(ids) - recall(ids).gone
    with transaction.atomic():
        untold = find_untold()
        rows = [
            row
            for row in _lock(free, Q())
            if row.status in IN_QUEUE or row.reported is not None or row.ref not in untold
        ]
        _record([row for row in rows if row.status in IN_QUEUE], JourneyStep.DELETED, "Taken out of the outgoing queue")
        for chunk in in_chunks([row.pk for row in rows]):
            QueuedRecipient.objects.filter(pk__in=chunk).delete()
        transaction.on_commit(_publish)
    return len(rows)


def delete_and_notify(ids: Collection[int]) -> int:
    """Take these out for good, and tell their senders so; says how many there were."""
    free = set(ids) - recall(ids).gone
    now = clock.now()
    with transaction.atomic():
        rows = _lock(free, Q(status__in=IN_QUEUE))
        for chunk in in_chunks([row.pk for row in rows]):
            QueuedRecipient.objects.filter(pk__in=chunk).update(
                status=QueuedRecipient.Status.FAILED,
                finished=now,
                next_attempt=None,
                claim="",
                last_attempt=now,
                last_server="",
                last_reply=TAKEN_OUT,
                last_status="5.0.0",
                last_remote=False,
            )
        _record(rows, JourneyStep.DELETED, "Taken out of the outgoing queue; the sender is told")
        _order_reports(rows)
        transaction.on_commit(_publish)
    return len(rows)


def _order_reports(rows: Sequence[QueuedRecipient]) -> None:
    wanted: dict[str, list[int]] = {}
    for row in rows:
        state = RowState(row.tries, row.queued, bool(row.reverse_path), read_notify(row.notify))
        if wants(Action.FAILED, state):
            wanted.setdefault(row.ref, []).append(row.pk)
    for ref, numbers in wanted.items():
        order_report(ref, Action.FAILED, numbers)


def _change(
    ids: Collection[int],
    condition: Q,
    step: JourneyStep | None,
    change: Callable[[QuerySet[QueuedRecipient]], object],
) -> int:
    with transaction.atomic():
        rows = _lock_all(ids, condition)
        for chunk in in_chunks([row.pk for row in rows]):
            change(QueuedRecipient.objects.filter(pk__in=chunk))
        if step is not None:
            _record(rows, step, "")
        transaction.on_commit(_publish)
    return len(rows)


def _lock(ids: Collection[int], condition: Q) -> list[QueuedRecipient]:
    """Those that nobody is sending at the moment. A claim of somebody who is gone does not count."""
    rows = _lock_all(ids, condition)
    busy = {claim for claim in {row.claim for row in rows if row.claim} if holds_any(claim)}
    return [row for row in rows if row.claim not in busy]


def _lock_all(ids: Collection[int], condition: Q) -> list[QueuedRecipient]:
    locked = QueuedRecipient.objects.select_for_update().filter(condition).order_by("pk")
    return [row for chunk in in_chunks(sorted(ids)) for row in locked.filter(pk__in=chunk)]


def _record(rows: Sequence[QueuedRecipient], step: JourneyStep, detail: str) -> None:
    now = clock.now()
    record_steps(JourneyStepRecord(row.ref, now, step, row.recipient, detail) for row in rows)


def _publish() -> None:
    notices.publish([notices.QUEUE])


def _waiting(row: tuple[object, ...]) -> Waiting:
    values = dict(zip(Waiting.__dataclass_fields__, row, strict=True))
    return Waiting(**{**values, "sender_name": values["sender_name"] or ""})  # type: ignore[arg-type]
