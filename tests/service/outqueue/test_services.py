# SPDX-License-Identifier: MIT
"""The outgoing queue as people see it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection

from mailserver import clock
from mailserver.config.services import set_setting
from mailserver.errors import InvalidInput
from mailserver.journey.models import JourneyEvent
from mailserver.journey.records import JourneyStep
from mailserver.leases import services as leases
from mailserver.notices import QUEUE
from mailserver.outqueue.housekeeping import delete_expired, forget_finished
from mailserver.outqueue.models import QueuedRecipient, SendAttempt
from mailserver.outqueue.outcome import Action
from mailserver.outqueue.recalling import count_being_sent
from mailserver.outqueue.recording import REPORT, order_report, record
from mailserver.outqueue.services import (
    TAKEN_OUT,
    QueueCounts,
    count_done_with,
    counts,
    delete,
    delete_and_notify,
    find_queued,
    hold,
    list_attempts,
    list_queue,
    release,
    retry,
    set_priority,
)
from mailserver.outqueue.values import Attempt, AttemptResult
from mailserver.store.housekeeping import GRACE, collect_orphans
from mailserver.store.models import Content
from mailserver.work.models import WorkItem
from tests.support.queueing import make_queued as queue
from tests.support.queueing import make_sender, row
from tests.support.still_clock import StillClock

pytestmark = [pytest.mark.django_db, pytest.mark.database]


def test_nothing_waits() -> None:
    assert list_queue() == []
    assert counts() == QueueCounts()


def test_one_line_for_each_recipient() -> None:
    first = queue("x@remote.example", "y@remote.example", notify="FAILURE DELAY")
    second = queue("z@other.example")
    assert [row.id for row in list_queue()] == [*first, *second]
    assert [row.recipient for row in list_queue(limit=1)] == ["x@remote.example"]
    row = list_queue()[0]
    assert (row.reverse_path, row.status, row.sender_name, row.notify) == (
        "alice@example.test",
        "waiting",
        "",
        "FAILURE DELAY",
    )


def test_a_message_counts_once() -> None:
    queue("x@remote.example", "y@remote.example", size=100)
    (third,) = queue("z@other.example", size=7)
    hold([third])
    assert counts() == QueueCounts(waiting=2, held=1, messages=2, size=107)


def test_hold_and_release_say_how_many_changed() -> None:
    first, second = queue("x@remote.example", "y@remote.example")
    assert hold([first]) == 1
    assert hold([first, second]) == 1
    assert release([first, second, 4711]) == 2
    assert release([first]) == 0


def test_found_by_number_and_by_message() -> None:
    first, second = queue("x@remote.example", "y@remote.example")
    queue("z@other.example")
    ref = find_queued(str(first))[0].ref
    assert [row.id for row in find_queued(ref.lower())] == [first, second]


@pytest.mark.parametrize("key", ["4711", "nonsense", "", "9" * 26, "٣", "-1"])
def test_nothing_is_called_that(key: str) -> None:
    queue("x@remote.example")
    assert find_queued(key) == []


def test_deletion_is_written_into_the_journey() -> None:
    first, second = queue("x@remote.example", "y@remote.example")
    ref = find_queued(str(first))[0].ref
    assert delete([first, 4711]) == 1
    assert [row.id for row in list_queue()] == [second]
    step = JourneyEvent.objects.get()
    assert (step.journey_id, step.kind, step.recipient) == (ref, JourneyStep.DELETED, "x@remote.example")
    assert delete([first]) == 0


def test_changes_are_announced_after_the_commit(
    monkeypatch: pytest.MonkeyPatch, django_capture_on_commit_callbacks: Any
) -> None:
    (row,) = queue("x@remote.example")
    heard: list[str] = []
    monkeypatch.setattr("mailserver.notices.publish", heard.extend)
    for change in (hold, release, delete):
        with django_capture_on_commit_callbacks(execute=True):
            change([row])
    assert heard == [QUEUE] * 3


def test_what_is_done_with_does_not_wait(still_clock: StillClock) -> None:
    queue("x@remote.example", status="sent", finished=clock.now())
    (failed,) = queue("y@remote.example", status="failed", finished=clock.now())
    assert list_queue() == []
    assert counts() == QueueCounts()
    assert find_queued(str(failed)) == []
    assert [found.state for found in find_queued(str(failed), finished=True)] == ["failed"]
    assert (hold([failed]), release([failed]), retry([failed]), delete_and_notify([failed])) == (0, 0, 0, 0)
    assert delete([failed]) == 1
    assert not JourneyEvent.objects.exists()


def test_timers_count_as_held(still_clock: StillClock) -> None:
    queue("x@remote.example", hold_until=clock.now() + timedelta(seconds=30))
    queue("y@remote.example", hold_until=clock.now() - timedelta(seconds=30))
    queue("z@remote.example", claim="somebody")
    assert (counts().waiting, counts().held) == (2, 1)
    assert [found.state for found in list_queue()] == ["on timer", "waiting", "sending"]


def test_release_ends_a_timer_and_age_counts_from_then(still_clock: StillClock) -> None:
    (id_,) = queue(hold_until=clock.now() + timedelta(hours=1), queued=clock.now() - timedelta(days=30))
    assert release([id_]) == 1
    assert row(id_).hold_until == clock.now()
    sender = make_sender()
    QueuedRecipient.objects.filter(pk=id_).update(claim="me")
    record([Attempt(id_, AttemptResult.DEFERRED, "450 busy")], "me", sender)
    assert row(id_).status == "waiting"


def test_holding_is_in_the_journey() -> None:
    (id_,) = queue()
    hold([id_])
    release([id_])
    assert [step.kind for step in JourneyEvent.objects.order_by("pk")] == ["held", "released"]


def test_retry_clears_the_timetable_but_not_a_hold(still_clock: StillClock) -> None:
    later = clock.now() + timedelta(hours=1)
    waiting, timed = (*queue(next_attempt=later, tries=3), *queue(hold_until=later))
    (held,) = queue(status="held", next_attempt=later)
    assert retry([waiting, timed, held]) == 2
    assert (row(waiting).next_attempt, row(waiting).hold_until, row(waiting).tries) == (None, None, 3)
    assert row(timed).hold_until == clock.now()
    assert (row(held).status, row(held).next_attempt) == ("held", later)


def test_priority() -> None:
    first, second = queue("x@remote.example", "y@remote.example")
    assert set_priority([first], 1) == 1
    assert set_priority([first, second], 1) == 1
    for wrong in (0, 101, -1):
        with pytest.raises(InvalidInput, match="from 1 to 100"):
            set_priority([first], wrong)


def test_delete_and_notify_orders_one_report_for_each_message() -> None:
    first, second, third = queue("x@remote.example", "y@remote.example", "z@remote.example")
    (silent,) = queue(notify="NEVER")
    (report,) = queue(reverse_path="")
    assert delete_and_notify([first, second, silent, report]) == 4
    assert (row(first).status, row(first).last_reply, row(third).status) == ("failed", TAKEN_OUT, "waiting")
    assert [item.payload["rows"] for item in WorkItem.objects.filter(kind=REPORT)] == [[first, second]]


def test_what_is_being_sent_is_past_being_deleted() -> None:
    (busy,) = queue(claim="alive")
    (stale,) = queue(claim="gone")
    assert leases.acquire("sender:1", "alive", 60)
    assert delete([busy, stale]) == 1
    assert delete_and_notify([busy]) == hold([busy]) == 0
    assert count_being_sent([busy, stale]) == 1
    assert row(busy).status == "held"
    assert release([busy]) == 1
    leases.release("sender:1", "alive")
    assert delete_and_notify([busy]) == 1


def test_what_its_sender_is_still_to_be_told_of_is_not_deleted(still_clock: StillClock) -> None:
    failed, quiet = queue("x@remote.example", "y@remote.example", status="failed", finished=clock.now())
    order_report(row(failed).ref, Action.FAILED, [failed])
    (warned,) = queue(status="failed", finished=clock.now())
    order_report(row(warned).ref, Action.DELAYED, [warned])
    QueuedRecipient.objects.filter(pk=quiet).update(reported=clock.now())
    assert delete([failed, quiet, warned]) == 2
    assert row(failed).status == "failed"
    WorkItem.objects.filter(kind=REPORT).delete()
    assert delete([failed]) == 1


def test_attempts_are_listed() -> None:
    (id_,) = queue(claim="me")
    moment = clock.now()
    attempt = Attempt(id_, AttemptResult.DEFERRED, "450 busy", server="mx.example", tls="TLSv1.3", started=moment)
    record([attempt], "me", make_sender())
    (tried,) = list_attempts(id_)
    assert (tried.server, tried.tls, tried.result, tried.started) == ("mx.example", "TLSv1.3", "450 busy", moment)


def test_messages_past_their_time_go_silently(still_clock: StillClock) -> None:
    (late,) = queue("x@remote.example", delete_after=clock.now())
    (held,) = queue("y@remote.example", delete_after=clock.now(), status="held")
    (busy,) = queue(delete_after=clock.now(), claim="me")
    (early,) = queue(delete_after=clock.now() + timedelta(seconds=1))
    assert delete_expired(clock.now()) == 2
    assert list(QueuedRecipient.objects.order_by("pk").values_list("pk", flat=True)) == [busy, early]
    assert set(JourneyEvent.objects.values_list("kind", flat=True)) == {"deleted"}
    assert not WorkItem.objects.filter(kind=REPORT).exists()
    assert delete_expired(clock.now()) == 0
    assert late != held


def test_old_entries_are_forgotten_and_their_contents_collected(still_clock: StillClock, data_folder: object) -> None:
    set_setting("queue.keep_days", 3)
    (sent,) = queue(status="sent", finished=clock.now())
    (failed,) = queue(status="failed", finished=clock.now())
    (untold,) = queue(status="failed", finished=clock.now())
    (waiting,) = queue()
    SendAttempt.objects.create(queued_id=sent, started=clock.now(), result="250 ok")
    WorkItem.objects.create(kind=REPORT, payload={"ref": row(untold).ref}, created=clock.now(), not_before=clock.now())
    assert forget_finished(clock.now() + timedelta(days=3)) == 0
    assert forget_finished(clock.now() + timedelta(days=3, seconds=1)) == 2
    assert list(QueuedRecipient.objects.order_by("pk").values_list("pk", flat=True)) == [untold, waiting]
    assert not SendAttempt.objects.exists()
    assert collect_orphans(clock.now() + GRACE * 2).contents == 2
    assert Content.objects.count() == 2
    assert failed


@pytest.fixture
def short_statements() -> Iterator[None]:
    """As some build SQLite: with 999 parameters in a statement at most."""
    if connection.vendor != "sqlite":
        yield
        return
    connection.ensure_connection()
    usual = connection.connection.setlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER, 999)
    yield
    connection.connection.setlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER, usual)


@pytest.mark.usefixtures("short_statements")
def test_a_long_list_is_changed_in_pieces() -> None:
    (id_,) = queue()
    numbers = [id_, *range(id_ + 1, id_ + 1500)]
    assert [change(numbers) for change in (hold, release, retry, delete_and_notify)] == [1] * 4
    assert (count_done_with(numbers), delete(numbers)) == (1, 0)
