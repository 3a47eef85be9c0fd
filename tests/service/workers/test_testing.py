# SPDX-License-Identifier: MIT
"""The worker tries what *Test* buttons ask for, and says what came of it."""

from __future__ import annotations

import asyncio

import pytest

from mailserver.connectors import remote_tests
from mailserver.connectors.models import Connection
from mailserver.connectors.values import CollectorSettings, Outcome, SenderSettings, TaskLog, TaskResult
from tests.support.bugs import BugCatcher
from workers import testing
from workers.testing import Checkers, do_tests
from workers.tools import WorkerTools

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]

POP3 = {"name": "Box", "server": "pop.example.com", "username": "us", "target": "postmaster"}


async def check_sender(sender: SenderSettings, owner: str, log: TaskLog, tools: WorkerTools) -> TaskResult:
    log.wire("S: 220 hello")
    log.note("The certificate expires tomorrow.")
    return TaskResult(Outcome.OK)


async def check_collector(collector: CollectorSettings, owner: str, log: TaskLog, tools: WorkerTools) -> TaskResult:
    if collector.name == "Slow":
        await asyncio.Event().wait()
    if collector.name == "Buggy":
        raise ValueError("oops")
    return TaskResult(Outcome.FAILED, "The server refuses the password.")


async def check_dns(name: str, log: TaskLog, tools: WorkerTools) -> TaskResult:
    log.wire(f"{name}: not found")
    return TaskResult(Outcome.PARTLY, "Not every DNS server answers.")


CHECKERS = Checkers(check_sender, check_collector, check_dns)


def outcome(test: int) -> tuple[bool, str, str]:
    view = remote_tests.find_test(test)
    assert view is not None
    return view.ok, view.text, view.transcript


def test_every_kind(internet: Connection, tools: WorkerTools) -> None:
    sender = remote_tests.order_sender_test(internet.pk)
    collector = remote_tests.order_collector_test(None, POP3)
    dns = remote_tests.order_dns_test("Example.COM.")
    assert do_tests(tools, CHECKERS) == 3
    assert outcome(sender) == (True, "It works.\nThe certificate expires tomorrow.", "S: 220 hello")
    assert outcome(collector) == (False, "The server refuses the password.", "")
    assert outcome(dns) == (False, "Not every DNS server answers.", "example.com: not found")


def test_one_that_never_ends_and_one_with_a_bug(
    internet: Connection, tools: WorkerTools, monkeypatch: pytest.MonkeyPatch, bug_catcher: BugCatcher
) -> None:
    monkeypatch.setattr(testing, "LONGEST_SECONDS", 0.05)
    slow = remote_tests.order_collector_test(None, {**POP3, "name": "Slow"})
    buggy = remote_tests.order_collector_test(None, {**POP3, "name": "Buggy"})
    assert do_tests(tools, CHECKERS) == 2
    assert outcome(slow)[1] == testing.TOO_LONG
    assert "errors.log" in outcome(buggy)[1]
    assert "oops" in bug_catcher.report()
    bug_catcher.bugs.clear()
