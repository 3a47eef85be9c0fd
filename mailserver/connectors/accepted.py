# SPDX-License-Identifier: MIT
"""Accepted Domains: which of the addresses in a collected message are ours (spec connectors 4.4). Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from mailserver.addressing.syntax import BadDomain, parse_domain
from mailserver.values import Address
from mailserver.wildcards import compile_wildcard

_SEPARATOR = re.compile(r"[;,\s]+")


@dataclass(frozen=True, slots=True)
class AcceptedDomains:
    """Patterns for whole addresses and for domains."""

    domains: tuple[re.Pattern[str], ...] = ()
    addresses: tuple[re.Pattern[str], ...] = ()

    def accepts(self, address: Address) -> bool:
        """Whether one of the entries fits; case never matters."""
        domain = address.domain.lower()
        if any(pattern.fullmatch(domain) for pattern in self.domains):
            return True
        whole = f"{address.local.lower()}@{domain}"
        return any(pattern.fullmatch(whole) for pattern in self.addresses)


@lru_cache(maxsize=64)
def parse_accepted(text: str) -> AcceptedDomains:
    """Entries separated by `;` (commas and blanks are taken too): a domain or a whole address, `*` and `?` in either.

    Never raises: an entry that fits nothing does no harm, and `find_problems` tells of it.
    """
    domains: list[re.Pattern[str]] = []
    addresses: list[re.Pattern[str]] = []
    for entry in split_entries(text):
        local, at, domain = entry.rpartition("@")
        if at and local:
            addresses.append(compile_wildcard(f"{local}@{_plain_domain(domain)}"))
        else:
            domains.append(compile_wildcard(_plain_domain(domain)))
    return AcceptedDomains(tuple(domains), tuple(addresses))


def split_entries(text: str) -> list[str]:
    """The entries in lower case, empty ones left out."""
    return [entry.lower() for entry in _SEPARATOR.split(text) if entry]


def find_problems(text: str) -> list[str]:
    """What is wrong with the entries, one sentence each, for whoever typed them."""
    problems = []
    for entry in split_entries(text):
        domain = entry.rpartition("@")[2]
        if entry.startswith("@"):
            problems.append(f"Write {entry[1:]} without the @ in front.")
        elif not domain.strip("*?."):
            continue
        elif _wildcards(domain):
            if not re.fullmatch(r"[\w*?.-]+", domain):
                problems.append(f"{entry} is neither a domain nor an address.")
        else:
            try:
                parse_domain(domain)
            except BadDomain:
                problems.append(f"{entry} is neither a domain nor an address.")
    return problems


def _plain_domain(domain: str) -> str:
    """Other scripts as A-labels, as addresses have them (RFC 5890 §2.3.2.1)."""
    if _wildcards(domain):
        return domain
    try:
        return parse_domain(domain)
    except BadDomain:
        return domain


def _wildcards(text: str) -> bool:
    return "*" in text or "?" in text
