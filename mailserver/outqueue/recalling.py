# SPDX-License-Identifier: MIT
"""Having messages given back that a Sender has taken and not begun, so that they can be held or deleted.

A run takes many messages ahead, and looks each second for those that were held meanwhile: it gives them back
(`workers.sending.claims`). Whether one is on the wire, only the run knows, so who wants messages back holds them and
waits a moment for its answer.
"""

from __future__ import annotations

import time
from collections.abc import Collection
from dataclasses import dataclass

from django.db import connection
from django.db.models import QuerySet

from mailserver.leases.services import holds_any
from mailserver.outqueue.models import IN_QUEUE, QueuedRecipient
from mailserver.store.chunks import in_chunks

ANSWER_SECONDS = 3.0
"""A run looks each second; one that does not answer so long is busy with something else than giving back."""
LOOK_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Recalled:
    """What came of it. `held` are those that waited before; `gone` are on the wire, or have left by now. `pending` are
    those of them that will be held if they come back."""

    held: frozenset[int] = frozenset()
    gone: frozenset[int] = frozenset()
    pending: frozenset[int] = frozenset()


def recall(ids: Collection[int], *, hold_all: bool = False) -> Recalled:
    """Hold what somebody has taken that is alive, and wait until it is given back.

    What is on the wire goes on as it would have; with `hold_all` it stays held, should it come back in the end. Within
    a transaction nobody sees that something was held: then nothing is waited for.
    """
    waited = {row[0]: row[1] == QueuedRecipient.Status.WAITING for row in _taken(ids)}
    if not waited:
        return Recalled()
    newly = frozenset(id_ for id_, was_waiting in waited.items() if was_waiting)
    unwanted = frozenset() if hold_all else newly
    for chunk in in_chunks(sorted(waited)):
        _claimed(chunk).filter(status=QueuedRecipient.Status.WAITING).update(status=QueuedRecipient.Status.HELD)
    try:
        _wait_for(waited)
        back = _back(waited)
        unwanted -= back
    finally:  # Somebody may lose patience: what he did not get is not held either.
        for chunk in in_chunks(sorted(unwanted)):
            _held(chunk).update(status=QueuedRecipient.Status.WAITING)
    gone = frozenset(waited) - back
    return Recalled(newly & back, gone, newly & gone if hold_all else frozenset())


def _wait_for(ids: Collection[int]) -> None:
    until = time.monotonic() + (0.0 if connection.in_atomic_block else ANSWER_SECONDS)
    while any(_claimed(chunk).exists() for chunk in in_chunks(sorted(ids))) and time.monotonic() < until:
        time.sleep(LOOK_SECONDS)


def count_being_sent(ids: Collection[int]) -> int:
    """How many of these somebody has at this moment who is alive."""
    return len(_taken(ids))


def _taken(ids: Collection[int]) -> list[tuple[int, str, str]]:
    """Number, status and holder."""
    rows = [
        row
        for chunk in in_chunks(sorted(ids))
        for row in _claimed(chunk).values_list("pk", "status", "claim").order_by()
    ]
    alive = {claim for claim in {claim for _, _, claim in rows} if holds_any(claim)}
    return [row for row in rows if row[2] in alive]


def _back(ids: Collection[int]) -> frozenset[int]:
    return frozenset(
        id_ for chunk in in_chunks(sorted(ids)) for id_ in _held(chunk).filter(claim="").values_list("pk", flat=True)
    )


def _held(ids: Collection[int]) -> QuerySet[QueuedRecipient]:
    return QueuedRecipient.objects.filter(pk__in=ids, status=QueuedRecipient.Status.HELD).order_by()


def _claimed(ids: Collection[int]) -> QuerySet[QueuedRecipient]:
    return QueuedRecipient.objects.filter(status__in=IN_QUEUE, pk__in=ids, claim__gt="")
