# SPDX-License-Identifier: MIT
"""Offloaded calls: what takes long has threads of its own."""

from __future__ import annotations

import asyncio
import threading

import pytest

from mailserver.database import takes_long
from mailserver.errors import Kind, MailError
from protocols.net.offload import ThreadOffload


async def test_those_who_wait_for_hashes_keep_nobody_else_waiting() -> None:
    release = threading.Event()
    offload = ThreadOffload(threads=1, slow_threads=2)

    @takes_long
    def hash_password() -> str:
        release.wait(20)
        return threading.current_thread().name

    slow = [asyncio.create_task(offload(hash_password)) for _ in range(10)]
    try:
        assert await asyncio.wait_for(offload(str, 7), 10) == "7"
        assert not any(task.done() for task in slow)
    finally:
        release.set()
    names = set(await asyncio.gather(*slow))
    offload.close()
    assert 1 <= len(names) <= 2
    assert all(name.startswith("offload-slow") for name in names)


async def test_a_method_keeps_its_mark() -> None:
    class Service:
        @takes_long
        def work(self) -> str:
            return threading.current_thread().name

    offload = ThreadOffload()
    assert (await offload(Service().work)).startswith("offload-slow")
    assert (await offload(lambda: threading.current_thread().name)).startswith("offload_")
    offload.close()


async def test_failures_come_through() -> None:
    def fail() -> None:
        raise MailError(Kind.NOT_FOUND)

    offload = ThreadOffload()
    with pytest.raises(MailError):
        await offload(fail)
    offload.close()
