# SPDX-License-Identifier: MIT
"""Maildrop locks between processes: one wins, the dead do not count, and none is left behind."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from django.db import OperationalError, connection
from django.db.models import QuerySet

from mailserver.activity.models import STALE_AFTER_SECONDS, Process
from mailserver.errors import Kind, MailError
from mailserver.store.interface import LockToken
from mailserver.store.maildrop import MaildropLocks
from mailserver.store.models import MaildropLock
from mailserver.values import UserId
from tests.support.filings import WAIT_SECONDS
from tests.support.stores import make_process, make_user

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    """Threads, each of which gives its connection back at the end."""
    barrier = Barrier(8)

    def close() -> None:
        barrier.wait(WAIT_SECONDS)
        connection.close()

    with ThreadPoolExecutor(8) as pool:
        yield pool
        for future in [pool.submit(close) for _ in range(8)]:
            future.result(WAIT_SECONDS)


def outcome(action: Callable[[], LockToken]) -> Kind | None:
    try:
        action()
    except MailError as error:
        return error.kind
    return None


def test_of_those_who_race_one_wins(pool: ThreadPoolExecutor) -> None:
    user = make_user()
    processes = [MaildropLocks(make_process()) for _ in range(8)]
    barrier = Barrier(8)

    def race(locks: MaildropLocks) -> Kind | None:
        barrier.wait(WAIT_SECONDS)
        return outcome(lambda: locks.lock(user, 1, exclusive=True))

    outcomes = list(pool.map(race, processes))
    assert sorted(outcomes, key=str) == sorted([None] + [Kind.IN_USE] * 7, key=str)
    assert MaildropLock.objects.count() == 1


@pytest.mark.parametrize("exclusive", [True, False])
def test_the_lock_of_a_dead_process_does_not_count(exclusive: bool) -> None:
    user = make_user()
    dead = make_process()
    MaildropLocks(dead).lock(user, 1, exclusive=exclusive)
    living = MaildropLocks(make_process())
    assert outcome(lambda: living.lock(user, 2, exclusive=True)) is Kind.IN_USE
    stale = Process.objects.get(pk=make_process(age_seconds=STALE_AFTER_SECONDS + 1)).heartbeat
    Process.objects.filter(pk=dead).update(heartbeat=stale)
    assert outcome(lambda: living.lock(user, 2, exclusive=True)) is None
    assert MaildropLock.objects.count() == 1


def test_the_locks_of_a_process_that_ends_go_with_its_row() -> None:
    user, process = make_user(), make_process()
    MaildropLocks(process).lock(user, 1, exclusive=True)
    Process.objects.filter(pk=process).delete()
    assert outcome(lambda: MaildropLocks(make_process()).lock(user, 1, exclusive=True)) is None


def test_a_lock_that_could_not_be_given_back_goes_with_the_next_call(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: object) -> None:
        raise OperationalError("the database is away")

    user, other = make_user(), make_user()
    locks = MaildropLocks(make_process())
    token = locks.lock(user, 1, exclusive=True)
    with monkeypatch.context() as patch:
        patch.setattr(QuerySet, "delete", refuse)
        locks.unlock(token)
    assert outcome(lambda: MaildropLocks(make_process()).lock(user, 2, exclusive=True)) is Kind.IN_USE
    locks.unlock(locks.lock(other, 3, exclusive=True))
    assert MaildropLock.objects.count() == 0


def test_a_store_without_a_process_gives_no_locks() -> None:
    assert outcome(lambda: MaildropLocks(None).lock(UserId(1), 1, exclusive=True)) is Kind.INTERNAL
