# SPDX-License-Identifier: MIT
"""Waiting for something to become true, with a deadline; what tests do instead of sleeping."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
LOOK_EVERY_SECONDS = 0.02


def wait_until(condition: Callable[[], T], seconds: float, what: str) -> T:
    """The condition's first true answer; AssertionError naming `what` when the deadline passes first."""
    deadline = time.monotonic() + seconds
    pause = threading.Event()
    while True:
        if answer := condition():
            return answer
        if time.monotonic() >= deadline:
            raise AssertionError(f"waited {seconds:g} s in vain for {what}")
        pause.wait(LOOK_EVERY_SECONDS)


async def until(condition: Callable[[], T], seconds: float, what: str) -> T:
    """The same for coroutines: the loop goes on meanwhile."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    while True:
        if answer := condition():
            return answer
        if loop.time() >= deadline:
            raise AssertionError(f"waited {seconds:g} s in vain for {what}")
        turn: asyncio.Future[None] = loop.create_future()
        loop.call_later(LOOK_EVERY_SECONDS, lambda turn=turn: turn.done() or turn.set_result(None))
        await turn
