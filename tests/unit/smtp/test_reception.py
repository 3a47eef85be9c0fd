# SPDX-License-Identifier: MIT
"""What a conversation leaves behind: entries, queue, journeys, and nothing where something went wrong."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mailserver.config.catalog import ServiceKind
from mailserver.errors import Kind, MailError
from mailserver.hooks.events import MailFromGiven, MessageReceived, RecipientGiven
from mailserver.hooks.interface import Hooks
from mailserver.journey.records import JourneyStep
from mailserver.pipeline.verdict import Accept, Refuse, Verdict
from mailserver.store.interface import StoredContent, Unit, UnitResult
from mailserver.store.memory import MemoryStore
from mailserver.values import MEMORY_BODY_BYTES, Address, DsnNotify, DsnReturn, Envelope, Protocol, Recipient
from protocols.net.transcript import Transcript
from protocols.smtp import handler
from protocols.smtp.server import serve_smtp
from tests.support.fakes import MemoryStream, World, make_world
from tests.support.still_clock import StillClock

LOG_IN = b"AUTH PLAIN AGJvYgBzZWNyZXQ=\r\n"
HEADER = b"From: a@client.example\r\nDate: Mon, 2 Mar 2026 09:30:00 +0000\r\nMessage-ID: <1@client.example>\r\n"


def make_smtp_world(store: MemoryStore) -> World:
    world = make_world(ServiceKind.SMTP, Protocol.SMTP, require_encrypted_login=False)
    world.store = store
    world.add_user("bob", "secret")
    world.add_user("eve", "secret")
    return world


@pytest.fixture
def world(tmp_path: Path) -> World:
    return make_smtp_world(MemoryStore(tmp_path))


class Talk:
    """A session that is under way."""

    def __init__(self, world: World) -> None:
        self.stream = MemoryStream()
        self.task = asyncio.create_task(serve_smtp(world.connect(self.stream)))

    async def say(self, *words: bytes) -> list[bytes]:
        """The lines that come back once the server waits again, or is done."""
        async with asyncio.timeout(10):
            for word in words:
                await self._settle()
                self.stream.data_received(word)
            await self._settle()
        heard = bytes(self.stream.transport.written)
        self.stream.transport.written.clear()
        return heard.split(b"\r\n")[:-1]

    async def _settle(self) -> None:
        while not (self.task.done() or self.stream.waits_for_input):  # noqa: ASYNC110 - turns of the loop are waited for
            await asyncio.sleep(0)

    async def leave(self) -> None:
        self.stream.eof_received()
        await asyncio.wait_for(self.task, 10)


async def talk(world: World, *words: bytes) -> list[bytes]:
    """A whole session, begun with EHLO; what is said after that."""
    session = Talk(world)
    await session.say(b"EHLO client.example\r\n")
    heard = await session.say(*words)
    await session.leave()
    return heard


def envelope(*recipients: str, sender: str = "a@client.example", parameters: str = "") -> bytes:
    lines = [f"MAIL FROM:<{sender}>{parameters}"]
    lines += [f"RCPT TO:<{recipient}>" for recipient in recipients]
    return "".join(f"{line}\r\n" for line in lines).encode()


def message(body: bytes = b"text\r\n", header: bytes = HEADER) -> bytes:
    return b"DATA\r\n" + header + b"\r\n" + body + b".\r\n"


def inbox(world: World, name: str) -> list[StoredContent]:
    entries = world.store.list_entries(world.user(name).inbox)
    return world.store.read_contents([entry.content for entry in entries])


def files(folder: Path) -> list[Path]:
    return list(folder.iterdir())


def steps(world: World) -> Iterator[tuple[str, str]]:
    return ((step.kind.value, step.recipient) for step in world.store.steps)


async def test_message_is_filed_with_trace_lines_and_journey(world: World, still_clock: StillClock) -> None:
    heard = await talk(world, envelope("bob@example.test"), message())
    ref = heard[-1].split()[-1].decode()
    (content,) = inbox(world, "bob")
    assert content.ref == ref
    assert content.head == (
        b"Return-Path: <a@client.example>\r\n"
        b"Received: from client.example ([192.0.2.7])\r\n"
        b"\tby mail.example.test (Pillarbox) with ESMTP\r\n"
        b"\tid " + ref.encode() + b" for <bob@example.test>;\r\n"
        b"\tMon, 02 Mar 2026 09:30:00 +0000\r\n"
    )
    assert content.return_path_size == len(b"Return-Path: <a@client.example>\r\n")
    assert content.body == HEADER + b"\r\ntext\r\n"
    assert content.fields["message-id"] == "<1@client.example>"
    (journey,) = world.store.journeys
    assert (journey.ref, journey.source, journey.client, journey.helo) == (ref, "smtp", "192.0.2.7", "client.example")
    assert (journey.sender, journey.header_from, journey.login) == ("a@client.example", "a@client.example", "")
    assert list(steps(world)) == [("accepted", ""), ("filed", "bob@example.test")]


async def test_several_recipients_share_one_content_and_are_not_told_of_each_other(world: World) -> None:
    await talk(world, envelope("bob@example.test", "eve@example.test"), message())
    (for_bob,), (for_eve,) = inbox(world, "bob"), inbox(world, "eve")
    assert for_bob.id == for_eve.id
    assert b" for " not in for_bob.head


async def test_user_addressed_twice_gets_one_copy(world: World) -> None:
    world.settings["mail.main_administrator"] = "bob"
    heard = await talk(world, envelope("bob@example.test", "BOB@Example.Test", "postmaster@example.test"), message())
    assert [line[:3] for line in heard] == [b"250"] * 4 + [b"354", b"250"]
    assert len(inbox(world, "bob")) == 1
    assert [kind for kind, _ in steps(world)].count("filed") == 3


async def test_mail_for_others_is_queued_with_its_parameters(world: World) -> None:
    mail = b"MAIL FROM:<bob@example.test> RET=HDRS ENVID=Q1\r\n"
    rcpt = (
        b"RCPT TO:<One@elsewhere.example> NOTIFY=SUCCESS ORCPT=rfc822;x@y\r\n"
        b"RCPT TO:<two@elsewhere.example>\r\nRCPT TO:<two@ELSEWHERE.example>\r\nRCPT TO:<eve@example.test>\r\n"
    )
    heard = await talk(world, LOG_IN, mail + rcpt, message(b"\xc3\xbc\r\n"))
    assert heard[-1].startswith(b"250 2.0.0 Ok: queued as ")
    ((content, queued),) = world.store.queued
    one = Recipient(Address("One", "elsewhere.example"), frozenset({DsnNotify.SUCCESS}), "rfc822;x@y")
    two = Recipient(Address("two", "elsewhere.example"))
    sender = Address("bob", "example.test")
    assert queued.envelope == Envelope(sender, (one, two), DsnReturn.HEADERS, "Q1", eight_bit=True)
    assert queued.user == world.user("bob").id
    assert [content] == [entry.content for entry in world.store.list_entries(world.user("eve").inbox)]
    assert world.store.journeys[0].login == "bob@example.test"
    assert list(steps(world)) == [
        ("accepted", ""),
        ("queued", "One@elsewhere.example"),
        ("queued", "two@elsewhere.example"),
        ("filed", "eve@example.test"),
    ]


async def test_what_a_submission_lacks_is_added(world: World, still_clock: StillClock) -> None:
    await talk(
        world, LOG_IN, envelope("eve@example.test", sender="bob@example.test"), message(header=b"Subject: x\r\n")
    )
    (content,) = inbox(world, "eve")
    added = f"Date: Mon, 02 Mar 2026 09:30:00 +0000\r\nMessage-ID: <{content.ref}@mail.example.test>\r\n".encode()
    assert content.head.endswith(added)
    assert b"with ESMTPA" in content.head


async def test_what_a_scanner_lacks_is_added(world: World) -> None:
    world.client["trusted"] = True
    await talk(world, envelope("eve@example.test"), message(header=b"Subject: a page\r\n"))
    assert b"\r\nDate: " in inbox(world, "eve")[0].head


@pytest.mark.parametrize("text", [b"just text\r\n", b" indented\r\n", b""])
async def test_text_without_a_header_stays_text(world: World, text: bytes) -> None:
    await talk(world, envelope("bob@example.test"), b"DATA\r\n" + text + b".\r\n")
    (content,) = inbox(world, "bob")
    assert content.head.endswith(b"+0000\r\n\r\n")
    assert content.body == text
    assert content.fields == {}


async def test_message_that_starts_with_a_blank_line_gets_no_other(world: World) -> None:
    await talk(world, envelope("bob@example.test"), b"DATA\r\n\r\ntext\r\n.\r\n")
    assert inbox(world, "bob")[0].head.endswith(b"+0000\r\n")


async def test_what_a_stranger_leaves_out_stays_out(world: World) -> None:
    await talk(world, envelope("eve@example.test"), message(header=b"Subject: x\r\n"))
    assert b"\r\nDate:" not in inbox(world, "eve")[0].head


async def test_null_path_and_utf8(world: World) -> None:
    await talk(world, b"MAIL FROM:<> SMTPUTF8\r\nRCPT TO:<bob@example.test>\r\n", message())
    (content,) = inbox(world, "bob")
    assert content.head.startswith(b"Return-Path: <>\r\n")
    assert b"with UTF8SMTP\r\n" in content.head
    assert world.store.journeys[0].sender == "<>"


async def test_large_message_goes_through_a_file_that_does_not_stay(world: World, tmp_path: Path) -> None:
    body = b"0123456789\r\n" * (MEMORY_BODY_BYTES // 4)
    await talk(world, envelope("bob@example.test"), message(body))
    (content,) = inbox(world, "bob")
    assert b"".join(content.chunks()).endswith(HEADER + b"\r\n" + body)
    assert files(tmp_path) == ([content.path] if content.path else [])


@pytest.mark.parametrize("kind", [Kind.STORAGE_FULL, Kind.UNAVAILABLE, Kind.INTERNAL])
async def test_spool_file_of_a_message_that_was_not_filed_is_removed(world: World, tmp_path: Path, kind: Kind) -> None:
    world.store.failure = MailError(kind)
    heard = await talk(world, envelope("bob@example.test"), message(b"x\r\n" * MEMORY_BODY_BYTES))
    assert heard[-1].startswith(b"45")
    assert files(tmp_path) == []


async def test_spool_file_of_a_client_that_vanished_is_removed(world: World, tmp_path: Path) -> None:
    session = Talk(world)
    await session.say(b"EHLO x\r\n", envelope("bob@example.test"), b"DATA\r\n", b"x\r\n" * MEMORY_BODY_BYTES)
    assert files(tmp_path) != []
    await session.leave()
    assert files(tmp_path) == []
    assert inbox(world, "bob") == []
    assert "connection was lost after 196606 bytes" in world.store.steps[0].detail


async def test_spool_that_cannot_be_written_answers_after_the_end(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: object, data: bytes) -> None:
        raise MailError(Kind.STORAGE_FULL)

    monkeypatch.setattr("mailserver.store.spool.SpoolWriter.write", refuse)
    heard = await talk(world, envelope("bob@example.test"), message(), b"NOOP\r\n")
    assert [line[:9] for line in heard[-2:]] == [b"452 4.3.1", b"250 2.0.0"]


async def test_refused_recipients_belong_to_the_journey_of_the_message(world: World) -> None:
    await talk(world, envelope("nobody@example.test", "bob@example.test", "x@elsewhere.example"), message())
    assert len(world.store.journeys) == 1
    assert list(steps(world)) == [
        ("accepted", ""),
        ("filed", "bob@example.test"),
        ("refused", "nobody@example.test"),
        ("refused", "x@elsewhere.example"),
    ]
    assert world.store.steps[3].detail == "550 5.7.1 Relaying not allowed! Bad sender IP address"


async def test_transaction_that_came_to_nothing_leaves_one_journey(world: World) -> None:
    recipients = [f"nobody{number}@example.test" for number in range(19)]
    await talk(world, envelope(*recipients), b"RSET\r\n", envelope("eve@example.test"))
    (journey,) = world.store.journeys
    assert (journey.sender, journey.size) == ("a@client.example", 0)
    assert [kind for kind, _ in steps(world)] == ["refused"] * 19


async def test_refusals_recorded_are_bounded(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handler, "MAX_REFUSALS_OF_SESSION", 2)
    world.service = replace(world.service, options={"max_errors": 0})
    recipients = [f"nobody{number}@example.test" for number in range(100)]
    await talk(world, *(word for _ in range(5) for word in (envelope(*recipients), b"RSET\r\n")))
    assert len(world.store.journeys) == 2
    assert len(world.store.steps) == 2 * 20


async def test_refused_sender_and_refused_message_are_recorded(world: World) -> None:
    world.service = replace(world.service, options={"max_message_bytes": 200})
    await talk(world, envelope(parameters=" SIZE=500"), envelope("bob@example.test"), message(b"x\r\n" * 200))
    assert [journey.size for journey in world.store.journeys] == [500, len(HEADER) + 2 + 600]
    assert [step.detail for step in world.store.steps] == [
        "552 5.2.3 Message too large - contact your administrator"
    ] * 2


async def test_a_failure_to_record_a_refusal_disturbs_nobody(world: World, caplog: pytest.LogCaptureFixture) -> None:
    world.store.failure = MailError(Kind.UNAVAILABLE)
    heard = await talk(world, envelope("nobody@example.test"), b"RSET\r\n")
    assert heard[-1] == b"250 2.0.0 Ok"
    assert "a refusal was not recorded" in caplog.text


async def test_limits_of_a_user_hold_for_mail_to_others_only(world: World) -> None:
    world.users[0] = replace(world.users[0], max_outgoing_bytes=500)
    sender = "bob@example.test"
    large = message(b"x" * 70 + b"\r\n" * 300)
    heard = await talk(world, LOG_IN, envelope("x@elsewhere.example", sender=sender, parameters=" SIZE=501"))
    assert heard[-1] == b"552 5.2.3 Message too large - contact your administrator"
    heard = await talk(world, LOG_IN, envelope("x@elsewhere.example", "eve@example.test", sender=sender), large)
    assert heard[-1] == b"552 5.2.3 Message too large - contact your administrator"
    heard = await talk(world, LOG_IN, envelope("eve@example.test", sender=sender, parameters=" SIZE=501"), large)
    assert heard[-1].startswith(b"250 2.0.0 Ok: filed")


async def test_user_who_may_not_send_out(world: World) -> None:
    world.users[0] = replace(world.users[0], may_send_out=False)
    heard = await talk(world, LOG_IN, envelope("x@elsewhere.example", "eve@example.test", sender="bob@example.test"))
    assert heard[-2:] == [b"550 5.7.1 You may send internal mail only", b"250 2.1.5 Recipient ok"]


@pytest.mark.parametrize("change", [{"active": False}, {"protocols": frozenset({Protocol.POP3})}])
async def test_user_who_is_disabled_sends_no_more_in_a_session_that_is_open(
    world: World, change: dict[str, Any]
) -> None:
    session = Talk(world)
    await session.say(b"EHLO client.example\r\n", LOG_IN)
    assert (await session.say(envelope("x@elsewhere.example"), b"RSET\r\n"))[1] == b"250 2.1.5 Recipient ok"
    world.users[0] = replace(world.users[0], **change)
    heard = await session.say(envelope("x@elsewhere.example"))
    assert heard[1] == b"550 5.7.1 Relaying not allowed! Bad sender IP address"
    await session.leave()


async def test_limits_find_the_user_of_a_trusted_client_by_the_reverse_path(world: World) -> None:
    world.users[0] = replace(world.users[0], may_send_out=False)
    world.client["trusted"] = True
    heard = await talk(world, envelope("x@elsewhere.example", sender="bob@example.test"))
    assert heard[-1] == b"550 5.7.1 You may send internal mail only"
    heard = await talk(world, envelope("x@elsewhere.example", sender="eve@example.test"), message())
    assert heard[-1].startswith(b"250 2.0.0 Ok: queued")
    assert world.store.queued[0][1].user == world.user("eve").id


class Recording(Transcript):
    """Keeps the wire log."""

    enabled = True

    def __init__(self) -> None:
        self.lines: list[bytes] = []

    def received(self, line: bytes) -> None:
        self.lines.append(b"> " + line)

    def sent(self, reply: bytes) -> None:
        self.lines.append(b"< " + reply.rstrip())


async def test_transcript_shows_commands_and_no_password(world: World) -> None:
    transcript = Recording()
    world.transcript = transcript
    await talk(
        world,
        b"AUTH PLAIN AGJvYgB3cm9uZw==\r\n",
        b"AUTH LOGIN\r\nYm9i\r\nc2VjcmV0\r\n",
        b"auth  plain AGJvYgBzZWNyZXQ=\r\n",
    )
    wire = b"\n".join(transcript.lines)
    assert b"> EHLO client.example" in wire
    assert wire.count(b"********") == 4
    assert not any(secret in wire for secret in (b"AGJvYg", b"Ym9i", b"c2Vj"))


async def test_transcript_shows_no_password_that_came_at_the_wrong_moment(world: World) -> None:
    """A client that was told AUTH is not possible now may send the rest of it all the same."""
    world.transcript = transcript = Recording()
    lines = (b"AUTHX PLAIN AGJvYgBzZ", b"AUTH=PLAIN AGJvYgBzZ", b"AGJvYgBzZWNyZXQ=", b"PASS secret", b"\xffsecret")
    await talk(world, *(line + b"\r\n" for line in lines))
    wire = b"\n".join(transcript.lines)
    assert wire.count(b" ...") == len(lines)
    assert not any(secret in wire for secret in (b"AGJvYg", b"secret"))


async def test_login_is_shown_and_its_bandwidth_applied(world: World) -> None:
    await talk(world, LOG_IN)
    assert world.logged_in == [world.user("bob").id]


class Opinionated(Hooks):
    """Refuses what a test names, and remembers what it was asked."""

    def __init__(self, refused_moment: str) -> None:
        self.refused_moment = refused_moment
        self.asked: list[object] = []

    async def on_mail_from(self, event: MailFromGiven) -> Verdict | None:
        return self._answer("mail", event)

    async def on_recipient(self, event: RecipientGiven) -> Verdict | None:
        return self._answer("rcpt", event)

    async def on_message(self, event: MessageReceived) -> Verdict | None:
        return self._answer("message", event)

    def _answer(self, moment: str, event: object) -> Verdict | None:
        self.asked.append(event)
        return Refuse(550, "5.7.1", f"no {moment}") if moment == self.refused_moment else Accept()


@pytest.mark.parametrize(
    ("moment", "replies"),
    [
        ("mail", [b"550 5.7.1 no mail", b"503 5.5.1 MAIL FROM comes first"]),
        ("rcpt", [b"250 2.1.0 Sender ok", b"550 5.7.1 no rcpt"]),
    ],
)
async def test_script_refuses_the_envelope(world: World, moment: str, replies: list[bytes]) -> None:
    world.hooks = Opinionated(moment)
    assert await talk(world, envelope("bob@example.test")) == replies
    assert world.store.journeys[0].sender == "a@client.example"


async def test_script_refuses_the_message(world: World) -> None:
    hooks = Opinionated("message")
    world.hooks = hooks
    heard = await talk(world, envelope("bob@example.test"), message())
    assert heard[-1] == b"550 5.7.1 no message"
    assert inbox(world, "bob") == []
    assert [step.kind for step in world.store.steps] == [JourneyStep.REFUSED]
    event = hooks.asked[-1]
    assert isinstance(event, MessageReceived)
    assert event.header == HEADER
    assert event.helo == "client.example"


class SlowStore(MemoryStore):
    """Files when it is told to."""

    def __init__(self, spool: Path) -> None:
        super().__init__(spool)
        self.waiting: list[tuple[Unit, Future[UnitResult]]] = []

    def submit(self, unit: Unit) -> Future[UnitResult]:
        future: Future[UnitResult] = Future()
        future.set_running_or_notify_cancel()
        self.waiting.append((unit, future))
        return future

    def file(self) -> None:
        for unit, future in self.waiting:
            future.set_result(super().submit(unit).result())


async def test_session_that_is_ended_while_filing_still_gives_the_reply(tmp_path: Path) -> None:
    store = SlowStore(tmp_path)
    world = make_smtp_world(store)
    session = Talk(world)
    await session.say(b"EHLO x\r\n")
    session.stream.data_received(envelope("bob@example.test") + message())
    async with asyncio.timeout(10):
        while not store.waiting:  # noqa: ASYNC110 - turns of the loop are waited for
            await asyncio.sleep(0)
        session.task.cancel()
        await asyncio.sleep(0)
        assert not session.task.done()
        store.file()
        with pytest.raises(asyncio.CancelledError):
            await session.task
    heard = bytes(session.stream.transport.written).split(b"\r\n")
    assert heard[-2].startswith(b"250 2.0.0 Ok: filed")
    assert len(inbox(world, "bob")) == 1


async def test_our_bug_ends_the_session_with_a_temporary_reply(world: World) -> None:
    class Broken(Hooks):
        async def on_mail_from(self, event: MailFromGiven) -> Verdict | None:
            raise ZeroDivisionError("secret inner workings")

    world.hooks = Broken()
    session = Talk(world)
    heard = await session.say(b"EHLO x\r\n", b"MAIL FROM:<>\r\n")
    assert heard[-1] == b"421 4.3.0 mail.example.test Internal error, closing the connection"
    with pytest.raises(ZeroDivisionError):
        await session.task


async def test_flood_of_recipients_is_bounded(world: World) -> None:
    session = Talk(world)
    await session.say(b"EHLO x\r\n", b"MAIL FROM:<>\r\n")
    world.client["trusted"] = True
    flood = b"".join(b"RCPT TO:<x%d@example.test>\r\n" % number for number in range(100_000))
    heard = await session.say(flood)
    assert heard[-1] == b"421 4.7.0 mail.example.test Too many errors, closing the connection"
    assert len(heard) == 21
    await asyncio.wait_for(session.task, 10)
    assert len(world.store.steps) == 20


async def test_flood_of_good_recipients_is_bounded(world: World) -> None:
    world.client["trusted"] = True
    session = Talk(world)
    await session.say(b"EHLO x\r\n", b"MAIL FROM:<>\r\n")
    flood = [b"RCPT TO:<x%d@elsewhere.example>\r\n" % number for number in range(100_000)]
    heard = await session.say(*(b"".join(flood[start : start + 1000]) for start in range(0, 5000, 1000)))
    codes = [line[:3] for line in heard]
    assert codes.count(b"250") == 1000
    assert codes.count(b"452") == 1000 + 20
    assert codes[-1] == b"421"
    await asyncio.wait_for(session.task, 10)
