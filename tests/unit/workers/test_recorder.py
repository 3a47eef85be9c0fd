# SPDX-License-Identifier: MIT
"""Recording what was sent while the database is away."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence

import pytest

from mailserver.errors import Kind, MailError
from mailserver.outqueue.values import Attempt, AttemptResult
from protocols.net.offload import DirectOffload
from tests.support.bugs import BugCatcher
from workers.keeping import ending
from workers.sending import recorder
from workers.sending.recorder import Recorder

SENT = [Attempt(1, AttemptResult.SENT, "250 ok")]


class Database:
    """Away for so many tries."""

    def __init__(self, failures: int, kind: Kind = Kind.UNAVAILABLE) -> None:
        self.failures, self.kind = failures, kind
        self.tries = 0
        self.written: list[Attempt] = []

    def write(self, attempts: Sequence[Attempt]) -> None:
        self.tries += 1
        if self.tries <= self.failures:
            raise MailError(self.kind, "the database is away")
        self.written += attempts


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("FIRST_PAUSE_SECONDS", "LONGEST_PAUSE_SECONDS", "LAST_SECONDS"):
        monkeypatch.setattr(recorder, name, 0.0)
    yield
    ending.clear()


@pytest.mark.parametrize("kind", [Kind.UNAVAILABLE, Kind.STORAGE_FULL])
async def test_the_database_is_waited_for_however_long_it_is_away(kind: Kind, caplog: pytest.LogCaptureFixture) -> None:
    database = Database(500, kind)
    await Recorder(DirectOffload(), database.write).record(SENT)
    assert (database.written, database.tries) == (SENT, 501)
    assert len(caplog.records) == 1


async def test_what_will_not_pass_is_not_waited_for() -> None:
    database = Database(1, Kind.INTERNAL)
    with pytest.raises(MailError):
        await Recorder(DirectOffload(), database.write).record(SENT)
    assert database.tries == 1


async def test_a_worker_that_is_to_end_does_not_wait() -> None:
    database = Database(1000)

    def write(attempts: Sequence[Attempt]) -> None:
        if database.tries == 20:
            ending.set()
        database.write(attempts)

    made = Recorder(DirectOffload(), write)
    with pytest.raises(MailError):
        await made.record(SENT)
    assert database.tries == 21
    await made.close()


@pytest.mark.parametrize("error", [ValueError("a bug"), MailError(Kind.INTERNAL, "a bug")])
async def test_what_cannot_be_recorded_takes_nothing_else_along(error: Exception, bug_catcher: BugCatcher) -> None:
    """Else the others would go out again."""
    database = Database(0)

    def write(attempts: Sequence[Attempt]) -> None:
        if any(attempt.id == 2 for attempt in attempts):
            raise error
        database.write(attempts)

    made = Recorder(DirectOffload(), write)
    made.sessions = 3
    sent = [[Attempt(number, AttemptResult.SENT, "250 ok")] for number in (1, 2, 3)]
    results = await asyncio.gather(*map(made.record, sent), return_exceptions=True)
    assert results == [None, error, None]
    assert database.written == [*sent[0], *sent[2]]
    bug_catcher.bugs.clear()
