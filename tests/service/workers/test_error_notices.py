# SPDX-License-Identifier: MIT
"""When the administrator hears of an error, and what scripts may do about it (spec senders 8.7)."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from mailserver.config.services import set_settings
from mailserver.connectors.models import Connection, ReportedError
from mailserver.connectors.values import Outcome, TaskResult
from mailserver.hooks.events import ErrorNotice, NoticeChange
from mailserver.hooks.interface import Hooks
from mailserver.lan import services as lan
from mailserver.lan.services import RuleInput
from mailserver.outqueue.models import QueuedRecipient
from mailserver.store.opening import open_store
from mailserver.users.services import create_user, find_user
from mailserver.values import UserId
from tests.support.performing import real_tools
from tests.support.still_clock import StillClock
from workers.error_notices import COLLECTOR, report_result
from workers.tools import WorkerTools

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]

FAILED = TaskResult(Outcome.FAILED, "The server refuses the password.\nIt says: -ERR no")
UNREACHABLE = TaskResult(Outcome.FAILED, "pop.example.com cannot be reached.", connect_error=True)
FINE = TaskResult(Outcome.OK)


class Script(Hooks):
    """Answers with `change`, and remembers what it was told."""

    def __init__(self) -> None:
        self.change: NoticeChange | None = None
        self.seen: list[ErrorNotice] = []

    async def on_error_notice(self, event: ErrorNotice) -> NoticeChange | None:
        self.seen.append(event)
        return self.change


@pytest.fixture
def script() -> Script:
    return Script()


@pytest.fixture
def told(internet: Connection, script: Script, still_clock: StillClock) -> Iterator[WorkerTools]:
    create_user("alice", "alice-secret-1")
    with real_tools(script) as tools:
        yield tools


def report(tools: WorkerTools, result: TaskResult, number: int = 7) -> None:
    asyncio.run(report_result(tools, COLLECTOR, number, "Mailbox", result))


def inbox(name: str = "postmaster") -> list[bytes]:
    store = open_store()
    user = find_user(name)
    assert user is not None
    entries = store.list_entries(store.get_mailbox(UserId(user.pk), "INBOX").id)
    texts = {content.id: b"".join(content.chunks()) for content in store.read_contents([e.content for e in entries])}
    store.close()
    return [texts[entry.content] for entry in entries]


def test_after_a_while_again_and_then_now_and_then(told: WorkerTools, still_clock: StillClock) -> None:
    counts = []
    for minutes in (0, 10, 5, 30, 30, 60, 1400, 40):
        still_clock.advance(minutes=minutes)
        report(told, FAILED)
        counts.append(len(inbox()))
    assert counts == [0, 0, 1, 1, 2, 2, 3, 3]
    text = inbox()[0].decode()
    assert "Subject: Collector Mailbox: The server refuses the password.\r\n" in text
    assert "It says: -ERR no" in text
    assert "since 02 March 2026, 09:30 UTC" in text
    assert "Auto-Submitted: auto-generated" in text


def test_a_success_begins_anew(told: WorkerTools, still_clock: StillClock) -> None:
    report(told, FAILED)
    still_clock.advance(minutes=14)
    report(told, FINE)
    assert not ReportedError.objects.exists()
    report(told, FAILED)
    still_clock.advance(minutes=14)
    report(told, FAILED)
    assert inbox() == []


def test_each_collector_has_a_sequence_of_its_own(told: WorkerTools, still_clock: StillClock) -> None:
    report(told, FAILED, 1)
    still_clock.advance(minutes=15)
    report(told, FAILED, 2)
    assert inbox() == []
    report(told, FAILED, 1)
    assert len(inbox()) == 1


@pytest.mark.parametrize(
    ("settings", "result", "expected"),
    [
        ({"connections.error_first_minutes": 0}, FAILED, 1),
        ({"connections.error_first_minutes": 0, "connections.error_messages": False}, FAILED, 0),
        ({"connections.all_network_errors": True}, UNREACHABLE, 3),
        ({"connections.all_network_errors": True}, FAILED, 0),
        ({"connections.all_network_errors": True, "connections.error_messages": False}, UNREACHABLE, 0),
        ({}, UNREACHABLE, 0),
    ],
)
def test_settings(internet: Connection, settings: dict[str, object], result: TaskResult, expected: int) -> None:
    set_settings(settings)
    with real_tools() as tools:
        for _ in range(3):
            report(tools, result)
    assert len(inbox()) == expected


def test_a_script_sees_each_and_changes_it(told: WorkerTools, script: Script) -> None:
    script.change = NoticeChange("Look", "Quick!", "alice@example.test", "robot@example.test", force=True)
    report(told, UNREACHABLE)
    (seen,) = script.seen
    assert (seen.component, seen.id, seen.connect_error, seen.target) == (2, 7, True, "postmaster@example.test")
    (text,) = inbox("alice")
    assert b"Subject: Look\r\n" in text
    assert b"robot@example.test" in text
    assert b"Quick!" in text
    assert ReportedError.objects.get().reports == 1


def test_a_script_suppresses_it(told: WorkerTools, script: Script, still_clock: StillClock) -> None:
    script.change = NoticeChange("x", "x", "", "x@example.test", force=True)
    report(told, FAILED)
    assert inbox() == []
    assert ReportedError.objects.get().reports == 0


def test_a_script_sends_it_elsewhere(told: WorkerTools, script: Script) -> None:
    script.change = NoticeChange("x", "x", "duty@pager.example", "postmaster@example.test", force=True)
    report(told, FAILED)
    row = QueuedRecipient.objects.get()
    assert (row.recipient, row.reverse_path) == ("duty@pager.example", "")


def test_nobody_is_called_so(told: WorkerTools, script: Script) -> None:
    script.change = NoticeChange("x", "x", "ghost@example.test", "postmaster@example.test", force=True)
    report(told, FAILED)
    assert ReportedError.objects.get().reports == 0


def test_a_script_sends_it_to_a_server_of_our_own_network(
    internet: Connection, script: Script, still_clock: StillClock
) -> None:
    lan.save_rule(RuleInput("*@branch.test", "10.0.0.5"))
    script.change = NoticeChange("x", "x", "duty@branch.test", "postmaster@example.test", force=True)
    with real_tools(script) as tools:
        report(tools, FAILED)
    row = QueuedRecipient.objects.get()
    assert (row.recipient, row.lan_server, row.reverse_path) == ("duty@branch.test", "10.0.0.5:25", "")


def test_nobody_reads_the_address_for_answers(told: WorkerTools, script: Script) -> None:
    target = "fetch-0123456789abcdef0123@example.test"
    script.change = NoticeChange("x", "x", target, "postmaster@example.test", force=True)
    report(told, FAILED)
    assert not QueuedRecipient.objects.exists()
    assert ReportedError.objects.get().reports == 0
