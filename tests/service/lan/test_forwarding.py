# SPDX-License-Identifier: MIT
"""LAN forwarding from the rule to the other server: its own queue, log-in, retries, scripts."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from mailserver import clock
from mailserver.addressing.resolve import Lan, Unknown
from mailserver.connectors.routing import find_target
from mailserver.connectors.values import Outcome, TaskResult
from mailserver.errors import InvalidInput
from mailserver.hooks.events import LanQueued, LanRulesAsked, LanRuleView
from mailserver.hooks.interface import Hooks
from mailserver.journey.records import next_ref
from mailserver.lan import services
from mailserver.lan.models import LanForwardingRule
from mailserver.lan.planning import ask_rules
from mailserver.lan.services import RuleInput
from mailserver.leases import services as leases
from mailserver.mime.headers import summarise
from mailserver.outqueue.models import QueuedRecipient
from mailserver.outqueue.retargeting import change_target
from mailserver.outqueue.taking import LAN_LEASE, has_due_lan
from mailserver.pipeline.filing import build_unit
from mailserver.pipeline.message import Delivery, IncomingMessage, Origin
from mailserver.pipeline.queueing import plan_queueing
from mailserver.store.interface import LanTarget
from mailserver.users.models import User
from mailserver.values import Address, Client, Envelope, Protocol, Recipient
from tests.support.certificates import server_context
from tests.support.collectors import NotedLog
from tests.support.filings import WAIT_SECONDS, make_body
from tests.support.installation import free_port
from tests.support.queueing import row
from tests.support.remote_smtp import RemoteSmtp
from tests.support.sending import SendingOffice, claims, open_office
from tests.support.stores import make_user
from workers.lan_forwarding import forward

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]

TEXT = b"Subject: hello\r\n\r\nhello\r\n"
EVA = Address("eva", "elsewhere.example")


@pytest.fixture
def office(tmp_path: Path) -> Iterator[SendingOffice]:
    make_user("alice")
    with open_office(tmp_path) as opened:
        yield opened


def receive(office: SendingOffice, *recipients: str, reverse_path: Address | None = EVA) -> list[int]:
    """A message by SMTP, filed; the numbers of its queue rows."""
    snapshot = office.snapshot()
    ref = next_ref()
    deliveries = []
    addresses = [Address(*text.split("@")) for text in recipients]
    for address in addresses:
        target = asyncio.run(ask_rules(address, snapshot, office.hooks, reverse_path, check=True))
        assert not isinstance(target, Unknown)
        deliveries.append(Delivery(Recipient(address), target))
    message = IncomingMessage(
        ref=ref,
        received=clock.now(),
        origin=Origin("smtp", Client(Protocol.SMTP, 1, 1, "192.0.2.1", 1)),
        envelope=Envelope(reverse_path, tuple(delivery.recipient for delivery in deliveries)),
        deliveries=tuple(deliveries),
        body=make_body(TEXT),
        header=b"Subject: hello\r\n",
        summary=summarise(b"Subject: hello\r\n"),
    )
    planned = asyncio.run(plan_queueing(message, snapshot, office.hooks))
    office.store.submit(build_unit(planned, "office.example.test")).result(WAIT_SECONDS)
    return list(QueuedRecipient.objects.filter(ref=ref).order_by("pk").values_list("pk", flat=True))


def work(office: SendingOffice) -> TaskResult:
    """What the worker does when the queue has something."""
    office.log = NotedLog()
    owner, tools = leases.make_owner(), office.tools
    assert leases.acquire(LAN_LEASE, owner, 300)
    try:
        return asyncio.run(forward(owner, office.log, tools))
    finally:
        leases.release(LAN_LEASE, owner)


def rule(port: int, addresses: str = "*@branch.test", **values: object) -> None:
    services.save_rule(RuleInput(addresses, "127.0.0.1", port, **values))  # type: ignore[arg-type]


def test_mail_goes_to_the_server_of_the_rule(office: SendingOffice) -> None:
    with RemoteSmtp(passwords={"office": "pässword"}, tls=server_context()) as server:
        rule(server.port, rewrite="*@inner.test", username="office", password="pässword")
        ids = receive(office, "ann@branch.test", "bob@branch.test", "eve@outside.test")
        assert [row(id_).route for id_ in ids].count("lan") == 2
        assert b"password" not in bytes(row(ids[-1]).lan_secret or b"")
        assert has_due_lan()
        assert work(office).outcome is Outcome.OK
    (taken,) = server.messages
    assert taken.recipients == ["RCPT TO:<ann@inner.test>", "RCPT TO:<bob@inner.test>"]
    assert taken.tls
    assert taken.data.endswith(TEXT)
    assert {(row(id_).route, row(id_).status) for id_ in ids} == {("lan", "sent"), ("senders", "waiting")}
    assert not has_due_lan()
    assert claims() == 0


def test_users_come_before_rules_and_the_last_resort_behind(office: SendingOffice) -> None:
    domain = User.objects.get(name="alice").address.partition("@")[2]
    with RemoteSmtp() as server:
        rule(server.port, f"~@{domain}")
        (id_,) = receive(office, f"alice@{domain}", f"nobody@{domain}")
        work(office)
    assert row(id_).recipient == f"nobody@{domain}"
    assert len(server.messages) == 1


def test_a_server_that_cannot_be_reached_is_tried_again(office: SendingOffice) -> None:
    rule(free_port())
    (id_,) = receive(office, "ann@branch.test")
    work(office)
    waiting = row(id_)
    assert waiting.status == "waiting"
    assert "cannot be reached" in waiting.last_reply
    assert waiting.next_attempt is not None
    assert (waiting.next_attempt - clock.now()).total_seconds() < 6 * 60


def test_two_servers_at_the_same_time(office: SendingOffice) -> None:
    with RemoteSmtp() as first, RemoteSmtp() as second:
        rule(first.port, "*@a.test")
        rule(second.port, "*@b.test")
        receive(office, "u@a.test", "u@b.test", "v@b.test")
        work(office)
    assert [len(taken.recipients) for taken in (*first.messages, *second.messages)] == [1, 2]


def test_another_server_for_what_waits(office: SendingOffice) -> None:
    rule(free_port())
    (id_,) = receive(office, "ann@branch.test")
    work(office)
    with RemoteSmtp() as server:
        assert change_target([id_], LanTarget(f"127.0.0.1:{server.port}")) == 1
        work(office)
    assert row(id_).status == "sent"


class Script(Hooks):
    """Sends everything for one domain to a server that no rule names, with another return path."""

    def __init__(self, server: str) -> None:
        self.server = server
        self.checks: list[bool] = []

    async def on_lan_rules(self, event: LanRulesAsked) -> tuple[LanRuleView, ...] | None:
        self.checks.append(event.check)
        return (*event.rules, LanRuleView(9, "*@script.test", self.server, "", "", ""))

    async def on_lan_queued(self, event: LanQueued) -> str | None:
        return f"srs+{event.original.local}@office.test"


def test_scripts_have_their_say(office: SendingOffice) -> None:
    with RemoteSmtp() as server:
        script = office.hooks = Script(f"127.0.0.1:{server.port}")
        receive(office, "ann@script.test")
        work(office)
    assert server.messages[0].mail.startswith("MAIL FROM:<srs+ann@office.test>")
    assert script.checks == [True, False]


def test_a_server_in_the_place_of_an_address(office: SendingOffice) -> None:
    delivery = find_target("SMTP:ann@example.org@u:p@10.0.0.5:587", office.snapshot())
    assert delivery is not None
    assert isinstance(delivery.target, Lan)
    assert (delivery.target.rule.server, delivery.target.rule.login) == ("10.0.0.5:587", "u")


WRONG = [
    ({"addresses": "ann"}, "addresses", "has no domain"),
    ({"addresses": "~ann@branch.test"}, "addresses", "last resort"),
    ({"addresses": "@branch.test"}, "addresses", "nothing before the @"),
    ({"addresses": "a@b..c"}, "addresses", "not a domain"),
    ({"port": 465}, "port", "first byte"),
    ({"port": 0}, "port", "greater than or equal"),
    ({"rewrite": "nonsense"}, "rewrite", "not an address"),
    ({"server": ""}, "server", "blank"),
    ({"condition": "sometimes"}, "condition", "not a valid choice"),
]


@pytest.mark.parametrize(("change", "place", "words"), WRONG)
def test_what_a_rule_cannot_be(office: SendingOffice, change: dict[str, object], place: str, words: str) -> None:
    with pytest.raises(InvalidInput) as raised:
        services.save_rule(replace(RuleInput("*@branch.test", "10.0.0.5"), **change))  # type: ignore[arg-type]
    assert words in " ".join(raised.value.messages[place])
    assert not LanForwardingRule.objects.exists()
