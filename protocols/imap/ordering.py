# SPDX-License-Identifier: MIT
"""The order of a result, and how it changes. Pure.

RFC 5267 §4.3.3 and §4.3.4: places count from 1, and each pair of a place and messages is carried out before the next.
"""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet

Runs = list[tuple[int, list[int]]]


def removals(order: Sequence[int], gone: AbstractSet[int]) -> Runs:
    """What to take out of `order`, from the last to the first, so that no place moves before it is named."""
    return _runs(order, gone)[::-1]


def additions(order: Sequence[int], fresh: AbstractSet[int]) -> Runs:
    """What to put in so that `order` comes out, from the first to the last: each place is the one it has then."""
    return _runs(order, fresh)


def _runs(order: Sequence[int], wanted: AbstractSet[int]) -> Runs:
    """Those that stand together, with the place of the first."""
    found: Runs = []
    end = 0
    for place, message in enumerate(order, 1):
        if message not in wanted:
            continue
        if found and place == end:
            found[-1][1].append(message)
        else:
            found.append((place, [message]))
        end = place + 1
    return found
