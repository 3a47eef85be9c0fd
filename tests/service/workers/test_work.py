# SPDX-License-Identifier: MIT
"""The worker's tasks, called directly: what is due is done, what fails waits, what recurs comes again."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping

import pytest

from mailserver.addressing.services import add_domain
from mailserver.store.opening import open_store
from mailserver.users.services import create_user
from mailserver.values import UserId
from mailserver.work import services as work
from mailserver.work.models import WorkItem
from tests.support.bugs import BugCatcher
from tests.support.still_clock import StillClock
from workers.beat import RECURRING
from workers.work import KINDS, WorkKind, do_due, tick

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]


def test_welcome_arrives() -> None:
    add_domain("example.test")
    user = create_user("anna", "Wholly-unlike-1", full_name="Anna", send_welcome=True)
    assert do_due() == 1
    store = open_store(None)
    inbox = store.get_mailbox(UserId(user.pk), "INBOX")
    (entry,) = store.list_entries(inbox.id)
    (content,) = store.read_contents([entry.content])
    assert b"Welcome, Anna!" in b"".join(content.chunks())
    store.close()
    assert do_due() == 0


def test_failure_is_logged_and_tried_later(
    monkeypatch: pytest.MonkeyPatch, still_clock: StillClock, bug_catcher: BugCatcher
) -> None:
    outcomes = [ValueError("not yet"), None]

    def sometimes(payload: Mapping[str, object]) -> None:
        outcome = outcomes.pop(0)
        if outcome is not None:
            raise outcome

    monkeypatch.setitem(KINDS, "sometimes", WorkKind(sometimes))
    work.request("sometimes")
    assert do_due() == 1
    assert "not yet" in bug_catcher.report()
    bug_catcher.bugs.clear()
    assert WorkItem.objects.get().last_error == "ValueError: not yet"
    assert do_due() == 0
    still_clock.advance(seconds=work.FIRST_RETRY_SECONDS)
    assert tick() == 1
    assert not WorkItem.objects.filter(kind="sometimes").exists()


def test_tick_gives_recurring_work_its_rows_and_does_it_when_due(
    still_clock: StillClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    kinds = sorted(recurring.kind for recurring in RECURRING)
    for kind in kinds:
        monkeypatch.setitem(KINDS, kind, WorkKind(lambda payload, kind=kind: done.append(kind)))  # type: ignore[misc]
    assert tick() == 0
    assert sorted(WorkItem.objects.values_list("kind", flat=True)) == kinds
    assert {"clean-store", "clean-records", "index-texts", "expire-queued"} <= set(kinds)
    still_clock.advance(days=2)
    assert tick() == len(kinds)
    assert sorted(done) == kinds
    assert tick() == 0
    assert WorkItem.objects.count() == len(kinds)


def test_housekeeping_runs_on_an_installation(data_folder: object, caplog: pytest.LogCaptureFixture) -> None:
    stale = os.path.join(str(data_folder), "broker", "unreadable")
    os.makedirs(stale)
    with open(os.path.join(stale, "1.mail.msg"), "wb"):
        os.utime(os.path.join(stale, "1.mail.msg"), (0, 0))
    for kind in ("clean-store", "clean-records"):
        work.request(kind)
    with caplog.at_level(logging.INFO):
        assert do_due() == 2
    assert os.listdir(stale) == []
    assert "1 broker files" in caplog.text
    assert not WorkItem.objects.exists()


def test_every_recurring_kind_can_be_done() -> None:
    assert {recurring.kind for recurring in RECURRING} <= set(KINDS)
