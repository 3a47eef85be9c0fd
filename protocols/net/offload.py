# SPDX-License-Identifier: MIT
"""The one bridge from asyncio to Django: run a blocking service in a thread.

Threads keep their SQLite connection (opening one costs more than a query); on PostgreSQL the connection goes back to
the pool after each call. A database that is out of reach becomes MailError(UNAVAILABLE).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, Protocol, TypeVar

from mailserver.database import run_in_database

P = ParamSpec("P")
R = TypeVar("R")

THREADS = 4
"""Queries are short and the interpreter runs one thread at a time: more threads only add memory."""
SLOW_THREADS = 2
"""For functions marked `takes_long`, which are the password hashes: as many as may run at once (design section 4)."""


class Offload(Protocol):
    """Anything that runs a blocking function for a coroutine; tests call it directly."""

    async def __call__(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R: ...


class ThreadOffload:
    """The daemons' offload. Clients that guess passwords queue for threads of their own, and nobody else with them."""

    def __init__(self, threads: int = THREADS, slow_threads: int = SLOW_THREADS) -> None:
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix="offload")
        self._slow = ThreadPoolExecutor(slow_threads, thread_name_prefix="offload-slow")

    async def __call__(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        loop = asyncio.get_running_loop()
        executor = self._slow if getattr(function, "takes_long", False) else self._executor
        return await loop.run_in_executor(executor, lambda: run_in_database(function, *args, **kwargs))

    def close(self) -> None:
        self._slow.shutdown(wait=False, cancel_futures=True)
        self._executor.shutdown(wait=True, cancel_futures=True)
        self._slow.shutdown(wait=True)


class DirectOffload:
    """Runs the function on the spot; for dialogues against the memory store."""

    async def __call__(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        return function(*args, **kwargs)
