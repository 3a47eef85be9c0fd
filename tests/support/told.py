# SPDX-License-Identifier: MIT
"""Notices that a test says itself."""

from __future__ import annotations

import queue


class Told:
    """A listener that hears what the test says."""

    def __init__(self) -> None:
        self.said: queue.SimpleQueue[frozenset[str]] = queue.SimpleQueue()
        self.closed = False

    def say(self, *topics: str) -> None:
        self.said.put(frozenset(topics))

    def receive(self, timeout_seconds: float) -> frozenset[str]:
        try:
            return self.said.get(timeout=min(timeout_seconds, 0.05) or 0.001)
        except queue.Empty:
            return frozenset()

    def close(self) -> None:
        self.closed = True
