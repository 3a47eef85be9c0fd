# SPDX-License-Identifier: MIT
"""Lists of DNS servers as people write them: addresses, separated by commas. Spec senders 4 and 9. Pure.

A port may follow, `10.0.0.5:5353` or `[2001:db8::5]:5353`, for a resolver that does not have port 53 to itself.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import ip_address

DNS_PORT = 53

_BRACKETS = re.compile(r"\[([^\]]*)\](?::(\d{1,5}))?")
_WITH_PORT = re.compile(r"([0-9.]+):(\d{1,5})")


@dataclass(frozen=True, slots=True)
class DnsServer:
    """One server that answers questions about names."""

    address: str
    port: int = DNS_PORT

    def __str__(self) -> str:
        """As people write it."""
        if self.port == DNS_PORT:
            return self.address
        return f"[{self.address}]:{self.port}" if ":" in self.address else f"{self.address}:{self.port}"


class BadDnsServer(ValueError):
    """Not an address; the text is one sentence for whoever wrote it."""


def parse_dns_servers(text: str) -> tuple[DnsServer, ...]:
    """In the order in which they were written. Raises BadDnsServer."""
    words = [word for word in re.split(r"[\s,;]+", text) if word]
    return tuple(_parse_server(word) for word in words)


def _parse_server(word: str) -> DnsServer:
    match = _BRACKETS.fullmatch(word) or _WITH_PORT.fullmatch(word)
    address, port = (match[1], int(match[2] or DNS_PORT)) if match else (word, DNS_PORT)
    try:
        found = ip_address(address)
    except ValueError:
        raise BadDnsServer(f"{word!r} is not an IP address; write one like 192.168.1.1.") from None
    if not 1 <= port <= 65535:
        raise BadDnsServer(f"{word}: there is no port {port}.")
    return DnsServer(str(found), port)
