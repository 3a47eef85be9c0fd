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
from typing import Any, TypeVar

from mailserver import clock, notices
from mailserver.errors import MailError
from mailserver.store import statements
from mailserver.store.bulk import Row, Table
from mailserver.store.chunks import in_chunks
from mailserver.store.foreign import Claims, write_foreign
from mailserver.store.interface import Alteration, Filing, NewContent, Unit, UnitResult
from mailserver.store.ledger import EntryState, Ledger, MailboxState, entries_of, mailboxes_of
from mailserver.store.models import Content, Entry, Expunged, Mailbox
from mailserver.store.records import JOURNEYS, QUEUED, STEPS, clean, journey_row, queued_rows, step_row, work_row
from mailserver.values import ContentId, MailboxId, Uid
from mailserver.work.models import WorkItem

T = TypeVar("T")


CONTENTS = Table(
    Content, "ref", "sha256", "head", "return_path_size", "body", "blob", "size", "fields", "envelope", "created"
)
ENTRIES = Table(Entry, "mailbox", "uid", "modseq", "flags", "size", "internal_date", "saved", "held", "content")
EXPUNGED = Table(Expunged, "mailbox", "uid", "modseq")
CHANGED = Table(Entry, "id", "flags", "modseq", "held")
MAILBOXES = Table(Mailbox, "id", "uid_next", "modseq", "messages", "unseen", "deleted", "size")
FEW = 20
"""Up to so many entries of a mailbox are read together with others', and rows that look alike are written one by one;
for more it pays to make a statement of their own."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A unit whose large bodies are already kept: for each filing the name of its body file, empty for none."""

    unit: Unit
    blobs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Written:
    """What became of each unit and of the mailboxes, and which notices to publish once it is committed."""

    outcomes: tuple[UnitResult | MailError, ...]
    alterations: tuple[Alteration, ...]
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
    return Written(tuple(outcomes), ledger.alterations(), tuple(_topics(ledger, good)))


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
    return {row[0]: MailboxState(*row) for row in statements.MAILBOXES_LOCKED.read_among(ids)}


def _load_entries(ledger: Ledger, batch: Iterable[Prepared]) -> None:
    """Bring the existing entries that the units name; those that are gone or held are passed over."""
    wanted: dict[MailboxId, set[Uid]] = {}
    for prepared in batch:
        for mailbox, uids in entries_of(prepared.unit):
            wanted.setdefault(mailbox, set()).update(uids)
    few = {mailbox: uids for mailbox, uids in wanted.items() if len(uids) <= FEW}
    for mailbox in wanted:
        read = () if mailbox in few else _read_entries(mailbox, wanted[mailbox])
        ledger.entries[mailbox] = {entry.uid: entry for entry in read}
    pairs = [(mailbox, uid) for mailbox, uids in few.items() for uid in uids]
    for mailbox, *row in statements.ENTRIES_OF_PAIRS.read_among_pairs(pairs):
        entry = _entry_state(mailbox, row)
        ledger.entries[mailbox][entry.uid] = entry


def _read_entries(mailbox: MailboxId, uids: set[Uid]) -> Iterator[EntryState]:
    for chunk in in_chunks(sorted(uids)):
        dense = chunk[-1] - chunk[0] < 2 * len(chunk)
        if dense:
            rows = statements.ENTRIES_BETWEEN.read(mailbox, chunk[0], chunk[-1])
        else:
            rows = statements.ENTRIES_AMONG.read_among(chunk, mailbox)
        for row in rows:
            if row[0] in uids:
                yield _entry_state(mailbox, row)


def _entry_state(mailbox: MailboxId, row: Sequence[Any]) -> EntryState:
    uid, modseq, flags, size, internal_date, saved, content, key = row
    return EntryState(
        mailbox,
        uid,
        modseq,
        parse_flags(flags),
        size,
        statements.read_time(internal_date),
        statements.read_time(saved),
        content,
        key,
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
    envelope = new.envelope.to_json() if new.envelope is not None else None
    return (new.ref, new.body.sha256, new.head, new.return_path_size, body, blob, new.size, fields, envelope, now)


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
    """Many that now look alike with one statement: a STORE gives most of its entries the same."""
    alike: dict[tuple[str, int, bool], list[int]] = {}
    for entry in entries:
        alike.setdefault((format_flags(entry.flags), entry.modseq, entry.held), []).append(entry.row)
    few: list[Row] = []
    for (flags, modseq, held), rows in alike.items():
        if len(rows) <= FEW:
            few += [(row, flags, modseq, held) for row in rows]
            continue
        for chunk in in_chunks(rows):
            Entry.objects.filter(id__in=chunk).update(flags=flags, modseq=modseq, held=held)
    CHANGED.update(few)


def _write_records(units: Sequence[Unit], kept: Iterable[tuple[Filing, ContentId]], now: datetime) -> None:
    JOURNEYS.insert(journey_row(record) for unit in units for record in unit.journeys)
    STEPS.insert(step_row(record) for unit in units for record in unit.steps)
    QUEUED.insert(
        row
        for filing, content in kept
        for queued in filing.queued
        for row in queued_rows(queued, filing.content, content, now)
    )
    work = [work_row(new, now) for unit in units for new in unit.work]
    if work:
        WorkItem.objects.bulk_create(work)
    write_foreign(units, now)


def _topics(ledger: Ledger, batch: Sequence[Prepared]) -> Iterator[str]:
    for mailbox in sorted(ledger.touched):
        yield notices.mailbox_notice(mailbox, ledger.mailboxes[mailbox].modseq)
    if any(filing.queued for prepared in batch for filing in prepared.unit.filings):
        yield notices.QUEUE
    if any(prepared.unit.work for prepared in batch):
        yield notices.WORK
