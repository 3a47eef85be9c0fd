# SPDX-License-Identifier: MIT
"""What a Collector remembers of the messages at its provider, and what that means for the next session.

Spec connectors 4.3 (UID memory), 4.7 (questions), 4.8 (duplicates). That a message was fetched is written with the
message itself (`store.interface.Collected`); everything else is written here.
"""

from __future__ import annotations

import enum
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from typing import TypeVar

from django.db import transaction

from mailserver.connectors.models import RemoteMessage, SeenMessage
from mailserver.connectors.values import CollectorSettings
from mailserver.values import UserId

T = TypeVar("T")

ANSWER_DAYS = 14
"""Spec connectors 4.7: an answer counts for so long after the message was first seen."""
SEEN_DAYS = 7
"""Spec connectors 4.8: how long a Message-ID is known."""
KEEP, DELETE, ASKED, WANTED = "keep", "delete", "asked", "wanted"
"""Values of a row's `query`; the first two as in `store.interface.Collected.afterwards`."""
CHUNK = 500
"""Keys in one query; SQLite takes at most 32,766 variables, old ones 999."""


@dataclass(frozen=True, slots=True)
class Listed:
    """A message that the provider lists; `size` 0 when nobody asked for it."""

    key: str
    size: int = 0
    lasting: bool = True
    """False: the key is good for this session only; the next one cannot know the message again by it."""


class Step(enum.Enum):
    """What is to be done with a listed message."""

    FETCH = "fetch"
    """New: look at it, and fetch it if rules and limits allow."""
    FETCH_WANTED = "fetch-wanted"
    """Somebody was asked about it and wants it: fetch it, whatever rules and limits say."""
    DELETE = "delete"
    """Its time at the provider is over."""
    LEAVE = "leave"


def plan(collector: CollectorSettings, listed: Sequence[Listed], now: datetime) -> dict[str, Step]:
    """For each listed message what to do, by its key; notes that they are still there, and when new ones came.

    A message that is known as fetched is never fetched again, also when the provider failed to delete it.
    """
    keys = [message.key for message in listed]
    known = {row.key: row for row in _rows(collector.id, keys)}
    with transaction.atomic():
        for chunk in _chunks(list(known)):
            RemoteMessage.objects.filter(collector_id=collector.id, key__in=chunk).update(last_listed=now)
    return {key: _step(collector, known.get(key), now) for key in keys}


def _step(collector: CollectorSettings, row: RemoteMessage | None, now: datetime) -> Step:
    if row is None:
        return Step.FETCH
    days = collector.leave_on_server_days
    if row.downloaded is not None:
        at_once = row.query == DELETE or (not days and row.query != KEEP)
        due = at_once or (days and row.downloaded + timedelta(days=days) <= now)
        return Step.DELETE if due else Step.LEAVE
    if row.query == WANTED and now - row.first_seen <= timedelta(days=ANSWER_DAYS):
        return Step.FETCH_WANTED
    if days and row.first_seen + timedelta(days=days) <= now and _answer_is_late(row, now):
        return Step.DELETE
    return Step.LEAVE if row.query else Step.FETCH


def _answer_is_late(row: RemoteMessage, now: datetime) -> bool:
    return not row.query or now - row.first_seen > timedelta(days=ANSWER_DAYS)


def note_left(collector: int, messages: Iterable[Listed], now: datetime) -> None:
    """These are left where they are, not fetched: from now on their leave days count."""
    rows = [
        RemoteMessage(collector_id=collector, key=message.key, first_seen=now, last_listed=now, size=message.size)
        for message in messages
    ]
    RemoteMessage.objects.bulk_create(rows, ignore_conflicts=True)


def note_answer(payload: Mapping[str, object]) -> None:
    """A work row: somebody wants the message of this token. Running twice, and answering twice, does no harm."""
    RemoteMessage.objects.filter(query_token=str(payload["token"]), query=ASKED).update(query=WANTED)


def note_deleted(collector: int, keys: Collection[str], now: datetime) -> None:
    """The provider said that these are gone."""
    with transaction.atomic():
        for chunk in _chunks(keys):
            RemoteMessage.objects.filter(collector_id=collector, key__in=chunk).update(deleted=now)


def forget_obsolete(collector: int, days: int, listed: datetime) -> int:
    """Forget what the provider has not listed for so many days; 0: what it did not list at this moment's `plan`."""
    rows = RemoteMessage.objects.filter(collector_id=collector, last_listed__lt=listed - timedelta(days=days))
    return int(rows.delete()[0])


def find_seen(pairs: Collection[tuple[UserId, str]], now: datetime) -> set[tuple[UserId, str]]:
    """Which of these users got a collected message of this digest in the last days."""
    digests = sorted({digest for _, digest in pairs})
    found: set[tuple[UserId, str]] = set()
    for chunk in _chunks(digests):
        rows = SeenMessage.objects.filter(digest__in=chunk, seen__gte=now - timedelta(days=SEEN_DAYS))
        found.update((UserId(user), digest) for user, digest in rows.values_list("user_id", "digest"))
    return found & set(pairs)


def forget_seen(now: datetime) -> int:
    """Remove digests past their time; for the nightly housekeeping."""
    return int(SeenMessage.objects.filter(seen__lt=now - timedelta(days=SEEN_DAYS)).delete()[0])


def _rows(collector: int, keys: Sequence[str]) -> Iterator[RemoteMessage]:
    for chunk in _chunks(keys):
        yield from RemoteMessage.objects.filter(collector_id=collector, key__in=chunk)


def _chunks(items: Collection[T] | Mapping[T, object]) -> Iterator[list[T]]:
    iterator = iter(items)
    while chunk := list(islice(iterator, CHUNK)):
        yield chunk
