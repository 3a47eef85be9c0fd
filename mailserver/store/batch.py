# SPDX-License-Identifier: MIT
"""A batch of units as rows: everything that one transaction of the group commit reads and writes.

Mailbox rows are locked in the order of their ids until the commit: unsorted, two processes deadlock on PostgreSQL. On
SQLite the transaction is the lock. Rows are written in bulk: a batch of twenty costs a few statements more than one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import TypeVar

from mailserver import clock, notices
from mailserver.errors import MailError
from mailserver.store.bulk import Row, Table
from mailserver.store.chunks import in_chunks
from mailserver.store.foreign import Claims, write_foreign
from mailserver.store.interface import Filing, NewContent, Unit, UnitResult
from mailserver.store.ledger import EntryState, Ledger, MailboxState, entries_of, mailboxes_of
from mailserver.store.models import Content, Entry, Expunged, Mailbox
from mailserver.store.records import JOURNEYS, QUEUED, STEPS, clean, journey_row, queued_rows, step_row, work_row
from mailserver.values import ContentId, MailboxId, ModSeq, Uid
from mailserver.work.models import WorkItem

T = TypeVar("T")


CONTENTS = Table(Content, "ref", "sha256", "head", "return_path_size", "body", "blob", "size", "fields", "created")
ENTRIES = Table(Entry, "mailbox", "uid", "modseq", "flags", "size", "internal_date", "saved", "held", "content")
EXPUNGED = Table(Expunged, "mailbox", "uid", "modseq")
MAILBOXES = Table(Mailbox, "id", "uid_next", "modseq", "messages", "unseen", "deleted", "size")
LOCKED_MAILBOXES = (
    Mailbox.objects.select_for_update(no_key=True)
    .order_by("id")
    .values_list("id", "uid_validity", "uid_next", "modseq", "messages", "unseen", "deleted", "size")
)


@dataclass(frozen=True, slots=True)
class Prepared:
    """A unit whose large bodies are already kept: for each filing the name of its body file, empty for none."""

    unit: Unit
    blobs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Written:
    """What became of each unit, and which notices to publish once it is committed."""

    outcomes: tuple[UnitResult | MailError, ...]
    topics: tuple[str, ...]


def write_batch(batch: Sequence[Prepared]) -> Written:
    """Carry out the units one after the other, within the caller's transaction.

    A unit one of whose mailboxes is gone, or whose claim somebody else has, has a MailError for its outcome and
    leaves no trace. Any exception is the whole batch's: the caller rolls back.
    """
    now = clock.now()
    ledger = Ledger(_lock_mailboxes(prepared.unit for prepared in batch), {}, now)
    claims = Claims([prepared.unit for prepared in batch])
    errors = [_check(ledger, claims, prepared.unit) for prepared in batch]
    good = [prepared for prepared, error in zip(batch, errors, strict=True) if error is None]
    _load_entries(ledger, good)
    contents = iter(_insert_contents(good, now))
    kept: list[tuple[Filing, ContentId]] = []
    outcomes: list[UnitResult | MailError] = []
    for prepared, error in zip(batch, errors, strict=True):
        if error is not None:
            outcomes.append(error)
            continue
        ids = [next(contents) for _ in prepared.unit.filings]
        outcomes.append(ledger.carry_out(prepared.unit, ids))
        kept += zip(prepared.unit.filings, ids, strict=True)
    _write_ledger(ledger)
    _write_records([prepared.unit for prepared in good], kept, now)
    return Written(tuple(outcomes), tuple(_topics(ledger, good)))


def _check(ledger: Ledger, claims: Claims, unit: Unit) -> MailError | None:
    try:
        ledger.check(unit)
        claims.check(unit)
    except MailError as error:
        return error
    return None


# ---------------------------------------------------------------- reading and locking


def _lock_mailboxes(units: Iterable[Unit]) -> dict[MailboxId, MailboxState]:
    ids = sorted({mailbox for unit in units for mailbox in mailboxes_of(unit)})
    if not ids:
        return {}
    return {
        MailboxId(row[0]): MailboxState(MailboxId(row[0]), *row[1:])
        for chunk in in_chunks(ids)
        for row in LOCKED_MAILBOXES.filter(id__in=chunk)
    }


def _load_entries(ledger: Ledger, batch: Iterable[Prepared]) -> None:
    """Bring the existing entries that the units name; those that are gone or held are passed over."""
    wanted: dict[MailboxId, set[Uid]] = {}
    for prepared in batch:
        for mailbox, uids in entries_of(prepared.unit):
            wanted.setdefault(mailbox, set()).update(uids)
    for mailbox in wanted:
        ledger.entries[mailbox] = {entry.uid: entry for entry in _read_entries(mailbox, wanted[mailbox])}


def _read_entries(mailbox: MailboxId, uids: set[Uid]) -> Iterator[EntryState]:
    rows = Entry.objects.filter(mailbox=mailbox, held=False).values_list(
        "uid", "modseq", "flags", "size", "internal_date", "saved", "content_id", "id"
    )
    for chunk in in_chunks(sorted(uids)):
        dense = chunk[-1] - chunk[0] < 2 * len(chunk)
        found = rows.filter(uid__range=(chunk[0], chunk[-1])) if dense else rows.filter(uid__in=chunk)
        for uid, modseq, flags, size, internal_date, saved, content, row in found:
            if uid in uids:
                yield EntryState(
                    mailbox=mailbox,
                    uid=Uid(uid),
                    modseq=ModSeq(modseq),
                    flags=parse_flags(flags),
                    size=size,
                    internal_date=internal_date,
                    saved=saved,
                    content=ContentId(content),
                    row=row,
                )


@lru_cache(maxsize=1024)
def parse_flags(text: str) -> frozenset[str]:
    """The flags of an entry's column; few combinations ever occur, and equal ones share one set."""
    return frozenset(text.split())


@lru_cache(maxsize=1024)
def format_flags(flags: frozenset[str]) -> str:
    """The flags as an entry's column holds them."""
    return clean(" ".join(sorted(flags)))


# ---------------------------------------------------------------- writing


def _insert_contents(batch: Iterable[Prepared], now: datetime) -> list[ContentId]:
    ids = CONTENTS.insert_for_ids(
        _content_row(filing.content, blob, now)
        for prepared in batch
        for filing, blob in zip(prepared.unit.filings, prepared.blobs, strict=True)
    )
    return [ContentId(id_) for id_ in ids]


def _content_row(new: NewContent, blob: str, now: datetime) -> Row:
    fields = {name: clean(value) for name, value in new.fields.items()}
    body = None if blob else new.body.data
    return (new.ref, new.body.sha256, new.head, new.return_path_size, body, blob, new.size, fields, now)


def _write_ledger(ledger: Ledger) -> None:
    ENTRIES.insert(_entry_row(entry) for entry in ledger.added)
    EXPUNGED.insert((gone.mailbox, gone.uid, gone.modseq) for gone in ledger.gone)
    _update_entries(ledger.changed)
    for chunk in in_chunks([entry.row for entry in ledger.removed]):
        Entry.objects.filter(id__in=chunk).delete()
    MAILBOXES.update(_mailbox_row(ledger.mailboxes[mailbox]) for mailbox in sorted(ledger.touched))


def _entry_row(entry: EntryState) -> Row:
    return (
        entry.mailbox,
        entry.uid,
        entry.modseq,
        format_flags(entry.flags),
        entry.size,
        entry.internal_date,
        entry.saved,
        entry.held,
        entry.content,
    )


def _mailbox_row(state: MailboxState) -> Row:
    return (state.id, state.uid_next, state.modseq, state.messages, state.unseen, state.deleted, state.size)


def _update_entries(entries: Iterable[EntryState]) -> None:
    """One statement for all entries that now look alike: a STORE gives most of its entries the same."""
    alike: dict[tuple[str, int, bool], list[int]] = {}
    for entry in entries:
        alike.setdefault((format_flags(entry.flags), entry.modseq, entry.held), []).append(entry.row)
    for (flags, modseq, held), rows in alike.items():
        for chunk in in_chunks(rows):
            Entry.objects.filter(id__in=chunk).update(flags=flags, modseq=modseq, held=held)


def _write_records(units: Sequence[Unit], kept: Iterable[tuple[Filing, ContentId]], now: datetime) -> None:
    JOURNEYS.insert(journey_row(record) for unit in units for record in unit.journeys)
    STEPS.insert(step_row(record) for unit in units for record in unit.steps)
    QUEUED.insert(
        row
        for filing, content in kept
        for queued in filing.queued
        for row in queued_rows(queued, filing.content, content, now)
    )
    WorkItem.objects.bulk_create([work_row(new, now) for unit in units for new in unit.work])
    write_foreign(units, now)


def _topics(ledger: Ledger, batch: Sequence[Prepared]) -> Iterator[str]:
    for mailbox in sorted(ledger.touched):
        yield notices.mailbox_topic(mailbox)
    if any(filing.queued for prepared in batch for filing in prepared.unit.filings):
        yield notices.QUEUE
    if any(prepared.unit.work for prepared in batch):
        yield notices.WORK
