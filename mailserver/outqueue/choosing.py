# SPDX-License-Identifier: MIT
"""Which rows of the queue are due, and whose they are: what `taking` claims, and what nobody would."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Count, Q, QuerySet

from mailserver import clock
from mailserver.connectors.sender_order import AskedSender, senders_in_order
from mailserver.outqueue.assignment import Assignment
from mailserver.outqueue.domain_filter import Facts
from mailserver.outqueue.models import QueuedRecipient
from mailserver.outqueue.ordering import SendingOrder
from mailserver.outqueue.values import Route
from mailserver.store.chunks import in_chunks
from mailserver.store.opening import open_store
from mailserver.values import ContentId

WINDOW = 1000
"""Rows looked at by one query: some milliseconds on SQLite."""
LARGEST_WINDOW = 10_000
"""Each query passes over all rows before its own, so that a Sender who finds nothing among 100,000 is done three times
as fast with few large ones (measured)."""


@dataclass(frozen=True, slots=True)
class Choice:
    """Whose messages, in which order."""

    route: Route
    sender: int | None
    order: SendingOrder


def due(route: Route, now: datetime) -> QuerySet[QueuedRecipient]:
    """What waits, is not held, by hand or by a timer, and whose next try has come."""
    return QueuedRecipient.objects.filter(
        Q(next_attempt__isnull=True) | Q(next_attempt__lte=now),
        Q(hold_until__isnull=True) | Q(hold_until__lte=now),
        Q(delete_after__isnull=True) | Q(delete_after__gt=now),
        status=QueuedRecipient.Status.WAITING,
        route=route,
        claim="",
    )


def in_sending_order(rows: QuerySet[QueuedRecipient], order: SendingOrder) -> QuerySet[QueuedRecipient]:
    """As `ordering.sort_messages` sorts; the recipients of a message stay together."""
    measure = "size" if order.smaller_first else "queued"
    return rows.order_by("priority", f"-{measure}" if order.reverse else measure, "ref", "id")


def choose(
    choice: Choice, limit: int | None, queued_before: datetime | None, leave_out: Collection[int]
) -> list[tuple[int, str]]:
    """Number and ref of each recipient to try: all that are due of the first `limit` messages."""
    belongs = _belonging(choice)
    if belongs is None:
        return []
    columns = COLUMNS if belongs is not iter else COLUMNS[:2]
    rows = in_sending_order(due(choice.route, clock.now()), choice.order)
    if queued_before is not None:
        rows = rows.filter(queued__lt=queued_before)
    left_out = frozenset(leave_out)
    chosen: list[tuple[int, str]] = []
    refs: set[str] = set()
    for start, size in _windows(limit):
        window = list(rows.values_list(*columns)[start : start + size])
        for row in belongs([row for row in window if row[0] not in left_out]):
            if row[1] not in refs and limit is not None and len(refs) == limit:
                return chosen
            refs.add(row[1])
            chosen.append((row[0], row[1]))
        if len(window) < size:
            break
    return chosen


def _windows(limit: int | None) -> Iterator[tuple[int, int]]:
    """Where each query starts and how many rows it asks for: few where few are wanted, then more and more."""
    start, size = 0, WINDOW if limit is None else min(WINDOW, 2 * limit + 10)
    while True:
        yield start, size
        start, size = start + size, min(LARGEST_WINDOW, 2 * size)


Row = tuple[Any, ...]
_Belonging = Callable[[list[Row]], Iterator[Row]]
COLUMNS = (
    "id",
    "ref",
    "content_id",
    "size",
    "tries",
    "queued",
    "reverse_path",
    "recipient",
    "login",
    "client",
    "subject",
)


def make_assignment(senders: Iterable[AskedSender]) -> Assignment:
    """Of the Senders in the order in which they are asked."""
    return Assignment([(sender.id, sender.domain_filter) for sender in senders])


def _belonging(choice: Choice) -> _Belonging | None:
    """What picks this Sender's rows out of some; None when there can be none."""
    if choice.sender is None:
        return iter
    assignment = make_assignment(senders_in_order())
    if assignment.gets_nothing(choice.sender):
        return None
    if assignment.gets_everything(choice.sender):
        return iter
    return lambda rows: (row for row, taker in assign(rows, assignment) if taker == choice.sender)


def assign(rows: list[Row], assignment: Assignment) -> Iterator[tuple[Row, int | None]]:
    """Each row (its COLUMNS), and which Sender takes it; None: nobody does."""
    now = clock.now()
    counts = _count_recipients({row[1] for row in rows})
    for row in rows:
        _, ref, content, size, tries, queued, reverse_path, recipient, login, client, subject = row
        facts = Facts(
            size=size,
            recipients=counts[ref],
            tries=tries,
            age_minutes=(now - queued) // timedelta(minutes=1),
            reverse_path=reverse_path,
            recipient=recipient,
            login=login,
            client=client,
            subject=subject,
            header=lambda content=content: _read_header(content),  # type: ignore[misc]
        )
        yield row, assignment.sender_of(facts)


def _count_recipients(refs: Collection[str]) -> Counter[str]:
    counts: Counter[str] = Counter()
    for chunk in in_chunks(sorted(refs)):
        rows = QueuedRecipient.objects.filter(ref__in=chunk).order_by().values_list("ref")
        counts.update(dict(rows.annotate(count=Count("pk"))))
    return counts


def _read_header(content: int) -> bytes:
    """The beginning of the message, which is enough for its header section; empty when the content is gone."""
    for found in open_store().read_contents([ContentId(content)]):
        return b"".join(_first(found.chunks(relay=True)))
    return b""


def _first(chunks: Iterator[bytes], enough: int = 256 * 1024) -> Iterator[bytes]:
    size = 0
    for chunk in chunks:
        yield chunk
        size += len(chunk)
        if size >= enough:
            return
