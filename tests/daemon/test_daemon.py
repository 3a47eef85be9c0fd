# SPDX-License-Identifier: MIT
"""The daemon's life: its row in the database, what it is asked, settings that change, a database that goes away."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from django.db import connections

from mailserver.activity import services as activity
from mailserver.activity.services import ProcessKind, RunningProcess
from mailserver.config.building import SnapshotProblem
from mailserver.config.snapshot import Directory, Service, Snapshot, User
from mailserver.config.watch import SnapshotWatcher
from mailserver.errors import Kind, MailError
from mailserver.notices import SETTINGS, process_topic
from mailserver.values import Address, MailboxId, UserId
from protocols.net.daemon import Daemon as Life
from protocols.net.daemon import DaemonParts, Surroundings
from protocols.net.notices import Notices
from protocols.net.offload import ThreadOffload
from protocols.net.tls import TlsContexts
from tests.support.listening import Daemon, Peer, free_binding, listens, make_service, run
from tests.support.told import Told
from tests.support.waiting import until

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]

ALICE = User(UserId(1), "alice", Address("alice", "example.test"), MailboxId(1))
BOB = User(UserId(2), "bob", Address("bob", "example.test"), MailboxId(2))


class Settings:
    """What the watcher reads: a snapshot and its revision. A test may hold a reading up, or make it fail."""

    def __init__(self, service: Service) -> None:
        self.snapshot = Snapshot(revision=1, services=(service,))
        self.nonsense = False
        self.looks = 0
        self.built: list[Snapshot] = []
        self.may_build = threading.Event()
        self.may_build.set()

    def revision(self) -> int:
        self.looks += 1
        return self.snapshot.revision

    def build(self) -> Snapshot:
        if self.nonsense:
            raise SnapshotProblem("nonsense")
        snapshot = self.snapshot
        self.built.append(snapshot)
        assert self.may_build.wait(10)
        return snapshot

    def change(self, service: Service) -> None:
        self.snapshot = replace(self.snapshot, revision=self.snapshot.revision + 1, services=(service,))

    def have_users(self, *users: User) -> None:
        directory = Directory(("example.test",), users)
        self.snapshot = replace(self.snapshot, revision=self.snapshot.revision + 1, directory=directory)


class Running:
    """A daemon in the test's own process, with real sockets, threads and rows."""

    def __init__(self, process: int) -> None:
        self.process = process
        self.outer = Daemon(make_service())
        self.settings = Settings(self.outer.service)
        self.told = Told()
        self.ready = asyncio.Event()
        self.offload = ThreadOffload()
        self.broken = False
        watcher = SnapshotWatcher(self.settings.build, self.settings.revision)
        self.heard = Notices(self.told)
        self.life = Life(
            DaemonParts(
                process=process,
                watcher=watcher,
                listeners=self.outer.listeners,
                sessions=self.outer.sessions,
                tls=TlsContexts(),
                pools=self.outer.pools,
                surroundings=Surroundings(),
                offload=self._offload,
                notices=self.heard,
                on_ready=self.ready.set,
                drain_seconds=0.1,
            )
        )
        self.outer.snapshot = self.settings.snapshot
        self.task = asyncio.create_task(self.life.run())

    async def _offload(self, function: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        if self.broken:
            raise MailError(Kind.UNAVAILABLE, "gone")
        return await self.offload(function, *arguments, **named)

    async def __aenter__(self) -> Running:
        await self.ready.wait()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.life.stop()
        with suppress(asyncio.CancelledError):
            await self.task
        await self.outer.__aexit__()
        self.heard.close()
        for _turn in range(4):
            await self.offload(connections.close_all)
        self.offload.close()

    async def change(self, service: Service) -> None:
        """As a save in the console: the rows, then the notice."""
        self.settings.change(service)
        self.outer.snapshot = self.settings.snapshot
        self.told.say(SETTINGS)

    async def have_users(self, *users: User) -> None:
        self.settings.have_users(*users)
        self.outer.snapshot = self.settings.snapshot
        self.told.say(SETTINGS)

    async def log_in(self, user: User) -> Peer:
        """A client, greeted and logged in as this user, whether there is one or not."""
        peer = await self.outer.connect()
        assert await peer.line() == b"HELLO\r\n"
        request = f"login {user.id} {user.address}".encode()
        assert await peer.ask(request) == request + b"\r\n"
        return peer

    def revisions_built(self) -> list[int]:
        return [snapshot.revision for snapshot in self.settings.built]

    async def several_looks(self) -> None:
        """The daemon has looked at the settings, and did what it does after that."""
        for _ in range(2):
            before = self.settings.looks
            self.told.say(SETTINGS)
            await until(lambda before=before: self.settings.looks > before, 10, "a look at the settings")

    async def ask(self, command: str, argument: str = "") -> None:
        await self.offload(activity.ask, self.process, command, argument)
        self.told.say(process_topic(self.process))

    async def row(self) -> RunningProcess:
        rows: list[RunningProcess] = await self.offload(activity.list_processes)
        return next(row for row in rows if row.id == self.process)

    async def row_where(self, condition: Callable[[RunningProcess], bool], what: str) -> RunningProcess:
        found: list[RunningProcess] = []

        async def look() -> None:
            while not found:
                row = await self.row()
                if condition(row):
                    found.append(row)

        looking = asyncio.create_task(look())
        await until(lambda: found, 10, what)
        await looking
        return found[0]


@pytest.fixture
def process() -> int:
    return activity.register_process(ProcessKind.SERVE)


def test_row_tells_sessions_and_listeners(process: int) -> None:
    async def scenario() -> None:
        async with Running(process) as running:
            peer = await running.outer.connect()
            assert await peer.line() == b"HELLO\r\n"
            assert await peer.ask(b"LIST") == b"LIST\r\n"
            row = await running.row_where(lambda row: bool(row.sessions), "the session in the row")
            assert (row.state, row.report["revision"], row.report["session_count"]) == ("running", 1, 1)
            assert [(state.service, state.error) for state in row.listeners] == [(1, "")]
            assert (row.sessions[0].key, row.sessions[0].client) == ("pop3:1", "127.0.0.1")

    run(scenario)


def test_asked_to_end_a_session(process: int) -> None:
    async def scenario() -> None:
        async with Running(process) as running:
            first, second = await running.outer.connect(), await running.outer.connect()
            assert (await first.line(), await second.line()) == (b"HELLO\r\n", b"HELLO\r\n")
            await running.ask(activity.END_SESSION, "pop3:1")
            assert (await first.rest()).startswith(b"FAREWELL ")
            await until(lambda: len(running.outer.sessions) == 1, 10, "the end of the session")
            assert await second.ask(b"here") == b"here\r\n"

    run(scenario)


@pytest.mark.parametrize("later", [(), (replace(ALICE, active=False),)], ids=["deleted", "switched off"])
def test_user_who_may_no_longer_log_in_is_served_no_further(process: int, later: tuple[User, ...]) -> None:
    async def scenario() -> None:
        async with Running(process) as running:
            await running.have_users(ALICE, BOB)
            alice, bob, nobody = await running.log_in(ALICE), await running.log_in(BOB), await running.outer.connect()
            assert await nobody.line() == b"HELLO\r\n"
            await running.have_users(BOB, *later)
            assert await alice.rest() == b"FAREWELL localhost\r\n"
            assert await bob.ask(b"here") == b"here\r\n"
            assert await nobody.ask(b"here") == b"here\r\n"

    run(scenario)


def test_user_who_came_and_went_between_two_looks_at_the_settings_is_served_no_further(process: int) -> None:
    async def scenario() -> None:
        async with Running(process) as running:
            await running.have_users(BOB)
            alice, bob = await running.log_in(ALICE), await running.log_in(BOB)
            assert await alice.rest() == b"FAREWELL localhost\r\n"
            assert await bob.ask(b"here") == b"here\r\n"

    run(scenario)


def test_user_made_again_under_the_same_address_is_somebody_else(process: int) -> None:
    async def scenario() -> None:
        async with Running(process) as running:
            await running.have_users(ALICE)
            former = await running.log_in(ALICE)
            alice = replace(ALICE, id=UserId(3))
            await running.have_users(alice)
            present = await running.log_in(alice)
            assert await former.rest() == b"FAREWELL localhost\r\n"
            assert await present.ask(b"here") == b"here\r\n"

    run(scenario)


def test_settings_read_before_a_new_user_logged_in_do_not_speak_against_her(process: int) -> None:
    async def scenario() -> None:
        async with Running(process) as running:
            running.settings.may_build.clear()
            await running.have_users(BOB)
            await until(lambda: running.revisions_built() == [1, 2], 10, "a reading that begins")
            running.settings.have_users(ALICE, BOB)
            alice = await running.log_in(ALICE)
            running.settings.may_build.set()
            await until(lambda: running.revisions_built() == [1, 2, 3], 10, "the next reading")
            await running.several_looks()
            assert await alice.ask(b"here") == b"here\r\n"

    run(scenario)


def test_nobody_is_sent_away_on_settings_that_may_be_outdated(process: int, caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        async with Running(process) as running:
            running.settings.nonsense = True
            await running.have_users(ALICE)
            await until(lambda: "nonsense" in caplog.text, 10, "the complaint")
            alice = await running.log_in(ALICE)
            await running.several_looks()
            assert await alice.ask(b"here") == b"here\r\n"
            running.broken = True
            running.told.say(SETTINGS)
            await until(lambda: "out of reach" in caplog.text, 10, "the other complaint")
            assert await alice.ask(b"still here") == b"still here\r\n"

    with caplog.at_level(logging.WARNING):
        run(scenario)


def test_asked_to_drain_it_ends(process: int) -> None:
    async def scenario() -> None:
        async with Running(process) as running:
            await running.ask(activity.DRAIN)
            await asyncio.wait_for(asyncio.shield(running.task), 10)
            assert not await asyncio.to_thread(listens, running.outer.service.bindings[0])

    run(scenario)


def test_settings_take_effect_on_a_notice_and_on_reload(process: int) -> None:
    async def scenario() -> None:
        async with Running(process) as running:
            new = replace(running.outer.service, bindings=(free_binding(),))
            await running.change(new)
            await until(
                lambda: running.outer.listeners.states()[0].binding.endswith(str(new.bindings[0].port)), 2, "it"
            )
            row = await running.row_where(lambda row: row.report["revision"] == 2, "the revision in the row")
            assert row.problem == ""
            await running.ask(activity.RELOAD)
            running.outer.service = new
            peer = await running.outer.connect()
            assert await peer.line() == b"HELLO\r\n"

    run(scenario)


def test_database_that_goes_and_comes_back_is_said_once(process: int, caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        async with Running(process) as running:
            peer = await running.outer.connect()
            assert await peer.line() == b"HELLO\r\n"
            running.broken = True
            await until(lambda: "out of reach" in caplog.text, 10, "the complaint")
            running.told.say(SETTINGS, process_topic(process))
            assert await peer.ask(b"still here") == b"still here\r\n"
            running.broken = False
            running.told.say(SETTINGS)
            await until(lambda: "the database is back" in caplog.text, 10, "the good news")
            await running.row_where(lambda row: row.report.get("session_count") == 1, "the row")

    with caplog.at_level(logging.WARNING):
        run(scenario)
    assert caplog.text.count("out of reach") == 1
