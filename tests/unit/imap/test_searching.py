# SPDX-License-Identifier: MIT
"""A search that takes long: the client is told, and nothing is left over when it goes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

import pytest

from protocols.imap import searching
from protocols.imap.searching import patiently
from protocols.imap.session import Session
from tests.support.waiting import until

PATIENCE_SECONDS = 10


class SlowSession:
    """Its threads work until they are told to stop; it remembers what the client was told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, int | None, int | None]] = []
        self.finish = asyncio.Event()
        self.cancelled = False

    async def offload(self, function: Callable[..., Any], *arguments: Any) -> Any:
        try:
            await self.finish.wait()
        except asyncio.CancelledError:
            self.cancelled = True
            raise
        return function(*arguments)

    async def report_progress(self, tag: str, done: int | None = None, goal: int | None = None) -> None:
        self.told.append((tag, done, goal))


@pytest.fixture
def session(monkeypatch: pytest.MonkeyPatch) -> SlowSession:
    monkeypatch.setattr(searching, "PROGRESS_SECONDS", 0.001)
    return SlowSession()


async def test_the_client_is_told_how_far_it_is(session: SlowSession) -> None:
    task = asyncio.ensure_future(patiently(cast(Session, session), "a1", (5000, 20_000), abs, -3))
    await until(lambda: len(session.told) > 1, PATIENCE_SECONDS, "two reports")
    assert set(session.told) == {("a1", 5000, 20_000)}
    session.finish.set()
    assert await task == 3


async def test_what_follows_changes_reports_nothing(session: SlowSession) -> None:
    """No command is going on whose tag could be named (RFC 9585 §4)."""
    task = asyncio.ensure_future(patiently(cast(Session, session), "", (0, 1), abs, -3))
    session.finish.set()
    assert await task == 3
    assert session.told == []


async def test_failures_come_out(session: SlowSession) -> None:
    session.finish.set()
    with pytest.raises(ZeroDivisionError):
        await patiently(cast(Session, session), "a1", (0, 1), divmod, 1, 0)


async def test_a_client_that_goes_waits_for_nothing(session: SlowSession) -> None:
    task = asyncio.ensure_future(patiently(cast(Session, session), "a1", (0, 1), abs, -3))
    await until(lambda: session.told, PATIENCE_SECONDS, "a report")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await until(lambda: session.cancelled, PATIENCE_SECONDS, "the work to be given up")
