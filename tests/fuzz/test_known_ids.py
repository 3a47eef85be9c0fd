# SPDX-License-Identifier: MIT
"""Ids kept as runs are the set that they stand for."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mailserver.store.known_ids import KnownIds

rising = st.sets(st.integers(1, 80), max_size=60).map(sorted)


@given(st.lists(rising, max_size=6), st.lists(rising, min_size=1, max_size=4))
def test_what_is_missing_is_what_was_never_added(added: list[list[int]], asked: list[list[int]]) -> None:
    known, model = KnownIds(), set[int]()
    for ids in added:
        known.add(ids)
        model.update(ids)
        for wanted in asked:
            assert known.missing(wanted) == [id_ for id_ in wanted if id_ not in model]
