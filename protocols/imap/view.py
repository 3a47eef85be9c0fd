# SPDX-License-Identifier: MIT
"""One client's picture of the selected mailbox: which message has which number, and what it has yet to be told.

RFC 9051 §2.3.1.2, §5.2, §7.5.1 (when EXPUNGE may be sent); RFC 7162 (CONDSTORE, QRESYNC); RFC 9586 (UIDONLY);
RFC 3501 §2.3.2 (\\Recent). Pure. The store's `Changes` go in, updates come out when the client may be told.

The picture is the UIDs in order and one mod-sequence, up to which the client knows every flag: flags are not kept
here, so that 100,000 messages cost 800 KB and a flag change costs nothing. A message that is gone keeps its number
until the client has been told.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass

from mailserver.store.interface import Changes, Entry
from protocols.imap.sequence import NumberSet, SequenceSet

SMALL_EXPUNGE = 64
"""Up to so many messages are cut out of the list one by one; for more, the list is made anew."""


@dataclass(frozen=True, slots=True)
class Exists:
    """RFC 9051 §7.4.1; `recent` is sent as well to IMAP4rev1 clients."""

    count: int
    recent: int


@dataclass(frozen=True, slots=True)
class Expunged:
    """The numbers in the order in which they must be sent: each is as it is after those before it."""

    numbers: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Vanished:
    """In place of `Expunged` once QRESYNC or UIDONLY is enabled (RFC 7162 §3.2.10)."""

    uids: NumberSet


@dataclass(frozen=True, slots=True)
class FlagsChanged:
    """A FETCH response of its own accord (RFC 9051 §7.5.2); `recent` says that \\Recent belongs to the flags."""

    number: int
    uid: int
    modseq: int
    flags: frozenset[str]
    recent: bool = False


Update = Exists | Expunged | Vanished | FlagsChanged


class View:
    """Made when a mailbox is selected; `uids` are sorted, and `modseq` is the mailbox's as of that moment.

    `recent` are the UIDs that no session has seen before (RFC 3501 §2.3.2).
    """

    def __init__(self, uids: Iterable[int], modseq: int, *, recent: NumberSet | None = None) -> None:
        self._uids = array("Q", uids)
        self._recent = recent or NumberSet()
        self._modseq = modseq
        self._exists_told = len(self._uids)
        self._gone: set[int] = set()
        self._changed: dict[int, Entry] = {}
        self._known: dict[int, int] = {}
        self._expunges_held_since: int | None = None
        self.uses_uids = False
        """QRESYNC or UIDONLY is enabled: VANISHED instead of EXPUNGE."""

    # ------------------------------------------------------------ asking

    def __len__(self) -> int:
        """The number of the last message, as the client counts."""
        return len(self._uids)

    @property
    def modseq(self) -> int:
        """Up to where changes have been taken in; ask the store for what came after it."""
        return self._modseq

    @property
    def told_modseq(self) -> int:
        """Up to where the client knows everything, expunges included.

        It is what HIGHESTMODSEQ may say (RFC 7162 §3.2.5.1).
        """
        if self._expunges_held_since is not None:
            return self._expunges_held_since
        return min((entry.modseq - 1 for entry in self._changed.values()), default=self._modseq)

    @property
    def largest_uid(self) -> int:
        """0 in an empty mailbox."""
        return self._uids[-1] if self._uids else 0

    @property
    def recent_count(self) -> int:
        return len(self._recent)

    @property
    def first_recent(self) -> int:
        """The lowest UID of a recent message, 0 where there is none."""
        return self._recent.minimum

    @property
    def has_news(self) -> bool:
        return bool(self._gone or self._changed or len(self._uids) != self._exists_told)

    def uid_at(self, number: int) -> int | None:
        return self._uids[number - 1] if 1 <= number <= len(self._uids) else None

    def number_of(self, uid: int) -> int | None:
        place = bisect_left(self._uids, uid)
        return place + 1 if place < len(self._uids) and self._uids[place] == uid else None

    def numbers_for(self, entries: Sequence[Entry]) -> list[int]:
        """The message numbers of entries that the client knows of; most often they follow each other."""
        number = self.number_of(entries[0].uid) if entries else None
        if number is not None:
            uids = self._uids[number - 1 : number - 1 + len(entries)]
            if len(uids) == len(entries) and all(uid == entry.uid for uid, entry in zip(uids, entries, strict=True)):
                return list(range(number, number + len(entries)))
        numbers = self.numbers_of(entry.uid for entry in entries)
        assert len(numbers) == len(entries)
        return numbers

    def is_gone(self, uid: int) -> bool:
        """It has been expunged, and the client does not know (RFC 5530 EXPUNGEISSUED)."""
        return uid in self._gone

    @property
    def gone(self) -> Set[int]:
        """UIDs of all that are so, to be read only."""
        return self._gone

    def is_recent(self, uid: int) -> bool:
        return uid in self._recent

    def select_numbers(self, wanted: SequenceSet) -> list[int] | None:
        """The UIDs at these message numbers, or None if a number is beyond the last message.

        RFC 9051 §9 (seq-number): a client that names a message which does not exist is in error, and is answered BAD.
        """
        if wanted.largest_named > len(self._uids) or (wanted.ranges and not self._uids):
            return None
        numbers = wanted.resolve(len(self._uids))
        found: list[int] = []
        for first, last in numbers.ranges:
            found.extend(self._uids[first - 1 : last])
        return found

    def select_uids(self, wanted: SequenceSet) -> list[int]:
        """Those of the UIDs that are there; the others are passed over (RFC 9051 §6.4.9)."""
        return wanted.resolve(self.largest_uid).of_sorted(self._uids)

    def intersect_uids(self, wanted: NumberSet) -> list[int]:
        """The same for numbers that are known, as a saved search result is."""
        return wanted.of_sorted(self._uids)

    def numbers_of(self, uids: Iterable[int]) -> list[int]:
        """Message numbers, in the order of the UIDs; those that are not there are left out."""
        return [number for uid in uids if (number := self.number_of(uid)) is not None]

    @property
    def uids(self) -> Sequence[int]:
        """All of them, to be read only."""
        return self._uids

    # ------------------------------------------------------------ taking in

    def apply(self, changes: Changes) -> None:
        """What the store says has happened since `modseq`; doing it twice changes nothing."""
        arrived: list[int] = []
        for uid in changes.vanished:
            self._changed.pop(uid, None)
            if self.number_of(uid) is not None:
                self._gone.add(uid)
        if self._gone and self._expunges_held_since is None:
            self._expunges_held_since = self._modseq
        largest = self.largest_uid
        for entry in changes.changed:
            if entry.uid > largest:
                arrived.append(entry.uid)
            elif entry.uid not in self._gone and entry.modseq > self._known.get(entry.uid, 0):
                self._note_change(entry)
        if arrived:
            arrived.sort()
            self._uids.extend(arrived)
            self._recent = self._recent.union(NumberSet.from_numbers(arrived))
        self._modseq = max(self._modseq, changes.modseq)
        if self._known:
            self._known = {uid: modseq for uid, modseq in self._known.items() if modseq > self._modseq}

    def _note_change(self, entry: Entry) -> None:
        if entry.modseq > self._modseq and self.number_of(entry.uid) is not None:
            self._changed[entry.uid] = entry

    def note_known(self, uid: int, modseq: int) -> None:
        """The client has been told of this message's flags, or made the change itself and asked for silence
        (RFC 9051 §6.4.6): no update is owed for it up to `modseq`."""
        pending = self._changed.get(uid)
        if pending and pending.modseq <= modseq:
            del self._changed[uid]
        if modseq > self._modseq:
            self._known[uid] = max(modseq, self._known.get(uid, 0))

    def note_all_known(self, entries: Sequence[Entry]) -> None:
        """The same for many, of which few are news."""
        if self._changed or any(entry.modseq > self._modseq for entry in entries):
            for entry in entries:
                self.note_known(entry.uid, entry.modseq)

    def owes(self, uid: int, modseq: int) -> bool:
        """Whether the client has not been told of flags that the message had at this mod-sequence."""
        return uid in self._changed or modseq > max(self._modseq, self._known.get(uid, 0))

    # ------------------------------------------------------------ telling

    def updates(self, *, may_expunge: bool) -> list[Update]:
        """What the client is told now; it counts as told from here on.

        `may_expunge` is False at the end of FETCH, STORE and SEARCH (so also SORT and THREAD) by message number, when
        a changed number would be misread, and outside any command but IDLE (RFC 9051 §5.5, §7.5.1); their UID forms
        and all others allow it. What is held back waits for the next that does.
        """
        told: list[Update] = []
        if may_expunge and self._gone:
            told += self._tell_expunges()
        if len(self._uids) != self._exists_told:
            self._exists_told = len(self._uids)
            told.append(Exists(len(self._uids), len(self._recent)))
        told += self._tell_flags()
        return told

    def _tell_expunges(self) -> list[Update]:
        """Messages that came and went unseen are not mentioned."""
        uids = sorted(self._gone)
        numbers = self.numbers_of(uids)
        seen = bisect_right(numbers, self._exists_told)
        self._remove(numbers)
        self._exists_told -= seen
        self._gone.clear()
        self._expunges_held_since = None
        self._recent = self._recent.difference(NumberSet.from_numbers(uids))
        if not seen:
            return []
        if self.uses_uids:
            return [Vanished(NumberSet.from_numbers(uids[:seen]))]
        # From the last to the first, so that no number moves before it is used.
        return [Expunged(tuple(reversed(numbers[:seen])))]

    def _remove(self, numbers: Sequence[int]) -> None:
        if len(numbers) <= SMALL_EXPUNGE:
            for number in reversed(numbers):
                del self._uids[number - 1]
            return
        kept = array("Q")
        start = 0
        for number in numbers:
            kept.extend(self._uids[start : number - 1])
            start = number
        kept.extend(self._uids[start:])
        self._uids = kept

    def _tell_flags(self) -> list[FlagsChanged]:
        told: list[FlagsChanged] = []
        for uid in sorted(self._changed):
            number = self.number_of(uid)
            if number is not None:
                entry = self._changed[uid]
                told.append(FlagsChanged(number, uid, entry.modseq, entry.flags, uid in self._recent))
        self._changed.clear()
        return told
