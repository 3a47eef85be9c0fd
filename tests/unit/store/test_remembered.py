# SPDX-License-Identifier: MIT
"""Memory that is bounded: what was not asked for the longest goes first."""

from __future__ import annotations

from mailserver.store.remembered import ENTRY_BYTES, Remembered


def test_what_was_kept_is_found() -> None:
    remembered: Remembered[str] = Remembered(10_000)
    remembered.keep((1, "a"), "one", 3)
    remembered.keep((1, "a"), "another", 3)
    assert remembered.find((1, "a")) == "one"
    assert remembered.find((2, "a")) is None
    assert remembered.find_all([(2, "a"), (1, "a")]) == ({(1, "a"): "one"}, [(2, "a")])


def test_the_least_wanted_is_forgotten_first() -> None:
    remembered: Remembered[int] = Remembered(3 * (100 + ENTRY_BYTES))
    for number in range(3):
        remembered.keep(number, number, 100)
    remembered.find(0)
    remembered.keep(3, 3, 100)
    assert [number for number in range(4) if remembered.find(number) is not None] == [0, 2, 3]


def test_it_never_holds_more_than_it_may() -> None:
    remembered: Remembered[bytes] = Remembered(50_000)
    for number in range(1000):
        remembered.keep(number, b"x", number % 97 * 100)
        assert len(remembered) * ENTRY_BYTES <= 50_000
    remembered.keep("huge", b"x", 60_000)
    assert len(remembered) == 0
