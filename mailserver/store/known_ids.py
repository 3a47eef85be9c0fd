# SPDX-License-Identifier: MIT
"""Which of very many ids are known, in little room: ids are given out one after the other, so runs of them are kept.

Pure.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence


class KnownIds:
    """A set of ids that only grows."""

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._ends: list[int] = []

    def missing(self, ids: Sequence[int]) -> list[int]:
        """Those of the rising ids that are not known."""
        found: list[int] = []
        place = 0
        for run in range(max(0, bisect_right(self._starts, ids[0]) - 1) if ids else 0, len(self._starts)):
            if place == len(ids) or self._starts[run] > ids[-1]:
                break
            start = bisect_left(ids, self._starts[run], place)
            found += ids[place:start]
            place = bisect_right(ids, self._ends[run], start)
        found += ids[place:]
        return found

    def add(self, ids: Iterable[int]) -> None:
        """More of them, rising."""
        runs = sorted([*zip(self._starts, self._ends, strict=True), *_runs(ids)])
        self._starts, self._ends = [], []
        for start, end in runs:
            if self._ends and start <= self._ends[-1] + 1:
                self._ends[-1] = max(self._ends[-1], end)
            else:
                self._starts.append(start)
                self._ends.append(end)


def _runs(ids: Iterable[int]) -> Iterator[tuple[int, int]]:
    start = end = None
    for id_ in ids:
        if start is None or end is None:
            start = end = id_
        elif id_ == end + 1:
            end = id_
        else:
            yield start, end
            start = end = id_
    if start is not None and end is not None:
        yield start, end
