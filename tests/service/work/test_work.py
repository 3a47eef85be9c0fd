# SPDX-License-Identifier: MIT
"""Work rows: who has the lease, what happens when a worker vanishes, and when a failure is tried again."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest
from django.db import connection, transaction

from mailserver import notices
from mailserver.work import services as work
from mailserver.work.models import WorkItem
from tests.support.still_clock import StillClock

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]

KINDS = {"greet": 60, "count": 600}


def test_taken_in_order_and_by_one_only(still_clock: StillClock) -> None:
    first = work.request("greet", {"user": 1})
    still_clock.advance(seconds=1)
    second = work.request("count")
    leased = [work.take(KINDS, work.make_owner()) for _ in range(3)]
    assert [item.id if item else None for item in leased] == [first, second, None]
    assert leased[0] is not None
    assert (leased[0].kind, leased[0].payload, leased[0].tries) == ("greet", {"user": 1}, 1)
    assert leased[0].lease_until == still_clock.moment + timedelta(seconds=60)
    assert leased[1] is not None
    assert leased[1].lease_until == still_clock.moment + timedelta(seconds=600)


def test_only_kinds_that_the_worker_knows() -> None:
    work.request("from-a-later-version")
    assert not work.has_due(KINDS)
    assert work.take(KINDS, "me") is None


def test_not_before_its_time(still_clock: StillClock) -> None:
    work.request("greet", not_before=still_clock.moment + timedelta(minutes=5))
    assert not work.has_due(KINDS)
    assert work.take(KINDS, "me") is None
    still_clock.advance(minutes=5)
    assert work.has_due(KINDS)
    assert work.take(KINDS, "me") is not None


def test_finished_work_is_gone() -> None:
    work.request("greet")
    leased = work.take(KINDS, "me")
    assert leased is not None
    assert work.finish(leased)
    assert not WorkItem.objects.exists()


def test_lease_of_a_vanished_worker_passes_on(still_clock: StillClock) -> None:
    work.request("greet")
    lost = work.take(KINDS, "vanished")
    assert lost is not None
    still_clock.advance(seconds=61)
    again = work.take(KINDS, "me")
    assert again is not None
    assert (again.id, again.tries) == (lost.id, 2)
    assert not work.finish(lost)
    assert not work.extend(lost, 60)
    work.fail(lost, "too late")
    assert WorkItem.objects.get().lease_owner == "me"
    assert work.extend(again, 600)
    still_clock.advance(seconds=61)
    assert work.take(KINDS, "third") is None


def test_failures_wait_longer_each_time(still_clock: StillClock) -> None:
    work.request("greet")
    waits = []
    for _ in range(9):
        leased = work.take(KINDS, "me")
        assert leased is not None
        work.fail(leased, "ValueError: " + "x" * 5000)
        row = WorkItem.objects.get()
        waits.append((row.not_before - still_clock.moment).total_seconds())
        still_clock.moment = row.not_before
    assert waits == [30, 60, 120, 240, 480, 960, 1920, 3600, 3600]
    assert row.last_error.startswith("ValueError: x")
    assert len(row.last_error) == work.MAX_ERROR_LENGTH


def test_workers_are_woken_after_the_commit_only(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    monkeypatch.setattr(notices, "publish", told.extend)
    with transaction.atomic():
        work.request("greet")
        assert told == []
    assert told == [notices.WORK]
    with transaction.atomic():
        work.request("greet")
        transaction.set_rollback(True)
    assert told == [notices.WORK]


def test_nobody_is_woken_for_later(monkeypatch: pytest.MonkeyPatch, still_clock: StillClock) -> None:
    told: list[str] = []
    monkeypatch.setattr(notices, "publish", told.extend)
    work.request("greet", not_before=still_clock.moment + timedelta(hours=1))
    assert told == []


def test_recurring_work_has_one_row(still_clock: StillClock) -> None:
    later = still_clock.moment + timedelta(hours=1)
    assert work.ensure("clean", later)
    assert not work.ensure("clean", later + timedelta(hours=1))
    assert WorkItem.objects.get().not_before == later


def test_late_work_is_counted(still_clock: StillClock) -> None:
    work.request("greet")
    assert work.count_late() == 0
    still_clock.advance(seconds=work.LATE_SECONDS + 1)
    assert work.count_late() == 1


def test_many_workers_do_each_piece_once() -> None:
    numbers = {work.request("greet", {"n": number}) for number in range(40)}
    done: list[int] = []

    def labour() -> None:
        try:
            owner = work.make_owner()
            while (leased := work.take(KINDS, owner)) is not None:
                done.append(leased.id)
                work.finish(leased)
        finally:
            connection.close()

    threads = [threading.Thread(target=labour) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(done) == sorted(numbers)
