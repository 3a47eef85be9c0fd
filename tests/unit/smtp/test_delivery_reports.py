# SPDX-License-Identifier: MIT
"""Who asks for it by NOTIFY=SUCCESS is told when a message has reached a mailbox here. RFC 3461 §5.2.3."""

from __future__ import annotations

from pathlib import Path

import pytest

from mailserver.store.memory import MemoryStore
from tests.support.fakes import World
from tests.unit.smtp.test_reception import HEADER, envelope, inbox, make_smtp_world, message, talk


@pytest.fixture
def world(tmp_path: Path) -> World:
    return make_smtp_world(MemoryStore(tmp_path))


def rcpt(recipient: str, parameters: str = "") -> bytes:
    return f"RCPT TO:<{recipient}>{parameters}\r\n".encode()


async def test_who_asks_is_told_whom_a_message_has_reached(world: World) -> None:
    success = " NOTIFY=SUCCESS ORCPT=rfc822;robert@example.test"
    words = envelope(sender="eve@example.test", parameters=" ENVID=X+2B1") + rcpt("bob@example.test", success)
    await talk(world, words + rcpt("eve@example.test"), message())
    (_, report) = inbox(world, "eve")
    assert report.head == b"Return-Path: <>\r\n"
    assert report.body is not None
    for line in (
        b"Subject: Delivered: (no subject)",
        b"Original-Envelope-Id: X+1",
        b"Original-Recipient: rfc822; robert@example.test",
        b"Final-Recipient: rfc822; bob@example.test",
        b"Action: delivered",
        b"Status: 2.0.0",
        HEADER,
    ):
        assert line in report.body
    assert b"Final-Recipient: rfc822; eve" not in report.body
    assert [journey.source for journey in world.store.journeys] == ["smtp", "report"]


async def test_report_of_a_delivery_to_somebody_elsewhere_is_queued(world: World) -> None:
    await talk(world, envelope() + rcpt("bob@example.test", " NOTIFY=SUCCESS,FAILURE"), message())
    ((_, queued),) = world.store.queued
    assert queued.envelope.reverse_path is None
    assert [str(one.address) for one in queued.envelope.recipients] == ["a@client.example"]
    assert (queued.login, queued.client) == ("", "")


@pytest.mark.parametrize(
    ("sender", "parameters"),
    [
        ("", " NOTIFY=SUCCESS"),
        ("a@client.example", " NOTIFY=NEVER"),
        ("a@client.example", ""),
        ("nobody@example.test", " NOTIFY=SUCCESS"),
    ],
)
async def test_nobody_else_is_told_of_a_delivery(world: World, sender: str, parameters: str) -> None:
    await talk(world, envelope(sender=sender) + rcpt("bob@example.test", parameters), message())
    assert len(inbox(world, "bob")) == 1
    assert world.store.queued == []
    assert len(world.store.journeys) == 1
