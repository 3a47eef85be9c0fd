# SPDX-License-Identifier: MIT
"""A table of entries behaves like a dictionary of them, whatever is put in, taken out and asked for."""

from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from mailserver.store.entries import Entry, EntryTable, microseconds
from mailserver.values import ContentId, Flag, ModSeq, Uid

FLAG_SETS = (frozenset[str](), frozenset({Flag.SEEN.value}), frozenset({Flag.DELETED.value, "$Work"}))
MOMENTS = st.datetimes(timezones=st.just(UTC)) | st.just(datetime(1969, 12, 31, 23, 59, 59, 999999, UTC))
uids = st.integers(1, 60)
entries = st.builds(
    lambda uid, modseq, flags, size, internal, saved, content: Entry(
        Uid(uid), ModSeq(modseq), flags, size, microseconds(internal), microseconds(saved), ContentId(content)
    ),
    uids,
    st.integers(1, 2**63 - 1),
    st.sampled_from(FLAG_SETS),
    st.integers(0, 2**40),
    MOMENTS,
    MOMENTS,
    st.integers(1, 2**62),
)


class TableAndDictionary(RuleBasedStateMachine):
    """The same is done to both."""

    def __init__(self) -> None:
        super().__init__()
        self.table = EntryTable()
        self.model: dict[int, Entry] = {}

    @rule(entry=entries)
    def put(self, entry: Entry) -> None:
        self.table.put(entry)
        self.model[entry.uid] = entry

    @rule(gone=st.lists(uids, max_size=40))
    def remove(self, gone: list[int]) -> None:
        self.table.remove(gone)
        for uid in gone:
            self.model.pop(uid, None)

    @rule(more=st.lists(entries, max_size=30, unique_by=lambda entry: entry.uid))
    def extend(self, more: list[Entry]) -> None:
        last = max(self.model, default=0)
        new = sorted((entry for entry in more if entry.uid > last), key=lambda entry: entry.uid)
        self.table.extend(EntryTable.of(new))
        self.model |= {entry.uid: entry for entry in new}

    @rule(asked=st.lists(uids, max_size=40) | st.builds(lambda a, b: list(range(a, b)), uids, uids))
    def pick(self, asked: list[int]) -> None:
        there = [self.model[uid] for uid in asked if uid in self.model]
        assert self.table.pick(asked) == there
        for wanted in FLAG_SETS:
            assert self.table.pick(asked, wanted.__eq__) == [entry for entry in there if entry.flags == wanted]

    @rule(modseq=st.integers(0, 2**63))
    def changed(self, modseq: int) -> None:
        assert self.table.changed_since(modseq) == [entry for entry in self.in_order() if entry.modseq > modseq]

    @rule(flag=st.sampled_from(["\\Seen", "\\Deleted", "$Work", "other"]), start=uids)
    def look_for_flags(self, flag: str, start: int) -> None:
        without = [entry.uid for entry in self.in_order() if flag not in entry.flags]
        assert self.table.first_where(lambda flags: flag not in flags) == next(iter(without), None)
        assert self.table.uids_where(lambda flags: flag not in flags, start) == [uid for uid in without if uid >= start]

    @invariant()
    def same(self) -> None:
        assert list(self.table) == self.in_order()
        assert list(self.table.uids) == sorted(self.model)
        assert list(self.table.flags) == [entry.flags for entry in self.in_order()]
        assert len(self.table) == len(self.model)
        for uid in (1, 30, 60):
            assert self.table.get(uid) == self.model.get(uid)
            assert (uid in self.table) == (uid in self.model)

    def in_order(self) -> list[Entry]:
        return [self.model[uid] for uid in sorted(self.model)]


TestTableAndDictionary = TableAndDictionary.TestCase


@given(MOMENTS, MOMENTS)
def test_moments_come_back_as_they_were(internal: datetime, saved: datetime) -> None:
    entry = Entry(Uid(1), ModSeq(1), frozenset(), 1, microseconds(internal), microseconds(saved), ContentId(1))
    assert (entry.internal_date, entry.saved) == (internal, saved)
