# SPDX-License-Identifier: MIT
"""`connect`, and what `status` and `doctor` say of Connections."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from django.db import connection as database

from mailserver.connectors import runs, services, triggers
from mailserver.connectors.models import Collector, Connection
from mailserver.connectors.runs import TaskProgress
from mailserver.connectors.values import Outcome
from mailserver.leases import services as leases
from mailserver.management import diagnosis
from mailserver.management.commands import connect
from tests.service.commands.conftest import Run
from tests.support.queueing import make_queued
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]


@pytest.fixture(autouse=True)
def _installed(transactional_db: None, installation: None) -> None:
    """After the tables are there."""


@contextmanager
def worker(perform: Callable[[int], Outcome]) -> Iterator[None]:
    """Runs what is marked, in a thread, until the command has ended; `perform` gets the run's number."""
    over = threading.Event()

    def work() -> None:
        while not over.is_set():
            owner = leases.make_owner()
            if runs.has_marked() and leases.acquire(runs.RUN_LEASE, owner, 60):
                run = runs.begin_next(owner)
                if run is not None:
                    runs.end_run(run.id, [perform(run.id)])
                leases.release(runs.RUN_LEASE, owner)
            over.wait(0.02)
        database.close()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(10)


def collect(run: int, outcome: Outcome = Outcome.OK, text: str = "") -> Outcome:
    task = runs.begin_task(run, runs.COLLECTOR, "Mailbox")
    runs.record_progress(run, {task: TaskProgress(12, 3)})
    runs.end_task(task, outcome, text, TaskProgress(12, 12, notes="One was too big.", transcript="S: +OK"))
    return outcome


class TestConnect:
    """connect."""

    def test_the_default_ones(self, run: Run) -> None:
        with worker(collect):
            outcome = run("connect")
        assert (outcome.status, outcome.err) == (0, "")
        assert "Internet, collecting Mailbox: 12 messages, done\n    One was too big.\n" in outcome.out
        assert outcome.out.endswith("Internet: done\n")
        assert "S: +OK" not in outcome.out

    def test_by_name_with_the_dialogue(self, run: Run) -> None:
        services.create_connection({"name": "Second"})
        with worker(collect):
            outcome = run("connect", "Second", "--transcript")
        assert outcome.out.endswith("Second: done\n--- Mailbox\nS: +OK\n")

    def test_a_failure_is_a_failure(self, run: Run) -> None:
        with worker(lambda number: collect(number, Outcome.FAILED, "The server refuses the password.")):
            outcome = run("connect")
        assert outcome.status == 1
        assert "12 messages, FAILED: The server refuses the password." in outcome.out
        assert outcome.err == "Not everything succeeded.\n"

    def test_no_worker(self, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(connect, "NOBODY_SECONDS", 0.2)
        monkeypatch.setattr(connect, "LOOK_SECONDS", 0.05)
        outcome = run("connect")
        assert outcome.status == 1
        assert "No worker has taken it within 10 seconds." in outcome.err
        assert runs.has_marked()

    def test_it_waits_for_a_run_that_is_going(self, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(connect, "NOBODY_SECONDS", 0.2)
        monkeypatch.setattr(connect, "LOOK_SECONDS", 0.05)
        second = services.create_connection({"name": "Second"})
        triggers.connect_now([second])
        begun = threading.Event()

        def perform(number: int) -> Outcome:
            view = runs.find_run(number)
            if view is not None and view.connection == second:
                begun.set()
                wait_until(lambda: runs.has_marked(), 10, "the command's mark")
                threading.Event().wait(0.6)
            return Outcome.OK

        with worker(perform):
            assert begun.wait(10)
            outcome = run("connect", "Internet")
        assert outcome.status == 0
        assert "Waiting for Second, which is running." in outcome.out

    def test_no_such_connection(self, run: Run) -> None:
        outcome = run("connect", "Nowhere")
        assert outcome.status == 1
        assert outcome.err == "There is no Connection 'Nowhere'. There are Internet.\n"

    def test_no_default_connection(self, run: Run) -> None:
        services.update_connection(Connection.objects.get().pk, {"is_default": False})
        assert "no default Connection" in run("connect").err


def test_status_shows_the_connections(run: Run) -> None:
    assert "Internet             last poll never (nothing yet)" in run("status").out
    with worker(collect):
        run("connect")
    outcome = run("status")
    assert "Connections: idle\n" in outcome.out
    assert "(OK)" in outcome.out
    triggers.pause_schedule()
    assert "Connections: idle, schedule paused\n" in run("status").out


def findings() -> list[tuple[str, str]]:
    return [(finding.level.value, finding.text) for finding in diagnosis.check_connections()]


def test_doctor_says_what_is_missing(tmp_path: Path, settings: Any) -> None:
    settings.DATA = tmp_path
    (relay, schedule) = findings()
    assert relay[0] == "note"
    assert "Internet has no relay server" in relay[1]
    assert schedule[0] == "ok"
    make_queued("a@remote.example", "b@remote.example")
    assert findings()[0][0] == "PROBLEM"
    assert findings()[0][1].startswith("2 recipients wait.")
    services.update_connection(Connection.objects.get().pk, servers=[services.ServerInput("relay.example.com")])
    Collector.objects.create(name="Lonely")
    triggers.pause_schedule()
    assert [text for _, text in findings()] == [
        "The Collector Lonely belongs to no Connection, and so never runs.",
        "The schedule is paused: nothing is sent or collected by the clock.",
    ]
    triggers.resume_schedule()
    services.delete_items([row.pk for row in triggers.ScheduleItem.objects.all()])
    assert "The schedule runs nothing" in findings()[-1][1]
    services.update_connection(Connection.objects.get().pk, sender={"domain_filter": "Skip: All"})
    assert findings()[0] == (
        "PROBLEM",
        "1 message waits that no Connection sends: all are switched off for sending, or their domain filtering leaves"
        " these messages out. Switch one on, or let its filtering take them.",
    )
    services.update_connection(Connection.objects.get().pk, sender={"domain_filter": "", "send_immediately": False})
    assert findings()[0][1].startswith("1 message waits for the Connection Internet, which nothing runs.")
