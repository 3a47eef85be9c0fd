# SPDX-License-Identifier: MIT
"""What a unit does to mailboxes: UIDs and mod-sequences given out, flags changed, entries copied and removed.

RFC 9051 §2.3.1.1 (UIDs rise and never return), §6.4.6 to §6.4.9; RFC 7162 §3.1 (one new mod-sequence for each change);
RFC 6851 (MOVE). Pure: both stores bring their mailboxes and entries, and write down what has changed. `database.py`
loads those that a batch names, locked; `memory.py` has them all.

One change to many entries (a STORE, an EXPUNGE) gives them all the same mod-sequence, as RFC 7162 §3.1 allows: a client
asks for what came after a number, and a database updates them in one statement.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from operator import attrgetter

from mailserver.errors import Kind, MailError
from mailserver.store.entries import microseconds
from mailserver.store.interface import (
    Alteration,
    Changes,
    Copying,
    CopyResult,
    Entry,
    Filed,
    FlagChange,
    MailboxCounts,
    NewEntry,
    Removal,
    Unit,
    UnitResult,
)
from mailserver.store.rights import FLAG_RIGHTS, right_for
from mailserver.values import ContentId, Flag, MailboxId, ModSeq, Uid

NO_FLAGS: frozenset[str] = frozenset()
FLAG_PATTERN = re.compile(r"[!-~]+")
"""Wider than RFC 9051 §9 `flag`; what matters here is that no flag holds a space, which separates them in a row."""


@dataclass(slots=True)
class MailboxState:
    """A mailbox's counters, as they stand in the middle of a batch. Held entries are not counted."""

    id: MailboxId
    uid_validity: int
    uid_next: int = 1
    modseq: int = 1
    messages: int = 0
    unseen: int = 0
    deleted: int = 0
    size: int = 0

    def next_uid(self) -> Uid:
        uid = self.uid_next
        self.uid_next += 1
        return Uid(uid)

    def next_modseq(self) -> ModSeq:
        self.modseq += 1
        return ModSeq(self.modseq)

    def counts(self) -> MailboxCounts:
        return MailboxCounts(self.messages, self.unseen, self.deleted, self.size)

    def tally(self, entry: EntryState, sign: int) -> None:
        """Count an entry in (1) or out (-1), with the flags that it has now."""
        self.messages += sign
        self.size += sign * entry.size
        if Flag.SEEN not in entry.flags:
            self.unseen += sign
        if Flag.DELETED in entry.flags:
            self.deleted += sign


@dataclass(slots=True, eq=False)
class EntryState:
    """An entry as it stands in the middle of a batch; `row` is its key in the database, 0 for a new one."""

    mailbox: MailboxId
    uid: Uid
    modseq: ModSeq
    flags: frozenset[str]
    size: int
    internal_date: datetime
    saved: datetime
    content: ContentId
    row: int = 0
    held: bool = False

    def as_entry(self) -> Entry:
        internal, saved = microseconds(self.internal_date), microseconds(self.saved)
        return Entry(self.uid, self.modseq, self.flags, self.size, internal, saved, self.content)


@dataclass(frozen=True, slots=True)
class Gone:
    """A UID that left a mailbox, and the mod-sequence of that."""

    mailbox: MailboxId
    uid: Uid
    modseq: ModSeq


def mailboxes_of(unit: Unit) -> Iterator[MailboxId]:
    """Every mailbox that the unit touches; some may come more than once."""
    for filing in unit.filings:
        for entry in filing.entries:
            yield entry.mailbox
    for change in unit.flag_changes:
        yield change.mailbox
    for copying in unit.copies:
        yield copying.source
        yield copying.target
    for removal in unit.removals:
        yield removal.mailbox


def entries_of(unit: Unit) -> Iterator[tuple[MailboxId, Sequence[Uid]]]:
    """The existing entries that the unit names."""
    for change in unit.flag_changes:
        yield change.mailbox, change.uids
    for copying in unit.copies:
        yield copying.source, copying.uids
    for removal in unit.removals:
        yield removal.mailbox, removal.uids


def flags_of(unit: Unit) -> Iterator[str]:
    """Every flag that the unit would set."""
    for filing in unit.filings:
        for entry in filing.entries:
            yield from entry.flags
    for change in unit.flag_changes:
        yield from change.add
        yield from change.replace or ()


@dataclass(slots=True)
class Ledger:
    """The mailboxes and entries of a batch, changed by one unit after the other; and what was changed.

    `entries` holds visible ones only. A unit that `check` let pass cannot fail any more.
    """

    mailboxes: dict[MailboxId, MailboxState]
    entries: dict[MailboxId, dict[Uid, EntryState]]
    now: datetime
    touched: set[MailboxId] = field(default_factory=set)
    added: dict[EntryState, None] = field(default_factory=dict)
    changed: dict[EntryState, None] = field(default_factory=dict)
    removed: list[EntryState] = field(default_factory=list)
    gone: list[Gone] = field(default_factory=list)
    since: dict[MailboxId, ModSeq] = field(default_factory=dict)
    """The mod-sequences of the mailboxes before the first change."""

    def check(self, unit: Unit) -> None:
        """Raises NOT_FOUND when a mailbox of the unit is not there, FORBIDDEN for a flag that cannot be."""
        for mailbox in mailboxes_of(unit):
            if mailbox not in self.mailboxes:
                raise MailError(Kind.NOT_FOUND, f"mailbox {mailbox} is gone")
        for flag in flags_of(unit):
            if not FLAG_PATTERN.fullmatch(flag):
                raise MailError(Kind.FORBIDDEN, f"not a flag: {flag[:80]!r}")

    def carry_out(self, unit: Unit, contents: Sequence[ContentId]) -> UnitResult:
        """Do all that the unit says about mailboxes; `contents` are the ids of its new contents, filing by filing."""
        filed = tuple(
            self._file(entry, filing.content.size, content)
            for filing, content in zip(unit.filings, contents, strict=True)
            for entry in filing.entries
        )
        if not (unit.flag_changes or unit.copies or unit.removals):
            return UnitResult(filed, tuple(contents))
        return UnitResult(
            filed=filed,
            contents=tuple(contents),
            not_changed=tuple([self._change_flags(change) for change in unit.flag_changes]),
            copied=tuple([self._copy(copying) for copying in unit.copies]),
            removed=tuple([self._remove(removal) for removal in unit.removals]),
        )

    def alterations(self) -> tuple[Alteration, ...]:
        """What all units together have done to each mailbox."""
        changed: dict[MailboxId, list[Entry]] = {mailbox: [] for mailbox in self.touched}
        vanished: dict[MailboxId, list[Uid]] = {mailbox: [] for mailbox in self.touched}
        for entry in (*self.changed, *self.added):
            if not entry.held:
                changed[entry.mailbox].append(entry.as_entry())
        for gone in self.gone:
            vanished[gone.mailbox].append(gone.uid)
        return tuple([self._alteration(self.mailboxes[id_], changed[id_], vanished[id_]) for id_ in self.touched])

    def _alteration(self, mailbox: MailboxState, changed: list[Entry], vanished: list[Uid]) -> Alteration:
        changed.sort(key=attrgetter("uid"))
        changes = Changes(tuple(changed), tuple(sorted(vanished)), ModSeq(mailbox.modseq))
        return Alteration(
            mailbox.id, self.since[mailbox.id], changes, Uid(mailbox.uid_next), mailbox.uid_validity, mailbox.counts()
        )

    def _next_modseq(self, mailbox: MailboxState) -> ModSeq:
        self.since.setdefault(mailbox.id, ModSeq(mailbox.modseq))
        return mailbox.next_modseq()

    def _file(self, new: NewEntry, size: int, content: ContentId) -> Filed:
        mailbox = self.mailboxes[new.mailbox]
        entry = EntryState(
            new.mailbox,
            mailbox.next_uid(),
            self._next_modseq(mailbox),
            new.flags,
            size,
            new.internal_date or self.now,
            self.now,
            content,
        )
        self._add(mailbox, entry)
        return Filed(mailbox.id, mailbox.uid_validity, entry.uid, entry.modseq)

    def _add(self, mailbox: MailboxState, entry: EntryState) -> None:
        self.entries.setdefault(mailbox.id, {})[entry.uid] = entry
        self.added[entry] = None
        self.touched.add(mailbox.id)
        mailbox.tally(entry, 1)

    def _find(self, mailbox: MailboxId, uids: Iterable[Uid]) -> list[EntryState]:
        """Those of the UIDs that are there, each once, in the order given."""
        entries = self.entries.get(mailbox, {})
        return [entries[uid] for uid in dict.fromkeys(uids) if uid in entries]

    def _change_flags(self, change: FlagChange) -> tuple[Uid, ...]:
        mailbox = self.mailboxes[change.mailbox]
        protected = []
        wanted = []
        for entry in self._find(change.mailbox, change.uids):
            if change.unchanged_since is not None and entry.modseq > change.unchanged_since:
                protected.append(entry.uid)
                continue
            flags = ((entry.flags if change.replace is None else change.replace) - change.remove) | change.add
            if flags != entry.flags:
                wanted.append((entry, flags))
        if wanted:
            modseq = self._next_modseq(mailbox)
            for entry, flags in wanted:
                mailbox.tally(entry, -1)
                entry.flags, entry.modseq = flags, modseq
                mailbox.tally(entry, 1)
                self._note_change(entry)
        return tuple(protected)

    def _note_change(self, entry: EntryState) -> None:
        self.touched.add(entry.mailbox)
        if entry not in self.added:
            self.changed[entry] = None

    def _copy(self, copying: Copying) -> CopyResult:
        target = self.mailboxes[copying.target]
        sources = self._find(copying.source, copying.uids)
        copies = []
        for source in sources:
            copy = replace(
                source,
                mailbox=target.id,
                uid=target.next_uid(),
                modseq=self._next_modseq(target),
                saved=self.now,
                row=0,
            )
            if not copying.keep_meta:
                copy.flags, copy.internal_date = NO_FLAGS, self.now
            elif copying.flag_rights != FLAG_RIGHTS:
                copy.flags = frozenset(flag for flag in copy.flags if right_for(flag) in copying.flag_rights)
            copies.append(copy)
        for copy in copies:
            self._add(target, copy)
        if copying.move:
            self._take_out(self.mailboxes[copying.source], sources)
        return CopyResult(
            target.uid_validity, tuple([entry.uid for entry in sources]), tuple([entry.uid for entry in copies])
        )

    def _remove(self, removal: Removal) -> tuple[Uid, ...]:
        entries = self._find(removal.mailbox, removal.uids)
        self._take_out(self.mailboxes[removal.mailbox], entries, hold=removal.hold)
        return tuple([entry.uid for entry in entries])

    def _take_out(self, mailbox: MailboxState, entries: Sequence[EntryState], *, hold: bool = False) -> None:
        """To every client a held entry is gone: it vanishes with the mod-sequence that an expunge would have."""
        if not entries:
            return
        modseq = self._next_modseq(mailbox)
        self.touched.add(mailbox.id)
        for entry in entries:
            mailbox.tally(entry, -1)
            del self.entries[mailbox.id][entry.uid]
            self.gone.append(Gone(mailbox.id, entry.uid, modseq))
            if hold:
                entry.held, entry.modseq = True, modseq
                self._note_change(entry)
            elif entry in self.added:
                del self.added[entry]
            else:
                self.changed.pop(entry, None)
                self.removed.append(entry)
