# SPDX-License-Identifier: MIT
"""Which servers get the mail of a domain, in which order. Spec senders 4.1; RFC 5321 §5, RFC 7505 (null MX). Pure.

What the DNS says is given as an argument, as is chance. A server is never its own next one: where this server is
among a domain's servers, only better ones are tried (RFC 5321 §5.1).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, MutableSequence, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address
from itertools import groupby
from typing import Any

SMTP_PORT = 25

Shuffle = Callable[[MutableSequence[Any]], None]


@dataclass(frozen=True, slots=True)
class Host:
    """A server that may get the mail: a name or an address. `login` and `password` come from an override."""

    name: str
    port: int = SMTP_PORT
    preference: int = 0
    login: str = ""
    password: str = field(default="", repr=False)

    @property
    def label(self) -> str:
        """For the queue's page: the port only where it is not the usual one."""
        name = f"[{self.name}]" if ":" in self.name else self.name
        return name if self.port == SMTP_PORT else f"{name}:{self.port}"


class NoRoute(Exception):
    """Mail for the domain can go nowhere; `reply` is in the form of a server's, `5` or `4` in front."""

    def __init__(self, reply: str) -> None:
        super().__init__(reply)
        self.reply = reply


def route_literal(domain: str, port: int) -> tuple[Host, ...]:
    """RFC 5321 §4.1.3: `[192.0.2.1]` and `[IPv6:2001:db8::1]` name the server themselves; empty for other domains."""
    if not domain.startswith("["):
        return ()
    address = domain.strip("[]").removeprefix("ipv6:")
    if not is_address(address):
        raise NoRoute(f"550 5.1.2 {domain} is not an address that mail can be sent to")
    return (Host(address, port),)


def route_records(domain: str, records: Iterable[tuple[int, str]], port: int, shuffle: Shuffle) -> tuple[Host, ...]:
    """From MX records, as preference and host: the lowest first, equal ones in the order that chance gives them.

    Without any the domain is its own server. Raises NoRoute for the null MX, and where there is no usable name.
    """
    found = sorted(records)
    if not found:
        return (Host(domain, port),)
    if [host for _, host in found] == ["."]:
        raise NoRoute(f"556 5.1.10 {domain} does not accept mail (null MX)")
    usable = [Host(host, port, preference) for preference, host in found if host != "." and not is_address(host)]
    if not usable:
        raise NoRoute(f"550 5.4.4 The mail servers (MX) of {domain} are not host names")
    return in_order(usable, shuffle)


def in_order(hosts: Iterable[Host], shuffle: Shuffle) -> tuple[Host, ...]:
    """By preference, equal ones shuffled."""
    ordered: list[Host] = []
    for _, group in groupby(sorted(hosts, key=_preference), key=_preference):
        equal = list(group)
        shuffle(equal)
        ordered += equal
    return tuple(ordered)


def drop_ourselves(domain: str, hosts: Sequence[Host], is_own: Callable[[Host], bool]) -> tuple[Host, ...]:
    """The servers that are better than this one, all where this one is not among them. Raises NoRoute for none."""
    own = min((host.preference for host in hosts if is_own(host)), default=None)
    if own is None:
        return tuple(hosts)
    better = tuple(host for host in hosts if host.preference < own)
    if not better:
        raise NoRoute(f"554 5.4.6 Mail for {domain} would come back to this server: it is named as its mail server")
    return better


def is_address(text: str) -> bool:
    """Whether it is an IP address, not a name."""
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _preference(host: Host) -> int:
    return host.preference
