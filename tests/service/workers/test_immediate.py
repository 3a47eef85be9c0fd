# SPDX-License-Identifier: MIT
"""Sending at once: on a wake-up, when a try is due, never twice, with a row of the history when there is news."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator

import pytest

from mailserver.connectors import runs, services
from mailserver.connectors.models import Connection, ConnectionRun, Sender
from mailserver.connectors.values import Outcome, TaskResult
from mailserver.leases import services as leases
from mailserver.outqueue.taking import sender_lease
from tests.support.bugs import BugCatcher
from tests.support.performing import Office
from tests.support.queueing import make_queued
from tests.support.waiting import wait_until
from workers import immediate, keeping
from workers.immediate import ImmediateSending, sender_jobs
from workers.tools import WorkerTools

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]


@pytest.fixture
def sending(tools: WorkerTools, office: Office, monkeypatch: pytest.MonkeyPatch) -> Iterator[ImmediateSending]:
    """Woken only by the tests."""
    monkeypatch.setattr(immediate, "BUSY_LOOK_SECONDS", 0.02)
    monkeypatch.setattr(keeping, "LOOK_SECONDS", 0.05)
    monkeypatch.setattr(immediate, "LOOK_SECONDS", 0.05)
    thread = ImmediateSending(lambda: tools, [sender_jobs(office.run_sender)])
    thread.start()
    yield thread
    thread.end()
    assert not thread.is_alive()


def happened(office: Office, event: str) -> Callable[[], bool]:
    return lambda: event in office.events


def test_what_comes_in_leaves_at_once(internet: Connection, sending: ImmediateSending, office: Office) -> None:
    make_queued("a@remote.example")
    sending.wake()
    wait_until(happened(office, "sent a@remote.example"), 10, "the message")
    (run,) = wait_until(lambda: [run for run in runs.list_runs() if run.finished], 10, "the history")
    assert (run.cause, run.outcome, run.tasks[0].progress.done) == ("immediate", "ok", 1)
    lease = sender_lease(Sender.objects.get().pk)
    wait_until(lambda: leases.find_holder(lease) is None, 10, "the lease to be given back")
    internet.refresh_from_db()
    assert internet.last_poll is None


def test_what_waited_before_it_began_leaves_without_being_asked(
    internet: Connection, tools: WorkerTools, office: Office
) -> None:
    make_queued("a@remote.example")
    thread = ImmediateSending(lambda: tools, [sender_jobs(office.run_sender)])
    thread.start()
    wait_until(happened(office, "sent a@remote.example"), 10, "the message")
    thread.end()


def test_nothing_to_send_is_no_run(internet: Connection, sending: ImmediateSending, office: Office) -> None:
    Sender.objects.update(send_immediately=False)
    make_queued("a@remote.example")
    sending.wake()
    Sender.objects.update(send_immediately=True)
    make_queued("b@remote.example")
    sending.wake()
    wait_until(happened(office, "sent b@remote.example"), 10, "the second one")
    assert office.events.count("send Internet") <= 2
    wait_until(lambda: not ConnectionRun.objects.filter(finished=None).exists(), 10, "the end")


def test_while_somebody_else_has_the_lease_it_waits(
    internet: Connection, sending: ImmediateSending, office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(immediate, "BUSY_REST_SECONDS", 0.01)
    lease, other = sender_lease(Sender.objects.get().pk), leases.make_owner()
    assert leases.acquire(lease, other, 60)
    make_queued("a@remote.example")
    sending.wake()
    wait_until(lambda: sending._resting, 10, "the attempt")
    assert office.events == []
    leases.release(lease, other)
    wait_until(lambda: sending.wake() or "sent a@remote.example" in office.events, 10, "its turn")


def test_two_workers_send_once(
    internet: Connection, sending: ImmediateSending, tools: WorkerTools, office: Office
) -> None:
    second = ImmediateSending(lambda: tools, [sender_jobs(office.run_sender)])
    second.start()
    for number in range(20):
        make_queued(f"a{number}@remote.example")
        sending.wake()
        second.wake()
    wait_until(lambda: sum(event.startswith("sent ") for event in office.events) >= 20, 20, "all of them")
    second.end()
    sent = [event for event in office.events if event.startswith("sent ")]
    assert sorted(sent) == sorted(set(sent))


def test_what_fails_rests(internet: Connection, sending: ImmediateSending, office: Office) -> None:
    office.results["Internet"] = TaskResult(Outcome.FAILED, "No relay server is named.")
    office.leave.add("a@remote.example")
    make_queued("a@remote.example")
    sending.wake()
    wait_until(happened(office, "done Internet"), 10, "the attempt")
    wait_until(lambda: sending._resting, 10, "the rest")
    for _ in range(20):
        sending.wake()
    (run,) = wait_until(lambda: [run for run in runs.list_runs() if run.finished], 10, "the history")
    assert (run.outcome, run.tasks[0].text) == ("failed", "No relay server is named.")
    assert office.events.count("send Internet") == 1


def test_what_failed_is_tried_at_once_when_somebody_has_changed_it(
    internet: Connection, sending: ImmediateSending, office: Office
) -> None:
    office.results["Internet"] = TaskResult(Outcome.FAILED, "No relay server is named.")
    office.leave.add("a@remote.example")
    make_queued("a@remote.example")
    sending.wake()
    wait_until(lambda: sending._resting, 10, "the rest")
    office.results.clear()
    office.leave.clear()
    services.update_connection(internet.pk, servers=[services.ServerInput("relay.example.com")])
    sending.wake()
    wait_until(happened(office, "sent a@remote.example"), 10, "the next attempt")


def test_a_bug_does_not_end_it(
    internet: Connection, tools: WorkerTools, office: Office, bug_catcher: BugCatcher
) -> None:
    bugs = [ValueError("first"), ValueError("second")]

    def source() -> list[immediate.Job]:
        if bugs:
            raise bugs.pop()
        return sender_jobs(office.run_sender)()

    thread = ImmediateSending(lambda: tools, [source])
    thread.start()
    make_queued("a@remote.example")
    wait_until(lambda: thread.wake() or "sent a@remote.example" in office.events, 20, "the message")
    thread.end()
    assert "first" in bug_catcher.report()
    bug_catcher.bugs.clear()


def test_a_long_one_is_seen_and_can_be_stopped(internet: Connection, sending: ImmediateSending, office: Office) -> None:
    office.blocking["Internet"] = asyncio.Event()
    make_queued("a@remote.example")
    sending.wake()
    (run,) = wait_until(runs.find_running, 10, "its row")
    runs.request_stop(run.id)
    wait_until(happened(office, "cancelled Internet"), 10, "the stop")
    (ended,) = wait_until(lambda: [run for run in runs.list_runs() if run.finished], 10, "the end")
    assert (ended.outcome, ended.tasks[0].text) == ("failed", keeping.STOPPED)


def test_the_end_of_the_worker(internet: Connection, sending: ImmediateSending, office: Office) -> None:
    office.blocking["Internet"] = asyncio.Event()
    make_queued("a@remote.example")
    sending.wake()
    wait_until(happened(office, "send Internet"), 10, "the sender")
    sending.end()
    assert "cancelled Internet" in office.events
    assert leases.find_holder(sender_lease(Sender.objects.get().pk)) is None
