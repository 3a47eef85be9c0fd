# SPDX-License-Identifier: MIT
"""Secrets that another key file sealed, and other trouble before there is a connection: nobody else is stopped by it,
and what waits for it is tried again, warned of and given up as usual."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from mailserver import clock
from mailserver.connectors.models import Collector, OAuthAccount, Sender
from mailserver.connectors.reading import read_collector, read_collectors, read_senders
from mailserver.connectors.values import Credentials, LoginMethod, Outcome
from mailserver.leases import services as leases
from mailserver.management.diagnosis import Level, check_stored_passwords
from mailserver.outqueue.taking import LAN_LEASE
from tests.support.collectors import NotedLog
from tests.support.installation import free_port
from tests.support.queueing import make_queued, make_sender, row
from tests.support.remote_smtp import RemoteSmtp
from tests.support.sending import SendingOffice, claims, open_office, replies, statuses
from workers.collecting import check_collector, run_collector
from workers.delivery import run_sender
from workers.immediate import sender_jobs
from workers.lan_forwarding import forward
from workers.watching import watch_mailbox

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]

OTHER_KEY = b"v1:" + bytes(40)


@pytest.fixture
def office(tmp_path: Path) -> Iterator[SendingOffice]:
    with open_office(tmp_path) as opened:
        yield opened


def test_one_of_several_stops_nobody_else() -> None:
    broken, good = make_sender(default=True), make_sender()
    Sender.objects.update(send_immediately=True)
    Sender.objects.filter(pk=broken.id).update(secret=OTHER_KEY)
    first, second = read_senders()
    text = (
        f"The password of the Sender of the Connection {broken.name} was stored with another key file and cannot be"
        " read. Enter it again."
    )
    assert (first.credentials.problem, second.credentials.problem) == (text, "")
    assert [job.sender for job in sender_jobs(run_sender)()] == [broken.id, good.id]
    assert [(finding.level, finding.text) for finding in check_stored_passwords()] == [(Level.PROBLEM, text)]
    Sender.objects.filter(pk=broken.id).update(enabled=False)
    assert list(check_stored_passwords()) == []


def test_its_sender_says_so_and_its_mail_is_deferred(office: SendingOffice) -> None:
    ids = make_queued("a@r.example") + make_queued("b@r.example")
    with RemoteSmtp() as server:
        sender = office.relay(server.port, credentials=Credentials(LoginMethod.PLAIN, "me", problem="No password."))
        result = office.send(sender)
        assert (result.outcome, result.text) == (Outcome.FAILED, "No password.")
        assert office.check(sender).text == "No password."
        assert server.sessions == 0
    assert statuses(ids) == ["waiting", "waiting"]
    assert replies(ids) == ["451 4.7.8 No password."] * 2
    assert all((row(id_).next_attempt or clock.now()) > clock.now() for id_ in ids)
    assert claims() == 0


def test_an_account_whose_tokens_cannot_be_read(office: SendingOffice) -> None:
    account = OAuthAccount.objects.create(name="Office", refresh_token=OTHER_KEY)
    ids = make_queued()
    result = office.send(
        office.relay(free_port(), credentials=Credentials(LoginMethod.XOAUTH2, "me", oauth=account.pk))
    )
    assert result.outcome is Outcome.FAILED
    assert "another key file" in result.text
    assert replies(ids) == [f"451 4.7.8 {result.text}"]


def test_dns_servers_that_are_none(office: SendingOffice) -> None:
    ids = make_queued()
    assert office.send(office.direct("not an address", 25)).outcome is Outcome.FAILED
    assert statuses(ids) == ["waiting"]
    assert replies(ids)[0].startswith("451 4.4.3 ")


def test_a_collector_stops_alone(office: SendingOffice) -> None:
    broken = Collector.objects.create(name="Broken", secret=OTHER_KEY)
    Collector.objects.create(name="Good")
    problems = [collector.credentials.problem for collector in read_collectors()]
    assert [bool(problem) for problem in problems] == [True, False]
    assert problems[0].startswith("The password of the Collector Broken was stored with another key file")
    collector = read_collector(broken.pk)
    assert collector is not None
    told, tools = NotedLog(), office.tools
    results = [
        asyncio.run(run_collector(collector, "me", told, tools)),
        asyncio.run(check_collector(collector, "me", told, tools)),
        asyncio.run(watch_mailbox(collector, "me", told, tools, run_collector)),
    ]
    assert {(result.outcome, result.text) for result in results} == {(Outcome.FAILED, problems[0])}


def test_a_server_of_the_local_network_stops_alone(office: SendingOffice) -> None:
    with RemoteSmtp() as server:
        target = {"route": "lan", "lan_server": f"127.0.0.1:{server.port}"}
        (broken,) = make_queued("a@branch.test", lan_login="me", lan_secret=OTHER_KEY, **target)
        (good,) = make_queued("b@branch.test", **target)
        assert leases.acquire(LAN_LEASE, "me", 300)
        asyncio.run(forward("me", NotedLog(), office.tools))
    assert statuses([broken, good]) == ["waiting", "sent"]
    assert "another key file" in row(broken).last_reply
