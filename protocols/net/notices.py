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

from mailserver.notices import EVERYTHING, Listener

ROUND_SECONDS = 60.0
"""How often the thread looks around although nothing was heard."""


class Notices:
    """One per process. Subscribe and wait on the event loop only."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._loop = asyncio.get_running_loop()
        self._subscribers: dict[str, list[Callable[[], None]]] = {}
        self._closed = False
        self._thread = threading.Thread(target=self._listen, name="notices", daemon=True)
        self._thread.start()

    def subscribe(self, topic: str, on_change: Callable[[], None]) -> Callable[[], None]:
        """Call `on_change` whenever the topic may have changed; what is returned ends that."""
        self._subscribers.setdefault(topic, []).append(on_change)

        def unsubscribe() -> None:
            subscribers = self._subscribers.get(topic, [])
            if on_change in subscribers:
                subscribers.remove(on_change)
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

    def _tell(self, topics: frozenset[str]) -> None:
        told = list(self._subscribers) if EVERYTHING in topics else [t for t in topics if t in self._subscribers]
        for topic in told:
            for on_change in list(self._subscribers.get(topic, ())):
                on_change()
