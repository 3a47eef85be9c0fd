# SPDX-License-Identifier: MIT
"""What a search asks of messages, and of how many; that it finds the right ones is shown in tests/fuzz."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime

import pytest

from mailserver.store.entries import microseconds
from mailserver.store.interface import Entry
from mailserver.values import ContentId, ModSeq, Uid
from protocols.imap.matching import Circumstances, ContentKey, Matcher, mentions
from protocols.imap.search_keys import (
    And,
    DateOf,
    HasDate,
    HasFlag,
    HasHeader,
    HasModSeq,
    HasText,
    InUids,
    Not,
    Or,
    SearchKey,
    When,
)
from protocols.imap.sequence import NumberSet, SequenceSet

NOW = datetime(2026, 3, 10, tzinfo=UTC)
CIRCUMSTANCES = Circumstances(NOW, lambda uid: False, lambda numbers, by_uid: numbers.resolve(9))
SEEN = HasFlag("\\Seen")
SUBJECT = HasHeader("Subject", "x")
TEXT = HasText("x")


def entries() -> list[Entry]:
    """Nine messages, those with even UIDs seen; contents are numbered from 101."""
    return [
        Entry(
            Uid(n),
            ModSeq(n),
            frozenset() if n % 2 else frozenset({"\\Seen"}),
            100,
            microseconds(NOW),
            microseconds(NOW),
            ContentId(100 + n),
        )
        for n in range(1, 10)
    ]


class Asked:
    """Answers that a key holds for the given contents, and remembers the questions."""

    def __init__(self, **holding: set[int]) -> None:
        self.questions: list[tuple[str, list[int]]] = []
        self._holding = holding

    def __call__(self, key: ContentKey, contents: Sequence[ContentId]) -> set[ContentId]:
        name = type(key).__name__
        self.questions.append((name, [content - 100 for content in contents]))
        return {content for content in contents if content - 100 in self._holding.get(name, set())}


def find(key: SearchKey, asked: Asked) -> list[int]:
    return [entry.uid for entry in Matcher(key, CIRCUMSTANCES).find(entries(), asked)]


def test_what_the_index_knows_is_not_asked() -> None:
    asked = Asked()
    assert find(Or((And((SEEN, InUids(SequenceSet(((1, 4),))))), Not(Not(HasModSeq(9))))), asked) == [2, 4, 9]
    assert asked.questions == []


def test_where_all_must_hold_cheap_keys_come_first() -> None:
    asked = Asked(HasHeader={2, 4, 5}, HasText={4})
    assert find(And((TEXT, SUBJECT, SEEN)), asked) == [4]
    assert asked.questions == [("HasHeader", [2, 4, 6, 8]), ("HasText", [2, 4])]


def test_where_one_is_enough_the_rest_is_asked_about_others_only() -> None:
    asked = Asked(HasHeader={1, 3}, HasText={3, 5})
    assert find(Or((TEXT, SUBJECT, SEEN)), asked) == [1, 2, 3, 4, 5, 6, 8]
    assert asked.questions == [("HasHeader", [1, 3, 5, 7, 9]), ("HasText", [5, 7, 9])]


def test_nothing_is_asked_about_no_messages() -> None:
    asked = Asked()
    assert find(And((TEXT, HasFlag("none"))), asked) == []
    assert asked.questions == []


def test_absence_is_asked_as_presence() -> None:
    asked = Asked(HasHeader={1, 2, 3})
    assert find(And((Not(SUBJECT), SEEN)), asked) == [4, 6, 8]


@pytest.mark.parametrize(
    ("key", "within"),
    [
        (InUids(SequenceSet(((2, 3),))), ((2, 3),)),
        (And((InUids(SequenceSet(((2, 6),))), TEXT, And((InUids(SequenceSet(((5, 9),))), SEEN)))), ((5, 6),)),
        (InUids(SequenceSet()), ()),
    ],
)
def test_a_search_for_uids_looks_at_no_others(key: SearchKey, within: tuple[tuple[int, int], ...]) -> None:
    assert Matcher(key, CIRCUMSTANCES).within == NumberSet(within)


@pytest.mark.parametrize("key", [SEEN, Not(InUids(SequenceSet(((2, 3),)))), Or((InUids(SequenceSet(((2, 3),))), SEEN))])
def test_other_searches_look_at_all(key: SearchKey) -> None:
    assert Matcher(key, CIRCUMSTANCES).within is None


DELETED = HasFlag("\\Deleted")


@pytest.mark.parametrize(
    ("key", "kept"),
    [
        (SEEN, ["S", "SD"]),
        (Not(SEEN), ["", "D"]),
        (And((Not(SEEN), TEXT, InUids(SequenceSet(((2, 3),))))), ["", "D"]),
        (And((Not(DELETED), HasModSeq(3), Not(SEEN))), [""]),
        (Not(And((SEEN, Not(DELETED)))), ["", "D", "SD"]),
        (Or((SEEN, DELETED)), ["S", "D", "SD"]),
        (And((Or((SEEN, DELETED)), Or((SEEN, TEXT)))), ["S", "D", "SD"]),
    ],
)
def test_messages_whose_flags_rule_them_out_are_not_looked_at(key: SearchKey, kept: list[str]) -> None:
    holds = Matcher(key, CIRCUMSTANCES).flags
    assert holds is not None
    sets = {"": set[str](), "S": {"\\seen"}, "D": {"\\Deleted"}, "SD": {"\\Seen", "\\Deleted"}}
    assert [name for name, flags in sets.items() if holds(frozenset(flags))] == kept


@pytest.mark.parametrize("key", [TEXT, Or((SEEN, TEXT)), Not(And((SEEN, HasModSeq(3)))), Or((SEEN, HasModSeq(3)))])
def test_of_other_searches_flags_say_nothing(key: SearchKey) -> None:
    assert Matcher(key, CIRCUMSTANCES).flags is None


def test_the_last_day_of_all_days() -> None:
    """No day comes after it; the dates of messages can still be compared with it."""
    for when, found in ((When.BEFORE, 9), (When.ON, 0), (When.SINCE, 0)):
        assert len(find(HasDate(DateOf.INTERNAL, when, date.max), Asked())) == found


def test_keys_are_found_however_deep() -> None:
    deep = And((SEEN, Or((TEXT, Not(And((HasModSeq(1),)))))))
    assert mentions(deep, HasModSeq)
    assert not mentions(deep, HasHeader)
