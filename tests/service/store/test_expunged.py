# SPDX-License-Identifier: MIT
"""What a mailbox remembers to have lost: the last ones exactly, nothing wrong of the others (RFC 7162 §3.2.10)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from mailserver.store import expunged
from mailserver.store.database import DatabaseStore
from mailserver.store.expunged import forget_long_gone
from mailserver.store.interface import Removal, Unit
from mailserver.store.models import Expunged
from mailserver.values import MailboxId, ModSeq, Uid
from tests.support.filings import WAIT_SECONDS, make_unit
from tests.support.stores import make_process, make_user, open_database_store

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[DatabaseStore]:
    with closing(open_database_store(tmp_path, make_process())) as store:
        yield store


@pytest.fixture
def inbox(store: DatabaseStore) -> MailboxId:
    """With ten messages, 1 to 10."""
    inbox = store.get_mailbox(make_user(), "INBOX").id
    store.submit(make_unit(inbox, count=10)).result(WAIT_SECONDS)
    return inbox


def expunge(store: DatabaseStore, inbox: MailboxId, *uids: int, hold: bool = False) -> ModSeq:
    """One after another; the mod-sequence before the last one."""
    before = ModSeq(0)
    for uid in uids:
        before = store.get_changes(inbox, ModSeq(0)).modseq
        store.submit(Unit(removals=(Removal(inbox, (Uid(uid),), hold),))).result(WAIT_SECONDS)
    return before


def test_the_last_ones_are_known_exactly_and_for_older_clients_whatever_is_not_there(
    store: DatabaseStore, inbox: MailboxId
) -> None:
    long_ago = expunge(store, inbox, 2)
    later = expunge(store, inbox, 3, 5, 7)
    assert forget_long_gone(kept=3) == 1
    assert store.get_changes(inbox, later).vanished == (7,)
    assert store.get_changes(inbox, long_ago).vanished == (2, 3, 5, 7)
    assert forget_long_gone(kept=3) == 0
    since = expunge(store, inbox, 9)
    assert forget_long_gone(kept=2) == 2
    assert store.get_changes(inbox, since).vanished == (9,)
    assert store.get_changes(inbox, later).vanished == (2, 3, 5, 7, 9), "what is no longer known is not left out"
    assert Expunged.objects.filter(mailbox=inbox).count() == 2


def test_what_is_held_is_not_there_either(store: DatabaseStore, inbox: MailboxId) -> None:
    expunge(store, inbox, 4, hold=True)
    expunge(store, inbox, 6, 8)
    forget_long_gone(kept=1)
    assert store.get_changes(inbox, ModSeq(0)).vanished == (4, 6, 8)


def test_many_go_a_few_at_a_time(store: DatabaseStore, inbox: MailboxId, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(expunged, "AT_ONCE", 2)
    since = expunge(store, inbox, *range(1, 10))
    assert forget_long_gone(kept=2) == 7
    assert store.get_changes(inbox, since).vanished == (9,)
    assert store.get_changes(inbox, ModSeq(0)).vanished == tuple(range(1, 10))


def test_those_that_went_together_are_forgotten_together(store: DatabaseStore, inbox: MailboxId) -> None:
    since = store.get_changes(inbox, ModSeq(0)).modseq
    store.submit(Unit(removals=(Removal(inbox, tuple(map(Uid, range(1, 6))), False),))).result(WAIT_SECONDS)
    forget_long_gone(kept=3)
    assert store.get_changes(inbox, since).vanished == (1, 2, 3, 4, 5)


def test_other_mailboxes_keep_theirs(store: DatabaseStore, inbox: MailboxId) -> None:
    other = store.get_mailbox(make_user(), "INBOX").id
    store.submit(make_unit(other, count=2)).result(WAIT_SECONDS)
    expunge(store, other, 1)
    expunge(store, inbox, *range(1, 6))
    forget_long_gone(kept=2)
    assert store.get_changes(other, ModSeq(0)).vanished == (1,)
    assert list(Expunged.objects.filter(mailbox=other).values_list("uid", flat=True)) == [1]
