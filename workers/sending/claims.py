# SPDX-License-Identifier: MIT
"""What a run has taken from the queue, so that nothing is begun that was held or deleted more than a moment ago.

Many messages are taken ahead, and some wait long for their turn. Once a second the run asks which of them are still its
own, with one query for all of them, and gives back those that were held and are not on the wire; who held them waits
for that (`outqueue.recalling`). What is not its own any more somebody else may be sending: a worker that stood still
for longer than its lease finds that out here, before it sends anything twice.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Collection, Iterable

from mailserver.errors import MailError
from mailserver.outqueue.taking import find_claimed, give_back
from mailserver.outqueue.values import QueuedOne
from protocols.net.offload import Offload

log = logging.getLogger("pillarbox.sending")

SURE_SECONDS = 1.0
"""How long what was known of a claim counts."""


class Claims:
    """One run's. A recipient that was given back and taken again is another object: only the new one is begun."""

    def __init__(self, offload: Offload, owner: str) -> None:
        self._offload = offload
        self._owner = owner
        self._taken: dict[int, tuple[QueuedOne, float]] = {}
        """With the moment at which each was taken."""
        self._begun: set[int] = set()
        self._looked = 0.0
        self._looking = asyncio.Lock()
        self._watching: asyncio.Task[None] | None = None

    def take(self, recipients: Iterable[QueuedOne]) -> None:
        """These have just been claimed."""
        now = time.monotonic()
        self._taken.update((one.id, (one, now)) for one in recipients)
        if self._watching is None:
            self._watching = asyncio.create_task(self._watch())

    async def begin(self, recipients: Collection[QueuedOne]) -> tuple[QueuedOne, ...]:
        """Those that may go on the wire now. Raises MailError."""
        if not all(map(self._is_sure, recipients)):
            async with self._looking:
                if not all(map(self._is_sure, recipients)):
                    await self._look()
        wanted = tuple(one for one in recipients if self._has(one))
        self._begun.update(one.id for one in wanted)
        return wanted

    def end(self, ids: Iterable[int]) -> None:
        """What became of these is recorded."""
        for id_ in ids:
            self._taken.pop(id_, None)
            self._begun.discard(id_)

    async def close(self) -> None:
        """Nothing more is begun."""
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)

    def _has(self, one: QueuedOne) -> bool:
        return self._taken.get(one.id, (None, 0.0))[0] is one

    def _is_sure(self, one: QueuedOne) -> bool:
        """What was begun stays so, and what is gone does not come back."""
        if not self._has(one) or one.id in self._begun:
            return True
        return max(self._looked, self._taken[one.id][1]) > time.monotonic() - SURE_SECONDS

    async def _look(self) -> None:
        now = time.monotonic()
        asked = {id_: taken for id_, taken in self._taken.items() if taken[1] < now}
        claimed = await self._offload(find_claimed, self._owner)
        self._looked = now
        lost = [
            id_
            for id_, taken in asked.items()
            if not claimed.get(id_, False) and id_ not in self._begun and self._taken.get(id_) is taken
        ]
        self.end(lost)
        back = [id_ for id_ in lost if id_ in claimed]
        if back:
            await self._offload(give_back, self._owner, back)

    async def _watch(self) -> None:
        """Also while everything that is taken waits for its turn."""
        while True:
            await asyncio.sleep(SURE_SECONDS)
            if len(self._taken) == len(self._begun):
                continue
            try:
                async with self._looking:
                    await self._look()
            except MailError as error:
                log.warning("what was held meanwhile is not known: %s", error)
