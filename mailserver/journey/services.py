# SPDX-License-Identifier: MIT
"""Reading journeys: 'Where is my mail?', the counts of the status page; and forgetting the old ones."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Count, Q, QuerySet

from mailserver import clock
from mailserver.config.catalog import JOURNEY_KEEP_DAYS
from mailserver.config.stored import get_setting
from mailserver.journey.models import Journey, JourneyEvent
from mailserver.journey.records import JourneyRecord, JourneyStep, JourneyStepRecord
from mailserver.store.records import STEPS, step_row

SEARCH_LIMIT = 50
FORGET_BATCH = 1000
"""Rows deleted in one transaction: mail that arrives meanwhile waits for no more than that."""
MAX_WORDS = 8


@dataclass(frozen=True, slots=True)
class FoundJourney:
    """A message and everything that happened to it, in order."""

    record: JourneyRecord
    steps: tuple[JourneyStepRecord, ...]

    @property
    def recipients(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(step.recipient for step in self.steps if step.recipient))


@dataclass(frozen=True, slots=True)
class JourneyCounts:
    """How often each thing happened. `accepted` counts messages; the others count recipients."""

    accepted: int = 0
    refused: int = 0
    filed: int = 0
    queued: int = 0
    sent: int = 0
    bounced: int = 0


def search(words: str | Sequence[str], limit: int = SEARCH_LIMIT) -> list[FoundJourney]:
    """Journeys, newest first, in which every word occurs: in the id, an address, the subject, the message id or the
    client's address. No words: the newest of all."""
    rows = Journey.objects.all()
    for word in _split(words):
        rows = rows.filter(_holds(word))
    return _with_steps(rows.order_by("-started", "-pk")[:limit])


def find_journey(ref: str) -> FoundJourney | None:
    """The journey of this id, in upper or lower case."""
    return next(iter(_with_steps(Journey.objects.filter(ref=ref.strip().upper()))), None)


def counts_since(moment: datetime) -> JourneyCounts:
    """What happened from this moment on, in one query."""
    kinds = [JourneyStep(name) for name in JourneyCounts.__dataclass_fields__]
    rows = JourneyEvent.objects.filter(at__gte=moment, kind__in=kinds).order_by()
    counted = dict(rows.values_list("kind").annotate(count=Count("pk")))
    return JourneyCounts(**{kind.value: counted.get(kind.value, 0) for kind in kinds})


def count_arrivals(moment: datetime, source: str) -> int:
    """Messages that came in from this source since, and that nobody here had logged in to send."""
    rows = JourneyEvent.objects.filter(at__gte=moment, kind=JourneyStep.ACCEPTED.value)
    return rows.filter(journey__source=source, journey__login="").count()


def record_step(ref: str, kind: JourneyStep, recipient: str = "", detail: str = "") -> None:
    """Add a step in the caller's transaction, for what an administrator does; mail itself goes by the group commit."""
    JourneyEvent.objects.create(
        journey_id=ref, at=clock.now(), kind=kind.value, recipient=recipient[:320], detail=detail[:1000]
    )


def record_steps(steps: Iterable[JourneyStepRecord]) -> None:
    """Many steps in the caller's transaction, for what happens to mail after it was filed."""
    STEPS.insert(map(step_row, steps))


def forget_old(now: datetime) -> int:
    """Remove journeys older than JOURNEY_KEEP_DAYS, and steps without a journey as old; says how many journeys.

    In small transactions, so it may run beside mail and be stopped anywhere.
    """
    limit = now - timedelta(days=get_setting(JOURNEY_KEEP_DAYS))
    forgotten = 0
    while refs := list(Journey.objects.filter(started__lt=limit).values_list("ref", flat=True)[:FORGET_BATCH]):
        with transaction.atomic():
            JourneyEvent.objects.filter(journey_id__in=refs).delete()
            Journey.objects.filter(ref__in=refs).delete()
        forgotten += len(refs)
    while orphans := list(_orphans(limit).values_list("pk", flat=True)[:FORGET_BATCH]):
        JourneyEvent.objects.filter(pk__in=orphans).delete()
    return forgotten


def _split(words: str | Sequence[str]) -> list[str]:
    texts = words.split() if isinstance(words, str) else [part for text in words for part in text.split()]
    return [text for text in texts if text.strip("<>") and text.isprintable()][:MAX_WORDS]


def _holds(word: str) -> Q:
    """A message id is often pasted with its angle brackets."""
    bare = word.strip("<>")
    texts = ("sender", "header_from", "subject", "message_id", "login", "helo")
    conditions = Q(ref__istartswith=bare) | Q(client__startswith=bare)
    for column in texts:
        conditions |= Q(**{f"{column}__icontains": bare})
    recipients = JourneyEvent.objects.filter(recipient__icontains=bare)
    return conditions | Q(ref__in=recipients.values("journey"))


def _orphans(limit: datetime) -> QuerySet[JourneyEvent]:
    """Steps whose journey is gone. Steps of a journey that is kept are kept, however old they are."""
    return JourneyEvent.objects.filter(at__lt=limit).exclude(journey__in=Journey.objects.values("ref"))


def _with_steps(rows: Iterable[Journey]) -> list[FoundJourney]:
    """Two queries, however many rows."""
    journeys = list(rows)
    steps: dict[str, list[JourneyStepRecord]] = {row.ref: [] for row in journeys}
    for event in JourneyEvent.objects.filter(journey_id__in=list(steps)).order_by("at", "pk"):
        steps[event.journey_id].append(_step(event))
    return [FoundJourney(_record(row), tuple(steps[row.ref])) for row in journeys]


def _record(row: Journey) -> JourneyRecord:
    return JourneyRecord(
        ref=row.ref,
        started=row.started,
        source=row.source,
        client=row.client,
        helo=row.helo,
        login=row.login,
        sender=row.sender,
        header_from=row.header_from,
        subject=row.subject,
        message_id=row.message_id,
        size=row.size,
    )


def _step(event: JourneyEvent) -> JourneyStepRecord:
    return JourneyStepRecord(event.journey_id, event.at, JourneyStep(event.kind), event.recipient, event.detail)
