# SPDX-License-Identifier: MIT
"""Runs as rows: beginning, progress, the end, what colours *Last poll*, and what a dead worker left."""

from __future__ import annotations

from datetime import timedelta

import pytest

from mailserver.connectors import runs, services, triggers
from mailserver.connectors.models import Connection
from mailserver.connectors.runs import TaskProgress
from mailserver.connectors.values import Cause, Outcome
from mailserver.leases import services as leases
from tests.support.still_clock import StillClock

pytestmark = [pytest.mark.django_db, pytest.mark.database, pytest.mark.usefixtures("installation")]


@pytest.fixture
def owner(still_clock: StillClock) -> str:
    name = leases.make_owner()
    assert leases.acquire(runs.RUN_LEASE, name, 300)
    return name


def test_marked_ones_run_in_the_order_of_their_numbers(owner: str, still_clock: StillClock) -> None:
    second = services.create_connection({"name": "Second"})
    triggers.connect_now([second])
    triggers.connect_now()
    assert runs.has_marked()
    first = runs.begin_next(owner)
    assert first is not None
    assert (first.connection_name, first.cause) == ("Internet", Cause.MANUAL)
    assert Connection.objects.get(name="Internet").last_poll == still_clock()
    runs.end_run(first.id, [Outcome.OK])
    other = runs.begin_next(owner)
    assert other is not None
    assert other.connection == second
    runs.end_run(other.id, [])
    assert runs.begin_next(owner) is None
    assert not runs.has_marked()


def test_only_the_holder_of_the_lease_begins(owner: str) -> None:
    triggers.connect_now()
    assert runs.begin_next("somebody else") is None
    assert runs.has_marked()


@pytest.mark.parametrize(
    ("outcomes", "expected"),
    [
        ([], "ok"),
        (["ok", "ok"], "ok"),
        (["ok", "failed"], "partly"),
        (["partly"], "partly"),
        (["partly", "failed"], "partly"),
        (["failed"], "failed"),
        (["failed", "failed"], "failed"),
    ],
)
def test_the_colour_of_last_poll(owner: str, outcomes: list[str], expected: str) -> None:
    triggers.connect_now()
    run = runs.begin_next(owner)
    assert run is not None
    assert runs.end_run(run.id, [Outcome(outcome) for outcome in outcomes]) == expected
    assert Connection.objects.get().last_outcome == expected


def test_progress_is_seen_while_it_runs(owner: str) -> None:
    triggers.connect_now()
    run = runs.begin_next(owner)
    assert run is not None
    task = runs.begin_task(run.id, runs.COLLECTOR, "Mailbox")
    assert not runs.record_progress(run.id, {task: TaskProgress(10, 3, 1000, 300, "a note", "S: +OK")})
    (view,) = runs.find_running()
    assert view.connection_name == "Internet"
    assert view.tasks[0].progress == TaskProgress(10, 3, 1000, 300, "a note", "S: +OK")
    runs.request_stop(run.id)
    assert runs.record_progress(run.id, {})
    runs.end_task(task, Outcome.PARTLY, "stopped", TaskProgress(10, 4))
    runs.end_run(run.id, [Outcome.PARTLY])
    assert runs.find_running() == []
    (stored,) = runs.list_runs()
    assert (stored.outcome, stored.tasks[0].text, stored.tasks[0].progress.done) == ("partly", "stopped", 4)
    assert runs.find_run(run.id) == stored
    assert runs.find_run_after(run.connection, run.id - 1) == stored
    assert runs.find_run_after(run.connection, run.id) is None


def test_what_the_outcome_says_is_not_noted_as_well(owner: str) -> None:
    triggers.connect_now()
    run = runs.begin_next(owner)
    assert run is not None
    task = runs.begin_task(run.id, runs.COLLECTOR, "Mailbox")
    notes = "One was too big.\nNothing listens there."
    runs.end_task(task, Outcome.FAILED, "Nothing listens there. Later again.", TaskProgress(notes=notes))
    (view,) = runs.list_runs()
    assert view.tasks[0].progress.notes == "One was too big."


def test_a_run_that_is_gone_is_to_stop(owner: str) -> None:
    assert runs.record_progress(999, {})


def test_what_a_dead_worker_left_is_closed_by_the_next(still_clock: StillClock) -> None:
    dead = leases.make_owner().replace(":", ":9999999:x:", 1)
    assert leases.acquire(runs.RUN_LEASE, dead, 300)
    triggers.connect_now()
    run = runs.begin_next(dead)
    assert run is not None
    runs.begin_task(run.id, runs.SENDER, "Internet")
    assert runs.find_running() == []
    assert runs.has_abandoned()
    successor = leases.make_owner()
    assert leases.acquire(runs.RUN_LEASE, successor, 300)
    assert runs.begin_next(successor) is None
    (view,) = runs.list_runs()
    assert (view.outcome, view.tasks[0].outcome, view.tasks[0].text) == ("failed", "failed", runs.CUT_SHORT)
    assert Connection.objects.get().last_outcome == "failed"
    assert not runs.has_abandoned()


def test_sending_at_once_does_not_touch_last_poll(owner: str) -> None:
    connection = Connection.objects.get()
    run = runs.begin_immediate(connection.pk, owner)
    assert run is not None
    assert not runs.has_abandoned()
    runs.end_run(run.id, [Outcome.FAILED])
    connection.refresh_from_db()
    assert (connection.last_poll, connection.last_outcome) == (None, "")
    assert runs.begin_immediate(999, owner) is None


def test_the_history_ends(owner: str, still_clock: StillClock) -> None:
    for _ in range(2):
        triggers.connect_now()
        run = runs.begin_next(owner)
        assert run is not None
        runs.end_run(run.id, [])
        still_clock.advance(days=1)
        leases.acquire(runs.RUN_LEASE, owner, 300)
    assert runs.forget_runs(still_clock() - timedelta(hours=36)) == 1
    assert len(runs.list_runs()) == 1
    assert runs.newest_run() == runs.list_runs()[0].id
