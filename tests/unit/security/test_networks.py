# SPDX-License-Identifier: MIT
"""Access lists (spec services 1.4 and 1.5), and what Linux says of the machine's networks."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_network
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailserver.config.snapshot import AccessRule
from mailserver.security.networks import (
    LOOPBACK,
    Decision,
    evaluate,
    evaluate_both,
    parse_address,
    read_local_networks,
    read_routers,
    trusts_strangers,
)

LOCAL = (*LOOPBACK, ip_network("192.168.1.0/24"), ip_network("fe80::/10"))
ROUTERS = (IPv4Address("192.168.1.1"), IPv6Address("fe80::1"))
ALLOWED, BLOCKED = Decision(allow=True), Decision(allow=False)
ANY = AccessRule(allow=True, matches="any")


def network(text: str, *, allow: bool = True, trusted: bool = False, users: frozenset[int] | None = None) -> AccessRule:
    return AccessRule(allow, "network", ip_network(text), trusted, users)


def decide(rules: list[AccessRule], address: str) -> Decision:
    return evaluate(rules, address, LOCAL, ROUTERS)


def test_no_rules_let_everybody_in_but_trust_nobody() -> None:
    assert decide([], "203.0.113.9") == ALLOWED


def test_rules_that_match_nobody_keep_everybody_out() -> None:
    assert decide([network("10.0.0.0/8")], "203.0.113.9") == BLOCKED


@pytest.mark.parametrize(
    ("address", "expected"),
    [("10.1.1.1", BLOCKED), ("10.2.1.1", ALLOWED), ("11.0.0.1", BLOCKED)],
)
def test_the_first_rule_that_matches_decides(address: str, expected: Decision) -> None:
    assert decide([network("10.1.0.0/16", allow=False), network("10.0.0.0/8")], address) == expected


@pytest.mark.parametrize(
    ("matches", "address", "allow"),
    [
        ("any", "203.0.113.9", True),
        ("any", "2001:db8::1", True),
        ("local", "127.0.0.1", True),
        ("local", "::1", True),
        ("local", "192.168.1.77", True),
        ("local", "192.168.2.77", False),
        ("local", "fe80::1234%eth0", True),
        ("routers", "192.168.1.1", True),
        ("routers", "fe80::1%eth0", True),
        ("routers", "192.168.1.2", False),
        ("local", "::ffff:192.168.1.5", True),
        ("routers", "::ffff:192.168.1.1", True),
    ],
)
def test_special_types(matches: str, address: str, allow: bool) -> None:
    assert decide([AccessRule(allow=True, matches=matches)], address).allow is allow


def test_families_do_not_match_each_other() -> None:
    assert decide([network("0.0.0.0/0")], "2001:db8::1") == BLOCKED
    assert decide([network("::/0")], "203.0.113.9") == BLOCKED
    assert decide([network("0.0.0.0/0")], "::ffff:203.0.113.9") == ALLOWED


def test_allow_unauth_and_users_come_from_the_matching_rule() -> None:
    rules = [network("10.0.0.0/8", trusted=True), network("11.0.0.0/8", users=frozenset({3}))]
    assert decide(rules, "10.0.0.1") == Decision(allow=True, trusted=True)
    assert decide(rules, "11.0.0.1") == Decision(allow=True, users=frozenset({3}))


def test_a_blocking_rule_never_trusts() -> None:
    rule = AccessRule(allow=False, matches="any", allow_unauthenticated=True, users=frozenset({1}))
    assert decide([rule], "10.0.0.1") == BLOCKED


@pytest.mark.parametrize(
    ("own", "shared", "expected"),
    [
        ([], [], ALLOWED),
        ([ANY], [], ALLOWED),
        ([ANY], [network("10.0.0.0/8")], BLOCKED),
        ([network("10.0.0.0/8")], [ANY], BLOCKED),
        ([AccessRule(True, "any", None, True)], [ANY], Decision(allow=True, trusted=True)),
        ([ANY], [AccessRule(True, "any", None, True)], ALLOWED),
        ([AccessRule(True, "any", None, True)], [network("10.0.0.0/8")], BLOCKED),
        ([AccessRule(True, "any", None, False, frozenset({1, 2}))], [ANY], Decision(True, False, frozenset({1, 2}))),
        (
            [AccessRule(True, "any", None, False, frozenset({1, 2}))],
            [AccessRule(True, "any", None, False, frozenset({2, 3}))],
            Decision(True, False, frozenset({2})),
        ),
    ],
)
def test_both_lists_must_allow(own: list[AccessRule], shared: list[AccessRule], expected: Decision) -> None:
    assert evaluate_both(own, shared, "203.0.113.9", LOCAL, ROUTERS) == expected


@given(st.integers(0, 2**32 - 1), st.lists(st.tuples(st.booleans(), st.integers(0, 2**32 - 1), st.integers(0, 32))))
def test_it_decides_as_a_plain_loop_would(number: int, drawn: list[tuple[bool, int, int]]) -> None:
    address = IPv4Address(number)
    rules = [network(str(ip_network((base, prefix), strict=False)), allow=allow) for allow, base, prefix in drawn]
    wanted = next((rule.allow for rule in rules if rule.network and address in rule.network), not rules)
    assert evaluate(rules, str(address)).allow is wanted


def test_an_ipv4_address_in_ipv6_clothes() -> None:
    assert parse_address("::ffff:10.0.0.1") == IPv4Address("10.0.0.1")
    assert parse_address("fe80::1%lo0") == IPv6Address("fe80::1")


ROUTE = """\
Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT
eth0\t00000000\t0101A8C0\t0003\t0\t0\t0\t00000000\t0\t0\t0
eth0\t0001A8C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0
eth0\t0000000A\tFE01A8C0\t0003\t0\t0\t0\t000000FF\t0\t0\t0
down\t000010AC\t00000000\t0000\t0\t0\t0\t0000FFFF\t0\t0\t0
"""
INET6 = """\
00000000000000000000000000000001 01 80 10 80       lo
20010db8000000010000000000000005 02 40 00 80     eth0
fe8000000000000002000bfffe000001 02 40 20 80     eth0
"""
ROUTE6 = """\
20010db8000000010000000000000000 40 00000000000000000000000000000000 00 00000000000000000000000000000000 00000100 00000001 00000000 00000001 eth0
00000000000000000000000000000000 00 00000000000000000000000000000000 00 fe800000000000000000000000000001 00000400 00000002 00000000 00000003 eth0
00000000000000000000000000000000 00 00000000000000000000000000000000 00 00000000000000000000000000000000 ffffffff 00000001 00000000 00200200 lo
"""  # noqa: E501
TRIE = """\
Main:
  +-- 0.0.0.0/0 3 0 5
     |-- 203.0.113.7
        /32 host LOCAL
     |-- 203.0.113.255
        /32 link BROADCAST
"""


@pytest.fixture
def proc_net(tmp_path: Path) -> Path:
    for name, text in (("route", ROUTE), ("if_inet6", INET6), ("ipv6_route", ROUTE6), ("fib_trie", TRIE)):
        (tmp_path / name).write_text(text)
    return tmp_path


def test_networks_of_the_interfaces(proc_net: Path) -> None:
    expected = {"127.0.0.0/8", "192.168.1.0/24", "203.0.113.7/32", "::1/128", "2001:db8:0:1::/64", "fe80::/10"}
    assert {str(found) for found in read_local_networks(proc_net)} == expected


def test_a_network_behind_a_gateway_is_not_local(proc_net: Path) -> None:
    assert ip_network("10.0.0.0/8") not in read_local_networks(proc_net)


def test_routers_are_the_default_gateways(proc_net: Path) -> None:
    assert read_routers(proc_net) == (IPv4Address("192.168.1.1"), IPv6Address("fe80::1"))


def test_without_proc_only_loopback_is_certain(tmp_path: Path) -> None:
    assert read_local_networks(tmp_path) == LOOPBACK
    assert read_routers(tmp_path) == ()


def test_this_machine_is_in_its_own_networks() -> None:
    assert evaluate([AccessRule(allow=True, matches="local")], "127.0.0.1", read_local_networks()).allow


ANYBODY_WITHOUT_LOGIN = AccessRule(allow=True, matches="any", allow_unauthenticated=True)
OFFICE_WITHOUT_LOGIN = network("192.168.1.0/24", trusted=True)


@pytest.mark.parametrize(
    "rule", [ANYBODY_WITHOUT_LOGIN, network("::/0", trusted=True), network("8.0.0.0/7", trusted=True)]
)
def test_rule_that_lets_strangers_work_without_login(rule: AccessRule) -> None:
    assert trusts_strangers([OFFICE_WITHOUT_LOGIN, rule])
    assert not trusts_strangers([ANY, rule]), "the first rule that matches decides"
    assert not trusts_strangers([rule], [OFFICE_WITHOUT_LOGIN]), "the global list keeps strangers out"


def test_rules_that_let_no_stranger_work_without_login() -> None:
    assert not trusts_strangers([])
    assert not trusts_strangers([OFFICE_WITHOUT_LOGIN, ANY])
    assert not trusts_strangers([OFFICE_WITHOUT_LOGIN], [ANYBODY_WITHOUT_LOGIN]), "only the service's list exempts"
