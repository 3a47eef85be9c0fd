# SPDX-License-Identifier: MIT
"""The shared index of a mailbox: loaded once, right after any change, dropped when nobody needs it."""

from __future__ import annotations

import asyncio

import pytest

from mailserver import notices
from mailserver.errors import Kind, MailError
from mailserver.journey.records import next_ref
from mailserver.store.interface import (
    Alteration,
    Changes,
    Entry,
    Filing,
    FlagChange,
    MailboxCounts,
    NewContent,
    NewEntry,
    Removal,
    Unit,
)
from mailserver.store.memory import MemoryStore
from mailserver.values import ContentId, MailboxId, ModSeq, Uid, UserId
from protocols.imap import indexes as indexes_module
from protocols.imap.indexes import MailboxIndexes
from protocols.imap.mailbox_index import MailboxIndex
from protocols.net.offload import DirectOffload
from tests.support.filings import make_body
from tests.support.local_notices import LocalNotices
from tests.support.waiting import until

ALICE = UserId(1)


class Listener:
    """Remembers what it is told."""

    def __init__(self, *, wants_news: bool) -> None:
        self.wants_news = wants_news
        self.changes: list[Changes] = []
        self.gone = False

    def take(self, changes: Changes) -> None:
        self.changes.append(changes)

    def mailbox_gone(self) -> None:
        self.gone = True


class House:
    """A store with a mailbox, and the indexes of one process."""

    def __init__(self, messages: int) -> None:
        self.store = MemoryStore()
        self.inbox: MailboxId = self.store.add_user(ALICE).id
        self.heard = LocalNotices()
        self.indexes = MailboxIndexes(self.store, DirectOffload(), self.heard)
        self.file(messages)

    def file(self, messages: int) -> None:
        for _ in range(messages):
            filing = Filing(NewContent(next_ref(), make_body(b"x")), (NewEntry(self.inbox),))
            self.store.submit(Unit(filings=(filing,))).result()

    def mark(self, uid: int) -> None:
        change = FlagChange(self.inbox, (Uid(uid),), add=frozenset({"$Work"}))
        self.store.submit(Unit(flag_changes=(change,))).result()

    def remove(self, *uids: int) -> None:
        self.store.submit(Unit(removals=(Removal(self.inbox, tuple(map(Uid, uids))),))).result()

    def tell(self) -> None:
        self.heard.publish(notices.mailbox_topic(self.inbox))


async def _open(house: House) -> MailboxIndex:
    return await house.indexes.open(house.inbox)


async def test_it_follows_what_happens() -> None:
    house = House(3)
    index = await _open(house)
    assert list(index.uids) == [1, 2, 3]
    house.file(1)
    house.mark(2)
    house.remove(1)
    await index.refresh()
    assert list(index.uids) == [2, 3, 4]
    assert index.get(1) is None
    assert [entry.uid for entry in index.entries([4, 1, 2])] == [4, 2]
    assert index.keywords == {"$Work"}
    assert index.modseq == house.store.get_mailbox_by_id(house.inbox).modseq


async def test_many_at_once() -> None:
    house = House(300)
    index = await _open(house)
    house.remove(*range(1, 300, 2))
    await index.refresh()
    assert list(index.uids) == list(range(2, 301, 2))


async def test_those_who_listen_hear_of_a_notice_and_others_find_it_stale() -> None:
    house = House(1)
    index = await _open(house)
    eager, patient = Listener(wants_news=True), Listener(wants_news=False)
    index.subscribe(patient)
    house.file(1)
    house.tell()
    assert index.stale
    assert not patient.changes
    index.subscribe(eager)
    house.tell()
    await until(lambda: eager.changes, 5, "the change")
    assert eager.changes == patient.changes
    assert not index.stale


async def test_a_mailbox_that_was_deleted() -> None:
    house = House(0)
    made = house.store.create_mailbox(ALICE, "Short")
    index = await house.indexes.open(made.id)
    listener = Listener(wants_news=False)
    index.subscribe(listener)
    house.store.delete_mailbox(made.id)
    with pytest.raises(MailError) as raised:
        await index.refresh()
    assert raised.value.kind is Kind.NOT_FOUND
    assert listener.gone
    index.unsubscribe(listener)
    house.indexes.release(index)
    assert house.indexes.find(made.id) is None


async def test_what_nobody_uses_is_kept_up_to_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    house = House(3)
    index = await _open(house)
    house.indexes.release(index)
    assert await _open(house) is index
    monkeypatch.setattr(indexes_module, "KEPT_ENTRIES", 2)
    house.indexes.release(index)
    assert house.indexes.find(house.inbox) is None


async def test_a_store_out_of_reach_is_asked_again() -> None:
    house = House(1)
    index = await _open(house)
    house.file(1)
    house.store.failure = MailError(Kind.UNAVAILABLE, "on purpose")
    with pytest.raises(MailError):
        await index.refresh()
    house.store.failure = None
    await index.refresh()
    assert len(index) == 2


async def test_what_this_process_writes_is_taken_in_without_a_look() -> None:
    house = House(3)
    index = await _open(house)
    listener = Listener(wants_news=False)
    index.subscribe(listener)
    house.store.failure = MailError(Kind.UNAVAILABLE, "nobody may look")
    house.indexes.take_written([_alteration(house, index.modseq, index.modseq + 1, changed=(4,), vanished=(1,))])
    assert list(index.uids) == [2, 3, 4]
    assert not index.stale
    assert [change.vanished for change in listener.changes] == [(1,)]


async def test_a_gap_is_filled_by_a_look() -> None:
    house = House(3)
    index = await _open(house)
    house.mark(2)
    await asyncio.sleep(0)
    known = index.modseq
    house.indexes.take_written([_alteration(house, known + 1, known + 2, changed=(9,))])
    assert 9 not in index.uids
    assert index.stale
    house.mark(3)
    await index.catch_up()
    assert index.get(3) is not None
    assert "$Work" in index.get(3).flags  # type: ignore[union-attr]


async def test_a_look_does_not_bring_back_what_has_gone_since() -> None:
    """It was on its way when the messages that it tells of were changed and removed."""
    house = House(3)
    index = await _open(house)
    known = index.modseq
    old = [_entry(1, known + 1), _entry(2, known + 1)]
    house.indexes.take_written([_alteration(house, known, known + 3, changed=(2,), vanished=(1,))])
    house.indexes.take_written([Alteration(house.inbox, known, Changes(tuple(old), (), ModSeq(known + 4)), *COUNTED)])
    assert list(index.uids) == [2, 3]
    assert index.get(2) == _entry(2, known + 3)


async def test_an_old_notice_does_not_make_it_stale() -> None:
    house = House(1)
    index = await _open(house)
    house.mark(1)
    await asyncio.sleep(0)
    assert index.modseq == house.store.get_mailbox_by_id(house.inbox).modseq
    assert not index.stale


async def test_opened_again_it_is_looked_at_only_when_there_is_more() -> None:
    house = House(2)
    index = await _open(house)
    house.store.failure = MailError(Kind.UNAVAILABLE, "nobody may look")
    assert await house.indexes.open(house.inbox, index.modseq) is index
    with pytest.raises(MailError):
        await house.indexes.open(house.inbox, index.modseq + 1)


COUNTED = (Uid(10), 1, MailboxCounts(0, 0, 0, 0))


def _entry(uid: int, modseq: int) -> Entry:
    return Entry(Uid(uid), ModSeq(modseq), frozenset(), 1, 0, 0, ContentId(uid))


def _alteration(
    house: House, since: int, modseq: int, *, changed: tuple[int, ...] = (), vanished: tuple[int, ...] = ()
) -> Alteration:
    entries = tuple(_entry(uid, modseq) for uid in changed)
    changes = Changes(entries, tuple(map(Uid, vanished)), ModSeq(modseq))
    return Alteration(house.inbox, ModSeq(since), changes, *COUNTED)
