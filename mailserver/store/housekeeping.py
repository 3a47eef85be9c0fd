# SPDX-License-Identifier: MIT
"""Collecting what no mailbox and no queue names any more: contents, body files, leftovers of crashes.

May be killed anywhere and run by several at once: each step is complete in itself, and the next run goes on. A body
file outlives its row by `GRACE`, so that whoever is sending it to a client can finish; a file without a row is left
alone for `LEFTOVER_AGE`, so that one whose unit is on its way to the database is never taken (design section 4).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path

from django.db import transaction
from django.db.models import Exists, Max, OuterRef, QuerySet

from mailserver.outqueue.models import QueuedRecipient
from mailserver.store.blobs import BlobStore
from mailserver.store.chunks import in_chunks
from mailserver.store.models import Content, Entry, RetiredBlob
from mailserver.store.opening import open_blobs, spool_folder
from mailserver.store.textindex_opening import forget_texts
from mailserver.values import ContentId

GRACE = timedelta(hours=1)
LEFTOVER_AGE = timedelta(days=1)
IDS_AT_ONCE = 5000
"""Contents looked through by one query: some milliseconds, so that a writer who waits does not wait long."""
DELETIONS_AT_ONCE = 200


@dataclass(frozen=True, slots=True)
class Collected:
    """What one run removed."""

    contents: int = 0
    blobs: int = 0
    leftovers: int = 0


def collect_orphans(now: datetime, blobs: BlobStore | None = None, spool: Path | None = None) -> Collected:
    """Remove what has been orphaned for long enough. A failure of the body store passes through; nothing is lost."""
    blobs = blobs or open_blobs()
    contents = sum(_delete_contents(ids, now) for ids in _find_orphans(now - GRACE))
    return Collected(
        contents=contents,
        blobs=_delete_retired(blobs, now - GRACE) + _delete_unknown(blobs, now - LEFTOVER_AGE),
        leftovers=blobs.tidy(now - LEFTOVER_AGE) + _delete_spooled(spool or spool_folder(), now - LEFTOVER_AGE),
    )


def count_orphans(now: datetime) -> int:
    """Contents that the next run would remove; many of them mean that there has been none for long."""
    return sum(map(len, _find_orphans(now - GRACE)))


def _find_orphans(before: datetime) -> Iterator[list[int]]:
    """Ids of contents that nobody has, a few at a time. Once nobody has a content, nobody can get it again."""
    last = Content.objects.aggregate(last=Max("id"))["last"] or 0
    for start in range(0, last + 1, IDS_AT_ONCE):
        rows = Content.objects.filter(id__gt=start, id__lte=start + IDS_AT_ONCE, created__lt=before)
        yield from map(list, in_chunks(list(_unused(rows).values_list("id", flat=True)), DELETIONS_AT_ONCE))


def _unused(rows: QuerySet[Content]) -> QuerySet[Content]:
    entries = Entry.objects.filter(content=OuterRef("pk"))
    queued = QueuedRecipient.objects.filter(content=OuterRef("pk"))
    return rows.filter(~Exists(entries), ~Exists(queued))


def _delete_contents(ids: list[int], now: datetime) -> int:
    """Their text goes from the index only after they are gone: what is there is believed."""
    deleted = _delete_rows(ids, now)
    forget_texts([ContentId(id_) for id_ in ids])
    return deleted


@transaction.atomic
def _delete_rows(ids: list[int], now: datetime) -> int:
    """Rows go; their files are noted, to go later."""
    rows = Content.objects.filter(id__in=ids)
    names = rows.exclude(blob="").values_list("blob", flat=True)
    RetiredBlob.objects.bulk_create([RetiredBlob(name=name, retired=now) for name in names], ignore_conflicts=True)
    return rows.delete()[0]


def _delete_retired(blobs: BlobStore, before: datetime) -> int:
    """Files whose rows have been gone for the grace period."""
    rows = list(RetiredBlob.objects.filter(retired__lt=before))
    for row in rows:
        blobs.delete(row.name)
        row.delete()
    return len(rows)


def _delete_unknown(blobs: BlobStore, before: datetime) -> int:
    """Files that no row names: their process died between keeping them and committing."""
    old = (blob.name for blob in blobs.list_kept() if blob.kept < before)
    removed = 0
    while names := set(islice(old, DELETIONS_AT_ONCE)):
        known = Content.objects.filter(blob__in=names).exclude(blob="").values_list("blob", flat=True)
        retired = RetiredBlob.objects.filter(name__in=names).values_list("name", flat=True)
        for name in names.difference(known, retired):
            blobs.delete(name)
            removed += 1
    return removed


def _delete_spooled(folder: Path, before: datetime) -> int:
    """Spool files that nobody has written to for so long: their process died while it received a message."""
    if not folder.is_dir():
        return 0
    old = [path for path in folder.iterdir() if _modified(path) < before]
    for path in old:
        path.unlink(missing_ok=True)
    return len(old)


def _modified(path: Path) -> datetime:
    """When it was last written; now for one that has just gone."""
    try:
        return datetime.fromtimestamp(path.stat().st_mtime, UTC)
    except FileNotFoundError:
        return datetime.now(UTC)
