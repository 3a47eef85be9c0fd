# SPDX-License-Identifier: MIT
"""Rows of other areas on which a unit depends, or which it changes: collectors' memories, reports.

Checked and written in the unit's transaction, so that what they stand for happens once with the mail, or not at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from mailserver.connectors.models import Collector, RemoteMessage, SeenMessage
from mailserver.errors import Kind, MailError
from mailserver.outqueue.models import QueuedRecipient
from mailserver.store.bulk import Row, Table
from mailserver.store.chunks import in_chunks
from mailserver.store.interface import Collected, Unit
from mailserver.store.records import fit

REMEMBERED = Table(
    RemoteMessage,
    "collector",
    "key",
    "first_seen",
    "downloaded",
    "last_listed",
    "size",
    "ref",
    "query",
    "query_token",
    "digest",
)
SEEN = Table(SeenMessage, "user", "digest", "seen")


class Claims:
    """What the units of a batch lay claim to, read and locked at its start. Each may be had once."""

    def __init__(self, units: Sequence[Unit]) -> None:
        wanted = {(new.collector, new.key) for unit in units for new in unit.collected}
        self._collectors = _lock_collectors({collector for collector, _ in wanted})
        self._collected, self._asked = _find_collected(wanted)
        self._told = _lock_told({row for unit in units for reported in unit.reported for row in reported.rows})

    def check(self, unit: Unit) -> None:
        """Raises EXISTS for a message that was collected, or an outcome that was told before, and NOT_FOUND for a
        collector that is gone. A unit that passes has its claims."""
        for new in unit.collected:
            if new.collector not in self._collectors:
                raise MailError(Kind.NOT_FOUND, f"collector {new.collector} is gone")
            pair = (new.collector, new.key)
            if pair in self._collected or (new.query_token and pair in self._asked):
                raise MailError(Kind.EXISTS, f"collector {new.collector} has {new.key} already")
        told = {(row, reported.delay) for reported in unit.reported for row in reported.rows}
        if told & self._told:
            raise MailError(Kind.EXISTS, "the sender has been told already")
        self._told |= told
        for new in unit.collected:
            (self._asked if new.query_token else self._collected).add((new.collector, new.key))


def write_foreign(units: Sequence[Unit], now: datetime) -> None:
    """What the claims of these units, all of which passed, come to."""
    REMEMBERED.upsert(
        (_remembered_row(new, now) for unit in units for new in unit.collected),
        ("collector_id", "key"),
        ("downloaded", "last_listed", "size", "ref", "query", "query_token", "digest"),
    )
    seen = {(digest.user, digest.digest) for unit in units for digest in unit.seen}
    SEEN.upsert(((user, fit(digest, 64), now) for user, digest in sorted(seen)), ("user_id", "digest"), ("seen",))
    for unit in units:
        for reported in unit.reported:
            column = "warned" if reported.delay else "reported"
            for chunk in in_chunks(list(reported.rows)):
                QueuedRecipient.objects.filter(pk__in=chunk).update(**{column: now})


def _remembered_row(new: Collected, now: datetime) -> Row:
    fetched = None if new.query_token else now
    query = "asked" if new.query_token else new.afterwards
    return (new.collector, new.key, now, fetched, now, new.size, new.ref, query, new.query_token, fit(new.digest, 64))


def _lock_told(rows: set[int]) -> set[tuple[int, bool]]:
    """What senders have been told of: the row's number, and whether it was a delay."""
    found: set[tuple[int, bool]] = set()
    for chunk in in_chunks(sorted(rows)):
        locked = QueuedRecipient.objects.select_for_update(no_key=True).filter(pk__in=chunk).order_by("pk")
        for row, warned, reported in locked.values_list("pk", "warned", "reported"):
            found |= {(row, delay) for delay, moment in ((True, warned), (False, reported)) if moment is not None}
    return found


def _lock_collectors(ids: set[int]) -> set[int]:
    """Rows that cannot go before the commit; mailboxes are locked before them, everywhere."""
    if not ids:
        return set()
    rows = Collector.objects.select_for_update(no_key=True).filter(pk__in=ids).order_by("pk")
    return set(rows.values_list("pk", flat=True))


def _find_collected(wanted: set[tuple[int, str]]) -> tuple[set[tuple[int, str]], set[tuple[int, str]]]:
    """Those that were fetched, and those about which somebody was asked."""
    fetched: set[tuple[int, str]] = set()
    asked: set[tuple[int, str]] = set()
    for chunk in in_chunks(sorted({key for _, key in wanted})):
        rows = RemoteMessage.objects.filter(key__in=chunk)
        for collector, key, downloaded, query in rows.values_list("collector_id", "key", "downloaded", "query"):
            if (collector, key) in wanted and downloaded is not None:
                fetched.add((collector, key))
            elif (collector, key) in wanted and query:
                asked.add((collector, key))
    return fetched, asked
