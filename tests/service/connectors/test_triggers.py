# SPDX-License-Identifier: MIT
"""What marks a Connection: the minute, a wish, the files, an urgent message; and what a pause does."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from mailserver.config.services import set_setting
from mailserver.connectors import services, triggers
from mailserver.connectors.models import Connection, ConnectionRun, ScheduleItem, ScheduleState
from mailserver.connectors.runs import LEASE_SECONDS
from mailserver.connectors.values import Cause
from mailserver.leases import services as leases
from tests.support.still_clock import StillClock

pytestmark = [pytest.mark.django_db, pytest.mark.database, pytest.mark.usefixtures("installation", "data_folder")]


@pytest.fixture
def internet(still_clock: StillClock) -> Connection:
    """The first Connection; its item fires every ten minutes, and the clock says 9:30."""
    return Connection.objects.get()


def tick(waiting: Callable[[int], int] = lambda connection: 0) -> set[int]:
    return set(triggers.tick(waiting))


def marked() -> dict[str, str]:
    return {row.name: row.marked_cause for row in Connection.objects.filter(marked__isnull=False)}


def clear() -> None:
    Connection.objects.update(marked=None, marked_cause="")


def test_each_minute_is_looked_at_once(internet: Connection, still_clock: StillClock) -> None:
    assert tick() == {internet.pk}
    assert marked() == {"Internet": "schedule"}
    clear()
    still_clock.advance(seconds=20)
    assert tick() == set()
    still_clock.advance(minutes=1)
    assert tick() == set()
    still_clock.advance(minutes=9)
    assert tick() == {internet.pk}


def test_a_missed_minute_is_not_made_up(internet: Connection, still_clock: StillClock) -> None:
    still_clock.advance(minutes=7)
    assert tick() == set()


def test_a_clock_that_goes_back_does_not_stop_the_schedule(internet: Connection, still_clock: StillClock) -> None:
    still_clock.advance(days=30)
    tick()
    clear()
    still_clock.advance(days=-30)
    assert tick() == {internet.pk}
    clear()
    still_clock.advance(minutes=-2)
    still_clock.advance(minutes=2)
    assert tick() == set()


def test_a_worker_whose_clock_is_a_little_slow_does_not_repeat_a_minute(
    internet: Connection, still_clock: StillClock
) -> None:
    still_clock.advance(minutes=1)
    tick()
    still_clock.advance(minutes=-1)
    assert tick() == set()


def test_the_installations_own_time_zone(internet: Connection, still_clock: StillClock) -> None:
    services.update_item(ScheduleItem.objects.get().pk, {"mode": "once", "once_at": "10:30"})
    assert tick() == set()
    set_setting("server.time_zone", "Europe/Berlin")
    still_clock.advance(days=1)
    assert tick() == {internet.pk}


def test_the_minimum_is_counted_for_each_connection(internet: Connection, still_clock: StillClock) -> None:
    second = services.create_connection({"name": "Second"})
    services.update_item(ScheduleItem.objects.get().pk, {"minimum_messages": 5}, [second])
    assert tick({internet.pk: 3, second: 5}.__getitem__) == {second}


def test_a_mark_is_a_flag(internet: Connection, still_clock: StillClock) -> None:
    triggers.connect_now()
    first = Connection.objects.get().marked
    still_clock.advance(seconds=5)
    tick()
    assert Connection.objects.get().marked == first
    assert marked() == {"Internet": "manual"}


def begin(connection: Connection, now: datetime, cause: Cause) -> None:
    ConnectionRun.objects.create(connection=connection, cause=cause, started=now, heartbeat=now, owner="x")


def test_one_that_runs_is_run_again_for_people_but_not_for_the_schedule(
    internet: Connection, still_clock: StillClock
) -> None:
    begin(internet, still_clock(), Cause.SCHEDULE)
    assert tick() == set()
    assert marked() == {}
    assert triggers.connect_now([internet.pk]) == {internet.pk}
    assert marked() == {"Internet": "manual"}


def test_what_a_dead_worker_left_does_not_keep_the_schedule_out(internet: Connection, still_clock: StillClock) -> None:
    begin(internet, still_clock(), Cause.SCHEDULE)
    ConnectionRun.objects.update(owner=leases.make_owner().replace(":", ":9999999:x:", 1))
    assert tick() == {internet.pk}


def test_a_run_that_has_been_silent_for_long_does_not_keep_the_schedule_out(
    internet: Connection, still_clock: StillClock
) -> None:
    begin(internet, still_clock() - timedelta(seconds=LEASE_SECONDS), Cause.SCHEDULE)
    assert tick() == {internet.pk}


def test_sending_at_once_is_no_run_in_this_sense(internet: Connection, still_clock: StillClock) -> None:
    begin(internet, still_clock(), Cause.IMMEDIATE)
    assert tick() == {internet.pk}


def test_connect_now_by_name_and_by_default(internet: Connection) -> None:
    second = services.create_connection({"name": "Second"})
    assert triggers.connect_now([second, 999]) == {second}
    assert triggers.connect_now() == {internet.pk}


# ------------------------------------------------------------ pause


def test_a_pause_stops_what_comes_by_the_clock_only(internet: Connection, still_clock: StillClock) -> None:
    tick()
    triggers.pause_schedule()
    assert marked() == {}
    still_clock.advance(minutes=10)
    assert tick() == set()
    assert triggers.connect_urgently() == set()
    assert triggers.connect_now() == {internet.pk}
    assert marked() == {"Internet": "manual"}
    view = triggers.schedule_view()
    assert (view.paused, view.next_poll) == (True, None)
    triggers.resume_schedule()
    clear()
    still_clock.advance(minutes=10)
    assert tick() == {internet.pk}
    assert triggers.schedule_view().next_poll == still_clock() + timedelta(minutes=10)


def test_what_somebody_asked_for_survives_the_pause(internet: Connection) -> None:
    triggers.connect_now()
    triggers.pause_schedule()
    assert marked() == {"Internet": "manual"}


@pytest.mark.parametrize("name", ["CONNECT.PAUSE", "SCHEDULE.PAUSE"])
def test_the_files_pause_and_go_when_it_is_resumed(
    internet: Connection, still_clock: StillClock, data_folder: Path, name: str
) -> None:
    file = data_folder / name
    file.touch()
    assert tick() == set()
    assert triggers.schedule_view().paused_by_file == name
    assert triggers.is_paused()
    triggers.resume_schedule()
    assert not file.exists()
    still_clock.advance(minutes=10)
    assert tick() == {internet.pk}


def test_taking_the_file_away_resumes_as_well(internet: Connection, still_clock: StillClock, data_folder: Path) -> None:
    (data_folder / "CONNECT.PAUSE").touch()
    tick()
    (data_folder / "CONNECT.PAUSE").unlink()
    still_clock.advance(minutes=10)
    assert tick() == {internet.pk}
    assert not triggers.is_paused()


def test_resumed_on_another_machine(internet: Connection, still_clock: StillClock, data_folder: Path) -> None:
    """There the file could not be removed; the worker that has it does so."""
    file = data_folder / "CONNECT.PAUSE"
    file.touch()
    before = still_clock().timestamp()
    os.utime(file, (before, before))
    ScheduleState.objects.update_or_create(pk=1, defaults={"resumed": still_clock() + timedelta(minutes=1)})
    assert tick() == {internet.pk}
    assert not file.exists()


def test_connect_now_by_a_file(internet: Connection, still_clock: StillClock, data_folder: Path) -> None:
    services.create_connection({"name": "Second"})
    still_clock.advance(minutes=1)
    (data_folder / "CONNECT.NOW").touch()
    triggers.pause_schedule()
    assert tick() == {internet.pk}
    assert marked() == {"Internet": "file"}
    assert not (data_folder / "CONNECT.NOW").exists()


def test_an_urgent_message_connects_the_default_ones(internet: Connection) -> None:
    services.create_connection({"name": "Second"})
    assert triggers.connect_urgently() == {internet.pk}
    assert marked() == {"Internet": "urgent"}


def test_a_wish_for_what_is_to_run_anyway_survives_the_pause(internet: Connection, still_clock: StillClock) -> None:
    tick()
    triggers.connect_now()
    triggers.pause_schedule()
    assert marked() == {"Internet": "manual"}


def test_an_urgent_message_changes_why_something_runs_that_runs_anyway(
    internet: Connection, still_clock: StillClock
) -> None:
    tick()
    triggers.connect_urgently()
    assert marked() == {"Internet": "urgent"}
    triggers.connect_now()
    triggers.connect_urgently()
    assert marked() == {"Internet": "manual"}
