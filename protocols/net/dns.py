# SPDX-License-Identifier: MIT
"""Questions to the DNS: mail servers of a domain, addresses of a host; with a cache that is bounded and forgets.

RFC 5321 §5.1 (aliases are followed). What is not there is remembered too, as long as the answers say. Which servers
are asked is said by the settings (spec senders 9) or by a Sender's own list (section 4). A failure that may pass is
`LookupFailed`; a name that does not exist is `NoSuchName`.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass

import dns.asyncresolver
import dns.exception
import dns.name
import dns.nameserver
import dns.rdatatype
import dns.resolver

from mailserver.config.catalog import DNS_DETECT, DNS_SERVERS
from mailserver.config.snapshot import Snapshot
from mailserver.connectors.dns_servers import DnsServer, parse_dns_servers

TRY_SECONDS = 3.0
LOOKUP_SECONDS = 12.0
"""For one question, all servers and repetitions together."""
DEFAULT_CACHE_SIZE = 1000
MAX_KEPT = 20
"""Resolvers of settings that are long gone are not kept for ever."""


class LookupFailed(Exception):
    """Nothing is known for now: no server answered, or none could. The text is a sentence for people."""


class NoSuchName(Exception):
    """The name does not exist (NXDOMAIN)."""


@dataclass(frozen=True, slots=True)
class MailServer:
    """One MX record; `host` is `.` for the null MX (RFC 7505)."""

    preference: int
    host: str


class Resolver:
    """Asks the given servers, or with none of them those of the operating system."""

    def __init__(self, servers: Sequence[DnsServer] = (), cache_size: int = DEFAULT_CACHE_SIZE) -> None:
        self._problem = ""
        try:
            self._resolver = dns.asyncresolver.Resolver(configure=not servers)
        except dns.resolver.NoResolverConfiguration:
            self._resolver = dns.asyncresolver.Resolver(configure=False)
            self._problem = "This machine has no DNS servers configured."
        if servers:
            self._resolver.nameservers = [
                dns.nameserver.Do53Nameserver(server.address, server.port) for server in servers
            ]
        self._resolver.timeout, self._resolver.lifetime = TRY_SECONDS, LOOKUP_SECONDS
        self._cache = dns.resolver.LRUCache(max(1, cache_size))
        self._resolver.cache = self._cache

    @property
    def servers(self) -> tuple[DnsServer, ...]:
        """Who is asked; nobody where this machine has no DNS servers configured."""
        return tuple(
            DnsServer(server, self._resolver.port)
            if isinstance(server, str)
            else DnsServer(server.address, server.port)
            for server in self._resolver.nameservers
            if isinstance(server, str | dns.nameserver.AddressAndPortNameserver)
        )

    async def find_mail_servers(self, domain: str, *, fresh: bool = False) -> tuple[MailServer, ...]:
        """The MX records, none where the domain has none. Raises NoSuchName, LookupFailed.

        `fresh` asks anew whatever is remembered.
        """
        answer = await self._ask(domain, dns.rdatatype.MX, fresh)
        if answer is None:
            return ()
        return tuple(MailServer(int(record.preference), _plain(record.exchange)) for record in answer)

    async def find_addresses(self, host: str, *, fresh: bool = False) -> tuple[str, ...]:
        """IPv6 and IPv4 addresses by turns, IPv6 first; none where the name has none.

        Raises NoSuchName, LookupFailed. A failure of one family does not hide what the other has.
        """
        found: list[list[str]] = []
        problems: list[Exception] = []
        for kind in (dns.rdatatype.AAAA, dns.rdatatype.A):
            try:
                answer = await self._ask(host, kind, fresh)
                found.append([record.address for record in answer or ()])
            except (LookupFailed, NoSuchName) as error:
                problems.append(error)
        addresses = _by_turns(found)
        if not addresses and problems:
            raise next((error for error in problems if isinstance(error, LookupFailed)), problems[0])
        return tuple(addresses)

    async def _ask(self, name: str, kind: dns.rdatatype.RdataType, fresh: bool) -> dns.resolver.Answer | None:
        if self._problem:
            raise LookupFailed(self._problem)
        try:
            question = dns.name.from_text(name)
            if fresh:
                self._cache.flush((question, kind, dns.rdataclass.IN))
            return await self._resolver.resolve(question, kind, search=False)
        except dns.resolver.NXDOMAIN:
            raise NoSuchName(f"{name} does not exist.") from None
        except dns.resolver.NoAnswer:
            return None
        except dns.exception.Timeout:
            raise LookupFailed(f"No DNS server answered the question for {name}.") from None
        except dns.resolver.NoNameservers:
            raise LookupFailed(f"The DNS servers cannot say anything about {name} at the moment.") from None
        except (dns.exception.DNSException, OSError, UnicodeError) as error:
            raise LookupFailed(f"{name} could not be looked up: {error}") from error


class Resolvers:
    """The resolver for the settings of the moment, and one for each Sender that has its own list; caches are kept."""

    def __init__(self) -> None:
        self._kept: dict[tuple[tuple[DnsServer, ...], int], Resolver] = {}

    def get(self, snapshot: Snapshot, own_list: str = "", cache_size: int = DEFAULT_CACHE_SIZE) -> Resolver:
        """`own_list` has precedence (spec senders 4). Raises BadDnsServer."""
        servers = parse_dns_servers(own_list)
        if not servers and not snapshot.get(DNS_DETECT):
            servers = parse_dns_servers(snapshot.get(DNS_SERVERS))
        key = (servers, cache_size)
        if key not in self._kept:
            if len(self._kept) >= MAX_KEPT:
                self._kept.clear()
            self._kept[key] = Resolver(servers, cache_size)
        return self._kept[key]

    def forget(self) -> None:
        """Everything that was looked up."""
        self._kept.clear()


def is_own_address(address: str) -> bool:
    """Whether this machine has the address: only then can a socket be bound to it."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with closing(socket.socket(family, socket.SOCK_STREAM)) as probe:
        try:
            probe.bind((address, 0))
        except OSError:
            return False
    return True


def _plain(name: dns.name.Name) -> str:
    """Lower case, no dot at the end; `.` for the root."""
    return name.to_text(omit_final_dot=True).lower() or "."


def _by_turns(lists: Sequence[Sequence[str]]) -> list[str]:
    longest = max((len(one) for one in lists), default=0)
    return [one[place] for place in range(longest) for one in lists if place < len(one)]
