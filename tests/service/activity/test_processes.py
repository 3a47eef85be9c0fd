# SPDX-License-Identifier: MIT
"""Process rows: living, dying, coming back, and what is asked of a process."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from mailserver import notices
from mailserver.activity import services as activity
from mailserver.activity.models import STALE_AFTER_SECONDS, Process
from mailserver.activity.services import SessionBrief
from mailserver.addressing.services import add_domain
from mailserver.store.models import MaildropLock
from mailserver.users.services import create_user
from tests.support.still_clock import StillClock

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]

BRIEF = SessionBrief("pop3", 7, "POP3", "192.0.2.7", "2026-03-02T09:30:00+00:00", "anna", "RETR")


def test_row_says_who_runs(still_clock: StillClock) -> None:
    number = activity.register_process(Process.Kind.SERVE)
    report = {"listeners": [[3, "127.0.0.1:25", ""], [4, "127.0.0.1:110", "taken"]], "problem": "none"}
    activity.heartbeat(number, Process.Kind.SERVE, state="draining", report=report, sessions=[BRIEF])
    (process,) = activity.list_processes()
    assert (process.id, process.kind, process.pid, process.state) == (number, "serve", os.getpid(), "draining")
    assert process.alive
    assert process.sessions == (BRIEF,)
    assert [(state.service, state.error) for state in process.listeners] == [(3, ""), (4, "taken")]
    assert process.problem == "none"


def test_heartbeat_that_stops_is_death(still_clock: StillClock) -> None:
    number = activity.register_process(Process.Kind.SERVE)
    activity.heartbeat(number, Process.Kind.SERVE, sessions=[BRIEF])
    still_clock.advance(seconds=STALE_AFTER_SECONDS - 1)
    assert activity.list_processes()[0].alive
    assert activity.list_sessions() == [(number, BRIEF)]
    still_clock.advance(seconds=1)
    assert not activity.list_processes()[0].alive
    assert activity.list_sessions() == []


def test_dead_rows_stay_for_a_while_to_be_seen(still_clock: StillClock) -> None:
    activity.register_process(Process.Kind.WORKER)
    assert activity.forget_dead(still_clock.advance(seconds=activity.FORGET_AFTER_SECONDS)) == 0
    assert activity.forget_dead(still_clock.advance(seconds=1)) == 1
    assert activity.list_processes() == []


def test_process_that_was_taken_for_dead_comes_back_with_its_number(still_clock: StillClock) -> None:
    number = activity.register_process(Process.Kind.SERVE)
    activity.forget_dead(still_clock.advance(hours=1))
    activity.heartbeat(number, Process.Kind.SERVE, sessions=[BRIEF])
    assert [(process.id, process.alive) for process in activity.list_processes()] == [(number, True)]
    assert activity.list_sessions() == [(number, BRIEF)]


def test_orderly_end_leaves_nothing() -> None:
    number = activity.register_process(Process.Kind.SERVE)
    activity.ask(number, activity.DRAIN)
    activity.end_process(number)
    assert activity.list_processes() == []


def test_lock_of_a_crashed_process_is_free_as_soon_as_its_successor_starts() -> None:
    add_domain("example.test")
    user = create_user("anna", "Wholly-unlike-1")
    crashed = activity.register_process(Process.Kind.SERVE)
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    Process.objects.filter(pk=crashed).update(pid=gone.pid)
    MaildropLock.objects.create(
        user=user, process_id=crashed, exclusive=True, session=1, created=Process.objects.get(pk=crashed).started
    )
    activity.register_process(Process.Kind.SERVE)
    assert not Process.objects.filter(pk=crashed).exists()
    assert not MaildropLock.objects.exists()


def test_process_of_another_machine_is_not_judged_by_its_number() -> None:
    elsewhere = activity.register_process(Process.Kind.SERVE)
    Process.objects.filter(pk=elsewhere).update(pid=2**22 + 1, report={"place": "another boot"})
    activity.register_process(Process.Kind.SERVE)
    assert Process.objects.filter(pk=elsewhere).exists()


def test_commands_are_taken_once_and_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    monkeypatch.setattr(notices, "publish", told.extend)
    number = activity.register_process(Process.Kind.SERVE)
    activity.ask(number, activity.END_SESSION, BRIEF.key)
    activity.ask(number, activity.DRAIN)
    assert told == [notices.process_topic(number)] * 2
    taken = activity.take_commands(number)
    assert [(command.command, command.argument) for command in taken] == [("end-session", "pop3:7"), ("drain", "")]
    assert activity.take_commands(number) == []


def test_nobody_is_asked_for_nothing() -> None:
    activity.ask(4711, activity.DRAIN)
    assert activity.take_commands(4711) == []
