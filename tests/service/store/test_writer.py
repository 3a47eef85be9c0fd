# SPDX-License-Identifier: MIT
"""The group commit: what shares a transaction, and what is said to whom when it cannot be written."""

from __future__ import annotations

import errno
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path

import pytest
from django.db import OperationalError, connection
from django.db.backends.base.base import BaseDatabaseWrapper

from mailserver import clock, notices
from mailserver.errors import Kind, MailError
from mailserver.journey.models import Journey
from mailserver.journey.records import JourneyRecord, next_ref
from mailserver.outqueue.models import QueuedRecipient
from mailserver.store import writer
from mailserver.store.batch import Prepared, Written, write_batch
from mailserver.store.blobs import LocalBlobs
from mailserver.store.database import DatabaseStore
from mailserver.store.interface import Filing, FlagChange, NewContent, NewEntry, NewQueued, NewWork, Unit
from mailserver.store.models import Content
from mailserver.values import Address, Body, Envelope, MailboxId, Recipient, Uid, UserId
from mailserver.work.models import WorkItem
from tests.support.bugs import BugCatcher
from tests.support.filings import WAIT_SECONDS, make_filing, make_spooled, make_unit
from tests.support.stores import make_user, open_database_store

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]


class Gate:
    """Stands before `write_batch`: counts batches, and holds them up while it is shut."""

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.reached = threading.Event()
        self._open = threading.Event()
        self._open.set()

    def __call__(self, batch: Sequence[Prepared]) -> Written:
        self.batches.append(len(batch))
        self.reached.set()
        assert self._open.wait(WAIT_SECONDS)
        return write_batch(batch)

    def shut(self) -> None:
        self._open.clear()
        self.reached.clear()

    def open(self) -> None:
        self._open.set()


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Gate:
    gate = Gate()
    monkeypatch.setattr(writer, "write_batch", gate)
    return gate


@pytest.fixture
def store(tmp_path: Path) -> Iterator[DatabaseStore]:
    with closing(open_database_store(tmp_path)) as store:
        yield store


@pytest.fixture
def inbox(store: DatabaseStore) -> MailboxId:
    return store.get_mailbox(make_user(), "INBOX").id


def do(store: DatabaseStore, unit: Unit) -> None:
    store.submit(unit).result(WAIT_SECONDS)


def kind_of(store: DatabaseStore, unit: Unit) -> Kind:
    error = store.submit(unit).exception(WAIT_SECONDS)
    assert isinstance(error, MailError)
    return error.kind


def failing_once(error: Exception) -> Callable[[Sequence[Prepared]], Written]:
    """A `write_batch` that fails the first time, after it has written."""
    errors = [error]

    def write(batch: Sequence[Prepared]) -> Written:
        written = write_batch(batch)
        if errors:
            raise errors.pop()
        return written

    return write


# ---------------------------------------------------------------- batches


def test_what_waits_during_a_commit_is_written_together(store: DatabaseStore, inbox: MailboxId, gate: Gate) -> None:
    gate.shut()
    first = store.submit(make_unit(inbox))
    assert gate.reached.wait(WAIT_SECONDS)
    others = [store.submit(make_unit(inbox)) for _ in range(50)]
    gate.open()
    for future in (first, *others):
        future.result(WAIT_SECONDS)
    assert gate.batches == [1, 50]
    assert [entry.uid for entry in store.list_entries(inbox)] == list(range(1, 52))


def test_a_batch_is_bounded_in_units(
    store: DatabaseStore, inbox: MailboxId, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "MAX_UNITS", 3)
    gate.shut()
    futures = [store.submit(make_unit(inbox))]
    assert gate.reached.wait(WAIT_SECONDS)
    futures += [store.submit(make_unit(inbox)) for _ in range(7)]
    gate.open()
    for future in futures:
        future.result(WAIT_SECONDS)
    assert gate.batches == [1, 3, 3, 1]


def test_a_batch_is_bounded_in_bytes(
    store: DatabaseStore, inbox: MailboxId, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "MAX_BATCH_BYTES", 1000)
    gate.shut()
    futures = [store.submit(make_unit(inbox))]
    assert gate.reached.wait(WAIT_SECONDS)
    futures += [store.submit(Unit(filings=(make_filing(inbox, data=b"x" * 600),))) for _ in range(5)]
    gate.open()
    for future in futures:
        future.result(WAIT_SECONDS)
    assert gate.batches == [1, 3, 2]


def test_units_of_one_batch_may_change_the_same_entry(store: DatabaseStore, inbox: MailboxId, gate: Gate) -> None:
    do(store, make_unit(inbox))
    gate.shut()
    futures = [store.submit(make_unit(inbox))]
    assert gate.reached.wait(WAIT_SECONDS)
    for flag in ("a", "b", "c"):
        futures.append(store.submit(Unit(flag_changes=(FlagChange(inbox, (Uid(1),), add=frozenset({flag})),))))
    gate.open()
    for future in futures:
        future.result(WAIT_SECONDS)
    first = store.list_entries(inbox)[0]
    assert first.flags == {"a", "b", "c"}
    assert first.modseq == store.get_mailbox_by_id(inbox).modseq


def test_a_waiter_who_went_away_is_not_written(store: DatabaseStore, inbox: MailboxId, gate: Gate) -> None:
    gate.shut()
    first = store.submit(make_unit(inbox))
    assert gate.reached.wait(WAIT_SECONDS)
    gone, stays = store.submit(make_unit(inbox)), store.submit(make_unit(inbox))
    assert gone.cancel()
    assert not first.cancel()
    gate.open()
    stays.result(WAIT_SECONDS)
    first.result(WAIT_SECONDS)
    assert gate.batches == [1, 1]
    assert len(store.list_entries(inbox)) == Content.objects.count() == 2


def test_close_writes_what_was_submitted_and_refuses_the_rest(tmp_path: Path, gate: Gate) -> None:
    store = open_database_store(tmp_path)
    inbox = store.get_mailbox(make_user(), "INBOX").id
    gate.shut()
    futures = [store.submit(make_unit(inbox))]
    assert gate.reached.wait(WAIT_SECONDS)
    spooled = make_spooled(b"x" * 100_000, tmp_path)
    futures.append(store.submit(Unit(filings=(Filing(NewContent(next_ref(), spooled), (NewEntry(inbox),)),))))
    futures += [store.submit(make_unit(inbox)) for _ in range(20)]
    gate.open()
    store.close()
    assert all(future.done() for future in futures)
    assert len(store.list_entries(inbox)) == 22
    assert kind_of(store, make_unit(inbox)) is Kind.UNAVAILABLE
    store.close()


def test_notices_are_published_after_the_commit(
    store: DatabaseStore, inbox: MailboxId, monkeypatch: pytest.MonkeyPatch
) -> None:
    published: list[str] = []
    seen = threading.Event()

    def publish(topics: Sequence[str]) -> None:
        assert Content.objects.count() == 1
        published.extend(topics)
        seen.set()

    monkeypatch.setattr(notices, "publish", publish)
    envelope = Envelope(None, (Recipient(Address("a", "elsewhere.test")),))
    content = make_filing(inbox).content
    do(store, Unit(filings=(Filing(content, (NewEntry(inbox),), (NewQueued(envelope),)),), work=(NewWork("x"),)))
    assert seen.wait(WAIT_SECONDS)
    assert published == [notices.mailbox_notice(inbox, 2), notices.QUEUE, notices.WORK]


def test_records_of_other_areas_are_in_the_same_transaction(store: DatabaseStore, inbox: MailboxId) -> None:
    ref = next_ref()
    envelope = Envelope(
        Address("me", "example.test"), (Recipient(Address("a", "b.test")), Recipient(Address("c", "d")))
    )
    filing = make_filing(inbox)
    unit = Unit(
        filings=(Filing(filing.content, (NewEntry(inbox),), (NewQueued(envelope),)),),
        journeys=(JourneyRecord(ref, clock.now(), "smtp", subject="caf\u00e9\0 \ud800" + "x" * 999),),
        work=(NewWork("welcome", {"user": 7}),),
    )
    do(store, unit)
    journey = Journey.objects.get(ref=ref)
    assert journey.subject == "caf\u00e9 ?" + "x" * 393
    rows = list(QueuedRecipient.objects.values_list("recipient", "domain", "reverse_path", "status", "ref"))
    assert [row[:4] for row in rows] == [
        ("a@b.test", "b.test", "me@example.test", "waiting"),
        ("c@d", "d", "me@example.test", "waiting"),
    ]
    assert {row[4] for row in rows} == {filing.content.ref}
    work = WorkItem.objects.get()
    assert (work.kind, work.payload, work.tries, work.lease_owner) == ("welcome", {"user": 7}, 0, "")


# ---------------------------------------------------------------- a unit that fails, fails alone


def test_a_unit_that_breaks_a_constraint_fails_alone(
    store: DatabaseStore, inbox: MailboxId, gate: Gate, bug_catcher: BugCatcher
) -> None:
    ref = next_ref()
    twice = Unit(filings=(make_filing(inbox),), journeys=(JourneyRecord(ref, clock.now(), "smtp"),) * 2)
    gate.shut()
    futures = [store.submit(make_unit(inbox))]
    assert gate.reached.wait(WAIT_SECONDS)
    futures += [store.submit(unit) for unit in (make_unit(inbox), twice, make_unit(inbox))]
    gate.open()
    errors = [future.exception(WAIT_SECONDS) for future in futures]
    assert [error is None for error in errors] == [True, True, False, True]
    assert isinstance(errors[2], MailError)
    assert errors[2].kind is Kind.INTERNAL
    assert [entry.uid for entry in store.list_entries(inbox)] == [1, 2, 3]
    assert Content.objects.count() == 3
    assert len(bug_catcher.bugs) == 1
    bug_catcher.bugs.clear()


def test_a_constraint_that_is_checked_at_the_commit_fails_alone(
    store: DatabaseStore, inbox: MailboxId, gate: Gate, bug_catcher: BugCatcher
) -> None:
    """Foreign keys are deferred: only COMMIT finds that the user is gone."""
    queued = NewQueued(Envelope(None, (Recipient(Address("a", "b.test")),)), UserId(10**9))
    bad = Unit(filings=(Filing(make_filing().content, (NewEntry(inbox),), (queued,)),))
    gate.shut()
    futures = [store.submit(make_unit(inbox))]
    assert gate.reached.wait(WAIT_SECONDS)
    futures += [store.submit(unit) for unit in (bad, make_unit(inbox))]
    gate.open()
    assert [future.exception(WAIT_SECONDS) is None for future in futures] == [True, False, True]
    assert [entry.uid for entry in store.list_entries(inbox)] == [1, 2]
    bug_catcher.bugs.clear()


# ---------------------------------------------------------------- the database or the disk fails


def test_a_bug_of_ours_is_answered_and_the_thread_lives_on(
    store: DatabaseStore, inbox: MailboxId, monkeypatch: pytest.MonkeyPatch, bug_catcher: BugCatcher
) -> None:
    def stumble(*_: object) -> None:
        raise ZeroDivisionError

    with monkeypatch.context() as patched:
        patched.setattr(writer.GroupWriter, "_write", stumble)
        assert kind_of(store, make_unit(inbox)) is Kind.INTERNAL
    bug_catcher.bugs.clear()
    do(store, make_unit(inbox))


def test_a_database_that_is_away_is_unavailable_and_comes_back(
    store: DatabaseStore, inbox: MailboxId, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OperationalError("connection refused")

    do(store, make_unit(inbox))
    with monkeypatch.context() as patch:
        patch.setattr(writer, "write_batch", refuse)
        assert kind_of(store, make_unit(inbox)) is Kind.UNAVAILABLE
    do(store, make_unit(inbox))
    assert [entry.uid for entry in store.list_entries(inbox)] == [1, 2]


def test_a_connection_that_died_meanwhile_is_made_anew(
    store: DatabaseStore, inbox: MailboxId, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PostgreSQL ended it between two batches, say: nobody hears of it. SQLite has no connection to lose."""
    servers = set()

    def write(batch: Sequence[Prepared]) -> Written:
        if connection.vendor == "postgresql":
            servers.add(connection.connection.info.backend_pid)
        return write_batch(batch)

    monkeypatch.setattr(writer, "write_batch", write)
    do(store, make_unit(inbox))
    with connection.cursor() as cursor:
        for server in list(servers):
            cursor.execute("SELECT pg_terminate_backend(%s)", [server])
    do(store, make_unit(inbox))
    assert [entry.uid for entry in store.list_entries(inbox)] == [1, 2]
    assert len(servers) == (2 if connection.vendor == "postgresql" else 0)


def test_a_deadlock_is_tried_once_more(store: DatabaseStore, inbox: MailboxId, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "write_batch", failing_once(deadlock()))
    do(store, make_unit(inbox))
    assert [entry.uid for entry in store.list_entries(inbox)] == [1]


def test_a_deadlock_twice_is_unavailable(
    store: DatabaseStore, inbox: MailboxId, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: object) -> None:
        raise deadlock()

    monkeypatch.setattr(writer, "write_batch", fail)
    assert kind_of(store, make_unit(inbox)) is Kind.UNAVAILABLE


def test_a_full_disk_is_storage_full_and_nothing_is_half(
    store: DatabaseStore, inbox: MailboxId, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(writer, "write_batch", write_on_a_full_disk)
        count = 50 + free_bytes() // 60_000
        assert kind_of(store, Unit(filings=tuple(make_filing(inbox, data=b"x" * 60_000) for _ in range(count)))) is (
            Kind.STORAGE_FULL
        )
    assert store.list_entries(inbox) == []
    assert Content.objects.count() == 0
    with monkeypatch.context() as patch:
        patch.setattr(writer, "write_batch", write_on_a_larger_disk)
        do(store, make_unit(inbox))
    assert [entry.uid for entry in store.list_entries(inbox)] == [1]


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ("server closed the connection unexpectedly", Kind.UNAVAILABLE),
        ("disk I/O error", Kind.STORAGE_FULL),
        ("could not write to the log: No space left on device", Kind.STORAGE_FULL),
    ],
)
def test_a_commit_that_nobody_knows_the_end_of_is_not_tried_again(
    store: DatabaseStore, inbox: MailboxId, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str, kind: Kind
) -> None:
    """The answer is temporary. The row may be there, so the body stays, and so does the caller's file."""
    commit = BaseDatabaseWrapper.commit

    def commit_and_lose_the_answer(self: BaseDatabaseWrapper) -> None:
        commit(self)
        if threading.current_thread().name == "store-writer":
            raise OperationalError(said)

    spooled = make_spooled(b"x" * 100_000, tmp_path)
    unit = Unit(filings=(Filing(NewContent(next_ref(), spooled), (NewEntry(inbox),)),))
    with monkeypatch.context() as patch:
        patch.setattr(BaseDatabaseWrapper, "commit", commit_and_lose_the_answer)
        assert kind_of(store, unit) is kind
    (entry,) = store.list_entries(inbox)
    (stored,) = store.read_contents([entry.content])
    assert sum(map(len, stored.chunks())) == 100_000
    assert spooled.path is not None
    assert spooled.path.exists()


# ---------------------------------------------------------------- bodies


class FailingBlobs(LocalBlobs):
    """Keeps so many bodies, then says that the disk is full."""

    def __init__(self, folder: Path, room: int) -> None:
        super().__init__(folder)
        self._room = room

    def keep(self, body: Body) -> str:
        if not self._room:
            raise OSError(errno.ENOSPC, "No space left on device")
        self._room -= 1
        return super().keep(body)


def test_no_room_for_a_body_is_storage_full_and_leaves_nothing(tmp_path: Path) -> None:
    blobs = FailingBlobs(tmp_path / "blobs", room=1)
    with closing(open_database_store(tmp_path, blobs=blobs)) as store:
        inbox = store.get_mailbox(make_user(), "INBOX").id
        bodies = [make_spooled(b"x" * 100_000, tmp_path) for _ in range(2)]
        filings = tuple(Filing(NewContent(next_ref(), body), (NewEntry(inbox),)) for body in bodies)
        assert kind_of(store, Unit(filings=filings)) is Kind.STORAGE_FULL
        assert store.list_entries(inbox) == []
        assert list(blobs.list_kept()) == []
        assert all(body.path is not None and body.path.exists() for body in bodies)
        do(store, make_unit(inbox))


def test_a_body_store_with_a_bug_fails_the_unit_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bug_catcher: BugCatcher
) -> None:
    def stumble(*_: object) -> str:
        raise KeyError("bug")

    monkeypatch.setattr(LocalBlobs, "keep", stumble)
    with closing(open_database_store(tmp_path)) as store:
        inbox = store.get_mailbox(make_user(), "INBOX").id
        assert kind_of(store, Unit(filings=(make_filing(inbox, data=b"x" * 100_000),))) is Kind.INTERNAL
        do(store, make_unit(inbox))
    bug_catcher.bugs.clear()


def test_the_body_of_a_unit_that_failed_is_removed(store: DatabaseStore, tmp_path: Path) -> None:
    gone = MailboxId(10**9)
    assert kind_of(store, Unit(filings=(make_filing(gone, data=b"x" * 100_000),))) is Kind.NOT_FOUND
    assert list(LocalBlobs(tmp_path / "blobs").list_kept()) == []


def test_the_body_of_a_waiter_who_went_away_is_removed(
    store: DatabaseStore, inbox: MailboxId, tmp_path: Path, gate: Gate
) -> None:
    gate.shut()
    first = store.submit(make_unit(inbox))
    assert gate.reached.wait(WAIT_SECONDS)
    gone = store.submit(Unit(filings=(make_filing(inbox, data=b"x" * 100_000),)))
    assert gone.cancel()
    gate.open()
    first.result(WAIT_SECONDS)
    store.close()
    assert list(LocalBlobs(tmp_path / "blobs").list_kept()) == []


# ---------------------------------------------------------------- how things are made to fail


def deadlock() -> OperationalError:
    class Deadlock(Exception):
        sqlstate = "40P01"

    error = OperationalError("deadlock detected")
    error.__cause__ = Deadlock()
    return error


def free_bytes() -> int:
    """What SQLite has room for in the file as it is: earlier tests have left theirs."""
    if connection.vendor != "sqlite":
        return 0
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA freelist_count")
        (pages,) = cursor.fetchone()
        cursor.execute("PRAGMA page_size")
        (size,) = cursor.fetchone()
    return int(pages * size)


def write_on_a_full_disk(batch: Sequence[Prepared]) -> Written:
    """SQLite may not grow by another page; PostgreSQL's words are spoken for it."""
    if connection.vendor == "sqlite":
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA page_count")
            (pages,) = cursor.fetchone()
            cursor.execute(f"PRAGMA max_page_count = {pages + 5}")
        return write_batch(batch)
    write_batch(batch)
    raise OperationalError('could not extend file "base/1/2": No space left on device')


def write_on_a_larger_disk(batch: Sequence[Prepared]) -> Written:
    if connection.vendor == "sqlite":
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA max_page_count = 1000000")
    return write_batch(batch)
