# SPDX-License-Identifier: MIT
"""Who will not keep to a protocol is reported, in every protocol and once for each session, for a later score."""

from __future__ import annotations

import asyncio
import contextlib
import logging

import pytest

from mailserver.config.catalog import ServiceKind
from mailserver.hooks.events import NuisanceSeen
from mailserver.hooks.interface import Hooks
from mailserver.values import Protocol
from protocols.imap.indexes import MailboxIndexes
from protocols.imap.server import ImapService
from protocols.net.connection import Connection
from protocols.net.stream import ConnectionLost
from protocols.pop3.server import serve_pop3
from protocols.smtp.server import serve_smtp
from tests.support.fakes import ELSEWHERE, PATIENCE_SECONDS, MemoryStream, make_world, settle
from tests.support.local_notices import LocalNotices


class Scorer(Hooks):
    """Takes note."""

    def __init__(self) -> None:
        self.seen: list[NuisanceSeen] = []

    async def on_nuisance(self, event: NuisanceSeen) -> None:
        self.seen.append(event)


async def imap(connection: Connection) -> None:
    await ImapService(MailboxIndexes(connection.store, connection.offload, LocalNotices())).serve(connection)


PROTOCOLS = {
    "imap4": (ServiceKind.IMAP4, Protocol.IMAP4, imap),
    "pop3": (ServiceKind.POP3, Protocol.POP3, serve_pop3),
    "smtp": (ServiceKind.SMTP, Protocol.SMTP, serve_smtp),
}


async def hold(name: str, said: bytes) -> list[NuisanceSeen]:
    """A session in which the client says this, and goes; what was reported."""
    kind, protocol, serve = PROTOCOLS[name]
    scorer = Scorer()
    world = make_world(kind, protocol)
    world.hooks = scorer
    stream = MemoryStream()
    task = asyncio.ensure_future(serve(world.connect(stream)))
    await settle(stream, task)
    stream.data_received(said)
    await settle(stream, task)
    stream.connection_lost(None)
    async with asyncio.timeout(PATIENCE_SECONDS):
        with contextlib.suppress(ConnectionLost):
            await task
    return scorer.seen


@pytest.mark.parametrize("name", PROTOCOLS)
async def test_who_repeats_nonsense_is_reported_once(name: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "pillarbox.security"):
        (seen,) = await hold(name, b"x BOGUS\r\n" * 30)
    assert (seen.client.address, seen.client.protocol.value) == (ELSEWHERE, name)
    assert seen.reason.startswith("20 ")
    assert [record.getMessage() for record in caplog.records if record.name == "pillarbox.security"] == [
        f"{name} nuisance from {ELSEWHERE}, session 1: {seen.reason}"
    ]


@pytest.mark.parametrize("name", PROTOCOLS)
async def test_a_few_mistakes_are_nobodys_business(name: str) -> None:
    assert await hold(name, b"x BOGUS\r\n" * 5) == []


async def test_an_endless_line_is_reported_at_once() -> None:
    (seen,) = await hold("imap4", b"a LOGIN " + b"x" * 1_000_000)
    assert seen.reason
