# SPDX-License-Identifier: MIT
"""Whose servers get the mail, by tables; chance is given."""

from __future__ import annotations

from collections.abc import MutableSequence
from typing import Any

import pytest

from mailserver.outqueue.routes import Host, NoRoute, drop_ourselves, route_literal, route_records


def keep(hosts: MutableSequence[Any]) -> None:
    """Chance leaves them as they are."""


def turn(hosts: MutableSequence[Any]) -> None:
    hosts.reverse()


ROUTES = [
    ([], ["example.org"]),
    ([(10, "a.example")], ["a.example"]),
    ([(20, "b.example"), (10, "a.example"), (5, "c.example")], ["c.example", "a.example", "b.example"]),
    ([(10, "a.example"), (10, "b.example"), (5, "c.example")], ["c.example", "b.example", "a.example"]),
    ([(10, "192.0.2.1"), (20, "a.example")], ["a.example"]),
    ([(0, "."), (20, "a.example")], ["a.example"]),
]


@pytest.mark.parametrize(("records", "names"), ROUTES)
def test_the_order_of_servers(records: list[tuple[int, str]], names: list[str]) -> None:
    assert [host.name for host in route_records("example.org", records, 25, turn)] == names


def test_the_port_goes_along() -> None:
    assert route_records("example.org", [(1, "a.example")], 2525, keep) == (Host("a.example", 2525, 1),)
    assert route_records("example.org", [], 2525, keep) == (Host("example.org", 2525),)


@pytest.mark.parametrize(
    ("records", "code"),
    [([(0, ".")], "556 5.1.10"), ([(7, ".")], "556 5.1.10"), ([(1, "192.0.2.1"), (2, "2001:db8::1")], "550 5.4.4")],
)
def test_domains_without_a_route(records: list[tuple[int, str]], code: str) -> None:
    with pytest.raises(NoRoute) as raised:
        route_records("example.org", records, 25, keep)
    assert raised.value.reply.startswith(f"{code} ")


def test_address_literals() -> None:
    assert route_literal("[192.0.2.1]", 25) == (Host("192.0.2.1"),)
    assert route_literal("[ipv6:2001:db8::1]", 26) == (Host("2001:db8::1", 26),)
    assert route_literal("example.org", 25) == ()
    with pytest.raises(NoRoute, match=r"550 5\.1\.2"):
        route_literal("[x400:something]", 25)


LOOPS = [
    (["a 10", "b 20"], ["a", "b"]),
    (["a 10", "us 20", "b 20", "c 30"], ["a"]),
    (["a 5", "b 10", "us 20"], ["a", "b"]),
]


@pytest.mark.parametrize(("hosts", "left"), LOOPS)
def test_we_are_among_the_servers(hosts: list[str], left: list[str]) -> None:
    """RFC 5321 §5.1: what is not better than we are is not tried."""
    assert [host.name for host in drop_ourselves("example.org", _hosts(hosts), _is_us)] == left


@pytest.mark.parametrize("hosts", [["us 10"], ["us 10", "a 10"], ["us 1", "a 10"]])
def test_nobody_is_better_than_we_are(hosts: list[str]) -> None:
    with pytest.raises(NoRoute, match=r"554 5\.4\.6 Mail for example\.org would come back"):
        drop_ourselves("example.org", _hosts(hosts), _is_us)


def _hosts(texts: list[str]) -> list[Host]:
    return [Host(name, preference=int(preference)) for name, preference in (text.split() for text in texts)]


def _is_us(host: Host) -> bool:
    return host.name == "us"


@pytest.mark.parametrize(
    ("host", "label"),
    [(Host("a.example"), "a.example"), (Host("a.example", 26), "a.example:26"), (Host("::1", 26), "[::1]:26")],
)
def test_labels(host: Host, label: str) -> None:
    assert host.label == label
