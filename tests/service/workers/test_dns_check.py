# SPDX-License-Identifier: MIT
"""The test of the DNS servers in the settings: each is asked by itself, and said what is wrong with it."""

from __future__ import annotations

import asyncio

import pytest

from mailserver.config.catalog import DNS_DETECT, DNS_SERVERS
from mailserver.config.services import set_settings
from mailserver.connectors.values import Outcome, TaskResult
from tests.support.collectors import NotedLog
from tests.support.dns_server import SERVFAIL, DnsServer
from tests.support.performing import real_tools
from workers import dns_check
from workers.dns_check import check_dns

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database, pytest.mark.usefixtures("internet")]

GOOD = {"example.org": {"MX": ["10 mx.example.org."], "A": ["192.0.2.9"]}}


def check(*servers: str) -> tuple[TaskResult, NotedLog]:
    set_settings({DNS_DETECT.name: False, DNS_SERVERS.name: ", ".join(servers)})
    log = NotedLog()
    with real_tools() as tools:
        return asyncio.run(check_dns("example.org", log, tools)), log


def test_each_server_is_asked() -> None:
    with DnsServer(GOOD) as good, DnsServer({"example.org": SERVFAIL}) as broken:
        result, log = check(good.address, broken.address)
        assert result == TaskResult(Outcome.PARTLY, "Not every DNS server answers as it should.")
        assert [note.partition(": ")[0] for note in log.notes] == [
            f"DNS server {good.address}",
            f"DNS server {broken.address}",
        ]
        assert "answers as it should" in log.notes[0]
        assert "2 of 3 answers are not as they should be" in log.notes[1]
        assert f"DNS server {good.address}" in log.lines
        assert any("The DNS servers cannot say anything about example.org at the moment (" in one for one in log.lines)
        assert any(line.startswith("  Mail servers of example.org: mx.example.org (10) (") for line in log.lines)
        assert check(good.address)[0] == TaskResult(Outcome.OK)
        assert check(broken.address)[0].outcome is Outcome.FAILED


def test_a_machine_without_dns_servers(monkeypatch: pytest.MonkeyPatch) -> None:
    class Nobody:
        servers = ()

    monkeypatch.setattr(dns_check.RESOLVERS, "get", lambda snapshot: Nobody())
    result, _ = check()
    assert result == TaskResult(Outcome.FAILED, dns_check.NO_SERVERS)
