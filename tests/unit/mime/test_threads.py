# SPDX-License-Identifier: MIT
"""Base subjects, conversations, and orders: RFC 5256."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import pytest

from mailserver.mime.sorting import SortCriterion, SortKey, SortMessage, casemap, sort_messages
from mailserver.mime.threads import (
    BaseSubject,
    ThreadMessage,
    ThreadNode,
    base_subject,
    find_message_ids,
    make_references,
    thread_by_references,
    thread_by_refs,
    thread_by_subject,
)


@pytest.mark.parametrize(
    ("subject", "text", "is_reply"),
    [
        ("", "", False),
        ("   ", "", False),
        ("Re:", "", True),
        ("hello", "hello", False),
        ("  a \t b\r\n c ", "a b c", False),
        ("Re: hello", "hello", True),
        ("RE : hello", "hello", True),
        ("Fw: hello", "hello", True),
        ("Fwd: Re: FW: hello", "hello", True),
        ("Re[2]: hello", "hello", True),
        ("Re [list] : hello", "hello", True),
        ("[list] hello", "hello", False),
        ("[list] [other] Re: hello", "hello", True),
        ("[list] Re: [list] hello", "hello", True),
        ("[list]", "[list]", False),
        ("Re: [list]", "[list]", True),
        ("hello (fwd)", "hello", True),
        ("hello (FWD) (fwd) ", "hello", True),
        ("[fwd: hello]", "hello", True),
        ("[Fwd: Re: [list] hello (fwd)]", "hello", True),
        ("[fwd: hello] x", "x", False),
        ("Reply: hello", "Reply: hello", False),
        ("Re hello", "Re hello", False),
        ("AW: hello", "AW: hello", False),
    ],
)
def test_base_subjects(subject: str, text: str, is_reply: bool) -> None:
    assert base_subject(subject) == BaseSubject(text, is_reply)


@pytest.mark.parametrize(
    "subject", ["[" * 50_000, "[]" * 25_000, "Re:" * 20_000, "(fwd)" * 20_000 + "x", "[fwd:" * 9999]
)
def test_no_subject_takes_long(subject: str) -> None:
    began = time.process_time()
    base_subject(subject)
    assert time.process_time() - began < 2


def test_message_ids() -> None:
    assert find_message_ids("<a@b> junk <c@d>(x) <> < e> <f@g") == ("a@b", "c@d")
    assert find_message_ids('<"a"@b>') == ("a@b",)
    assert make_references("<a> <b>", "<c>") == ("a", "b")
    assert make_references("junk", "your <c> of <d>") == ("c",)
    assert make_references("", "") == ()


START = datetime(2024, 1, 1, tzinfo=UTC)


def message(number: int, subject: str = "", references: str = "", message_id: str = "") -> ThreadMessage:
    """Number n was sent n hours into the year, and its id is its number."""
    return ThreadMessage(
        number,
        START + timedelta(hours=number),
        subject,
        message_id or str(number),
        tuple(references.split()),
        START + timedelta(hours=number),
    )


def shape(nodes: list[ThreadNode]) -> list[object]:
    return [
        [node.message.number if node.message else None, *shape(node.children)]
        if node.children
        else (node.message.number if node.message else None)
        for node in nodes
    ]


def test_threads_by_subject() -> None:
    threads = thread_by_subject([message(3, "Re: a"), message(1, "a"), message(2, "b"), message(4, "A (fwd)")])
    assert shape(threads) == [[1, 3, 4], 2]


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        ([], []),
        ([message(1), message(2)], [1, 2]),
        ([message(1), message(2, "", "1"), message(3, "", "1 2")], [[1, [2, 3]]]),
        ([message(3, "", "1 2"), message(2, "", "1"), message(1)], [[1, [2, 3]]]),
        # The parent is lost: its only child moves up, two children stay together.
        ([message(2, "", "gone")], [2]),
        ([message(2, "", "gone"), message(3, "", "gone")], [[None, 2, 3]]),
        ([message(1), message(3, "", "1 gone")], [[1, 3]]),
        # A loop, and a message that names itself.
        ([message(1, "", "2"), message(2, "", "1")], [[2, 1]]),
        ([message(1, "", "1")], [1]),
        # Two messages with one id, and one without.
        ([message(1), message(2, "", "", "1"), message(3, "", "1")], [[1, 3], 2]),
        # A later message knows better who the parent is.
        ([message(1), message(2), message(3, "", "1"), message(4, "", "2 3")], [[1, [3, 4]], 2]),
    ],
)
def test_threads_by_references(messages: list[ThreadMessage], expected: list[object]) -> None:
    assert shape(thread_by_references(messages)) == expected


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        ([message(1, "a"), message(2, "Re: a")], [[1, 2]]),
        ([message(1, "Re: a"), message(2, "a")], [[2, 1]]),
        ([message(1, "a"), message(2, "a")], [[None, 1, 2]]),
        ([message(1, "a"), message(2, "a"), message(3, "a")], [[None, 1, 2, 3]]),
        ([message(1, "Re: a"), message(2, "Re: a")], [[None, 1, 2]]),
        ([message(2, "a", "x"), message(3, "a", "x"), message(4, "Re: a")], [[None, 2, 3, 4]]),
        (
            [message(2, "a", "x"), message(3, "a", "x"), message(4, "a", "y"), message(5, "b", "y")],
            [[None, 2, 3, 4, 5]],
        ),
        ([message(1, ""), message(2, "Re:")], [1, 2]),
    ],
)
def test_threads_of_one_subject_are_joined(messages: list[ThreadMessage], expected: list[object]) -> None:
    assert shape(thread_by_references(messages)) == expected


def test_refs_ignores_subjects_and_puts_the_newest_arrival_last() -> None:
    messages = [message(1, "a"), message(2, "a"), message(3, "b"), message(4, "", "1")]
    assert shape(thread_by_refs(messages)) == [2, 3, [1, 4]]


@pytest.mark.parametrize("turned", [False, True])
def test_a_thread_of_twenty_thousand_replies(turned: bool) -> None:
    messages = [message(number, "Re: a", str(number - 1)) for number in range(1, 20_001)]
    began = time.process_time()
    threads = thread_by_references(reversed(messages) if turned else messages)
    assert time.process_time() - began < 6
    assert len(threads) == 1


def test_every_message_comes_out_once() -> None:
    messages = [message(n, f"s{n % 7}", f"{n * 7 % 50} {n * 3 % 50}") for n in range(1, 100)]
    for algorithm in (thread_by_subject, thread_by_references, thread_by_refs):
        found, waiting = [], list(algorithm(messages))
        while waiting:
            node = waiting.pop()
            waiting += node.children
            if node.message:
                found.append(node.message.number)
        assert sorted(found) == list(range(1, 100))


def sortable(number: int, **fields: object) -> SortMessage:
    values: dict[str, object] = {"arrived": START, "sent": START, "size": 1} | fields
    return SortMessage(number, **values)  # type: ignore[arg-type]


MAIL = [
    sortable(3, subject="Re: b", size=5, from_mailbox="Zoe", from_display="Anna"),
    sortable(1, subject="B", size=9, from_mailbox="bob"),
    sortable(2, subject="a", size=5, from_mailbox="Carl", sent=START + timedelta(days=1)),
]


@pytest.mark.parametrize(
    ("criteria", "expected"),
    [
        ([SortCriterion(SortKey.SUBJECT)], [2, 1, 3]),
        ([SortCriterion(SortKey.SIZE)], [2, 3, 1]),
        ([SortCriterion(SortKey.SIZE, True)], [1, 2, 3]),
        ([SortCriterion(SortKey.SIZE), SortCriterion(SortKey.SUBJECT, True)], [3, 2, 1]),
        ([SortCriterion(SortKey.FROM)], [1, 2, 3]),
        ([SortCriterion(SortKey.DISPLAYFROM)], [3, 1, 2]),
        ([SortCriterion(SortKey.DATE, True)], [2, 1, 3]),
        ([SortCriterion(SortKey.ARRIVAL)], [1, 2, 3]),
        ([SortCriterion(SortKey.CC), SortCriterion(SortKey.TO), SortCriterion(SortKey.DISPLAYTO)], [1, 2, 3]),
    ],
)
def test_orders(criteria: list[SortCriterion], expected: list[int]) -> None:
    assert sort_messages(MAIL, criteria) == expected


def test_strings_compare_without_case() -> None:
    assert casemap("stra\u00dfe \u00e9") == casemap("STRA\u00dfE E\u0301")
    assert casemap("\u01c6") == casemap("\u01c4")
