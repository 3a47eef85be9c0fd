# SPDX-License-Identifier: MIT
"""A message in a mailbox, and many of them in little room: what the store tells of a mailbox without reading a message.

Pure. A table holds columns of numbers instead of objects, some sixty bytes for each message, and makes an `Entry` when
one is asked for: a mailbox of 100,000 messages is opened by filling seven columns.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import compress
from typing import Any, NamedTuple, cast

from mailserver.values import ContentId, ModSeq, Uid

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
FlagsTest = Callable[[frozenset[str]], bool]
"""Whether the flags of a message are as somebody wants them."""
FEW = 8
"""Up to so many entries are picked one by one, and up to so many are cut out one by one."""


class Entry(NamedTuple):
    """A message in a mailbox, without its bytes."""

    uid: Uid
    modseq: ModSeq
    flags: frozenset[str]
    size: int
    internal_microseconds: int
    """Since 1970."""
    saved_microseconds: int
    content: ContentId

    @property
    def internal_date(self) -> datetime:
        return moment_of(self.internal_microseconds)

    @property
    def saved(self) -> datetime:
        return moment_of(self.saved_microseconds)


def microseconds(moment: datetime) -> int:
    """As an entry keeps it, exactly."""
    return (moment - EPOCH) // timedelta(microseconds=1)


def moment_of(microseconds_since_1970: int) -> datetime:
    """The other way round."""
    return EPOCH + timedelta(microseconds=microseconds_since_1970)


_make_entry = cast("Callable[[tuple[Any, ...]], Entry]", partial(tuple.__new__, Entry))
"""Without the constructor's own work: a search makes 100,000 of them."""

NUMBERS = "QQQqqQ"
"""The types of all columns but that of the flags: uid, modseq, size, both dates, content."""


class EntryTable:
    """Entries in the order of their UIDs, each UID once."""

    __slots__ = ("_columns", "_flags", "_uids")

    def __init__(self, columns: Sequence[Iterable[int]] = ((),) * len(NUMBERS), flags: Iterable[frozenset[str]] = ()):
        """The columns as `NUMBERS` has them, UIDs rising."""
        self._columns = [array(kind, column) for kind, column in zip(NUMBERS, columns, strict=True)]
        self._uids = self._columns[0]
        self._flags = list(flags)

    @classmethod
    def of(cls, entries: Sequence[Entry]) -> EntryTable:
        """From entries in order."""
        table = cls()
        for entry in entries:
            table._insert(len(table), entry)
        return table

    # ------------------------------------------------------------ asking

    def __len__(self) -> int:
        return len(self._uids)

    def __contains__(self, uid: int) -> bool:
        return self._place(uid) is not None

    def __iter__(self) -> Iterator[Entry]:
        return iter(self.slice(0, len(self)))

    @property
    def uids(self) -> Sequence[int]:
        """All of them, to be read only; it may change when the table does."""
        return self._uids

    @property
    def flags(self) -> Sequence[frozenset[str]]:
        """Of each, in the same order, to be read only."""
        return self._flags

    @property
    def contents(self) -> Sequence[int]:
        """Of each, in the same order, to be read only."""
        return self._columns[-1]

    def get(self, uid: int) -> Entry | None:
        place = self._place(uid)
        return None if place is None else self._entry(place)

    def pick(self, uids: Sequence[int], holds: FlagsTest | None = None) -> list[Entry]:
        """The entries with these UIDs, in the order asked, if they are there and their flags are so.

        Of many that lie side by side only those are made whose flags are so.
        """
        if len(uids) > FEW:
            first = self._place(uids[0])
            if first is not None and self._uids[first : first + len(uids)] == array("Q", uids):
                places = range(first, first + len(uids))
                return self.slice(first, places.stop) if holds is None else self._pick_where(places, holds)
        found = [self._entry(place) for uid in uids if (place := self._place(uid)) is not None]
        return found if holds is None else [entry for entry in found if holds(entry.flags)]

    def slice(self, start: int, end: int) -> list[Entry]:
        """Those at these places."""
        uids, modseqs, sizes, internal, saved, contents = (column[start:end] for column in self._columns)
        rows = zip(uids, modseqs, self._flags[start:end], sizes, internal, saved, contents, strict=True)
        return list(map(_make_entry, rows))

    def changed_since(self, modseq: int) -> list[Entry]:
        """Those with a higher mod-sequence."""
        return [self._entry(place) for place, found in enumerate(self._columns[1]) if found > modseq]

    def first_where(self, holds: FlagsTest) -> int | None:
        """The lowest UID whose flags are so. Few sets of flags occur, so each is looked at once."""
        places = (self._flags.index(flags) for flags in set(self._flags) if holds(flags))
        first = min(places, default=None)
        return None if first is None else self._uids[first]

    def uids_where(self, holds: FlagsTest, from_uid: int = 0) -> list[int]:
        """The UIDs from this one on whose flags are so."""
        start = bisect_left(self._uids, from_uid)
        flags = self._flags[start:]
        wanted = {found for found in set(flags) if holds(found)}
        return list(compress(self._uids[start:], map(wanted.__contains__, flags))) if wanted else []

    # ------------------------------------------------------------ changing

    def extend(self, other: EntryTable) -> None:
        """Entries with higher UIDs."""
        for column, more in zip(self._columns, other._columns, strict=True):
            column.extend(more)
        self._flags += other._flags

    def put(self, entry: Entry) -> None:
        """A new one, or one that has changed."""
        place = bisect_left(self._uids, entry.uid)
        if place < len(self._uids) and self._uids[place] == entry.uid:
            for column, value in zip(self._columns, _numbers(entry), strict=True):
                column[place] = value
            self._flags[place] = entry.flags
        else:
            self._insert(place, entry)

    def remove(self, uids: Iterable[int]) -> None:
        """Those that are there."""
        places = sorted({place for uid in uids if (place := self._place(uid)) is not None}, reverse=True)
        if len(places) <= FEW:
            for place in places:
                for column in self._columns:
                    del column[place]
                del self._flags[place]
            return
        kept = bytearray(b"\1" * len(self))
        for place in places:
            kept[place] = 0
        self._columns = [array(column.typecode, compress(column, kept)) for column in self._columns]
        self._uids = self._columns[0]
        self._flags = list(compress(self._flags, kept))

    # ------------------------------------------------------------ inside

    def _pick_where(self, places: range, holds: FlagsTest) -> list[Entry]:
        flags = self._flags[places.start : places.stop]
        wanted = {found for found in set(flags) if holds(found)}
        fits = list(map(wanted.__contains__, flags))
        if sum(fits) * FEW < len(places):
            return list(map(self._entry, compress(places, fits)))
        return list(compress(self.slice(places.start, places.stop), fits))

    def _place(self, uid: int) -> int | None:
        place = bisect_left(self._uids, uid)
        return place if place < len(self._uids) and self._uids[place] == uid else None

    def _entry(self, place: int) -> Entry:
        uids, modseqs, sizes, internal, saved, contents = self._columns
        return _make_entry(
            (
                uids[place],
                modseqs[place],
                self._flags[place],
                sizes[place],
                internal[place],
                saved[place],
                contents[place],
            )
        )

    def _insert(self, place: int, entry: Entry) -> None:
        for column, value in zip(self._columns, _numbers(entry), strict=True):
            column.insert(place, value)
        self._flags.insert(place, entry.flags)


def _numbers(entry: Entry) -> tuple[int, ...]:
    return (
        entry.uid,
        entry.modseq,
        entry.size,
        entry.internal_microseconds,
        entry.saved_microseconds,
        entry.content,
    )
