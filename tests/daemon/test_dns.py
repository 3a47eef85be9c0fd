# SPDX-License-Identifier: MIT
"""Questions to a DNS server on loopback: records, aliases, failures, the cache, and TCP."""

from __future__ import annotations

import asyncio
from typing import cast

import pytest

from mailserver.config.catalog import DNS_DETECT, DNS_SERVERS
from mailserver.config.snapshot import Snapshot
from mailserver.connectors.dns_servers import DnsServer as Asked
from mailserver.connectors.dns_servers import parse_dns_servers
from protocols.net.dns import (
    LookupFailed,
    MailServer,
    NoSuchName,
    Resolver,
    Resolvers,
    is_own_address,
)
from protocols.net.dns_check import try_resolver
from tests.support.dns_server import REFUSED, SERVFAIL, SILENCE, DnsServer, Records

TABLE: dict[str, Records | str] = {
    "example.org": {"MX": ["20 b.example.org.", "10 A.example.org."], "A": ["192.0.2.9"]},
    "null.example": {"MX": ["0 ."]},
    "alias.example": {"CNAME": ["example.org."]},
    "bare.example": {"A": ["192.0.2.1", "192.0.2.2"], "AAAA": ["2001:db8::1"]},
    "nothing.example": {"TXT": ['"x"']},
    "broken.example": SERVFAIL,
    "refused.example": REFUSED,
    "many.example": {"MX": [f"{n} a-rather-long-name-{n}.example.org." for n in range(60)]},
    "invented.example": {"A": ["192.0.2.66"]},
}


def resolver(server: DnsServer, cache_size: int = 1000) -> Resolver:
    return Resolver(parse_dns_servers(server.address), cache_size)


async def test_what_there_is() -> None:
    with DnsServer(TABLE) as server:
        asked = resolver(server)
        expected = {MailServer(10, "a.example.org"), MailServer(20, "b.example.org")}
        assert set(await asked.find_mail_servers("example.org")) == expected
        assert set(await asked.find_mail_servers("alias.example")) == expected
        assert await asked.find_mail_servers("null.example") == (MailServer(0, "."),)
        assert await asked.find_mail_servers("bare.example") == ()
        found = await asked.find_addresses("bare.example")
        assert set(found) == {"2001:db8::1", "192.0.2.1", "192.0.2.2"}
        assert found[0] == "2001:db8::1"
        assert await asked.find_addresses("alias.example") == ("192.0.2.9",)
        assert await asked.find_addresses("nothing.example") == ()
        assert len(await asked.find_mail_servers("many.example")) == 60
    assert server.over_tcp == 1


async def test_what_there_is_not() -> None:
    with DnsServer(TABLE) as server:
        asked = resolver(server)
        with pytest.raises(NoSuchName, match=r"gone\.example does not exist"):
            await asked.find_mail_servers("gone.example")
        with pytest.raises(NoSuchName):
            await asked.find_addresses("gone.example")
        for name in ("broken.example", "refused.example"):
            with pytest.raises(LookupFailed, match="cannot say anything"):
                await asked.find_mail_servers(name)
            with pytest.raises(LookupFailed):
                await asked.find_addresses(name)


async def test_nobody_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("protocols.net.dns.LOOKUP_SECONDS", 0.5)
    with DnsServer({"slow.example": SILENCE}) as server, pytest.raises(LookupFailed, match="No DNS server answered"):
        await resolver(server).find_mail_servers("slow.example")


async def test_answers_are_remembered_within_bounds() -> None:
    with DnsServer(TABLE) as server:
        asked = resolver(server, cache_size=1)
        await asked.find_mail_servers("example.org")
        await asked.find_mail_servers("example.org")
        assert server.questions == ["example.org MX"]
        await asked.find_mail_servers("example.org", fresh=True)
        assert len(server.questions) == 2
        await asked.find_mail_servers("null.example")
        await asked.find_mail_servers("example.org")
        assert len(server.questions) == 4


async def test_answers_are_forgotten_when_their_time_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    with DnsServer(TABLE, ttl=0) as server:
        asked = resolver(server)
        await asked.find_mail_servers("example.org")
        await asyncio.sleep(0)
        await asked.find_mail_servers("example.org")
    assert len(server.questions) == 2


def test_which_servers_are_asked() -> None:
    resolvers = Resolvers()
    manual = Snapshot(settings={DNS_DETECT.name: False, DNS_SERVERS.name: "192.0.2.53, 192.0.2.54"})
    detected = Snapshot(settings={DNS_DETECT.name: True, DNS_SERVERS.name: "192.0.2.53"})
    assert [str(server) for server in resolvers.get(manual).servers] == ["192.0.2.53", "192.0.2.54"]
    assert resolvers.get(manual, "192.0.2.1").servers == (Asked("192.0.2.1"),)
    assert Asked("192.0.2.53") not in resolvers.get(detected).servers
    assert resolvers.get(manual) is resolvers.get(manual)


async def test_whether_servers_answer_as_they_should() -> None:
    with DnsServer(TABLE) as server:
        good = await try_resolver(resolver(server), "example.org", "gone.example")
        assert [(one.ok, one.text) for one in good] == [
            (True, "a.example.org (10), b.example.org (20)"),
            (True, "192.0.2.9"),
            (True, "not found, as it should be"),
        ]
        empty = await try_resolver(resolver(server), "nothing.example", "nothing.example")
        assert [(one.ok, one.text) for one in empty[:2]] == [(True, "none"), (True, "none")]
        assert empty[2].ok
        bad = await try_resolver(resolver(server), "gone.example", "invented.example")
        assert [(one.ok, one.text) for one in bad] == [
            (False, "this name does not exist"),
            (False, "this name does not exist"),
            (False, "the server invents an answer (192.0.2.66)"),
        ]
        broken = await try_resolver(resolver(server), "broken.example", "gone.example")
        assert [one.ok for one in broken] == [False, False, True]


async def test_a_silent_server_is_asked_everything_at_the_same_time() -> None:
    """Each question takes its whole patience: one after the other they would take longer than a test may."""
    together = asyncio.Barrier(3)

    class Silent:
        async def find_mail_servers(self, name: str, *, fresh: bool) -> tuple[MailServer, ...]:
            await together.wait()
            raise LookupFailed(f"No DNS server answered the question for {name}.")

        find_addresses = find_mail_servers

    async with asyncio.timeout(10):
        answers = await try_resolver(cast(Resolver, Silent()), "example.org", "gone.example")
    assert [one.text for one in answers] == [
        "No DNS server answered the question for example.org",
        "No DNS server answered the question for example.org",
        "No DNS server answered the question for gone.example",
    ]


def test_own_addresses() -> None:
    assert is_own_address("127.0.0.1")
    assert not is_own_address("192.0.2.1")
    assert not is_own_address("2001:db8::1")
