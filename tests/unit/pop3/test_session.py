# SPDX-License-Identifier: MIT
"""What a POP3 session leaves behind: journeys, locks, reads; and how it ends when things go wrong."""

from __future__ import annotations

import asyncio
import itertools
import logging
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import ParamSpec, TypeVar

import pytest

from mailserver.config.catalog import ServiceKind
from mailserver.errors import Kind, MailError
from mailserver.journey.records import JourneyStep
from mailserver.store.interface import Entry, StoredContent, Unit, UnitResult
from mailserver.values import MEMORY_BODY_BYTES, ContentId, MailboxId, Protocol, UserId
from protocols.net.stream import ConnectionLost
from protocols.net.transcript import Transcript
from protocols.pop3 import access
from protocols.pop3.server import serve_pop3
from tests.support.certificates import server_context
from tests.support.fakes import MemoryStream, World, change_options, make_world
from tests.support.pop3_client import MemoryPop3
from tests.support.waiting import until

P = ParamSpec("P")
R = TypeVar("R")


@pytest.fixture
def world() -> World:
    world = make_world(ServiceKind.POP3, Protocol.POP3, tls=server_context(), require_encrypted_login=False)
    world.add_user("alice", "Secret-1")
    return world


def _fill(world: World, count: int, size: int = 20) -> None:
    for number in range(1, count + 1):
        world.add_message("alice", b"Subject: %d\r\n\r\n" % number + b"x" * size + b"\r\n")


def _steps(world: World) -> list[tuple[JourneyStep, str]]:
    return [(step.kind, step.recipient) for step in world.store.steps]


def _assert_unlocked(world: World) -> None:
    world.store.lock_maildrop(world.user("alice").id, 0, exclusive=True)


class _CountingReads:
    """Notes how many contents each read asks for."""

    def __init__(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        self.sizes: list[int] = []
        read = world.store.read_contents

        def counted(contents: Sequence[ContentId]) -> list[StoredContent]:
            self.sizes.append(len(contents))
            return read(contents)

        monkeypatch.setattr(world.store, "read_contents", counted)


def _put_in_file(world: World, monkeypatch: pytest.MonkeyPatch, path: Path) -> None:
    """Let the store name this file for every body that a real one would keep in a file."""
    read = world.store.read_contents

    def from_file(contents: Sequence[ContentId]) -> list[StoredContent]:
        return [
            replace(content, body=None, path=path) if content.size > MEMORY_BODY_BYTES else content
            for content in read(contents)
        ]

    monkeypatch.setattr(world.store, "read_contents", from_file)


# ---------------------------------------------------------------- what is recorded


async def test_fetched_and_deleted_are_recorded_with_the_removal(world: World) -> None:
    _fill(world, 3)
    async with MemoryPop3(world) as client:
        await client.log_in("alice", "Secret-1")
        await client.say("RETR 1", "RETR 2", "RETR 2", "TOP 3 0", "DELE 2", "DELE 3")
        assert _steps(world) == []
        assert await client.say("QUIT") == b"+OK Pillarbox signing off\r\n"
    address = "alice@example.test"
    assert _steps(world) == [(JourneyStep.FETCHED, address)] * 2 + [(JourneyStep.DELETED, address)] * 2
    assert len({step.ref for step in world.store.steps}) == 3
    assert {step.detail for step in world.store.steps} == {"POP3, 192.0.2.7"}
    assert len(world.store.list_entries(world.user("alice").inbox)) == 1


async def test_fetched_is_recorded_when_the_session_drops(world: World) -> None:
    _fill(world, 2)
    async with MemoryPop3(world) as client:
        await client.log_in("alice", "Secret-1")
        await client.say("RETR 1", "DELE 2")
    assert _steps(world) == [(JourneyStep.FETCHED, "alice@example.test")]
    assert len(world.store.list_entries(world.user("alice").inbox)) == 2
    _assert_unlocked(world)


async def test_held_messages_say_so(world: World) -> None:
    change_options(world, {"hold_deleted": True})
    _fill(world, 1)
    async with MemoryPop3(world) as client:
        await client.log_in("alice", "Secret-1")
        await client.say("DELE 1", "QUIT")
    assert [step.detail for step in world.store.steps] == ["POP3, 192.0.2.7, held"]


async def test_new_mail_is_not_seen_and_not_removed(world: World) -> None:
    _fill(world, 1)
    async with MemoryPop3(world) as client:
        await client.log_in("alice", "Secret-1")
        _fill(world, 1)
        assert await client.say("STAT", "DELE 1", "QUIT") == (
            b"+OK 1 36\r\n+OK message 1 deleted\r\n+OK Pillarbox signing off\r\n"
        )
    assert [entry.uid for entry in world.store.list_entries(world.user("alice").inbox)] == [2]


async def test_the_console_sees_who_is_here(world: World) -> None:
    async with MemoryPop3(world) as client:
        await client.log_in("alice", "Secret-1")
        assert client.connection.live.login == "alice@example.test"
        assert client.connection.live.doing == "idle"
    assert world.logged_in == [world.user("alice").id]


async def test_transcript_shows_no_secret_and_no_message(world: World) -> None:
    class Listening(Transcript):
        enabled = True

        def __init__(self) -> None:
            self.lines: list[bytes] = []

        def received(self, line: bytes) -> None:
            self.lines.append(b"C: " + line)

        def sent(self, reply: bytes) -> None:
            self.lines.append(b"S: " + reply)

    world.transcript = transcript = Listening()
    _fill(world, 1)
    async with MemoryPop3(world) as client:
        await client.log_in("alice", "Secret-1")
        await client.say("RETR 1", "NONSENSE Secret-1", "QUIT")
    assert transcript.lines[1:6] == [
        b"C: USER alice",
        b"S: +OK now the password\r\n",
        b"C: PASS ***",
        b"S: +OK maildrop has 1 message (36 octets)\r\n",
        b"C: RETR 1",
    ]
    everything = b"".join(transcript.lines)
    assert b"Secret-1" not in everything
    assert b"xxxx" not in everything
    assert b"C: NONSENSE ...S: -ERR unknown command\r\n" in everything


# ---------------------------------------------------------------- reading ahead


async def test_messages_in_order_are_read_together(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    _fill(world, 100)
    reads = _CountingReads(world, monkeypatch)
    async with MemoryPop3(world) as client:
        await client.log_in("alice", "Secret-1")
        for number in range(1, 101):
            said = await client.say(f"RETR {number}")
            assert b"Subject: %d\r\n" % number in said
    assert reads.sizes == [32, 32, 32, 4]


async def test_messages_out_of_order_are_read_alone(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    _fill(world, 20)
    reads = _CountingReads(world, monkeypatch)
    async with MemoryPop3(world) as client:
        await client.log_in("alice", "Secret-1")
        for number in (20, 10, 5):
            assert b"Subject: %d\r\n" % number in await client.say(f"RETR {number}")
    assert reads.sizes == [1, 1, 1]


async def test_reading_ahead_is_bounded_in_bytes(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    _fill(world, 40, size=60_000)
    reads = _CountingReads(world, monkeypatch)
    async with MemoryPop3(world) as client:
        await client.log_in("alice", "Secret-1")
        await client.say("RETR 1")
    assert reads.sizes == [2, 2], "one batch to read from, and the next one"
    assert access.AHEAD_BYTES // 60_000 == 2


async def test_the_next_batch_is_read_while_the_client_takes_this_one(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    _fill(world, 40)
    reads = _CountingReads(world, monkeypatch)
    async with MemoryPop3(world) as client:
        await client.log_in("alice", "Secret-1")
        await client.say(*(f"RETR {number}" for number in range(1, 17)))
        assert reads.sizes == [32]
        await client.say("RETR 17")
        await until(lambda: reads.sizes == [32, 8], 5, "the next batch")
        said = await client.say(*(f"RETR {number}" for number in range(18, 41)))
    assert said.count(b"+OK") == 23
    assert reads.sizes == [32, 8]


async def test_a_batch_that_could_not_be_read_ahead_is_read_when_it_is_wanted(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    _fill(world, 40)
    read, calls = world.store.read_contents, itertools.count(1)

    def fails_once(ids: Sequence[ContentId]) -> list[StoredContent]:
        if next(calls) == 2:
            raise MailError(Kind.UNAVAILABLE, "for a moment")
        return read(ids)

    monkeypatch.setattr(world.store, "read_contents", fails_once)
    async with MemoryPop3(world) as client:
        await client.log_in("alice", "Secret-1")
        said = await client.say(*(f"RETR {number}" for number in range(1, 41)))
    assert said.count(b"+OK") == 40


async def test_large_messages_are_not_read_ahead(world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    _fill(world, 1)
    text = b"Subject: 2\r\n\r\n" + b".y\r\n" * 50_000
    world.add_message("alice", text)
    _fill(world, 1)
    (tmp_path / "body").write_bytes(text)
    _put_in_file(world, monkeypatch, tmp_path / "body")
    reads = _CountingReads(world, monkeypatch)
    async with MemoryPop3(world) as client:
        await client.log_in("alice", "Secret-1")
        await client.say("RETR 1")
        said = await client.say("RETR 2")
    assert reads.sizes == [1, 1, 1], "the large one only when it is wanted, and what follows it behind it"
    assert said == b"+OK 200014 octets\r\nSubject: 2\r\n\r\n" + b"..y\r\n" * 50_000 + b".\r\n"


async def test_deleted_messages_are_not_read_ahead(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    _fill(world, 4)
    reads = _CountingReads(world, monkeypatch)
    async with MemoryPop3(world) as client:
        await client.log_in("alice", "Secret-1")
        await client.say("DELE 2", "RETR 1")
    assert reads.sizes[0] == 3


async def test_large_maildrops_are_listed_in_pages(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access, "PAGE_MESSAGES", 7)
    limits: list[int | None] = []
    listed = world.store.list_entries

    def noted(mailbox: MailboxId, after_uid: int = 0, limit: int | None = None) -> list[Entry]:
        limits.append(limit)
        return listed(mailbox, after_uid, limit)

    monkeypatch.setattr(world.store, "list_entries", noted)
    _fill(world, 20)
    async with MemoryPop3(world) as client:
        assert b"20 messages" in await client.log_in("alice", "Secret-1")
        said = await client.say("LIST")
    assert said.count(b"\r\n") == 22
    assert limits == [7, 7, 7, 7]


# ---------------------------------------------------------------- when things go wrong


class _SlowOffload:
    """Runs functions in threads; `gate` holds them up."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.started = threading.Event()
        self._executor = ThreadPoolExecutor(2)

    async def __call__(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        def held() -> R:
            if function.__name__ == "_lock_and_list":
                self.started.set()
                assert self.gate.wait(5)
            return function(*args, **kwargs)

        return await asyncio.get_running_loop().run_in_executor(self._executor, held)

    def close(self) -> None:
        self._executor.shutdown()


async def test_cancelled_while_the_lock_is_being_taken(world: World) -> None:
    world.offload = offload = _SlowOffload()
    client = MemoryPop3(world)
    client.stream.data_received(b"USER alice\r\nPASS Secret-1\r\n")
    await until(offload.started.is_set, 5, "the lock to be asked for")
    client.task.cancel()
    offload.gate.set()
    with pytest.raises(asyncio.CancelledError):
        await client.task
    _assert_unlocked(world)
    offload.close()


async def test_cancelled_while_idle(world: World) -> None:
    _fill(world, 1)
    async with MemoryPop3(world) as client:
        await client.log_in("alice", "Secret-1")
        await client.say("RETR 1", "DELE 1")
        client.task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await client.task
    assert [step.kind for step in world.store.steps] == [JourneyStep.FETCHED]
    _assert_unlocked(world)


async def test_idle_clients_are_cut_off_without_a_word(world: World) -> None:
    """RFC 1939 §3."""
    _fill(world, 1)
    world.service = replace(world.service, idle_timeout_seconds=0.05)
    async with MemoryPop3(world) as client:
        await client.log_in("alice", "Secret-1")
        await client.say("DELE 1")
        await asyncio.wait_for(client.task, 5)
        assert client.heard() == b""
    assert len(world.store.list_entries(world.user("alice").inbox)) == 1
    _assert_unlocked(world)


async def test_clients_that_do_not_read_are_cut_off(world: World) -> None:
    _fill(world, 10, size=50_000)
    world.service = replace(world.service, idle_timeout_seconds=0.05)
    async with MemoryPop3(world) as client:
        await client.log_in("alice", "Secret-1")
        client.stream.pause_writing()
        client.stream.data_received(b"".join(b"RETR %d\r\n" % number for number in range(1, 11)))
        await asyncio.wait_for(client.task, 5)
        assert len(client.heard()) < 200_000
    _assert_unlocked(world)


async def test_journey_that_cannot_be_recorded_keeps_no_lock(world: World) -> None:
    _fill(world, 1)
    async with MemoryPop3(world) as client:
        await client.log_in("alice", "Secret-1")
        await client.say("RETR 1")
        world.store.failure = MailError(Kind.UNAVAILABLE, "on purpose")
    world.store.failure = None
    assert world.store.steps == []
    _assert_unlocked(world)


async def test_login_that_fails_behind_the_lock_gives_it_back(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(user: UserId, delay_seconds: int) -> bool:
        raise MailError(Kind.UNAVAILABLE, "on purpose")

    change_options(world, {"login_delay_seconds": 60})
    monkeypatch.setattr(world.authenticator, "may_log_in_again", away)
    async with MemoryPop3(world) as client:
        assert b"[SYS/TEMP]" in await client.log_in("alice", "Secret-1")
        _assert_unlocked(world)
        assert b"before login" in await client.say("STAT")


async def test_fetched_is_recorded_also_when_the_removal_fails(world: World) -> None:
    _fill(world, 2)
    async with MemoryPop3(world) as client:
        await client.log_in("alice", "Secret-1")
        await client.say("RETR 1", "DELE 1")
        submit = world.store.submit
        failures = [MailError(Kind.UNAVAILABLE, "on purpose")]

        def fails_once(unit: Unit) -> Future[UnitResult]:
            if failures:
                raise failures.pop()
            return submit(unit)

        world.store.submit = fails_once  # type: ignore[method-assign]
        assert await client.say("QUIT") == b"-ERR [SYS/TEMP] some deleted messages not removed\r\n"
    assert [step.kind for step in world.store.steps] == [JourneyStep.FETCHED]
    assert len(world.store.list_entries(world.user("alice").inbox)) == 2


async def test_body_file_that_is_missing(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Found before the reply has begun, so that the client hears of it and the session goes on."""
    _fill(world, 1, size=100_000)
    _put_in_file(world, monkeypatch, tmp_path / "gone")
    async with MemoryPop3(world) as client:
        await client.log_in("alice", "Secret-1")
        for command in ("RETR 1", "TOP 1 0"):
            assert (await client.say(command)).startswith(b"-ERR [SYS/TEMP]")
        assert await client.say("NOOP") == b"+OK\r\n"


async def test_body_that_breaks_off_ends_the_connection(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing may look like the end of the message."""

    def broken(self: StoredContent, chunk_bytes: int = 65536, *, relay: bool = False):  # type: ignore[no-untyped-def]
        yield b"Subject: broken\r\n\r\n"
        raise OSError("input/output error")

    monkeypatch.setattr(StoredContent, "chunks", broken)
    _fill(world, 1, size=MEMORY_BODY_BYTES + 1)
    client = MemoryPop3(world)
    client.stream.data_received(b"UTF8\r\nUSER alice\r\nPASS Secret-1\r\nRETR 1\r\n")
    await asyncio.wait_for(client.task, 5)
    assert not client.heard().endswith(b".\r\n")
    assert client.stream.transport.closed
    _assert_unlocked(world)


async def test_content_that_is_gone(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    _fill(world, 1)
    monkeypatch.setattr(world.store, "read_contents", lambda ids: [])
    async with MemoryPop3(world) as client:
        await client.log_in("alice", "Secret-1")
        assert (await client.say("RETR 1")).startswith(b"-ERR no such message")


async def test_our_own_bug_is_answered_as_temporary(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The exception goes on to the listener, which logs it; its text never reaches the wire."""

    def broken(ids: Sequence[ContentId]) -> list[StoredContent]:
        raise ZeroDivisionError("secret detail")

    monkeypatch.setattr(world.store, "read_contents", broken)
    _fill(world, 1)
    stream = MemoryStream()
    task = asyncio.create_task(serve_pop3(world.connect(stream)))
    stream.data_received(b"USER alice\r\nPASS Secret-1\r\nRETR 1\r\n")
    with pytest.raises(ZeroDivisionError):
        await asyncio.wait_for(task, 5)
    said = bytes(stream.transport.written)
    assert said.endswith(b"-ERR [SYS/TEMP] internal error, try again later\r\n")
    assert b"secret detail" not in said
    _assert_unlocked(world)


async def test_true_reasons_are_logged_and_not_said(world: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "pillarbox.pop3")
    async with MemoryPop3(world) as client:
        said = await client.log_in("alice", "wrong")
    assert b"wrong password" not in said
    assert "wrong password" in caplog.text


async def test_bytes_between_stls_and_the_handshake(world: World) -> None:
    """They arrive after the acceptance was written but before the switch: the stream itself refuses."""

    class Overtaken(MemoryStream):
        async def start_tls(self, context: object, last_words: bytes = b"") -> None:  # type: ignore[override]
            self.data_received(b"USER eve\r\n")
            await super().start_tls(context, last_words)  # type: ignore[arg-type]

    stream = Overtaken()
    task = asyncio.create_task(serve_pop3(world.connect(stream)))
    stream.data_received(b"STLS\r\n")
    with pytest.raises(ConnectionLost):
        await asyncio.wait_for(task, 5)
    assert b"begin TLS" not in stream.transport.written
    assert bytes(stream.transport.written).endswith(b"-ERR nothing may follow STLS before encryption has begun\r\n")
