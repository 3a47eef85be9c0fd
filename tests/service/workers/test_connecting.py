# SPDX-License-Identifier: MIT
"""A run of a Connection: both directions at once, collectors in turn, the queue looked at again, stopping, failing."""

from __future__ import annotations

import asyncio
import threading
from datetime import timedelta

import pytest

from mailserver import clock
from mailserver.connectors import runs, services, triggers
from mailserver.connectors.models import Collector, Connection, Sender
from mailserver.connectors.runs import RunView
from mailserver.connectors.values import Cause, Outcome, TaskResult
from mailserver.database import run_in_database
from mailserver.leases import services as leases
from mailserver.outqueue.models import QueuedRecipient
from mailserver.outqueue.taking import sender_lease
from tests.support.bugs import BugCatcher
from tests.support.performing import Office
from tests.support.queueing import make_queued
from tests.support.waiting import wait_until
from workers import keeping
from workers.connecting import Performers, run_marked, waiting_for
from workers.tools import WorkerTools

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]


def make_collector(name: str, *, priority: int = 10, method: str = "pop3", enabled: bool = True) -> Collector:
    row = Collector.objects.create(name=name, priority=priority, method=method, enabled=enabled)
    row.connections.set(Connection.objects.all())
    return row


def run_now(tools: WorkerTools, office: Office) -> RunView:
    triggers.connect_now()
    assert run_marked(tools, office.performers) == 1
    return runs.list_runs()[0]


def test_collectors_one_by_one_and_those_that_wait_beside_them(
    internet: Connection, tools: WorkerTools, office: Office
) -> None:
    make_collector("late", priority=20)
    make_collector("early", priority=1)
    make_collector("off", enabled=False)
    make_collector("feed", priority=99, method="incoming-smtp")
    run = run_now(tools, office)
    assert (run.outcome, run.cause) == ("ok", "manual")
    order = [event for event in office.events if "feed" not in event]
    assert order == ["collect early", "collected early", "collect late", "collected late"]
    assert office.events.index("collect feed") < office.events.index("collect late")
    assert sorted(task.name for task in run.tasks) == ["Internet", "early", "feed", "late"]
    (early,) = [task for task in run.tasks if task.name == "early"]
    assert (early.progress.done, early.progress.done_bytes, early.progress.transcript) == (1, 100, "S: +OK")


def run_with_collector_last(tools: WorkerTools, office: Office, collector: str) -> None:
    """The collector ends after the Sender's first round, whatever the threads do."""
    office.blocking[collector] = asyncio.Event()

    async def sent_first(*arguments: object) -> TaskResult:
        result = await Office.run_sender(office, *arguments)  # type: ignore[arg-type]
        office.blocking[collector].set()
        return result

    triggers.connect_now()
    run_marked(tools, Performers(sent_first, office.run_collector))


def test_sending_goes_on_beside_a_long_collection(internet: Connection, tools: WorkerTools, office: Office) -> None:
    make_queued("a@remote.example")
    make_collector("slow")
    run_with_collector_last(tools, office, "slow")
    assert office.events.index("sent a@remote.example") < office.events.index("collected slow")


def test_what_collecting_puts_into_the_queue_leaves_in_the_same_run(
    internet: Connection, tools: WorkerTools, office: Office
) -> None:
    make_collector("box")
    office.after_collecting.append(lambda: make_queued("reply@remote.example"))
    run_now(tools, office)
    assert office.events[-2:] == ["sent reply@remote.example", "done Internet"]


@pytest.mark.parametrize(("cause", "sent"), [(Cause.MANUAL, True), (Cause.FILE, True), (Cause.SCHEDULE, False)])
def test_whoever_says_connect_now_waits_for_no_next_try(
    internet: Connection, tools: WorkerTools, office: Office, cause: Cause, sent: bool
) -> None:
    make_queued("a@remote.example")
    later = clock.now() + timedelta(hours=1)
    QueuedRecipient.objects.update(sender=internet.sender, tries=3, next_attempt=later)
    triggers.connect_now(cause=cause)
    assert run_marked(tools, office.performers) == 1
    assert ("sent a@remote.example" in office.events) is sent


@pytest.mark.parametrize("setting", [{"only_waiting_at_start": True}, {"max_messages_per_session": 5}])
def test_unless_the_sender_is_told_not_to_look_again(
    internet: Connection, tools: WorkerTools, office: Office, setting: dict[str, object]
) -> None:
    Sender.objects.update(**setting)
    make_queued("a@remote.example")
    make_collector("box")
    office.after_collecting.append(lambda: make_queued("reply@remote.example"))
    run_with_collector_last(tools, office, "box")
    assert "sent a@remote.example" in office.events
    assert "sent reply@remote.example" not in office.events


def test_what_is_not_tried_does_not_keep_a_run_up(internet: Connection, tools: WorkerTools, office: Office) -> None:
    make_queued("stays@remote.example")
    office.leave.add("stays@remote.example")
    run_now(tools, office)
    assert office.events.count("send Internet") == 2


def test_one_that_fails_does_not_stop_the_others(
    internet: Connection, tools: WorkerTools, office: Office, bug_catcher: BugCatcher
) -> None:
    make_collector("bad", priority=1)
    make_collector("buggy", priority=2)
    make_collector("good", priority=3)
    office.results["bad"] = TaskResult(Outcome.FAILED, "The server says no.")
    office.results["buggy"] = ValueError("oops")
    run = run_now(tools, office)
    assert "oops" in bug_catcher.report()
    bug_catcher.bugs.clear()
    outcomes = {task.name: (task.outcome, task.text) for task in run.tasks}
    assert outcomes["bad"] == ("failed", "The server says no.")
    assert outcomes["buggy"][0] == "failed"
    assert outcomes["good"] == ("ok", "")
    assert run.outcome == "partly"


def test_a_sender_that_is_switched_off_or_has_nothing_to_do(
    internet: Connection, tools: WorkerTools, office: Office
) -> None:
    run = run_now(tools, office)
    assert office.events == []
    assert [(task.name, task.outcome) for task in run.tasks] == [("Internet", "ok")]
    Sender.objects.update(enabled=False)
    make_queued()
    run = run_now(tools, office)
    assert (office.events, run.tasks, run.outcome) == ([], (), "ok")


@pytest.mark.parametrize(
    ("cause", "tried"), [(Cause.MANUAL, True), (Cause.FILE, True), (Cause.URGENT, True), (Cause.SCHEDULE, False)]
)
def test_who_connects_on_purpose_wants_everything_tried(
    internet: Connection, tools: WorkerTools, office: Office, cause: Cause, tried: bool
) -> None:
    later = clock.now() + timedelta(hours=1)
    make_queued("deferred@remote.example", next_attempt=later, sender_id=internet.sender.pk)
    make_queued(
        "held@remote.example", next_attempt=later, sender_id=internet.sender.pk, status=QueuedRecipient.Status.HELD
    )
    triggers.connect_now(cause=cause)
    run_marked(tools, office.performers)
    assert ("sent deferred@remote.example" in office.events) is tried
    assert "sent held@remote.example" not in office.events


@pytest.mark.parametrize(("cause", "minutes"), [(Cause.MANUAL, [1, 6]), (Cause.URGENT, [6])])
def test_many_urgent_messages_do_not_try_the_others_again_and_again(
    internet: Connection, tools: WorkerTools, office: Office, cause: Cause, minutes: list[int]
) -> None:
    now = clock.now()
    for ago in (1, 6):
        tried = {"last_attempt": now - timedelta(minutes=ago), "next_attempt": now + timedelta(hours=1)}
        make_queued(f"tried-{ago}@remote.example", sender_id=internet.sender.pk, **tried)
    triggers.connect_now(cause=cause)
    run_marked(tools, office.performers)
    assert [event for event in office.events if event.startswith("sent tried")] == [
        f"sent tried-{ago}@remote.example" for ago in minutes
    ]


def test_several_marked_ones_run_one_after_the_other(internet: Connection, tools: WorkerTools, office: Office) -> None:
    second = services.create_connection({"name": "Second"})
    make_collector("box")
    triggers.connect_now([internet.pk, second])
    assert run_marked(tools, office.performers) == 2
    assert office.events == ["collect box", "collected box"] * 2
    first, other = sorted(runs.list_runs(), key=lambda run: run.id)
    assert first.finished is not None
    assert first.finished <= other.started
    assert leases.find_holder(runs.RUN_LEASE) is None


def test_nobody_runs_while_somebody_else_does(internet: Connection, tools: WorkerTools, office: Office) -> None:
    other = leases.make_owner()
    assert leases.acquire(runs.RUN_LEASE, other, 60)
    triggers.connect_now()
    assert run_marked(tools, office.performers) == 0
    assert runs.has_marked()
    leases.release(runs.RUN_LEASE, other)
    assert run_marked(tools, office.performers) == 1


def test_it_waits_for_its_turn_while_the_sender_sends_elsewhere(
    internet: Connection, tools: WorkerTools, office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    sender = Sender.objects.get()
    other = leases.make_owner()
    assert leases.acquire(sender_lease(sender.pk), other, 60)
    make_queued("a@remote.example")
    triggers.connect_now()
    worker = threading.Thread(target=run_in_database, args=(run_marked, tools, office.performers))
    worker.start()
    wait_until(lambda: [task for run in runs.find_running() for task in run.tasks], 10, "the task's row")
    assert office.events == []
    leases.release(sender_lease(sender.pk), other)
    worker.join(20)
    assert "sent a@remote.example" in office.events
    assert leases.find_holder(sender_lease(sender.pk)) is None


def test_stop(internet: Connection, tools: WorkerTools, office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeping, "LOOK_SECONDS", 0.05)
    make_collector("endless", priority=1)
    make_collector("never", priority=2)
    office.blocking["endless"] = asyncio.Event()
    triggers.connect_now()
    worker = threading.Thread(target=run_in_database, args=(run_marked, tools, office.performers))
    worker.start()
    wait_until(lambda: "collect endless" in office.events, 10, "the collector")
    runs.request_stop(runs.newest_run())
    worker.join(20)
    assert "cancelled endless" in office.events
    assert "collect never" not in office.events
    (run,) = runs.list_runs()
    texts = {task.name: task.text for task in run.tasks}
    assert texts["endless"] == keeping.STOPPED
    assert run.outcome in ("failed", "partly")
    assert run.finished is not None


def test_a_worker_that_is_asked_to_end_stops_its_run(
    internet: Connection, tools: WorkerTools, office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeping, "LOOK_SECONDS", 0.05)
    make_collector("endless")
    office.blocking["endless"] = asyncio.Event()
    triggers.connect_now()
    worker = threading.Thread(target=run_in_database, args=(run_marked, tools, office.performers))
    worker.start()
    wait_until(lambda: "collect endless" in office.events, 10, "the collector")
    keeping.ending.set()
    worker.join(20)
    assert {task.text for task in runs.list_runs()[0].tasks if task.name == "endless"} == {keeping.ENDING}


def test_a_lost_lease_stops_the_run(
    internet: Connection, tools: WorkerTools, office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeping, "LOOK_SECONDS", 0.05)
    monkeypatch.setattr(keeping, "EXTEND_SECONDS", 0.05)
    make_collector("endless")
    office.blocking["endless"] = asyncio.Event()
    triggers.connect_now()
    worker = threading.Thread(target=run_in_database, args=(run_marked, tools, office.performers))
    worker.start()
    wait_until(lambda: "collect endless" in office.events, 10, "the collector")
    holder = leases.find_holder(runs.RUN_LEASE)
    assert holder is not None
    leases.release(runs.RUN_LEASE, holder)
    worker.join(20)
    assert "cancelled endless" in office.events
    assert {task.text for task in runs.list_runs()[0].tasks if task.name == "endless"} == {keeping.LOST}


def test_messages_a_connection_could_send(internet: Connection) -> None:
    make_queued("a@r.example", "b@r.example")
    make_queued("c@r.example", status=QueuedRecipient.Status.HELD)
    assert waiting_for(internet.pk) == 1
    Sender.objects.update(enabled=False)
    assert (waiting_for(internet.pk), waiting_for(999)) == (0, 0)


def test_a_worker_that_ends_leaves_the_marks(internet: Connection, tools: WorkerTools, office: Office) -> None:
    triggers.connect_now()
    keeping.ending.set()
    assert run_marked(tools, office.performers) == 0
    assert runs.has_marked()
    assert runs.list_runs() == []
