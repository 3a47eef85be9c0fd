# SPDX-License-Identifier: MIT
"""ETRN and ODMR against a provider of the tests' own: what is asked, what comes, and every way in which it does not."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mailserver import clock
from mailserver.activity import services as activity
from mailserver.activity.services import ProcessKind, SessionBrief
from mailserver.connectors.values import (
    CollectMethod,
    CollectorSettings,
    Credentials,
    Encryption,
    LoginMethod,
    Outcome,
    TaskResult,
)
from mailserver.hooks.events import LanRulesAsked
from mailserver.hooks.interface import Hooks
from mailserver.journey.models import Journey
from mailserver.lan import services as lan
from mailserver.lan.planning import BY_SMTP
from mailserver.lan.services import RuleInput
from mailserver.users.authenticator import DatabaseAuthenticator
from protocols.net.stream import Stream
from protocols.smtp.feed_client import FeedFailure, split_nodes
from protocols.smtp.turned import Surroundings, serve_turned
from tests.support.collecting import CollectingOffice, make_message, open_office
from tests.support.collectors import NotedLog
from tests.support.feed_server import FeedServer, HeldMail, running_feed_server
from workers import smtp_collecting
from workers.collecting import check_collector, run_collector

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]

Run = Callable[[CollectorSettings], Awaitable[TaskResult]]


@pytest.fixture
def office(tmp_path: Path) -> Iterator[CollectingOffice]:
    with open_office(tmp_path) as opened:
        yield opened


def held(count: int, to: str = "alice@example.test") -> list[HeldMail]:
    return [HeldMail("sender@elsewhere.test", (to,), make_message(number)) for number in range(1, count + 1)]


def odmr(office: CollectingOffice, **changes: Any) -> CollectorSettings:
    values: dict[str, Any] = {
        "method": CollectMethod.ODMR,
        "credentials": Credentials(LoginMethod.AUTOMATIC, "office", "secret"),
        "odmr_domains": "example.test",
        **changes,
    }
    return office.collector(0, **values)


def etrn(office: CollectingOffice, **changes: Any) -> CollectorSettings:
    values: dict[str, Any] = {
        "method": CollectMethod.INCOMING_SMTP,
        "credentials": Credentials(),
        "use_etrn": True,
        "etrn_parameters": "example.test",
        "wait_seconds": 0,
        **changes,
    }
    return office.collector(0, **values)


def run(
    office: CollectingOffice, provider: FeedServer, collector: CollectorSettings, *, check: bool = False
) -> TaskResult:
    office.log = NotedLog()
    tools = office.tools

    async def session() -> TaskResult:
        async with running_feed_server(provider):
            there = replace(collector, server=replace(collector.server, port=provider.port))
            return await (check_collector if check else run_collector)(there, "me", office.log, tools)

    return asyncio.run(session())


# ---------------------------------------------------------------- ODMR


def test_scripts_of_lan_forwarding_hear_that_it_came_from_outside(office: CollectingOffice) -> None:
    told: list[LanRulesAsked] = []

    class LanScript(Hooks):
        async def on_lan_rules(self, event: LanRulesAsked) -> None:
            told.append(event)

    lan.save_rule(RuleInput("*@branch.test", "10.0.0.5"))
    office.hooks = LanScript()
    assert run(office, FeedServer(held(1, to="emil@branch.test")), odmr(office)) == TaskResult(Outcome.OK)
    assert [(event.internal, event.collector) for event in told if not event.check] == [(False, BY_SMTP)]


def test_the_roles_turn(office: CollectingOffice) -> None:
    provider = FeedServer(held(3))
    assert run(office, provider, odmr(office)) == TaskResult(Outcome.OK)
    assert office.subjects("alice") == ["Message 1", "Message 2", "Message 3"]
    assert provider.mail == []
    assert provider.told[-1] == "ATRN example.test"
    assert office.log.done == 3
    assert {row.source for row in Journey.objects.all()} == {"odmr"}
    assert office.messages("alice")[0].startswith(
        b"Return-Path: <sender@elsewhere.test>\r\nReceived: from provider.test"
    )
    assert not any("secret" in line for line in office.log.lines)


@pytest.mark.parametrize("encryption", [Encryption.TLS, Encryption.STARTTLS])
def test_the_roles_turn_under_tls(office: CollectingOffice, encryption: Encryption) -> None:
    provider = FeedServer(held(2), implicit_tls=encryption is Encryption.TLS)
    provider.extensions = ("STARTTLS", "ATRN", "AUTH PLAIN")
    collector = odmr(office)
    collector = replace(collector, server=replace(collector.server, encryption=encryption))
    assert run(office, provider, collector) == TaskResult(Outcome.OK)
    assert len(office.subjects("alice")) == 2
    assert b"with ESMTPS" in office.messages("alice")[0]


def test_nothing_is_waiting(office: CollectingOffice) -> None:
    provider = FeedServer()
    assert run(office, provider, odmr(office)) == TaskResult(Outcome.OK)
    assert office.log.notes == ["The server says that nothing is waiting."]
    assert provider.told[-1] == "QUIT"


def test_nobody_relays_by_it(office: CollectingOffice) -> None:
    """A provider, or who calls itself one, sends to us and to nobody else; and nobody is to log in."""
    provider = FeedServer(held(1, "someone@elsewhere.test") + held(1, "nobody@example.test") + held(1))
    assert run(office, provider, odmr(office)).outcome is Outcome.OK
    assert office.subjects("alice") == ["Message 1"]
    assert len(provider.mail) == 2
    refused = [reply for reply in provider.heard if reply.startswith("55")]
    assert len(refused) == 4  # two recipients, and DATA without any
    assert office.log.done == 1


def test_it_breaks_off(office: CollectingOffice) -> None:
    provider = FeedServer(held(3), cut_after=1)
    result = run(office, provider, odmr(office))
    assert result.outcome is Outcome.PARTLY
    assert "after 1 messages" in result.text
    assert office.subjects("alice") == ["Message 1"]
    assert len(provider.mail) == 2
    provider.cut_after = 0
    result = run(office, provider, odmr(office))
    assert result.outcome is Outcome.FAILED
    provider.cut_after = -1
    assert run(office, provider, odmr(office)) == TaskResult(Outcome.OK)
    assert len(office.subjects("alice")) == 3


@pytest.mark.parametrize(
    ("change", "settings", "words"),
    [
        ({"password": "another"}, {}, "does not accept the log-in: 535 5.7.8 wrong"),
        ({"answers": {"ATRN": "502 not implemented"}}, {}, "does not accept ATRN: 502"),
        ({"answers": {"ATRN": "451 try later"}}, {}, "does not accept ATRN: 451"),
        ({}, {"odmr_domains": "example.test, other.test"}, "does not accept ATRN: 450"),
        ({}, {"odmr_domains": "example.test\r\nQUIT bad!"}, "is no domain or node name"),
        ({}, {"odmr_domains": " ".join(f"d{number}.test" for number in range(101))}, "At most 100 domains"),
        ({"speaks_early": True}, {}, "spoke before it was its turn"),
        ({"greeting": "554 go away"}, {}, "does not want to talk: 554 go away"),
        ({"greeting": "+OK POP3"}, {}, "is not SMTP"),
        ({"answers": {"EHLO": "502 what?"}}, {}, "does not take our greeting"),
        ({"extensions": ("ATRN", "AUTH GSSAPI")}, {}, "does not offer any log-in method"),
        ({}, {"credentials": Credentials()}, "does not accept ATRN: 530"),
        ({"extensions": ("ATRN",)}, {"encryption": Encryption.STARTTLS}, "no encryption by STARTTLS"),
    ],
)
def test_what_goes_wrong_is_said(
    office: CollectingOffice, change: dict[str, Any], settings: dict[str, Any], words: str
) -> None:
    provider = FeedServer(held(1), **change)
    encryption = settings.pop("encryption", Encryption.NONE) if "encryption" in settings else Encryption.NONE
    collector = odmr(office, **settings)
    collector = replace(collector, server=replace(collector.server, encryption=encryption))
    result = run(office, provider, collector)
    assert result.outcome is Outcome.FAILED
    assert words in result.text
    assert len(provider.mail) == 1
    assert office.messages("alice") == []


def test_trying_an_odmr_collector_asks_for_nothing(office: CollectingOffice) -> None:
    provider = FeedServer(held(1))
    result = run(office, provider, odmr(office), check=True)
    assert result == TaskResult(Outcome.OK, "Logged in. The server will be asked for example.test.")
    assert provider.told[-1] == "QUIT"
    provider.extensions = ("AUTH PLAIN",)
    assert "offers no ATRN" in run(office, provider, odmr(office), check=True).text
    provider.password = "another"
    assert run(office, provider, odmr(office), check=True).outcome is Outcome.FAILED


# ---------------------------------------------------------------- ETRN


def _calling(office: CollectingOffice) -> Callable[[list[HeldMail]], Awaitable[None]]:
    """The provider calls: our SMTP server listens for it, as the daemon does."""
    around = Surroundings(
        office.tools.snapshot, office.store, office.hooks, office.tools.offload, DatabaseAuthenticator()
    )

    async def call(mail: list[HeldMail]) -> None:
        loop = asyncio.get_running_loop()
        served: asyncio.Future[object] = loop.create_future()

        def begin(stream: Stream) -> None:
            task = loop.create_task(serve_turned(stream, around, lambda line: None, lambda: None, source="smtp"))
            task.add_done_callback(lambda done: served.set_result(done.result()))

        server = await loop.create_server(lambda: Stream(begin), "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        for message in mail:
            text = message.text.replace(b"\r\n.", b"\r\n..")
            commands = f"EHLO p\r\nMAIL FROM:<{message.sender}>\r\nRCPT TO:<{message.recipients[0]}>\r\nDATA\r\n"
            writer.write(commands.encode() + text + b".\r\n")
        writer.write(b"QUIT\r\n")
        await reader.read()
        await served
        writer.close()
        server.close()

    return call


def test_the_provider_calls(office: CollectingOffice) -> None:
    provider = FeedServer(held(3))
    provider.call = _calling(office)
    result = run(office, provider, etrn(office, wait_seconds=30))
    assert result == TaskResult(Outcome.OK)
    assert provider.told[:2] == [f"EHLO {office.tools.snapshot().hostname}", "ETRN example.test"]
    assert office.subjects("alice") == ["Message 1", "Message 2", "Message 3"]
    assert office.log.done == 3


def test_without_a_name_nobody_logs_in(office: CollectingOffice) -> None:
    provider = FeedServer(held(1))
    assert run(office, provider, etrn(office, credentials=Credentials(LoginMethod.AUTOMATIC))).outcome is Outcome.OK
    assert not any(line.startswith("AUTH") for line in provider.told)
    run(office, provider, etrn(office, credentials=Credentials(LoginMethod.AUTOMATIC, "office", "secret")))
    assert any(line.startswith("AUTH") for line in provider.told)


def test_nothing_is_waiting_so_nobody_waits(office: CollectingOffice) -> None:
    result = run(office, FeedServer(), etrn(office, wait_seconds=3600))
    assert result == TaskResult(Outcome.OK)
    assert office.log.notes == ["The server says that nothing is waiting."]


def test_a_provider_that_does_not_call_is_no_error(office: CollectingOffice) -> None:
    assert run(office, FeedServer(held(1)), etrn(office)) == TaskResult(Outcome.OK)
    assert office.log.done == 0


def test_several_nodes(office: CollectingOffice) -> None:
    provider = FeedServer(held(1), domains=("example.test", "branch.test", "queue1"))
    run(office, provider, etrn(office, etrn_parameters="example.test, @branch.test; #queue1"))
    assert [line for line in provider.told if line.startswith("ETRN")] == [
        "ETRN example.test",
        "ETRN @branch.test",
        "ETRN #queue1",
    ]


@pytest.mark.parametrize(
    ("change", "settings", "words"),
    [
        ({}, {"etrn_parameters": "other.test"}, "does not accept ETRN other.test: 459"),
        ({"answers": {"ETRN": "458 unable to queue"}}, {}, "458"),
        ({"answers": {"ETRN": "500 what?"}}, {}, "500"),
        ({"answers": {"ETRN": "501 what?"}}, {}, "501"),
        ({}, {"etrn_parameters": " "}, "No domain is named for ETRN"),
    ],
)
def test_etrn_is_refused(
    office: CollectingOffice, change: dict[str, Any], settings: dict[str, Any], words: str
) -> None:
    result = run(office, FeedServer(held(1), **change), etrn(office, **settings))
    assert result.outcome is Outcome.FAILED
    assert words in result.text


def test_a_session_is_waited_for_until_it_ends(office: CollectingOffice, monkeypatch: pytest.MonkeyPatch) -> None:
    """The daemons' process rows say who is connected."""
    monkeypatch.setattr(smtp_collecting, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(smtp_collecting, "SETTLE_SECONDS", 0.02)
    process = activity.register_process(ProcessKind.SERVE)
    began = clock.now().isoformat()
    brief = SessionBrief("smtp", 17, "SMTP", "203.0.113.7", began, "", "receiving a message")
    others = [
        replace(brief, id=18, login="anne"),
        replace(brief, id=19, protocol="pop3"),
        replace(brief, id=20, started="2020-01-01T00:00:00+00:00"),
    ]
    activity.heartbeat(process, ProcessKind.SERVE, sessions=[brief, *others])
    looks = 0
    tools = office.tools

    async def offload(function: Callable[..., Any], *arguments: Any) -> Any:
        nonlocal looks
        looks += function is activity.list_sessions
        if looks == 5:
            await tools.offload(activity.heartbeat, process, ProcessKind.SERVE, sessions=others)
        return await tools.offload(function, *arguments)

    watched = replace(tools, offload=offload)
    collector = etrn(office, use_etrn=False)
    assert asyncio.run(run_collector(collector, "me", office.log, watched)) == TaskResult(Outcome.OK)
    assert looks >= 5, "it did not wait for the session to end"


def test_trying_an_etrn_collector_asks_for_nothing(office: CollectingOffice) -> None:
    provider = FeedServer(held(1))
    result = run(office, provider, etrn(office), check=True)
    assert result.outcome is Outcome.OK
    assert "offers ETRN" in result.text
    assert not any(line.startswith("ETRN") for line in provider.told)
    provider.extensions = ("SIZE",)
    assert "offers no ETRN" in run(office, provider, etrn(office), check=True).text
    assert "calls by itself" in run(office, provider, etrn(office, use_etrn=False), check=True).text


@pytest.mark.parametrize(
    ("text", "nodes"),
    [("", []), ("a.test", ["a.test"]), (" a.test,b.test ;@c.test\n#q-1 ", ["a.test", "b.test", "@c.test", "#q-1"])],
)
def test_nodes(text: str, nodes: list[str]) -> None:
    assert split_nodes(text) == nodes


@pytest.mark.parametrize("text", ["a b!", "ex ample..test)", "@", "<a>", "ümläut.test", "a" * 300])
def test_what_is_no_node(text: str) -> None:
    with pytest.raises(FeedFailure):
        split_nodes(text)
