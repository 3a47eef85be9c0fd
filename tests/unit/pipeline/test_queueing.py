# SPDX-License-Identifier: MIT
"""How messages join the outgoing queue: users' settings, urgent headers, and what a script says."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from mailserver.addressing.resolve import Local, Remote
from mailserver.config.catalog import URGENT_CONNECT
from mailserver.config.snapshot import Directory, Snapshot, User
from mailserver.hooks.events import QueueChange, Queued
from mailserver.hooks.interface import Hooks
from mailserver.mime.headers import summarise
from mailserver.pipeline.filing import URGENT_CONNECT_WORK, build_unit
from mailserver.pipeline.message import Delivery, IncomingMessage, Origin, Queueing
from mailserver.pipeline.queueing import MAX_SECONDS, plan_queueing
from mailserver.values import Address, Body, Client, Envelope, MailboxId, Protocol, Recipient, UserId

MOMENT = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
ANNA = User(UserId(1), "anna", Address("anna", "example.test"), MailboxId(1), send_priority=20, hold_sent_seconds=30)
AWAY = Recipient(Address("x", "r.example"))


class Opinion(Hooks):
    """Answers as told, and remembers what it was asked."""

    def __init__(self, **change: Any) -> None:
        self.change = QueueChange(**change)
        self.asked: list[Queued] = []

    async def on_queued(self, event: Queued) -> QueueChange | None:
        self.asked.append(event)
        return self.change


def make_message(
    header: bytes = b"Subject: Hi\r\n", *, user: UserId | None = None, local: bool = False
) -> IncomingMessage:
    recipient = Recipient(ANNA.address) if local else AWAY
    delivery = Delivery(recipient, Local(ANNA) if local else Remote())
    origin = Origin("smtp", Client(Protocol.SMTP, 1, 1, "192.0.2.7", 40000), login="anna", user=user)
    envelope = Envelope(Address("anna", "example.test"), (recipient,))
    data = header + b"\r\nbody\r\n"
    return IncomingMessage(
        "01X", MOMENT, origin, envelope, (delivery,), Body(len(data), "", data), header, summarise(header)
    )


def snapshot(**settings: Any) -> Snapshot:
    return Snapshot(directory=Directory(("example.test",), (ANNA,)), settings=settings)


async def plan(message: IncomingMessage, hooks: Hooks | None = None, **settings: Any) -> Queueing:
    return (await plan_queueing(message, snapshot(**settings), hooks or Hooks())).queueing


async def test_strangers_mail_joins_as_usual() -> None:
    assert await plan(make_message()) == Queueing()


async def test_users_settings_count() -> None:
    assert await plan(make_message(user=UserId(1))) == Queueing(priority=20, hold_seconds=30)
    assert await plan(make_message(user=UserId(9))) == Queueing()


async def test_urgent_messages_ask_for_a_connection() -> None:
    urgent = make_message(b"X-Priority: 1\r\n")
    assert await plan(urgent) == Queueing(urgent=True, connect=True)
    assert await plan(urgent, **{URGENT_CONNECT.name: False}) == Queueing(urgent=True)


async def test_script_is_told_and_has_the_last_word() -> None:
    hooks = Opinion(priority=1, hold=True, hold_seconds=0, delete_after_seconds=60)
    planned = await plan(make_message(user=UserId(1)), hooks)
    assert planned == Queueing(priority=1, hold=True, delete_after_seconds=60)
    (event,) = hooks.asked
    assert (event.login, event.priority, event.hold_seconds, event.client) == ("anna", 20, 30, "192.0.2.7")
    assert (event.subject, event.header, event.size, event.created) == ("Hi", b"Subject: Hi\r\n", 21, MOMENT)


async def test_script_that_is_silent_changes_nothing() -> None:
    assert await plan(make_message(user=UserId(1)), Opinion()) == Queueing(priority=20, hold_seconds=30)


@pytest.mark.parametrize(("wanted", "kept"), [(0, 1), (-5, 1), (1000, 100)])
async def test_numbers_stay_within_bounds(wanted: int, kept: int) -> None:
    planned = await plan(make_message(), Opinion(priority=wanted, hold_seconds=-1, delete_after_seconds=10**12))
    assert planned == Queueing(priority=kept, delete_after_seconds=MAX_SECONDS)


async def test_local_mail_is_not_asked_about() -> None:
    hooks = Opinion(hold=True)
    assert await plan(make_message(local=True), hooks) == Queueing()
    assert hooks.asked == []


async def test_what_was_planned_is_written() -> None:
    message = await plan_queueing(make_message(b"X-Priority: 1\r\n", user=UserId(1)), snapshot(), Opinion(hold=True))
    unit = build_unit(message, "mail.example.test")
    (queued,) = unit.filings[0].queued
    assert (queued.priority, queued.urgent, queued.hold, queued.hold_seconds) == (20, True, True, 30)
    assert [work.kind for work in unit.work] == [URGENT_CONNECT_WORK]
    assert unit.steps[-1].detail == "Held until it is released"
    message = await plan_queueing(make_message(user=UserId(1)), snapshot(), Hooks())
    assert build_unit(message, "mail.example.test").steps[-1].detail == "Held for 30 seconds"
