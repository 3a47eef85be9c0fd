# SPDX-License-Identifier: MIT
"""Who may connect from where: access lists, and which networks and routers this machine has.

Spec services 1.4 and 1.5. Pure: the lists and the networks are given; `read_local_networks` and `read_routers` find
out about this machine from Linux's /proc, and give what is certain (loopback) elsewhere.
"""

from __future__ import annotations

import re
import socket
import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    collapse_addresses,
    ip_address,
    ip_network,
)
from pathlib import Path

from mailserver.config.snapshot import AccessRule

Network = IPv4Network | IPv6Network
IpAddress = IPv4Address | IPv6Address

PROC_NET = Path("/proc/net")
LOOPBACK: tuple[Network, ...] = (IPv4Network("127.0.0.0/8"), IPv6Network("::1/128"))
LINK_LOCAL = IPv6Network("fe80::/10")
STRANGERS = ("8.8.8.8", "203.0.113.9", "2001:db8::9")
"""Addresses at which no office is: one of a public service, and two that are kept for documentation."""
_ROUTE_UP, _ROUTE_GATEWAY = 0x1, 0x2


@dataclass(frozen=True, slots=True)
class Decision:
    """What an access list says of an address.

    `trusted`: work without logging in is allowed (Allow Unauth). `users`: only these ids may log in; None is all.
    """

    allow: bool
    trusted: bool = False
    users: frozenset[int] | None = None


def evaluate(
    rules: Sequence[AccessRule],
    address: str,
    local_networks: Iterable[Network] = LOOPBACK,
    routers: Iterable[IpAddress] = (),
) -> Decision:
    """No rules: everybody. Else the first rule that matches decides, and whom none matches is kept out."""
    if not rules:
        return Decision(allow=True)
    peer = parse_address(address)
    for rule in rules:
        if _matches(rule, peer, local_networks, routers):
            return Decision(rule.allow, rule.allow and rule.allow_unauthenticated, rule.users if rule.allow else None)
    return Decision(allow=False)


def evaluate_both(
    service_rules: Sequence[AccessRule],
    global_rules: Sequence[AccessRule],
    address: str,
    local_networks: Iterable[Network] = LOOPBACK,
    routers: Iterable[IpAddress] = (),
) -> Decision:
    """A service that uses the global list as well: both must allow (spec services 1.4, rule 4).

    Only the service's list exempts from logging in; where both name users, they must be in both.
    """
    own = evaluate(service_rules, address, local_networks, routers)
    shared = evaluate(global_rules, address, local_networks, routers)
    if own.users is None or shared.users is None:
        users = shared.users if own.users is None else own.users
    else:
        users = own.users & shared.users
    return Decision(own.allow and shared.allow, own.trusted and shared.allow, users)


def trusts_strangers(service_rules: Sequence[AccessRule], global_rules: Sequence[AccessRule] = ()) -> bool:
    """Whether somebody from anywhere may work without logging in: with SMTP, an open relay (spec smtp-server 2.1).

    `global_rules` are empty for a service that does not use the global list.
    """
    return any(evaluate_both(service_rules, global_rules, stranger).trusted for stranger in STRANGERS)


def parse_address(text: str) -> IpAddress:
    """An address as a socket gives it: without its zone, an IPv4 one in IPv6 clothes as IPv4 (RFC 4291 §2.5.5.2)."""
    address = ip_address(text.partition("%")[0])
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def read_local_networks(proc_net: Path = PROC_NET) -> tuple[Network, ...]:
    """Loopback and every network that one of the machine's interfaces is in."""
    found = [*LOOPBACK, *_ipv4_networks(proc_net), *_ipv6_networks(proc_net)]
    fours = collapse_addresses(network for network in found if isinstance(network, IPv4Network))
    sixes = collapse_addresses(network for network in found if isinstance(network, IPv6Network))
    return (*fours, *sixes)


def read_routers(proc_net: Path = PROC_NET) -> tuple[IpAddress, ...]:
    """The gateways of the machine's default routes."""
    fours = [
        _ipv4(gateway) for target, mask, gateway, flags in _ipv4_routes(proc_net)
        if flags & _ROUTE_GATEWAY and target == mask == "00000000"
    ]  # fmt: skip
    sixes = [
        IPv6Address(int(columns[4], 16)) for columns in _rows(proc_net / "ipv6_route", 10)
        if columns[1] == "00" and int(columns[4], 16) and int(columns[8], 16) & _ROUTE_GATEWAY
    ]  # fmt: skip
    return tuple(dict.fromkeys((*fours, *sixes)))


def _matches(rule: AccessRule, peer: IpAddress, local: Iterable[Network], routers: Iterable[IpAddress]) -> bool:
    match rule.matches:
        case "any":
            return True
        case "local":
            return any(peer in network for network in local)
        case "routers":
            return peer in routers
        case _:
            return rule.network is not None and peer in rule.network


def _ipv4_networks(proc_net: Path) -> Iterator[Network]:
    """Routes without a gateway lead to the networks that the interfaces are in."""
    for target, mask, _, flags in _ipv4_routes(proc_net):
        if not flags & _ROUTE_GATEWAY and mask != "00000000":
            yield IPv4Network((int(_ipv4(target)), _prefix_length(mask)))
    yield from _ipv4_host_addresses(proc_net)


def _ipv4_host_addresses(proc_net: Path) -> Iterator[Network]:
    """The machine's own addresses, from the routing trie: an interface may have a /32 and no network at all."""
    address = ""
    for line in _lines(proc_net / "fib_trie"):
        if found := re.search(r"\|-- ([0-9.]+)$", line):
            address = found[1]
        elif "/32 host LOCAL" in line and address:
            yield IPv4Network(address)


def _ipv6_networks(proc_net: Path) -> Iterator[Network]:
    """Columns of if_inet6: address, interface number, prefix length, scope, flags, name. Link-local is always local."""
    for columns in _rows(proc_net / "if_inet6", 6):
        network = IPv6Network((int(columns[0], 16), int(columns[2], 16)), strict=False)
        yield LINK_LOCAL if network.subnet_of(LINK_LOCAL) else network


def _ipv4_routes(proc_net: Path) -> Iterator[tuple[str, str, str, int]]:
    """Target, mask and gateway as /proc writes them (hexadecimal, in the machine's byte order), and the flags."""
    for columns in _rows(proc_net / "route", 8):
        if columns[0] != "Iface" and int(columns[3], 16) & _ROUTE_UP:
            yield columns[1], columns[7], columns[2], int(columns[3], 16)


def _ipv4(text: str) -> IPv4Address:
    return IPv4Address(socket.inet_ntoa(struct.pack("=L", int(text, 16))))


def _prefix_length(mask: str) -> int:
    return int(ip_network(f"0.0.0.0/{_ipv4(mask)}").prefixlen)


def _rows(path: Path, columns: int) -> Iterator[list[str]]:
    for line in _lines(path):
        fields = line.split()
        if len(fields) >= columns:
            yield fields


def _lines(path: Path) -> list[str]:
    """Nothing where there is no such file: another system, or a container that hides it."""
    try:
        return path.read_text(encoding="ascii").splitlines()
    except (OSError, UnicodeDecodeError):
        return []
