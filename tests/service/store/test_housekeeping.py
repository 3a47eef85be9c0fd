# SPDX-License-Identifier: MIT
"""Collecting orphans: what nobody has any more goes, late enough; what somebody has, or may get, stays."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pytest

from mailserver import clock
from mailserver.journey.records import next_ref
from mailserver.outqueue.models import QueuedRecipient
from mailserver.store.blobs import LocalBlobs
from mailserver.store.database import DatabaseStore
from mailserver.store.housekeeping import GRACE, LEFTOVER_AGE, Collected, collect_orphans
from mailserver.store.interface import Copying, Filing, NewContent, NewEntry, NewQueued, Removal, Unit, UnitResult
from mailserver.store.models import Content, RetiredBlob
from mailserver.store.services import delete_user_mail
from mailserver.values import Address, Envelope, MailboxId, Recipient, Uid, UserId
from tests.support.filings import WAIT_SECONDS, make_body, make_filing, make_unit
from tests.support.stores import make_user, open_database_store

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]

LARGE = b"x" * 100_000
LATER = GRACE + timedelta(seconds=1)
ENVELOPE = Envelope(None, (Recipient(Address("a", "elsewhere.test")),))


@dataclass(slots=True)
class House:
    """A store with one user, and a housekeeper whose clock can be ahead."""

    store: DatabaseStore
    folder: Path
    user: UserId
    inbox: MailboxId = field(init=False)

    def __post_init__(self) -> None:
        self.inbox = self.store.get_mailbox(self.user, "INBOX").id

    @property
    def blobs(self) -> LocalBlobs:
        return LocalBlobs(self.folder / "blobs")

    @property
    def files(self) -> int:
        return len(list(self.blobs.list_kept()))

    def do(self, unit: Unit) -> UnitResult:
        return self.store.submit(unit).result(WAIT_SECONDS)

    def file(self, data: bytes = LARGE) -> None:
        self.do(Unit(filings=(make_filing(self.inbox, data=data),)))

    def collect(self, ahead: timedelta = timedelta()) -> Collected:
        return collect_orphans(clock.now() + ahead, self.blobs, self.folder / "spool")


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with closing(open_database_store(tmp_path)) as store:
        yield House(store, tmp_path, make_user())


def remove_all(house: House) -> None:
    house.do(Unit(removals=(Removal(house.inbox, tuple(Uid(uid) for uid in range(1, 10))),)))


def test_an_expunged_message_goes_in_two_steps(house: House) -> None:
    """First the row, and a grace period after that the file: whoever streams it can finish."""
    house.file()
    remove_all(house)
    assert house.collect() == Collected()
    assert house.collect(LATER) == Collected(contents=1)
    assert (Content.objects.count(), house.files) == (0, 1)
    assert house.collect(LATER + GRACE / 2) == Collected()
    assert house.collect(LATER + LATER) == Collected(blobs=1)
    assert (RetiredBlob.objects.count(), house.files) == (0, 0)


def test_an_old_file_too_waits_for_the_grace_period_after_its_row(house: House) -> None:
    house.file()
    remove_all(house)
    assert house.collect(LEFTOVER_AGE * 2) == Collected(contents=1)
    assert house.files == 1
    assert house.collect(LEFTOVER_AGE * 2 + LATER) == Collected(blobs=1)


def copy(house: House) -> None:
    house.do(Unit(copies=(Copying(house.inbox, (Uid(1),), house.store.get_mailbox(house.user, "Trash").id),)))
    remove_all(house)


def hold(house: House) -> None:
    house.do(Unit(removals=(Removal(house.inbox, (Uid(1),), hold=True),)))


def queue(house: House) -> None:
    house.do(Unit(filings=(Filing(NewContent(next_ref(), make_body(LARGE)), queued=(NewQueued(ENVELOPE),)),)))
    remove_all(house)


@pytest.mark.parametrize("keep", [copy, hold, queue])
def test_what_somebody_still_has_stays(house: House, keep: Callable[[House], None]) -> None:
    house.file()
    keep(house)
    house.collect(LEFTOVER_AGE * 2)
    house.collect(LEFTOVER_AGE * 4)
    assert (Content.objects.count(), house.files) == (1, 1)
    (row,) = Content.objects.values_list("blob", flat=True)
    assert house.blobs.path(row).read_bytes() == LARGE


def test_what_the_queue_has_sent_goes(house: House) -> None:
    queue(house)
    QueuedRecipient.objects.all().delete()
    assert house.collect(LATER).contents == 1


def test_a_leaving_users_mail_goes_also_what_was_held(house: House) -> None:
    house.file()
    house.file()
    hold(house)
    delete_user_mail(house.user)
    assert house.collect(LATER).contents == 2


def test_a_file_on_its_way_to_the_database_is_left_alone(house: House) -> None:
    name = house.blobs.keep(make_body(LARGE))
    assert house.collect(LEFTOVER_AGE - GRACE) == Collected()
    assert house.blobs.path(name).exists()
    assert house.collect(LEFTOVER_AGE * 2) == Collected(blobs=1)
    assert house.files == 0


def test_spool_files_of_a_dead_process_go(house: House) -> None:
    writer = house.store.open_spool()
    writer.write(LARGE)
    old = house.folder / "spool" / "old"
    old.write_bytes(b"half a message")
    os.utime(old, (0, 0))
    assert house.collect() == Collected(leftovers=1)
    assert not old.exists()
    body = writer.finish()
    house.do(Unit(filings=(Filing(NewContent(next_ref(), body), (NewEntry(house.inbox),)),)))


def test_many_orphans_go_in_one_run(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mailserver.store.housekeeping.IDS_AT_ONCE", 7)
    monkeypatch.setattr("mailserver.store.housekeeping.DELETIONS_AT_ONCE", 3)
    house.do(make_unit(house.inbox, count=30))
    house.do(Unit(removals=(Removal(house.inbox, tuple(Uid(uid) for uid in range(1, 30, 2))),)))
    assert house.collect(LATER).contents == 15
    kept = {entry.content for entry in house.store.list_entries(house.inbox)}
    assert set(Content.objects.values_list("id", flat=True)) == kept


def test_a_run_that_was_killed_is_finished_by_the_next(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(3):
        house.file()
    remove_all(house)
    house.collect(LATER)
    delete, calls = LocalBlobs.delete, []

    def die_at_the_second(self: LocalBlobs, name: str) -> None:
        calls.append(name)
        if len(calls) == 2:
            raise KeyboardInterrupt
        delete(self, name)

    with monkeypatch.context() as patch:
        patch.setattr(LocalBlobs, "delete", die_at_the_second)
        with pytest.raises(KeyboardInterrupt):
            house.collect(LATER * 2)
    assert house.files == 2
    assert house.collect(LATER * 2) == Collected(blobs=2)
    assert (house.files, RetiredBlob.objects.count()) == (0, 0)
    assert house.collect(LATER * 2) == Collected()
