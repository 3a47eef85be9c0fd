# SPDX-License-Identifier: MIT
"""Sets of numbers: RFC 9051 §9 sequence-set, RFC 9394 partial-range."""

import pytest

from protocols.imap.sequence import (
    MAX_NUMBER,
    STAR,
    NumberSet,
    PartialRange,
    SequenceSet,
    format_number_set,
    format_sequence_set,
    parse_sequence_set,
)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"0",
        b"01",
        b"1,",
        b",1",
        b"1:",
        b":1",
        b"1::2",
        b"1:2:3",
        b"a",
        b"-1",
        b"1 2",
        b"4294967296",
        b"$,1",
        b"1:$",
        b"99999999999",
        b"**",
        b"1;2",
        b"\xd9\xa1",
    ],
)
def test_what_is_no_sequence_set_is_refused(text: bytes) -> None:
    with pytest.raises(ValueError):
        parse_sequence_set(text)


@pytest.mark.parametrize(
    ("text", "largest", "expected"),
    [
        (b"1", 10, b"1"),
        (b"3:1", 10, b"1:3"),
        (b"1,2,3", 10, b"1:3"),
        (b"5:7,1,6:9", 10, b"1,5:9"),
        (b"*", 10, b"10"),
        (b"8:*", 10, b"8:10"),
        (b"12:*", 10, b"10:12"),
        (b"*:12", 10, b"10:12"),
        (b"*:*", 10, b"10"),
        (b"1:4294967295", 10, b"1:4294967295"),
    ],
)
def test_resolving(text: bytes, largest: int, expected: bytes) -> None:
    assert format_number_set(parse_sequence_set(text).resolve(largest)) == expected


def test_star_names_nothing_in_an_empty_mailbox() -> None:
    assert not parse_sequence_set(b"*").resolve(0)
    assert not parse_sequence_set(b"*:*").resolve(0)


def test_the_saved_result_is_a_set_of_its_own() -> None:
    assert parse_sequence_set(b"$") == SequenceSet(saved=True)
    assert format_sequence_set(SequenceSet(saved=True)) == b"$"


def test_the_largest_number_written_out() -> None:
    assert parse_sequence_set(b"3:*,7").largest_named == 7
    assert parse_sequence_set(b"*").largest_named == 0


def test_nothing_counts_out_a_range() -> None:
    everything = NumberSet(((1, MAX_NUMBER),))
    odd = NumberSet.from_numbers(range(1, 2001, 2))
    assert len(everything) == MAX_NUMBER
    assert everything.intersection(odd) == odd
    assert len(everything.difference(odd)) == MAX_NUMBER - 1000
    assert everything.union(odd) == everything
    assert 4_000_000_000 in everything
    assert 0 not in everything


@pytest.mark.parametrize(
    ("left", "right"),
    [([], []), ([1], []), ([], [1]), ([1, 2, 3], [2]), ([1, 5, 9], [2, 5, 8]), (range(1, 50), range(20, 90, 3)),
     (range(1, 100, 2), range(2, 100, 2))],
)  # fmt: skip
def test_set_arithmetic_agrees_with_python(left: list[int], right: list[int]) -> None:
    first, second = NumberSet.from_numbers(left), NumberSet.from_numbers(right)
    assert set(first.union(second)) == set(left) | set(right)
    assert set(first.intersection(second)) == set(left) & set(right)
    assert set(first.difference(second)) == set(left) - set(right)
    assert [number for number in range(1, 110) if number in first] == sorted(left)


def test_ends_of_a_set() -> None:
    numbers = NumberSet.from_numbers([9, 4, 5])
    assert (numbers.minimum, numbers.maximum, len(numbers), list(numbers)) == (4, 9, 3, [4, 5, 9])
    assert (NumberSet().minimum, NumberSet().maximum, bool(NumberSet())) == (0, 0, False)


def test_picking_from_sorted_numbers() -> None:
    uids = [2, 4, 6, 8, 10]
    assert parse_sequence_set(b"3:8").resolve(10).of_sorted(uids) == [4, 6, 8]
    assert parse_sequence_set(b"*,1:2").resolve(10).of_sorted(uids) == [2, 10]


@pytest.mark.parametrize(
    ("first", "last", "expected"),
    [(1, 2, [10, 20]), (2, 1, [10, 20]), (4, 9, [40, 50]), (6, 9, []), (-1, -2, [40, 50]), (-2, -1, [40, 50]),
     (-4, -100, [10, 20]), (-6, -9, []), (-5, -5, [10])],
)  # fmt: skip
def test_partial_ranges_count_from_either_end(first: int, last: int, expected: list[int]) -> None:
    assert list(PartialRange(first, last).pick([10, 20, 30, 40, 50])) == expected


@pytest.mark.parametrize("text", [b"1", b"1:5", b"*", b"3:*", b"*:3", b"9,1:2,*"])
def test_what_is_written_is_read_back(text: bytes) -> None:
    assert format_sequence_set(parse_sequence_set(text)) == text


def test_star_is_above_every_number() -> None:
    assert STAR > MAX_NUMBER
