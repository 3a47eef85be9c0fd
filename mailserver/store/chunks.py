# SPDX-License-Identifier: MIT
"""Long lists in pieces that fit into one statement each. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar

T = TypeVar("T")

KEYS_IN_A_STATEMENT = 500
"""SQLite as built by some takes 999 parameters in a statement."""


def in_chunks(items: Sequence[T], size: int = KEYS_IN_A_STATEMENT) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
