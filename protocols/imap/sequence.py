# SPDX-License-Identifier: MIT
"""Sets of message numbers and UIDs, kept as ranges however many numbers they hold.

RFC 9051 §4.1.1 and §9 (sequence-set), RFC 5182 (`$`), RFC 9394 §3.1 (partial-range). A `SequenceSet` is what a
client wrote, with `*` still open; a `NumberSet` is what it means in one mailbox, and what replies are made from. Pure.

Nothing here ever counts out a range: `1:4294967295` costs as much as `1`.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")

MAX_NUMBER = 0xFFFFFFFF
"""RFC 9051 §9: nz-number is an unsigned 32-bit integer."""

STAR = MAX_NUMBER + 1
"""Stands for `*` until the mailbox's largest number is known."""

# sequence-set = (seq-number / seq-range) *("," (seq-number / seq-range)), seq-number = nz-number / "*"
_SEQUENCE_SET = re.compile(
    rb"(?:[1-9][0-9]{0,9}|\*)(?::(?:[1-9][0-9]{0,9}|\*))?(?:,(?:[1-9][0-9]{0,9}|\*)(?::(?:[1-9][0-9]{0,9}|\*))?)*"
)


@dataclass(frozen=True, slots=True)
class NumberSet:
    """Positive numbers as sorted ranges (first, last) that neither overlap nor touch."""

    ranges: tuple[tuple[int, int], ...] = ()

    @classmethod
    def from_ranges(cls, ranges: Iterable[tuple[int, int]]) -> NumberSet:
        """In any order, overlapping or not; each with its ends the right way round."""
        merged: list[tuple[int, int]] = []
        for first, last in sorted(ranges):
            if merged and first <= merged[-1][1] + 1:
                if last > merged[-1][1]:
                    merged[-1] = (merged[-1][0], last)
            else:
                merged.append((first, last))
        return cls(tuple(merged))

    @classmethod
    def from_numbers(cls, numbers: Iterable[int]) -> NumberSet:
        """In any order, with or without repeats."""
        ranges: list[tuple[int, int]] = []
        first = last = 0
        for number in sorted(numbers):
            if number <= last + 1 and first:
                last = number
                continue
            if first:
                ranges.append((first, last))
            first = last = number
        if first:
            ranges.append((first, last))
        return cls(tuple(ranges))

    def __bool__(self) -> bool:
        return bool(self.ranges)

    def __len__(self) -> int:
        return sum(last - first + 1 for first, last in self.ranges)

    def __iter__(self) -> Iterator[int]:
        for first, last in self.ranges:
            yield from range(first, last + 1)

    def __contains__(self, number: int) -> bool:
        place = bisect_right(self.ranges, (number, STAR)) - 1
        return place >= 0 and number <= self.ranges[place][1]

    @property
    def minimum(self) -> int:
        """The smallest number, 0 when empty."""
        return self.ranges[0][0] if self.ranges else 0

    @property
    def maximum(self) -> int:
        """The largest number, 0 when empty."""
        return self.ranges[-1][1] if self.ranges else 0

    def union(self, other: NumberSet) -> NumberSet:
        return NumberSet.from_ranges(self.ranges + other.ranges)

    def intersection(self, other: NumberSet) -> NumberSet:
        found: list[tuple[int, int]] = []
        mine, theirs = iter(self.ranges), iter(other.ranges)
        left, right = next(mine, None), next(theirs, None)
        while left and right:
            first, last = max(left[0], right[0]), min(left[1], right[1])
            if first <= last:
                found.append((first, last))
            if left[1] < right[1]:
                left = next(mine, None)
            else:
                right = next(theirs, None)
        return NumberSet(tuple(found))

    def difference(self, other: NumberSet) -> NumberSet:
        return self.intersection(other._complement())

    def _complement(self) -> NumberSet:
        gaps: list[tuple[int, int]] = []
        start = 1
        for first, last in self.ranges:
            if start < first:
                gaps.append((start, first - 1))
            start = last + 1
        gaps.append((start, STAR))
        return NumberSet(tuple(gaps))

    def of_sorted(self, numbers: Sequence[int]) -> list[int]:
        """Those of the sorted `numbers` that are in the set, found by bisection for each range."""
        found: list[int] = []
        for first, last in self.ranges:
            found.extend(numbers[bisect_left(numbers, first) : bisect_right(numbers, last)])
        return found


@dataclass(frozen=True, slots=True)
class SequenceSet:
    """What a client wrote: ranges in its order with `STAR` for `*`, or `$` when `saved`."""

    ranges: tuple[tuple[int, int], ...] = ()
    saved: bool = False

    def resolve(self, largest: int) -> NumberSet:
        """The numbers meant when `largest` is the highest in use, 0 in an empty mailbox.

        `*` is `largest`, and `5:*` includes it even when it is below 5 (RFC 9051 §9, seq-range). `$` is not
        resolved here: the saved result belongs to the session.
        """
        ranges = []
        for first, last in self.ranges:
            low = largest if first == STAR else first
            high = largest if last == STAR else last
            if low and high:
                ranges.append((low, high) if low <= high else (high, low))
        return NumberSet.from_ranges(ranges)

    @property
    def largest_named(self) -> int:
        """The largest number written out, `*` aside: message numbers beyond the mailbox are an error."""
        return max((number for pair in self.ranges for number in pair if number != STAR), default=0)


@dataclass(frozen=True, slots=True)
class PartialRange:
    """RFC 9394 §3.1: results `first` to `last` counted from 1, or from the end when negative."""

    first: int
    last: int

    def pick(self, results: Sequence[T]) -> Sequence[T]:
        """The part of the results, in their order, that the range names; what lies beyond the ends is left out."""
        low, high = sorted((self.first, self.last))
        if low > 0:
            return results[low - 1 : high]
        stop = len(results) + high + 1
        return results[max(0, len(results) + low) : stop] if stop > 0 else results[:0]


def parse_sequence_set(text: bytes) -> SequenceSet:
    """RFC 9051 §9 sequence-set, with RFC 5182 §2.1's `$`; raises ValueError."""
    if text == b"$":
        return SequenceSet(saved=True)
    if not _SEQUENCE_SET.fullmatch(text):
        raise ValueError("not a sequence set")
    return SequenceSet(tuple(_parse_range(item) for item in text.split(b",")))


def _parse_range(item: bytes) -> tuple[int, int]:
    first, _, last = item.partition(b":")
    low = _parse_number(first)
    return (low, _parse_number(last)) if last else (low, low)


def _parse_number(text: bytes) -> int:
    if text == b"*":
        return STAR
    number = int(text)
    if number > MAX_NUMBER:
        raise ValueError("number too large")
    return number


def format_number_set(numbers: NumberSet) -> bytes:
    """`1:3,7`; an empty set has no form in the grammar and must not be asked for."""
    assert numbers, "an empty set cannot be written"
    return b",".join(b"%d" % first if first == last else b"%d:%d" % (first, last) for first, last in numbers.ranges)


def format_sequence_set(numbers: SequenceSet) -> bytes:
    """What a client would have written."""
    if numbers.saved:
        return b"$"
    return b",".join(
        _format_number(first) if first == last else _format_number(first) + b":" + _format_number(last)
        for first, last in numbers.ranges
    )


def _format_number(number: int) -> bytes:
    return b"*" if number == STAR else b"%d" % number
