# SPDX-License-Identifier: MIT
"""Hearing notices on the event loop: whoever subscribes to a topic is called when it has changed.

The listening itself is `mailserver.notices.listen`, here in a thread of its own. A notice is a hint and may be lost:
subscribers poll slowly as well.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterator

from mailserver.notices import EVERYTHING, Listener, split_notice

ROUND_SECONDS = 60.0
"""How often the thread looks around although nothing was heard."""


def nothing_known() -> int:
    """Of a subscriber that wants to be told of every version."""
    return -1


class Notices:
    """One per process. Subscribe and wait on the event loop only."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._loop = asyncio.get_running_loop()
        self._subscribers: dict[str, list[tuple[Callable[[], None], Callable[[], int]]]] = {}
        self._closed = False
        self._thread = threading.Thread(target=self._listen, name="notices", daemon=True)
        self._thread.start()

    def subscribe(
        self, topic: str, on_change: Callable[[], None], known: Callable[[], int] = nothing_known
    ) -> Callable[[], None]:
        """Call `on_change` whenever the topic may have changed; what is returned ends that.

        `known` is asked which version the subscriber has: of that, and of older ones, it is not told.
        """
        subscriber = (on_change, known)
        self._subscribers.setdefault(topic, []).append(subscriber)

        def unsubscribe() -> None:
            subscribers = self._subscribers.get(topic, [])
            if subscriber in subscribers:
                subscribers.remove(subscriber)
            if not subscribers:
                self._subscribers.pop(topic, None)

        return unsubscribe

    @contextlib.contextmanager
    def watching(self, *topics: str) -> Iterator[asyncio.Event]:
        """An event that is set when one of the topics may have changed; clear it before looking."""
        event = asyncio.Event()
        endings = [self.subscribe(topic, event.set) for topic in topics]
        try:
            yield event
        finally:
            for end in endings:
                end()

    async def wait(self, *topics: str, timeout_seconds: float | None = None) -> bool:
        """Until one of the topics may have changed; false when the time passed first."""
        with self.watching(*topics) as event:
            try:
                await asyncio.wait_for(event.wait(), timeout_seconds)
            except TimeoutError:
                return False
            return True

    def close(self) -> None:
        """Stop listening."""
        self._closed = True
        self._listener.close()
        self._thread.join(timeout=5)

    def _listen(self) -> None:
        while not self._closed:
            topics = self._listener.receive(ROUND_SECONDS)
            if topics and not self._closed:
                with contextlib.suppress(RuntimeError):  # the loop was closed first
                    self._loop.call_soon_threadsafe(self._tell, topics)
        self._listener.receive(0)

    def _tell(self, heard: frozenset[str]) -> None:
        if EVERYTHING in heard:
            for topic in list(self._subscribers):
                self._tell_subscribers(topic, None)
            return
        for notice in heard:
            topic, version = split_notice(notice)
            if topic in self._subscribers:
                self._tell_subscribers(topic, version)

    def _tell_subscribers(self, topic: str, version: int | None) -> None:
        for on_change, known in list(self._subscribers.get(topic, ())):
            if version is None or version > known():
                on_change()
