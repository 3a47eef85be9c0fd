# SPDX-License-Identifier: MIT
"""Reports to senders: filed here or queued, once, and never about a report."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import timedelta
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from mailserver import clock
from mailserver.addressing.services import add_domain
from mailserver.config.building import build_snapshot
from mailserver.config.services import set_setting
from mailserver.connectors.values import SenderSettings
from mailserver.hooks.interface import Hooks
from mailserver.journey.models import JourneyEvent
from mailserver.outqueue.models import QueuedRecipient
from mailserver.outqueue.recording import REPORT, record
from mailserver.outqueue.taking import take
from mailserver.outqueue.unwanted import judge_unwanted
from mailserver.outqueue.values import Attempt, AttemptResult
from mailserver.store.interface import Unit, UnitResult
from mailserver.store.models import Content
from mailserver.store.opening import open_store
from mailserver.users.services import create_user, delete_user
from mailserver.values import UserId
from mailserver.work.models import WorkItem
from protocols.net.offload import DirectOffload
from tests.support.queueing import MESSAGE, lease_sender, make_queued, make_sender, row
from tests.support.still_clock import StillClock
from workers.reports import send_reports
from workers.tools import WorkerTools

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]
SENT, DEFERRED, FAILED, UNTRIED = AttemptResult


@pytest.fixture
def tools(data_folder: Path) -> Iterator[WorkerTools]:
    add_domain("example.test")
    create_user("alice", "Wholly-unlike-1")
    store = open_store(None)
    yield WorkerTools(store, DirectOffload(), Hooks(), build_snapshot)
    store.close()


@pytest.fixture
def sender(tools: WorkerTools) -> SenderSettings:
    sender = make_sender(default=True)
    lease_sender(sender)
    return sender


def inbox(tools: WorkerTools, user: str = "alice") -> list[EmailMessage]:
    found = tools.snapshot().directory.find_login(user)
    assert found is not None
    entries = tools.store.list_entries(found.inbox)
    contents = tools.store.read_contents([entry.content for entry in entries])
    return [message_from_bytes(b"".join(content.chunks()), policy=default) for content in contents]  # type: ignore[misc]


def send(sender: SenderSettings, results: list[tuple[AttemptResult, str]], **columns: Any) -> list[int]:
    """Queue a message to so many recipients, and try it with these results."""
    names = [f"r{number}@far.example" for number in range(len(results))]
    ids = make_queued(*names, **columns)
    take(sender, "me", 9)
    attempts = [
        Attempt(id_, result, reply, server="mx.far.example") for id_, (result, reply) in zip(ids, results, strict=True)
    ]
    record(attempts, "me", sender)
    return ids


def do_reports(tools: WorkerTools) -> int:
    orders = list(WorkItem.objects.filter(kind=REPORT, not_before__lte=clock.now()).order_by("pk"))
    for order in orders:
        send_reports(order.payload, tools)
        order.delete()
    return len(orders)


def statuses(message: EmailMessage) -> list[tuple[str, str]]:
    _, status, _ = message.iter_parts()
    groups: Any = status.get_payload()
    return [(group["Final-Recipient"], group["Status"]) for group in groups[1:]]


def test_one_report_tells_of_all_failures_of_a_message(sender: SenderSettings, tools: WorkerTools) -> None:
    ids = send(sender, [(FAILED, "550 5.1.1 nobody"), (SENT, "250 ok"), (FAILED, "552 5.2.2 full")])
    assert do_reports(tools) == 1
    (report,) = inbox(tools)
    assert report["Return-Path"] == "<>"
    assert report["To"] == "alice@example.test"
    assert report["From"].addresses[0].addr_spec == "postmaster@example.test"
    assert statuses(report) == [("rfc822; r0@far.example", "5.1.1"), ("rfc822; r2@far.example", "5.2.2")]
    assert [row(id_).reported is not None for id_ in ids] == [True, False, True]
    kinds = JourneyEvent.objects.filter(journey_id=row(ids[0]).ref).values_list("kind", flat=True)
    assert "reported" in kinds
    (filed,) = JourneyEvent.objects.filter(kind="filed")
    assert filed.detail == f"Failure report, about {row(ids[0]).ref}"


def test_work_that_is_done_again_tells_nobody_twice(sender: SenderSettings, tools: WorkerTools) -> None:
    send(sender, [(FAILED, "550 no")])
    order = WorkItem.objects.get(kind=REPORT)
    send_reports(order.payload, tools)
    send_reports(order.payload, tools)
    assert len(inbox(tools)) == 1


def test_what_nobody_sends_comes_back(tools: WorkerTools, still_clock: StillClock) -> None:
    make_queued()
    judge_unwanted(clock.now())
    still_clock.advance(hours=72)
    assert judge_unwanted(clock.now()) == 1
    assert do_reports(tools) == 1
    (report,) = inbox(tools)
    assert statuses(report) == [("rfc822; x@remote.example", "5.4.4")]
    text, _, _ = report.iter_parts()
    assert "No Connection of this server sends this message." in " ".join(text.get_content().split())


def test_two_workers_at_once_tell_once(sender: SenderSettings, tools: WorkerTools) -> None:
    send(sender, [(FAILED, "550 no")])
    payload = WorkItem.objects.get(kind=REPORT).payload

    def work(_: int) -> None:
        try:
            send_reports(payload, tools)
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    assert len(inbox(tools)) == 1


def test_what_another_worker_has_not_told_is_told(
    sender: SenderSettings, tools: WorkerTools, monkeypatch: pytest.MonkeyPatch
) -> None:
    """He had looked when only the first recipient had failed, and was the first to commit."""
    first, second = send(sender, [(FAILED, "550 no"), (FAILED, "550 nor this")])
    submit = tools.store.submit

    def submit_too_late(unit: Unit) -> Future[UnitResult]:
        QueuedRecipient.objects.filter(pk=first).update(reported=clock.now())
        return submit(unit)

    monkeypatch.setattr(tools.store, "submit", submit_too_late)
    do_reports(tools)
    (report,) = inbox(tools)
    assert statuses(report) == [("rfc822; r1@far.example", "5.0.0")]
    assert row(second).reported is not None


def test_sender_elsewhere_gets_it_through_the_queue(sender: SenderSettings, tools: WorkerTools) -> None:
    send(sender, [(FAILED, "550 no")], reverse_path="zoe@else.example")
    do_reports(tools)
    (queued,) = QueuedRecipient.objects.filter(recipient="zoe@else.example")
    assert (queued.reverse_path, queued.notify, queued.login, queued.client) == ("", "NEVER", "", "")
    assert queued.subject == "Not delivered: Hello"
    take(sender, "me", 9)
    record([Attempt(queued.pk, FAILED, "550 nobody here either")], "me", sender)
    assert row(queued.pk).status == "failed"
    assert not WorkItem.objects.filter(kind=REPORT).exists()


@pytest.mark.parametrize(("notify", "count"), [("NEVER", 0), ("SUCCESS", 0), ("DELAY", 0), ("FAILURE", 1), ("", 1)])
def test_notify_is_honoured(sender: SenderSettings, tools: WorkerTools, notify: str, count: int) -> None:
    send(sender, [(FAILED, "550 no")], notify=notify)
    do_reports(tools)
    assert len(inbox(tools)) == count


def test_parameters_of_the_sender_are_carried(sender: SenderSettings, tools: WorkerTools) -> None:
    send(sender, [(FAILED, "550 no")], envelope_id="ID+2B1", original_recipient="rfc822;first@far.example")
    do_reports(tools)
    _, status, _ = inbox(tools)[0].iter_parts()
    about, one = status.get_payload()  # type: ignore[misc]
    assert (about["Original-Envelope-Id"], one["Original-Recipient"]) == ("ID+1", "rfc822; first@far.example")  # type: ignore[index]


RETURNED = [("FULL", 0, "message/rfc822"), ("HDRS", 99, "text/rfc822-headers"), ("", 99, "message/rfc822")]
RETURNED += [("", 0, "text/rfc822-headers")]


@pytest.mark.parametrize(("wanted", "limit", "returned"), RETURNED)
def test_what_comes_back(sender: SenderSettings, tools: WorkerTools, wanted: str, limit: int, returned: str) -> None:
    set_setting("queue.return_kilobytes", limit)
    send(sender, [(FAILED, "550 no")], dsn_return=wanted)
    do_reports(tools)
    *_, third = inbox(tools)[0].iter_parts()
    assert third.get_content_type() == returned


def test_large_message_comes_back_whole(sender: SenderSettings, tools: WorkerTools) -> None:
    data = MESSAGE + b"0123456789\r\n" * 20_000 + "grün\r\n".encode()
    send(sender, [(FAILED, "550 no")], dsn_return="FULL", data=data)
    do_reports(tools)
    found = tools.snapshot().directory.find_login("alice")
    assert found is not None
    (entry,) = tools.store.list_entries(found.inbox)
    (content,) = tools.store.read_contents([entry.content])
    assert content.path is not None
    assert data in b"".join(content.chunks())


def test_sender_is_told_though_the_message_is_gone(sender: SenderSettings, tools: WorkerTools) -> None:
    send(sender, [(FAILED, "550 5.1.1 nobody")])
    Content.objects.update(body=None, blob="no/such/file")
    do_reports(tools)
    (report,) = inbox(tools)
    assert statuses(report) == [("rfc822; r0@far.example", "5.1.1")]


def test_success_is_reported_where_the_next_server_does_not(sender: SenderSettings, tools: WorkerTools) -> None:
    ids = make_queued("a@far.example", "b@far.example", notify="SUCCESS")
    take(sender, "me", 9)
    first, second = ids
    record([Attempt(first, SENT, "250 2.0.0 ok"), Attempt(second, SENT, "250 ok", dsn_passed_on=True)], "me", sender)
    do_reports(tools)
    (report,) = inbox(tools)
    assert report["Subject"] == "Passed on: Hello"
    assert statuses(report) == [("rfc822; a@far.example", "2.0.0")]


def test_delay_is_told_once_when_it_is_due(sender: SenderSettings, tools: WorkerTools, still_clock: StillClock) -> None:
    lease_sender(sender, "me")
    (id_,) = send(sender, [(DEFERRED, "450 4.2.0 busy")], queued=clock.now() - timedelta(hours=3, minutes=57))
    assert do_reports(tools) == 0
    still_clock.advance(minutes=3)
    payload = WorkItem.objects.get(kind=REPORT).payload
    assert do_reports(tools) == 1
    send_reports(payload, tools)
    (report,) = inbox(tools)
    assert report["Subject"] == "Delayed: Hello"
    _, status, _ = report.iter_parts()
    (_, one) = status.get_payload()  # type: ignore[misc]
    assert (one["Action"], one["Status"]) == ("delayed", "4.2.0")  # type: ignore[index]
    assert one["Will-Retry-Until"] is not None  # type: ignore[index]
    assert row(id_).warned == clock.now()


@pytest.mark.parametrize("change", [{"status": "sent"}, {"status": "held"}, {"warned": "2026-01-01T00:00:00Z"}])
def test_warning_that_became_untrue_is_not_given(
    sender: SenderSettings, tools: WorkerTools, still_clock: StillClock, change: dict[str, Any]
) -> None:
    (id_,) = send(sender, [(DEFERRED, "450 busy")], queued=clock.now() - timedelta(hours=5))
    QueuedRecipient.objects.filter(pk=id_).update(**change)
    assert do_reports(tools) == 1
    assert inbox(tools) == []


def test_sender_who_is_gone_gets_nothing_and_it_is_said(sender: SenderSettings, tools: WorkerTools) -> None:
    (id_,) = send(sender, [(FAILED, "550 no")])
    delete_user(UserId(tools.snapshot().directory.find_login("alice").id))  # type: ignore[union-attr]
    contents = Content.objects.count()
    do_reports(tools)
    assert Content.objects.count() == contents
    assert row(id_).reported is not None
    assert "nobody of this name" in JourneyEvent.objects.latest("pk").detail
