# SPDX-License-Identifier: MIT
"""Which messages SAVE keeps and MODSEQ speaks of: the tables of RFC 5182 §2.1 and RFC 9394 §3.1."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from mailserver.store.entries import microseconds
from mailserver.store.interface import Entry
from mailserver.values import ContentId, ModSeq, Uid
from protocols.imap.search_keys import ReturnOption, SearchReturn
from protocols.imap.search_results import asks_for_data, chosen, effective, highest_modseq, make_result
from protocols.imap.sequence import NumberSet, PartialRange
from protocols.imap.untagged import SearchResult

MOMENT = datetime(2026, 3, 10, tzinfo=UTC)
FOUND = [
    Entry(Uid(uid), ModSeq(modseq), frozenset(), 1, microseconds(MOMENT), microseconds(MOMENT), ContentId(uid))
    for uid, modseq in ((2, 20), (3, 90), (5, 10), (8, 30))
]


def returning(words: str) -> SearchReturn:
    """`MIN PARTIAL` and so on; PARTIAL is always 2:3."""
    names = words.split()
    options = frozenset(ReturnOption[name] for name in names if name != "PARTIAL")
    return SearchReturn(options, PartialRange(2, 3) if "PARTIAL" in names else None)


@pytest.mark.parametrize(
    ("words", "uids", "modseq"),
    [
        ("", {2, 3, 5, 8}, 90),
        ("SAVE", {2, 3, 5, 8}, 90),
        ("MIN SAVE", {2}, 20),
        ("MAX SAVE", {8}, 30),
        ("MIN MAX SAVE", {2, 8}, 30),
        ("MIN COUNT SAVE", {2, 3, 5, 8}, 90),
        ("MAX ALL SAVE", {2, 3, 5, 8}, 90),
        ("PARTIAL SAVE", {3, 5}, 90),
        ("MIN PARTIAL SAVE", {2, 3, 5}, 90),
        ("MIN MAX PARTIAL SAVE", {2, 3, 5, 8}, 90),
        ("COUNT PARTIAL SAVE", {2, 3, 5, 8}, 90),
        ("UPDATE", {2, 3, 5, 8}, 90),
    ],
)
def test_chosen(words: str, uids: set[int], modseq: int) -> None:
    some = chosen(returning(words), FOUND)
    assert {entry.uid for entry in some} == uids
    assert highest_modseq(some) == modseq
    assert list(chosen(returning(words), [])) == []


def test_an_empty_list_asks_for_all() -> None:
    assert effective(returning("")) == returning("ALL")
    assert effective(returning("PARTIAL")) == returning("PARTIAL")
    assert effective(returning("SAVE")) == returning("SAVE")


@pytest.mark.parametrize(("words", "answered"), [("SAVE", False), ("SAVE PARTIAL", True), ("SAVE COUNT", True)])
def test_what_is_only_saved_is_not_answered(words: str, answered: bool) -> None:
    assert asks_for_data(returning(words)) is answered


@pytest.mark.parametrize(
    ("in_order", "everything", "part"),
    [(False, NumberSet(((1, 4),)), NumberSet(((1, 1), (4, 4)))), (True, [3, 4, 1, 2], [4, 1])],
)
def test_sort_keeps_its_order(in_order: bool, everything: object, part: object) -> None:
    """Its first and last are meant in this order (RFC 5267 §3.1)."""
    numbers = [3, 4, 1, 2]
    result = make_result(returning("MIN MAX ALL COUNT"), FOUND, numbers, in_order=in_order, with_modseq=True)
    assert result == SearchResult(3, 2, everything, 4, None, 90)  # type: ignore[arg-type]
    partial = make_result(returning("PARTIAL"), FOUND, numbers, in_order=in_order, with_modseq=False)
    assert partial.partial == (PartialRange(2, 3), part)


def test_nothing_found() -> None:
    result = make_result(returning("MIN MAX ALL COUNT"), [], [], in_order=False, with_modseq=True)
    assert result == SearchResult(all=NumberSet(), count=0)
