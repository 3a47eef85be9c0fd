# SPDX-License-Identifier: MIT
"""What people type to find something in the queue."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailserver.outqueue.searching import EVERYWHERE, MAX_TERMS, Term, parse_search

TYPED = [
    ("", []),
    ("bob", [Term(EVERYWHERE, "icontains", "bob")]),
    ("to:bob@far", [Term(("recipient",), "icontains", "bob@far")]),
    ("FROM:anna x", [Term(("reverse_path",), "icontains", "anna"), Term(EVERYWHERE, "icontains", "x")]),
    ('subject:"two words"', [Term(("subject",), "icontains", "two words")]),
    ('"two words"', [Term(EVERYWHERE, "icontains", "two words")]),
    ("size>100k", [Term(("size",), "gt", 102400)]),
    ("size>=1M", [Term(("size",), "gte", 1048576)]),
    ("Priority<=20", [Term(("priority",), "lte", 20)]),
    ("pri=1", [Term(("priority",), "exact", 1)]),
    ("tries=1..5", [Term(("tries",), "range", (1, 5))]),
    ("tries<1..5", [Term(EVERYWHERE, "icontains", "tries<1..5")]),
    ("colour=1", [Term(EVERYWHERE, "icontains", "colour=1")]),
    ("re:x", [Term(EVERYWHERE, "icontains", "re:x")]),
    ("to:", [Term(EVERYWHERE, "icontains", "to:")]),
]  # fmt: skip


@pytest.mark.parametrize(("text", "terms"), TYPED)
def test_what_is_typed(text: str, terms: list[Term]) -> None:
    assert parse_search(text) == terms


@given(st.text(alphabet='to:from size<>=.19kM" a', max_size=80))
def test_anything_can_be_looked_for(text: str) -> None:
    terms = parse_search(text)
    assert len(terms) <= MAX_TERMS
    assert all(isinstance(term.value, (str, tuple)) or 0 <= term.value < 2**63 for term in terms)
