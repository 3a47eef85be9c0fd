# SPDX-License-Identifier: MIT
"""What no Sender takes, or one that nothing runs: noted, warned of and given up in the time of any other message."""

from __future__ import annotations

from datetime import timedelta

import pytest

from mailserver import clock
from mailserver.connectors.models import ScheduleItem, Sender
from mailserver.connectors.triggers import pause_schedule, resume_schedule
from mailserver.connectors.values import SenderSettings
from mailserver.journey.models import JourneyEvent
from mailserver.leases import services as leases
from mailserver.outqueue import unwanted
from mailserver.outqueue.models import QueuedRecipient
from mailserver.outqueue.outcome import Action
from mailserver.outqueue.recording import NOBODY_SENDS, NOTHING_RUNS, REPORT, record_unwanted
from mailserver.outqueue.reporting import find_due_reports
from mailserver.outqueue.taking import has_due
from mailserver.outqueue.unwanted import count_unwanted, judge_unwanted
from mailserver.work.models import WorkItem
from tests.support.queueing import lease_sender, make_queued, make_sender, row
from tests.support.still_clock import StillClock
from workers.housekeeping import expire_queued

pytestmark = [pytest.mark.django_db, pytest.mark.database]


def orders() -> list[tuple[str, list[int]]]:
    """The reports that are wanted by now, and that nobody has written yet."""
    wanted = WorkItem.objects.filter(kind=REPORT, not_before__lte=clock.now()).order_by("pk")
    return [(item.payload["action"], item.payload["rows"]) for item in wanted]


def journey(id_: int) -> list[tuple[str, str]]:
    steps = JourneyEvent.objects.filter(journey_id=row(id_).ref).order_by("pk")
    return list(steps.values_list("kind", "detail"))


def test_what_no_sender_takes_is_counted() -> None:
    make_queued("x@a.example")
    assert count_unwanted() == {"": 1}
    sender = make_sender(domain_filter="Attempt: ToDomain = a.example")
    assert count_unwanted() == {}
    make_queued("x@a.example", "x@b.example", "y@b.example")
    assert count_unwanted() == {"": 1}
    Sender.objects.filter(pk=sender.id).update(send_immediately=False)
    assert count_unwanted() == {"": 1, sender.name: 2}
    Sender.objects.filter(pk=sender.id).update(enabled=False)
    assert count_unwanted() == {"": 2}


def test_it_is_noted_once_and_stays_due(still_clock: StillClock) -> None:
    sender = make_sender(domain_filter="Attempt: ToDomain = a.example")
    taken, left = make_queued("x@a.example", "x@b.example")
    for _ in range(3):
        assert judge_unwanted(clock.now()) == 0
        still_clock.advance(minutes=1)
    assert journey(left) == [("deferred", NOBODY_SENDS)]
    assert (row(left).last_reply, row(left).last_status, row(left).tries) == (NOBODY_SENDS, "4.4.4", 0)
    assert (row(taken).last_reply, orders()) == ("", [])
    Sender.objects.filter(pk=sender.id).update(domain_filter="")
    assert has_due(sender)
    assert row(left).next_attempt is None


def test_the_sender_is_warned_and_in_the_end_told_that_it_failed(still_clock: StillClock) -> None:
    (id_,) = make_queued()
    (quiet,) = make_queued(notify="NEVER")
    (report,) = make_queued(reverse_path="")
    still_clock.advance(hours=3, minutes=58)
    expire_queued({})
    assert orders() == []
    still_clock.advance(minutes=2)
    expire_queued({})
    assert orders() == [("delayed", [id_])]
    (due,) = find_due_reports(row(id_).ref, Action.DELAYED, [id_])
    assert due.expires == row(id_).queued + timedelta(hours=72)
    QueuedRecipient.objects.filter(pk=id_).update(warned=clock.now())
    still_clock.advance(hours=67, minutes=59)
    expire_queued({})
    assert row(id_).status == "waiting"
    still_clock.advance(minutes=1)
    expire_queued({})
    assert [row(one).status for one in (id_, quiet, report)] == ["failed"] * 3
    assert orders() == [("delayed", [id_]), ("failed", [id_])]
    assert journey(id_) == [("deferred", NOBODY_SENDS), ("bounced", NOBODY_SENDS)]
    (due,) = find_due_reports(row(id_).ref, Action.FAILED, [])
    assert (due.recipients[0].status, due.recipients[0].given_up) == ("4.4.4", True)


def test_the_timetable_is_that_of_the_sender_that_tried_it(still_clock: StillClock) -> None:
    sender = make_sender(enabled=False)
    Sender.objects.filter(pk=sender.id).update(give_up_hours=5)
    (tried,) = make_queued(sender_id=sender.id, last_reply="450 busy")
    (untried,) = make_queued()
    still_clock.advance(hours=3, minutes=59)
    assert judge_unwanted(clock.now()) == 0
    still_clock.advance(hours=1, minutes=1)
    assert judge_unwanted(clock.now()) == 1
    assert [row(id_).status for id_ in (tried, untried)] == ["failed", "waiting"]


NOT_NOW = [
    {"status": "held"},
    {"hold_until": timedelta(minutes=1)},
    {"next_attempt": timedelta(minutes=1)},
    {"route": "lan", "lan_server": "10.0.0.1"},
    {"claim": "busy"},
]


@pytest.mark.parametrize("columns", NOT_NOW)
def test_what_is_not_due_is_left_alone(columns: dict[str, object], still_clock: StillClock) -> None:
    assert leases.acquire("sender:9", "busy", 300)
    shifted = {name: clock.now() + value if isinstance(value, timedelta) else value for name, value in columns.items()}
    (id_,) = make_queued(queued=clock.now() - timedelta(days=9), **shifted)
    assert judge_unwanted(clock.now()) == 0
    assert (row(id_).status, row(id_).last_reply) == (columns.get("status", "waiting"), "")


def test_a_sender_for_everything_leaves_nothing_to_look_at(
    still_clock: StillClock, django_assert_num_queries: object
) -> None:
    make_sender(domain_filter="Attempt: ToDomain = a.example")
    make_sender()
    make_queued(queued=clock.now() - timedelta(days=9))
    with django_assert_num_queries(1):  # type: ignore[operator]
        assert judge_unwanted(clock.now()) == 0


def test_what_a_dead_worker_had_is_looked_at_too(still_clock: StillClock) -> None:
    sender = make_sender()
    (id_,) = make_queued(claim="gone", sender_id=sender.id)
    Sender.objects.filter(pk=sender.id).delete()
    judge_unwanted(clock.now())
    assert (row(id_).claim, row(id_).last_reply) == ("", NOBODY_SENDS)


def test_a_long_queue_is_looked_at_in_parts(monkeypatch: pytest.MonkeyPatch, still_clock: StillClock) -> None:
    monkeypatch.setattr(unwanted, "MOST_LOOKED_AT", 2)
    monkeypatch.setattr(unwanted, "WINDOW", 1)
    ids = make_queued(*(f"r{number}@a.example" for number in range(5)))
    noted, parts = [], iter([2, 0, 0, 1])
    monkeypatch.setattr(unwanted._chance, "randrange", lambda count: next(parts) % count)
    for _ in range(4):
        judge_unwanted(clock.now())
        noted.append(QueuedRecipient.objects.exclude(last_reply="").count())
        still_clock.advance(seconds=90)
    assert noted[0] < noted[1] == noted[2] < noted[3] == len(ids)


# ---------------------------------------------------------------- what a Sender takes that nothing runs


def put_into_schedule(sender: SenderSettings, **columns: object) -> None:
    ScheduleItem.objects.create(**columns).connections.add(sender.connection)


def test_what_nothing_runs_is_told_in_the_time_of_its_sender(still_clock: StillClock) -> None:
    sender = make_sender(send_immediately=False)
    Sender.objects.filter(pk=sender.id).update(give_up_hours=48, warn_hours=2)
    (id_,) = make_queued()
    assert judge_unwanted(clock.now()) == 0
    assert (row(id_).last_reply, row(id_).next_attempt, row(id_).status) == (NOTHING_RUNS, None, "waiting")
    still_clock.advance(hours=2)
    judge_unwanted(clock.now())
    assert orders() == [("delayed", [id_])]
    (due,) = find_due_reports(row(id_).ref, Action.DELAYED, [id_])
    assert due.expires == row(id_).queued + timedelta(hours=48)
    QueuedRecipient.objects.filter(pk=id_).update(warned=clock.now())
    still_clock.advance(hours=46)
    assert judge_unwanted(clock.now()) == 1
    assert orders() == [("delayed", [id_]), ("failed", [id_])]
    assert journey(id_) == [("deferred", NOTHING_RUNS), ("bounced", NOTHING_RUNS)]


def test_what_the_schedule_runs_is_left_alone(still_clock: StillClock) -> None:
    sender = make_sender(send_immediately=False)
    put_into_schedule(sender, days="7")
    (id_,) = make_queued(queued=clock.now() - timedelta(days=9))
    assert judge_unwanted(clock.now()) == 0
    assert (row(id_).last_reply, count_unwanted()) == ("", {})
    pause_schedule()
    judge_unwanted(clock.now())
    assert (row(id_).last_reply, count_unwanted()) == (NOTHING_RUNS, {sender.name: 1})
    resume_schedule()
    still_clock.advance(hours=9)
    assert (judge_unwanted(clock.now()), row(id_).status) == (0, "waiting")


@pytest.mark.usefixtures("still_clock")
def test_too_few_for_the_schedule_wait_in_vain() -> None:
    sender = make_sender(send_immediately=False)
    put_into_schedule(sender, minimum_messages=2)
    make_queued()
    assert count_unwanted() == {sender.name: 1}
    make_queued()
    assert count_unwanted() == {}


@pytest.mark.usefixtures("still_clock")
def test_what_somebody_sends_by_hand_is_left_alone() -> None:
    sender = make_sender(send_immediately=False)
    lease_sender(sender)
    (id_,) = make_queued()
    judge_unwanted(clock.now())
    assert row(id_).last_reply == ""


@pytest.mark.usefixtures("still_clock")
def test_a_sender_behind_one_for_everything_has_nothing_to_wait_for_it() -> None:
    make_sender()
    make_sender(send_immediately=False)
    (id_,) = make_queued()
    judge_unwanted(clock.now())
    assert (row(id_).last_reply, count_unwanted()) == ("", {})


# ---------------------------------------------------------------- never too early, never too often


def test_nothing_is_given_up_because_a_sender_is_off_for_a_moment(still_clock: StillClock) -> None:
    """A limit of recipients may keep messages here for longer than that, with nobody to blame."""
    sender = make_sender(enabled=False)
    (id_,) = make_queued(queued=clock.now() - timedelta(days=9), reverse_path="")
    for _ in range(2):
        assert judge_unwanted(clock.now()) == 0
        still_clock.advance(minutes=1)
    Sender.objects.filter(pk=sender.id).update(enabled=True)
    assert judge_unwanted(clock.now()) == 0
    Sender.objects.filter(pk=sender.id).update(enabled=False)
    still_clock.advance(minutes=58)
    assert (judge_unwanted(clock.now()), row(id_).status) == (1, "failed")


def test_a_warning_is_ordered_once_while_it_cannot_be_written(still_clock: StillClock) -> None:
    (id_,) = make_queued()
    judge_unwanted(clock.now())
    still_clock.advance(hours=4)
    for _ in range(3):
        judge_unwanted(clock.now())
        still_clock.advance(minutes=1)
    assert orders() == [("delayed", [id_])]


TRIED = [{"next_attempt": timedelta(minutes=5), "last_reply": "450 later"}, {"status": "held"}, {"claim": "me"}]


@pytest.mark.parametrize("columns", TRIED)
def test_what_happens_in_the_very_moment_counts(columns: dict[str, object], still_clock: StillClock) -> None:
    """A Sender was switched on, tried it and deferred it, between the look and the note."""
    shifted = {name: clock.now() + value if isinstance(value, timedelta) else value for name, value in columns.items()}
    (id_,) = make_queued(**shifted)
    assert record_unwanted({id_: None}, {}, clock.now()) == 0
    now = row(id_)
    assert {name: getattr(now, name) for name in shifted} == shifted
    assert journey(id_) == []
