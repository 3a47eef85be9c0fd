# SPDX-License-Identifier: MIT
"""Collectors that stay connected: news is fetched at once, and the watch ends when it should."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mailserver.connectors import reading, runs, triggers
from mailserver.connectors.models import Collector, Connection, ConnectionRun
from mailserver.connectors.values import Cause, CollectMethod, CollectorSettings, Outcome, TaskLog, TaskResult
from mailserver.leases import services as leases
from tests.support.collecting import CollectingOffice, make_message, open_office
from tests.support.collectors import NotedLog
from tests.support.remote_imap import RemoteImap, running_remote_imap
from workers import watching
from workers.collecting import run_collector
from workers.tools import WorkerTools
from workers.watching import watch_jobs, watch_mailbox

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]


@pytest.fixture
def office(tmp_path: Path) -> Iterator[CollectingOffice]:
    with open_office(tmp_path) as opened:
        yield opened


@pytest.fixture
def row(office: CollectingOffice) -> Collector:
    """A collector as the console would make it, but for its port; read as the worker reads it."""
    connection = Connection.objects.create(name="Internet")
    made = Collector.objects.create(
        name="Provider",
        method=CollectMethod.IMAP,
        server="127.0.0.1",
        port=1,
        login_method="none",
        username="office",
        idle=True,
        target="alice",
    )
    made.connections.add(connection)
    return made


class Watched:
    """A watch in the background, and a way to wait for what it does."""

    def __init__(self, remote: RemoteImap) -> None:
        self.remote = remote
        self.log = NotedLog()
        self.collected: asyncio.Queue[TaskResult] = asyncio.Queue()
        self.task: asyncio.Task[TaskResult]

    async def run_collector(
        self, collector: CollectorSettings, owner: str, log: TaskLog, tools: WorkerTools
    ) -> TaskResult:
        result = await run_collector(collector, owner, log, tools)
        self.collected.put_nowait(result)
        return result

    async def news(self, number: int) -> None:
        await self.remote.idle.wait()
        self.remote.inbox.add(make_message(number))
        await self.remote.announce()


@asynccontextmanager
async def watch(tools: WorkerTools, row: int, remote: RemoteImap) -> AsyncIterator[Watched]:
    remote.greeting = b"* PREAUTH welcome\r\n"
    async with running_remote_imap(remote), asyncio.timeout(60):
        watched = Watched(remote)
        settings = await tools.offload(_settings, row, remote.port)
        watched.task = asyncio.create_task(
            watch_mailbox(settings, leases.make_owner(), watched.log, tools, watched.run_collector)
        )
        try:
            yield watched
        finally:
            watched.task.cancel()
            await asyncio.gather(watched.task, return_exceptions=True)


def _settings(row: int, port: int) -> CollectorSettings:
    Collector.objects.filter(pk=row).update(port=port)
    found = reading.read_collector(row)
    assert found is not None
    return found


def test_news_is_fetched_at_once(office: CollectingOffice, row: Collector) -> None:
    remote = RemoteImap()
    remote.inbox.add(make_message(1))
    tools = office.tools

    async def scenario() -> None:
        async with watch(tools, row.pk, remote) as watched:
            assert await watched.collected.get() == TaskResult(Outcome.OK)
            for number in (2, 3):
                await watched.news(number)
                assert await watched.collected.get() == TaskResult(Outcome.OK)
            await remote.idle.wait()

    asyncio.run(scenario())
    assert office.subjects("alice") == ["Message 1", "Message 2", "Message 3"]
    assert remote.inbox.uids == []
    views = runs.list_runs()
    assert [(view.cause, view.outcome, view.tasks[0].progress.done) for view in views] == [(Cause.IDLE, "ok", 1)] * 3
    assert {view.connection_name for view in views} == {"Internet"}
    connection = Connection.objects.get()
    assert (connection.last_outcome, connection.last_poll) == ("", None), "Last poll is of whole runs"


@pytest.mark.parametrize("change", ["disabled", "changed", "deleted", "paused"])
def test_a_watch_ends_when_its_collector_is_changed(
    office: CollectingOffice, row: Collector, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    monkeypatch.setattr(watching, "LOOK_SECONDS", 0.01)
    tools = office.tools

    def apply() -> None:
        match change:
            case "disabled":
                Collector.objects.update(enabled=False)
            case "changed":
                Collector.objects.update(target="bob")
            case "deleted":
                Collector.objects.all().delete()
            case "paused":
                triggers.pause_schedule()

    async def scenario() -> None:
        async with watch(tools, row.pk, RemoteImap()) as watched:
            await watched.collected.get()
            await watched.remote.idle.wait()
            assert not watched.task.done()
            await tools.offload(apply)
            assert await watched.task == TaskResult(Outcome.OK)

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"refuses": {b"IDLE": b"BAD what?"}}, "does not let us wait for news"),
        ({"cut_after": b"IDLE"}, "broke off"),
        ({"greeting": b"* BYE busy\r\n"}, "busy"),
        ({"folders": {}}, "cannot be opened"),
    ],
)
def test_a_watch_that_fails_says_why(
    office: CollectingOffice, row: Collector, change: dict[str, Any], words: str
) -> None:
    """Whoever runs it lets it rest then, each time longer."""
    remote = RemoteImap()
    tools = office.tools

    async def scenario() -> TaskResult:
        async with watch(tools, row.pk, remote) as watched:
            for name, value in change.items():
                setattr(remote, name, value)
            return await watched.task

    result = asyncio.run(scenario())
    assert result.outcome is Outcome.FAILED
    assert words in result.text


def test_what_is_watched(office: CollectingOffice, row: Collector) -> None:
    jobs = watch_jobs(run_collector)
    assert [(job.name, job.lease, job.connection) for job in jobs()] == [
        ("Provider", f"collector-watch:{row.pk}", None)
    ]
    for change in ({"idle": False}, {"enabled": False}, {"method": CollectMethod.POP3}):
        before = Collector.objects.filter(pk=row.pk).values().get()
        Collector.objects.filter(pk=row.pk).update(**change)
        assert jobs() == []
        Collector.objects.filter(pk=row.pk).update(**before)
    Collector.objects.update(folders=" \n")
    assert [settings.folders for settings in reading.read_watched()] == [("INBOX",)]
    triggers.pause_schedule()
    assert jobs() == []
    triggers.resume_schedule()
    row.connections.clear()
    assert jobs() == []
    assert runs.begin_watched(row.pk, "me") is None


def test_a_run_that_was_cut_short_is_closed_by_the_next(office: CollectingOffice, row: Collector) -> None:
    first = runs.begin_watched(row.pk, "dead")
    assert first is not None
    runs.begin_task(first.id, runs.COLLECTOR, "Provider", collector=row.pk)
    other = Collector.objects.create(name="Other")
    other.connections.add(Connection.objects.get())
    beside = runs.begin_watched(other.pk, "alive")
    assert beside is not None
    assert not runs.has_abandoned(), "nobody waits for it"
    runs.begin_watched(row.pk, "me")
    finished = ConnectionRun.objects.filter(finished__isnull=False)
    assert [run.pk for run in finished] == [first.id]
    assert replace(first).cause is Cause.IDLE
