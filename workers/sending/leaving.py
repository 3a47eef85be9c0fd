# SPDX-License-Identifier: MIT
"""The end of a run, and its end before its time: what is on the wire is finished, and the rest is free again."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, Protocol

from mailserver.connectors.values import TaskResult
from mailserver.outqueue.taking import give_back
from workers.sending.feed import Feed
from workers.sending.sessions import SendingRun

FINISH_SECONDS = 8.0


class Stoppable(Protocol):
    """What can be asked to come to an end."""

    async def finish(self) -> None: ...


async def stopping_gently(sending: Stoppable, work: Coroutine[Any, Any, TaskResult]) -> TaskResult:
    """Do the work. Being cancelled, or an error in one session, lets the others end what they are at, within
    FINISH_SECONDS: what is on the wire must not be free for the next one to send."""
    working = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(working)
    except BaseException:
        finishing = asyncio.ensure_future(sending.finish())
        await asyncio.wait({finishing}, timeout=FINISH_SECONDS)
        for task in (finishing, working):
            task.cancel()
        await asyncio.gather(finishing, working, return_exceptions=True)
        raise


async def leave(run: SendingRun, feed: Feed) -> None:
    """Also when it is cancelled once more: what was taken and not begun is free again."""

    async def give_everything_back() -> None:
        try:
            await run.claims.close()
            await run.recorder.close()
            await feed.close()
        finally:
            await run.tools.offload(give_back, run.owner)

    await asyncio.shield(give_everything_back())
