# SPDX-License-Identifier: MIT
"""Accepting, refusing, ending: the daemon's outer half over real sockets, with a protocol that echoes."""

from __future__ import annotations

import asyncio
import logging
import os
import resource
import socket
from dataclasses import replace

import pytest

from mailserver.config.snapshot import AccessRule
from mailserver.hooks.events import Connected, LoggedIn
from mailserver.hooks.interface import Hooks
from mailserver.values import UserId
from protocols.net.bandwidth import UNLIMITED, Bucket
from protocols.net.connection import Connection
from protocols.net.listener import Listener
from protocols.net.sockets import binding_of, open_listening
from tests.support.bugs import BugCatcher
from tests.support.certificates import client_context, server_context
from tests.support.listening import Daemon, echo, free_binding, listens, make_service, run
from tests.support.waiting import until

BLOCK_ALL = AccessRule(allow=False, matches="any")


def test_sessions_are_numbered_and_described() -> None:
    async def scenario() -> None:
        async with Daemon(make_service()) as daemon:
            first, second = await daemon.connect(), await daemon.connect()
            assert (await first.line(), await second.line()) == (b"HELLO\r\n", b"HELLO\r\n")
            assert await second.ask(b"LIST") == b"LIST\r\n"
            briefs = daemon.sessions.briefs(10)
            assert [(brief.id, brief.client, brief.doing) for brief in briefs] == [
                (1, "127.0.0.1", ""),
                (2, "127.0.0.1", "LIST"),
            ]
            assert len(daemon.sessions.briefs(1)) == 1
            assert await first.ask(b"quit") == b"BYE\r\n"
            assert await first.rest() == b""
            await until(lambda: len(daemon.sessions) == 1, 5, "the end of the first session")
            assert daemon.sessions.counts.bytes_in["pop3"] == 6

    run(scenario)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"access": (BLOCK_ALL,)}, b"NO NOT_ALLOWED\r\n"),
        ({"max_sessions": 1}, b"NO TOO_MANY\r\n"),
    ],
)
def test_refused_client_hears_why(fields: dict[str, object], words: bytes) -> None:
    async def scenario() -> None:
        async with Daemon(make_service(max_sessions_per_address=1)) as daemon:
            first = await daemon.connect()
            assert await first.line() == b"HELLO\r\n"
            await daemon.apply(replace(daemon.service, **fields))
            second = await daemon.connect()
            assert await second.rest() == words
            assert daemon.sessions.counts.refused["pop3"] == 1
            assert await first.ask(b"still here") == b"still here\r\n"

    run(scenario)


def test_place_of_a_client_that_left_is_free_again() -> None:
    async def scenario() -> None:
        async with Daemon(make_service(max_sessions=1)) as daemon:
            for _ in range(5):
                peer = await daemon.connect()
                assert await peer.line() == b"HELLO\r\n"
                await peer.close()
                await until(lambda: len(daemon.sessions) == 0, 5, "the end of the session")

    run(scenario)


def test_bug_costs_one_session_and_is_logged_whole(bug_catcher: BugCatcher) -> None:
    async def scenario() -> None:
        async with Daemon(make_service()) as daemon:
            other, broken = await daemon.connect(), await daemon.connect()
            assert (await other.line(), await broken.line()) == (b"HELLO\r\n", b"HELLO\r\n")
            assert await broken.ask(b"bug") == b""
            assert await other.ask(b"fine") == b"fine\r\n"
            assert [(str(error), client.session) for error, client in daemon.bugs] == [("a bug", 2)]
            assert daemon.sessions.counts.bugs == 1

    run(scenario)
    assert [record.getMessage() for record in bug_catcher.bugs] == ["our bug in pop3 session 2"]
    assert "ValueError: a bug" in bug_catcher.report()
    bug_catcher.bugs.clear()


def test_tls_from_the_first_byte() -> None:
    seen: list[Connection] = []

    async def handler(connection: Connection) -> None:
        seen.append(connection)
        await echo(connection)

    async def scenario() -> None:
        async with Daemon(make_service(encryption="ssl"), handler, context=server_context()) as daemon:
            peer = await daemon.connect(client_context())
            assert await peer.line() == b"HELLO\r\n"
            assert await peer.ask(b"over TLS") == b"over TLS\r\n"
            assert seen[0].client.encrypted
            assert seen[0].client.tls.startswith("TLSv1.3 ")

    run(scenario)


def test_half_open_handshake_disturbs_nobody_and_counts_as_a_session(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("protocols.net.sessions.HANDSHAKE_SECONDS", 0.5)

    async def scenario() -> None:
        async with Daemon(make_service(encryption="ssl"), context=server_context()) as daemon:
            silent, babbling = await daemon.connect(), await daemon.connect()
            babbling.writer.write(b"EHLO I speak no TLS\r\n")
            good = await daemon.connect(client_context())
            assert await good.line() == b"HELLO\r\n"
            assert await babbling.rest() != b"HELLO\r\n"
            assert await silent.rest() == b""
            assert await good.ask(b"here") == b"here\r\n"
            await until(lambda: len(daemon.sessions) == 1, 5, "the end of the handshakes")

    run(scenario)


def test_without_a_certificate_a_tls_service_closes() -> None:
    async def scenario() -> None:
        async with Daemon(make_service(encryption="ssl")) as daemon:
            peer = await daemon.connect()
            assert await peer.rest() == b""

    run(scenario)


def test_new_binding_opens_and_old_one_closes_without_dropping_sessions() -> None:
    async def scenario() -> None:
        async with Daemon(make_service()) as daemon:
            peer = await daemon.connect()
            assert await peer.line() == b"HELLO\r\n"
            old, new = daemon.service.bindings[0], free_binding()
            await daemon.apply(replace(daemon.service, bindings=(new,)))
            assert await asyncio.to_thread(listens, new)
            assert not await asyncio.to_thread(listens, old)
            assert await peer.ask(b"still here") == b"still here\r\n"

    run(scenario)


def test_binding_that_moves_to_another_service_keeps_its_socket() -> None:
    async def scenario() -> None:
        service = make_service()
        async with Daemon(service) as daemon:
            peer = await daemon.connect()
            assert await peer.line() == b"HELLO\r\n"
            other = make_service(id=2, bindings=service.bindings)
            await daemon.apply(replace(service, bindings=()), other)
            moved = await daemon.connect()
            assert await moved.line() == b"HELLO\r\n"
            assert [brief.service for brief in daemon.sessions.briefs(9)] == ["Test 1", "Test 2"]

    run(scenario)


def test_disabled_service_ends_its_sessions_with_a_word() -> None:
    async def scenario() -> None:
        service, other = make_service(), make_service(id=2)
        async with Daemon(service) as daemon:
            await daemon.apply(service, other)
            peer = await daemon.connect()
            assert await peer.line() == b"HELLO\r\n"
            daemon.service = other
            staying = await daemon.connect()
            assert await staying.line() == b"HELLO\r\n"
            await daemon.apply(replace(service, enabled=False), other)
            assert await peer.rest() == b"FAREWELL mail.example.test\r\n"
            assert await staying.ask(b"here") == b"here\r\n"

    run(scenario)


def test_taken_port_is_said_and_tried_again() -> None:
    async def scenario() -> None:
        with open_listening(free_binding()) as taken:
            binding = binding_of(taken)
            async with Daemon(make_service(bindings=(binding,))) as daemon:
                (state,) = daemon.listeners.states()
                assert state.error == f"port {binding.port} is already used by another program"
                assert not daemon.listeners.complete
                taken.close()
                await daemon.listeners.open_missing()
                assert daemon.listeners.complete
                assert daemon.listeners.states()[0].error == ""
                peer = await daemon.connect()
                assert await peer.line() == b"HELLO\r\n"

    run(scenario)


def test_one_session_is_ended_from_outside() -> None:
    async def scenario() -> None:
        async with Daemon(make_service()) as daemon:
            first, second = await daemon.connect(), await daemon.connect()
            assert (await first.line(), await second.line()) == (b"HELLO\r\n", b"HELLO\r\n")
            daemon.sessions.end("pop3:1")
            daemon.sessions.end("pop3:99")
            assert await first.rest() == b"FAREWELL mail.example.test\r\n"
            assert await second.ask(b"here") == b"here\r\n"

    run(scenario)


def test_drain_lets_sessions_finish_then_ends_the_rest() -> None:
    async def scenario() -> None:
        async with Daemon(make_service()) as daemon:
            finishing, lingering, stuck = [await daemon.connect() for _ in range(3)]
            for peer in (finishing, lingering, stuck):
                assert await peer.line() == b"HELLO\r\n"
            stuck.writer.write(b"sleep\r\n")
            daemon.listeners.close()
            draining = asyncio.create_task(daemon.sessions.drain(0.5))
            assert await finishing.ask(b"quit") == b"BYE\r\n"
            await draining
            assert await lingering.rest() == b"FAREWELL mail.example.test\r\n"
            assert await stuck.rest() == b"FAREWELL mail.example.test\r\n"
            assert len(daemon.sessions) == 0
            assert not await asyncio.to_thread(listens, daemon.service.bindings[0])

    run(scenario)


def test_drain_does_not_wait_for_a_client_that_reads_nothing() -> None:
    async def flood(connection: Connection) -> None:
        while True:
            await connection.stream.write(b"x" * 65536)

    async def scenario() -> None:
        async with Daemon(make_service(), flood) as daemon:
            await daemon.connect()
            await until(lambda: len(daemon.sessions) == 1, 5, "the session")
            await daemon.sessions.drain(0.1)
            await until(lambda: len(daemon.sessions) == 0, 5, "its end")

    run(scenario)


class AskedHooks(Hooks):
    """Answers with what the test put in; remembers what it was asked."""

    def __init__(self, *answers: int | None) -> None:
        self.answers = list(answers)
        self.asked: list[Connected | LoggedIn] = []

    async def on_bandwidth(self, event: Connected | LoggedIn) -> int | None:
        self.asked.append(event)
        return self.answers.pop(0)


@pytest.mark.parametrize(
    ("answers", "unlimited"),
    [
        ((None, None), (False, False)),
        ((0, 5000), (True, False)),
        ((-3, 0), (False, True)),
        ((-1001, 10**9), (False, False)),
    ],
)
def test_bandwidth_on_connect_and_login(answers: tuple[int | None, ...], unlimited: tuple[bool, bool]) -> None:
    """Spec services 5.4: the hook's answer replaces the limit in force; nonsense keeps it."""
    meters: list[bool] = []

    async def handler(connection: Connection) -> None:
        meters.append(connection.stream.meter is UNLIMITED)
        await connection.apply_bandwidth(UserId(7))
        meters.append(connection.stream.meter is UNLIMITED)
        await echo(connection)

    async def scenario() -> None:
        hooks = AskedHooks(*answers)
        async with Daemon(make_service(bandwidth=9000), handler, hooks) as daemon:
            peer = await daemon.connect()
            assert await peer.line() == b"HELLO\r\n"
            assert [type(event) for event in hooks.asked] == [Connected, LoggedIn]
            assert [event.service_bandwidth for event in hooks.asked] == [9000, 9000]
            assert hooks.asked[0].bandwidth == 9000
            assert isinstance(daemon.pools.meter(9000), Bucket)

    run(scenario)
    assert tuple(meters) == unlimited


def test_out_of_descriptors_accepting_rests_and_resumes(caplog: pytest.LogCaptureFixture) -> None:
    """Not a bug of ours, and no reason to spin: those who wait are accepted when there is room again."""

    async def scenario() -> None:
        accepted: list[socket.socket] = []
        listening = open_listening(free_binding())
        port = binding_of(listening).port
        listener = Listener(listening, accepted.append)
        listener.start()
        waiting = socket.create_connection(("127.0.0.1", port), timeout=5)
        await until(lambda: accepted, 5, "the first connection")
        peer = socket.socket()
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (next_descriptor(), hard))
        try:
            peer.connect(("127.0.0.1", port))
            await until(lambda: "cannot accept" in caplog.text, 5, "the complaint")
            complaints = caplog.text.count("cannot accept")
            await asyncio.sleep(0)
            assert caplog.text.count("cannot accept") == complaints
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        await until(lambda: len(accepted) == 2, 5, "the connection that waited")
        listener.close()
        for end in (*accepted, waiting, peer):
            end.close()

    with caplog.at_level(logging.ERROR):
        run(scenario)


def next_descriptor() -> int:
    """The number that the next opened file would get: as a limit it means no more files."""
    descriptor = os.dup(0)
    os.close(descriptor)
    return descriptor
