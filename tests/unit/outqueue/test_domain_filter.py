# SPDX-License-Identifier: MIT
"""The little language of domain filtering, both editions: what it takes, and what it says of mistakes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailserver.outqueue.assignment import Assignment
from mailserver.outqueue.domain_filter import Facts, read_filter

FACTS = Facts(
    size=10_000,
    recipients=3,
    tries=2,
    age_minutes=90,
    reverse_path="Anna@office.example",
    recipient="bob@mail.example.net",
    login="anna",
    client="192.0.2.7",
    subject="Invoice 17: paid",
    header=lambda: b"X-Kind: News\r\nX-Kind: Letter\r\nFrom: anna\r\n\r\nbody",
)

CONDITIONS = [
    ("All", True),
    ("None", False),
    ("Size > 5000", True),
    ("Size > 10000", False),
    ("Size >= 10000", True),
    ("size<=9999", False),
    ("Size = 10000", True),
    ("Size == 10000", True),
    ("Size <> 10000", False),
    ("Size != 10000", False),
    ("Size !> 9K", False),
    ("Size !< 9K", True),
    ("Size < 10k", True),
    ("Size < 1M", True),
    ("Recipients = 3", True),
    ("Retries < 2", False),
    ("Age >= 90", True),
    ("From = *@OFFICE.example", True),
    ("From <> anna@*", False),
    ("To = bob@*", True),
    ("To = bob", False),
    ("ToDomain = *.example.net", True),
    ("ToDomain = example.net", False),
    ("ToDomain != *.org", True),
    ("ToDomain = mail.example.ne?", True),
    ("Auth = ANNA", True),
    ('Auth = ""', False),
    ("IP = 192.0.2.0/24", True),
    ("IP = 192.0.2.7", True),
    ("IP <> 10.0.0.0/8", True),
    ("IP = 2001:db8::/32", False),
    ("Subject = invoice*", True),
    ("Subject ~ ^Invoice", True),
    ("Subject ~ ^invoice", False),
    ("Subject !~ ^invoice", True),
    ('Subject ~ "17: (paid|open)$"', True),
    (r'Subject ~ "\d\d"', True),
    ("Header:X-Kind = letter", True),
    ("Header:x-kind <> letter", False),
    ("Header:X-None = *", True),
    ('Header:X-None = ""', True),
    ("Size > 1, Recipients > 1", True),
    ("Size > 1 Recipients > 9", False),
    ("Size > 1, None", False),
]


@pytest.mark.parametrize(("condition", "holds"), CONDITIONS)
def test_conditions(condition: str, holds: bool) -> None:
    for verb in ("Attempt", "skip", "ATTEMPT"):
        read = read_filter(f"{verb}: {condition}")
        assert read.problems == ()
        assert read.rules[0].fits(FACTS) is holds


def test_mail_of_our_own_came_from_no_address() -> None:
    read = read_filter("Attempt: IP = 0.0.0.0/0")
    assert not read.attempts(Facts(client=""))
    assert read.attempts(FACTS)


TEXTS = [
    ("", True),
    ("# nothing but a comment", True),
    ("Skip: None", True),
    ("Attempt: None", False),  # one Attempt line turns the default round
    ("Skip: All\nAttempt: All", False),
    ("Attempt: All\nSkip: All", True),
    ("Skip: Size > 99M\n\n# next\nAttempt: From = anna@*  # hers", True),
    ('Attempt: Subject ~ "#"', False),
]


@pytest.mark.parametrize(("text", "attempts"), TEXTS)
def test_the_first_line_that_matches_decides(text: str, attempts: bool) -> None:
    assert read_filter(text).attempts(FACTS) is attempts
    assert read_filter(text).problems == ()


MISTAKES = [
    ("Attempt: All\nTry: All", "Line 2: a line begins with Attempt: or Skip:"),
    ("Attempt:", "Line 1: Attempt: needs a condition"),
    ("Skip: Sise > 5", 'Line 1: "Sise" is not a condition'),
    ("Skip: Size", "Line 1: after Size a comparison was expected"),
    ("Skip: Size >", "Line 1: after Size > a value was expected"),
    ("Skip: Size > much", 'Line 1: Size is compared with a number, not with "much"'),
    ("Skip: Size ~ 5", "Line 1: Size is a number"),
    ("Skip: From > 5", "Line 1: From is a text"),
    ("\n\nSkip: Subject ~ (", "Line 3: the regular expression after Subject cannot be read"),
    ("Skip: Subject ~ ^(a|a)*$", "Line 1: the regular expression after Subject takes too long"),
    ("Skip: IP = nowhere", 'Line 1: "nowhere" is not an address'),
    ("Skip: IP > 10.0.0.1", "Line 1: IP is an address"),
    ("Skip: = 5", 'Line 1: a condition was expected at "= 5"'),
    ("Try: all of this", "Line 1: a line begins with Attempt: or Skip:"),
]


@pytest.mark.parametrize(("text", "said"), MISTAKES)
def test_mistakes_are_told_with_their_line(text: str, said: str) -> None:
    assert str(read_filter(text).problems[0]).startswith(said)


def test_a_broken_attempt_line_does_not_make_a_sender_take_everything() -> None:
    assert not read_filter("Attempt: ToDmain = example.net").attempts(FACTS)
    assert not read_filter("example net").attempts(FACTS)
    assert read_filter("Skip: Sise > 5").attempts(FACTS)


OLD = [
    ("From: *@office.example", True),
    ("from:anna@*", True),
    ("From: *@elsewhere.example", False),
    ("*.example.net", True),
    ("example.net", False),
    ("bob@mail.example.net", True),
    ("!*.example.net", False),
    ("!*.example.org", True),
    ("!From: *@office.example", False),
    ("From: !*@office.example", False),
    ("*.org\n*.net", True),
    ("!*.org\n!*.net", False),
    ("*.net\n!mail.*", False),
    ("From: *@office.example\n*.org", False),
    ("From: *@office.example\n*.net  # both", True),
]


@pytest.mark.parametrize(("text", "attempts"), OLD)
def test_the_old_language(text: str, attempts: bool) -> None:
    assert read_filter(text).problems == ()
    assert read_filter(text).attempts(FACTS) is attempts


@given(st.text(alphabet=st.sampled_from(list('AllNoneSkpim:tSize<>=~!"\\#(,)* \n\t1kKHeadr-@./')), max_size=200))
def test_any_text_is_read_or_refused_in_words(text: str) -> None:
    read = read_filter(text)
    assert isinstance(read.attempts(FACTS), bool)
    assert all(1 <= problem.line <= len(text.splitlines()) and problem.text for problem in read.problems)


@given(st.integers(0, 10**9), st.integers(0, 10**9), st.sampled_from(["<", "<=", "=", ">=", ">", "<>"]))
def test_comparisons_of_numbers(size: int, limit: int, comparator: str) -> None:
    facts = Facts(size=size)
    attempts = read_filter(f"Attempt: Size {comparator} {limit}").attempts(facts)
    opposite = read_filter(f"Attempt: Size !{comparator} {limit}").attempts(facts)
    expected = {"<": size < limit, "<=": size <= limit, "=": size == limit}
    expected |= {">=": size >= limit, ">": size > limit, "<>": size != limit}
    assert (attempts, opposite) == (expected[comparator], not expected[comparator])


def test_the_first_sender_that_fits_takes_it() -> None:
    assignment = Assignment([(7, "Attempt: ToDomain = *.net"), (8, "Skip: Size > 5000"), (9, ""), (10, "")])
    assert assignment.sender_of(FACTS) == 7
    assert assignment.sender_of(Facts(recipient="x@y.org")) == 8
    assert assignment.sender_of(Facts(recipient="x@y.org", size=9999)) == 9
    assert [assignment.gets_nothing(sender) for sender in (7, 8, 9, 10, 11)] == [False, False, False, True, True]
    assert not assignment.gets_everything(9)
    assert Assignment([(9, "")]).gets_everything(9)
    assert Assignment([(7, "Attempt: None")]).sender_of(FACTS) is None
    assert Assignment([]).gets_nothing(7)
