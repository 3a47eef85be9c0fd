# SPDX-License-Identifier: MIT
"""Which recipients a sender is still to be told of: the queue's half of a report.

What orders a report names rows, but what is told is decided here, by the rows as they are by now: so orders may be
carried out twice, and one report may cover several of them.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta

from django.db.models import QuerySet

from mailserver.outqueue.models import QueuedRecipient
from mailserver.outqueue.outcome import Action, RowState, wants
from mailserver.outqueue.report import DueReport, ReportedOne
from mailserver.outqueue.retry import RetryPolicy
from mailserver.outqueue.taking import read_address, read_notify
from mailserver.values import ContentId, DsnReturn


def find_due_reports(ref: str, action: Action, rows: Collection[int]) -> list[DueReport]:
    """What is still to be told of this message; nothing when it has been, or when it has become untrue.

    `rows` limits reports of success, which are due only where the next server does not make them.
    """
    groups: dict[str, list[QueuedRecipient]] = {}
    for row in _candidates(ref, action, rows).order_by("pk"):
        state = RowState(row.tries, row.queued, bool(row.reverse_path), read_notify(row.notify))
        if wants(action, state):
            groups.setdefault(row.reverse_path, []).append(row)
    return [due for group in groups.values() if (due := _due(group, action)) is not None]


def _candidates(ref: str, action: Action, rows: Collection[int]) -> QuerySet[QueuedRecipient]:
    status = QueuedRecipient.Status
    of_message = QueuedRecipient.objects.filter(ref=ref)
    match action:
        case Action.FAILED:
            return of_message.filter(status=status.FAILED, reported__isnull=True)
        case Action.RELAYED:
            return of_message.filter(status=status.SENT, reported__isnull=True, pk__in=list(rows))
        case Action.DELIVERED:
            return of_message.none()  # Reported by the unit that delivers; nothing of it is ever queued.
        case Action.DELAYED:
            waiting = of_message.filter(status=status.WAITING, warned__isnull=True)
            return waiting.filter(last_attempt__isnull=False)


def _due(rows: Sequence[QueuedRecipient], action: Action) -> DueReport | None:
    first = rows[0]
    sender = read_address(first.reverse_path)
    if sender is None:
        return None
    return DueReport(
        ref=first.ref,
        action=action,
        rows=tuple(row.pk for row in rows),
        recipients=tuple(map(_reported, rows)),
        sender=sender,
        content=ContentId(first.content_id),
        size=first.size,
        subject=first.subject,
        queued=first.queued,
        dsn_return=DsnReturn(first.dsn_return) if first.dsn_return else None,
        envelope_id=first.envelope_id,
        smtputf8=first.smtputf8,
        expires=_expiry(first) if action is Action.DELAYED else None,
    )


def _expiry(row: QueuedRecipient) -> datetime:
    """By the timetable of whoever tried it last."""
    hours = RetryPolicy().give_up_hours
    if row.sender is not None and row.route == QueuedRecipient.Route.SENDERS:
        hours = row.sender.give_up_hours
    return (row.hold_until or row.queued) + timedelta(hours=hours)


def _reported(row: QueuedRecipient) -> ReportedOne:
    address = read_address(row.recipient)
    assert address is not None
    return ReportedOne(
        address=address,
        original_recipient=row.original_recipient,
        reply=row.last_reply,
        status=row.last_status,
        server=row.last_server,
        remote=row.last_remote,
        tried=row.last_attempt,
        given_up=row.status == QueuedRecipient.Status.FAILED and row.last_reply.startswith("4"),
    )
