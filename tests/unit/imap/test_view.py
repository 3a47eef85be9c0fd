# SPDX-License-Identifier: MIT
"""One client's numbers and what it has yet to be told."""

from __future__ import annotations

import random
import time
from datetime import UTC, datetime

import pytest

from mailserver.store.entries import microseconds
from mailserver.store.interface import Changes, Entry
from mailserver.values import ContentId, ModSeq, Uid
from protocols.imap.sequence import NumberSet, parse_sequence_set
from protocols.imap.view import Exists, Expunged, FlagsChanged, Update, Vanished, View

THEN = datetime(2024, 1, 1, tzinfo=UTC)


def entry(uid: int, modseq: int, *flags: str) -> Entry:
    return Entry(Uid(uid), ModSeq(modseq), frozenset(flags), 10, microseconds(THEN), microseconds(THEN), ContentId(uid))


def changes(modseq: int, *changed: Entry, gone: tuple[int, ...] = ()) -> Changes:
    return Changes(changed, tuple(Uid(uid) for uid in gone), ModSeq(modseq))


def test_nothing_new_tells_nothing() -> None:
    view = View([1, 2, 3], 10)
    view.apply(changes(10))
    assert not view.has_news
    assert view.updates(may_expunge=True) == []


def test_arrivals_are_told_once() -> None:
    view = View([1, 2], 10)
    view.apply(changes(12, entry(7, 11), entry(5, 12)))
    assert view.has_news
    assert view.updates(may_expunge=False) == [Exists(4, 2)]
    assert view.updates(may_expunge=False) == []
    assert list(view.uids) == [1, 2, 5, 7]
    assert view.number_of(5) == 3
    assert view.is_recent(7)


def test_expunges_wait_until_they_are_allowed_and_numbers_stay() -> None:
    view = View([10, 20, 30, 40], 10)
    view.apply(changes(12, gone=(20, 40)))
    assert view.updates(may_expunge=False) == []
    assert view.uid_at(4) == 40
    assert view.is_gone(40)
    assert view.told_modseq == 10
    assert view.updates(may_expunge=True) == [Expunged((4, 2))]
    assert list(view.uids) == [10, 30]
    assert not view.is_gone(40)
    assert view.told_modseq == 12


def test_expunges_are_told_before_arrivals() -> None:
    view = View([1, 2, 3], 10)
    view.apply(changes(12, entry(4, 11), gone=(2,)))
    assert view.updates(may_expunge=True) == [Expunged((2,)), Exists(3, 1)]


def test_arrivals_can_be_told_while_expunges_wait() -> None:
    view = View([1, 2, 3], 10)
    view.apply(changes(12, entry(4, 11), gone=(2,)))
    assert view.updates(may_expunge=False) == [Exists(4, 1)]
    assert view.updates(may_expunge=True) == [Expunged((2,))]
    assert view.number_of(4) == 3


def test_what_came_and_went_is_not_mentioned() -> None:
    view = View([1], 10)
    view.apply(changes(11, entry(2, 11)))
    view.apply(changes(12, gone=(2,)))
    assert view.updates(may_expunge=True) == []
    assert list(view.uids) == [1]
    view.apply(changes(13, gone=(99,)))
    assert view.updates(may_expunge=True) == []


def test_vanished_in_place_of_expunge() -> None:
    view = View([1, 2, 3, 4], 10)
    view.uses_uids = True
    view.apply(changes(12, gone=(2, 3)))
    assert view.updates(may_expunge=True) == [Vanished(NumberSet(((2, 3),)))]


def test_flags_are_told_with_the_number_of_the_moment() -> None:
    view = View([1, 2, 3], 10)
    view.apply(changes(12, entry(3, 11, "\\Seen"), gone=(1,)))
    assert view.updates(may_expunge=False) == [FlagsChanged(3, 3, 11, frozenset({"\\Seen"}))]
    view.apply(changes(13, entry(3, 13)))
    assert view.updates(may_expunge=True) == [Expunged((1,)), FlagsChanged(2, 3, 13, frozenset())]


def test_flags_of_a_message_that_went_are_not_told() -> None:
    view = View([1, 2], 10)
    view.apply(changes(11, entry(2, 11)))
    view.apply(changes(12, gone=(2,)))
    assert view.updates(may_expunge=False) == []


def test_only_the_latest_of_several_changes_is_told() -> None:
    view = View([1], 10)
    view.apply(changes(11, entry(1, 11, "a")))
    view.apply(changes(12, entry(1, 12, "b")))
    assert view.updates(may_expunge=False) == [FlagsChanged(1, 1, 12, frozenset({"b"}))]


def test_an_own_silent_change_is_not_echoed() -> None:
    view = View([1, 2], 10)
    view.note_known(1, 11)
    view.apply(changes(11, entry(1, 11, "\\Seen")))
    assert view.updates(may_expunge=False) == []
    view.apply(changes(12, entry(1, 12)))
    assert view.updates(may_expunge=False) == [FlagsChanged(1, 1, 12, frozenset())]


def test_somebody_elses_later_change_is_told_all_the_same() -> None:
    view = View([1], 10)
    view.note_known(1, 11)
    view.apply(changes(12, entry(1, 12, "x")))
    assert view.updates(may_expunge=False) == [FlagsChanged(1, 1, 12, frozenset({"x"}))]


def test_what_a_fetch_has_shown_is_no_longer_owed() -> None:
    view = View([1], 10)
    view.apply(changes(11, entry(1, 11)))
    view.note_known(1, 11)
    assert view.updates(may_expunge=False) == []


def test_changes_taken_in_twice_count_once() -> None:
    view = View([1, 2], 10)
    news = changes(12, entry(2, 11), entry(3, 12), gone=(1,))
    view.apply(news)
    view.updates(may_expunge=True)
    view.apply(news)
    assert view.updates(may_expunge=True) == []


def test_recent_messages() -> None:
    view = View([1, 2, 3], 10, recent=NumberSet.from_numbers([3]))
    assert (view.recent_count, view.is_recent(3), view.is_recent(2)) == (1, True, False)
    view.apply(changes(11, entry(3, 11)))
    assert view.updates(may_expunge=True) == [FlagsChanged(3, 3, 11, frozenset(), recent=True)]
    view.apply(changes(12, gone=(3,)))
    view.updates(may_expunge=True)
    assert view.recent_count == 0


@pytest.mark.parametrize(
    ("wanted", "uids"),
    [(b"1", [10]), (b"2:3", [20, 30]), (b"*", [30]), (b"3:*", [30]), (b"4", None), (b"1:4", None), (b"5:*", None)],
)
def test_selecting_by_number(wanted: bytes, uids: list[int] | None) -> None:
    assert View([10, 20, 30], 1).select_numbers(parse_sequence_set(wanted)) == uids


@pytest.mark.parametrize(
    ("wanted", "uids"),
    [(b"1:20", [10, 20]), (b"*", [30]), (b"31:*", [30]), (b"11", []), (b"1:4294967295", [10, 20, 30])],
)
def test_selecting_by_uid(wanted: bytes, uids: list[int]) -> None:
    assert View([10, 20, 30], 1).select_uids(parse_sequence_set(wanted)) == uids


def test_an_empty_mailbox() -> None:
    view = View([], 1)
    assert view.select_numbers(parse_sequence_set(b"1:*")) is None
    assert view.select_uids(parse_sequence_set(b"1:*")) == []
    assert (len(view), view.largest_uid, view.uid_at(1), view.number_of(1)) == (0, 0, None, None)


class Client:
    """Keeps the list that a client would keep, from the updates alone."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.numbers = list(range(count))

    def hear(self, updates: list[Update]) -> None:
        for update in updates:
            if isinstance(update, Exists):
                assert update.count >= self.count
                self.count = update.count
            elif isinstance(update, Expunged):
                for number in update.numbers:
                    assert 1 <= number <= self.count
                    self.count -= 1
            elif isinstance(update, FlagsChanged):
                assert 1 <= update.number <= self.count


def test_a_client_that_only_listens_always_agrees() -> None:
    """A random mailbox: after everything has been told, numbers and UIDs are those of the mailbox."""
    dice = random.Random(7)
    for _ in range(200):
        mailbox = list(range(1, dice.randrange(1, 30)))
        next_uid, modseq = 100, 100
        view, client = View(mailbox, modseq), Client(len(mailbox))
        for _ in range(30):
            modseq += 1
            arrived = [next_uid + index for index in range(dice.randrange(3))]
            next_uid += len(arrived)
            gone = tuple(dice.sample(mailbox, min(len(mailbox), dice.randrange(3))))
            mailbox = [uid for uid in mailbox if uid not in gone] + arrived
            touched = dice.sample(mailbox, min(len(mailbox), 2))
            news = [entry(uid, modseq) for uid in sorted({*arrived, *touched})]
            view.apply(changes(modseq, *news, gone=gone))
            client.hear(view.updates(may_expunge=dice.random() < 0.4))
            assert client.count == len(view)
        client.hear(view.updates(may_expunge=True))
        assert list(view.uids) == mailbox
        assert client.count == len(mailbox)
        assert view.told_modseq == modseq


def test_a_big_mailbox_is_quick() -> None:
    """100,000 messages: 1,000 flag changes, and half of the mailbox expunged at once."""
    view = View(range(1, 100_001), 1)
    began = time.process_time()
    for step in range(1000):
        view.apply(changes(2 + step, entry(step * 7 + 1, 2 + step)))
        assert len(view.updates(may_expunge=True)) == 1
    view.apply(changes(2000, gone=tuple(range(1, 100_001, 2))))
    told = view.updates(may_expunge=True)
    assert isinstance(told[0], Expunged)
    assert len(told[0].numbers) == 50_000
    assert len(view) == 50_000
    assert time.process_time() - began < 3
