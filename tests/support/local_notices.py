# SPDX-License-Identifier: MIT
"""Notices in one process: what is published is heard at once. For worlds without a daemon."""

from __future__ import annotations

from collections.abc import Callable


class LocalNotices:
    """A NoticeSource; a test publishes by itself what a database would have."""

    def __init__(self) -> None:
        self._subscribers: dict[str, list[Callable[[], None]]] = {}

    def subscribe(
        self, topic: str, on_change: Callable[[], None], known: Callable[[], int] | None = None
    ) -> Callable[[], None]:
        """Topics are published without a version here, so `known` is never asked."""
        self._subscribers.setdefault(topic, []).append(on_change)
        return lambda: self._subscribers[topic].remove(on_change)

    def publish(self, topic: str) -> None:
        for on_change in list(self._subscribers.get(topic, ())):
            on_change()
