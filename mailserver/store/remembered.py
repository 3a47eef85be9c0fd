# SPDX-License-Identifier: MIT
"""What has been read of messages a short while ago: small messages, their fields, answers made of them. Pure.

A content never changes, and its id is never given to another, so what is remembered of it stays true; whoever asks for
it has found the content in a mailbox first. Mail programs look at the same few dozen messages again and again.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable, Iterable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

ENTRY_BYTES = 300
"""What an entry costs beside its value."""


class Remembered(Generic[V]):
    """At most so many bytes; what has not been asked for the longest is forgotten first. May be used by any thread."""

    def __init__(self, most_bytes: int) -> None:
        self._room = most_bytes
        self._values: OrderedDict[Hashable, tuple[V, int]] = OrderedDict()
        self._mutex = threading.Lock()

    def __len__(self) -> int:
        return len(self._values)

    def find(self, key: Hashable) -> V | None:
        with self._mutex:
            return self._find(key)

    def find_all(self, keys: Iterable[K]) -> tuple[dict[K, V], list[K]]:
        """What is known, and of which keys nothing is."""
        found: dict[K, V] = {}
        unknown: list[K] = []
        with self._mutex:
            for key in keys:
                value = self._find(key)
                if value is None:
                    unknown.append(key)
                else:
                    found[key] = value
        return found, unknown

    def keep(self, key: Hashable, value: V, size_bytes: int) -> None:
        """One that is known already keeps its value."""
        with self._mutex:
            if key in self._values:
                return
            size = size_bytes + ENTRY_BYTES
            self._values[key] = (value, size)
            self._room -= size
            while self._room < 0:
                self._room += self._values.popitem(last=False)[1][1]

    def _find(self, key: Hashable) -> V | None:
        found = self._values.get(key)
        if found is None:
            return None
        self._values.move_to_end(key)
        return found[0]
