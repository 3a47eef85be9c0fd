# SPDX-License-Identifier: MIT
"""The end of sending: nothing is free for others while it is on the wire, and in the end everything is."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, cast

import pytest

from mailserver.connectors.values import TaskResult
from mailserver.errors import Kind, MailError
from mailserver.outqueue.taking import give_back
from mailserver.outqueue.values import Attempt, AttemptResult
from protocols.net.offload import DirectOffload
from tests.support.bugs import BugCatcher
from workers.immediate import Job, _Sending
from workers.sending.claims import Claims
from workers.sending.leaving import leave, stopping_gently
from workers.sending.recorder import Recorder


async def let_others_run() -> None:
    """Whoever would go on without waiting for us has had the time to do so."""
    for _ in range(20):
        await asyncio.sleep(0)


async def test_an_error_in_one_session_lets_the_others_end_what_they_are_at() -> None:
    events: list[str] = []

    class Sending:
        async def finish(self) -> None:
            await let_others_run()
            events.append("finished")

    async def work() -> TaskResult:
        raise MailError(Kind.UNAVAILABLE, "the database is away")

    with pytest.raises(MailError):
        await stopping_gently(Sending(), work())
    assert events == ["finished"]


async def test_what_was_taken_is_given_back_whatever_goes_wrong_before() -> None:
    called: list[object] = []

    class Away:
        async def close(self) -> None:
            raise MailError(Kind.UNAVAILABLE, "the database is away")

    async def offload(function: object, *args: object) -> None:
        called.append((function, *args))

    tools = SimpleNamespace(offload=offload)
    run = SimpleNamespace(recorder=Away(), claims=Claims(offload, "me"), owner="me", tools=tools)
    with pytest.raises(MailError):
        await leave(cast(Any, run), cast(Any, Away()))
    assert called == [(give_back, "me")]


async def test_nobody_waits_for_ever_for_what_cannot_be_recorded(bug_catcher: BugCatcher) -> None:
    def write(attempts: Sequence[Attempt]) -> None:
        raise ValueError("our bug")

    recorder = Recorder(DirectOffload(), write)
    attempts = [Attempt(1, AttemptResult.SENT, "250 ok")]
    results = await asyncio.wait_for(
        asyncio.gather(recorder.record(attempts), recorder.record(attempts), return_exceptions=True), 10
    )
    assert [str(result) for result in results] == ["our bug", "our bug"]
    assert bug_catcher.bugs
    bug_catcher.bugs.clear()


async def test_the_lease_is_kept_until_a_stopped_job_has_left_the_wire() -> None:
    events: list[str] = []
    begun = asyncio.Event()

    async def perform(owner: str, told: object, tools: object) -> TaskResult:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            await let_others_run()
            events.append("off the wire")
        raise AssertionError

    job = Job("key", "name", "lease", lambda: True, perform)
    tools = SimpleNamespace(offload=DirectOffload())
    sending = asyncio.create_task(_Sending(job, "me", cast(Any, tools)).send())
    await begun.wait()
    sending.cancel()
    await asyncio.wait({sending})
    assert events == ["off the wire"]
