# SPDX-License-Identifier: MIT
"""DNS overrides by tables: what fits, what stops, what cannot be read."""

from __future__ import annotations

import pytest

from mailserver.connectors.dns_servers import BadDnsServer, DnsServer, parse_dns_servers
from mailserver.connectors.overrides import (
    BadOverride,
    NamedServer,
    OverrideFacts,
    find_overrides,
    parse_server,
    read_overrides,
)

TEXT = """\
# our branch
*.branch.example   10.0.0.5:2525
branch.example     10.0.0.5:2525  # the same
big.example        fast.example  $size>1000 $priority:5
big.example        slow.example
late.example       other.example $retries>=3 $end
late.example       usual.example $age<60
ann.example        ann:s@cret:1@relay.example:587 $auth:ann* $end
*                  fallback.example $from:*@office.example $priority:50
"""

CASES = [
    (OverrideFacts("x.branch.example"), ["10.0.0.5"]),
    (OverrideFacts("BRANCH.example"), ["10.0.0.5"]),
    (OverrideFacts("elsewhere.example"), []),
    (OverrideFacts("big.example", size=1000), ["slow.example"]),
    (OverrideFacts("big.example", size=1001), ["fast.example", "slow.example"]),
    (OverrideFacts("late.example"), ["usual.example"]),
    (OverrideFacts("late.example", retries=3), ["other.example"]),
    (OverrideFacts("late.example", age_minutes=60), []),
    (OverrideFacts("late.example", age_minutes=60, reverse_path="a@office.example"), ["fallback.example"]),
    (OverrideFacts("ann.example", login="anna", reverse_path="a@office.example"), ["relay.example"]),
    (OverrideFacts("ann.example", login="bob"), []),
]


@pytest.mark.parametrize(("facts", "hosts"), CASES)
def test_which_lines_fit(facts: OverrideFacts, hosts: list[str]) -> None:
    overrides, problems = read_overrides(TEXT)
    assert problems == ()
    assert [override.server.host for override in find_overrides(overrides, facts)] == hosts


def test_what_a_line_says() -> None:
    overrides, _ = read_overrides(TEXT)
    assert overrides[6].server == NamedServer("relay.example", 587, "ann", "s@cret:1")
    assert (overrides[2].priority, overrides[3].priority) == (5, 10)
    assert "cret" not in repr(overrides[6])


WRONG = [
    "onlydomain",
    "a.example b.example $sise>1",
    "a@b.example c",
    "a.example host:99999",
    "a.example x:y@",
    "a [::1",
]


@pytest.mark.parametrize("line", WRONG)
def test_a_wrong_line_is_named_and_passed_over(line: str) -> None:
    overrides, problems = read_overrides(f"a.example b.example\n{line}\nc.example d.example\n")
    assert [override.domain for override in overrides] == ["a.example", "c.example"]
    assert [problem.line for problem in problems] == [2]
    assert str(problems[0]).startswith("Line 2: ")


@pytest.mark.parametrize(
    ("text", "server"),
    [
        ("mx.example", NamedServer("mx.example")),
        ("[2001:db8::1]:26", NamedServer("2001:db8::1", 26)),
        ("u:p@[2001:db8::1]", NamedServer("2001:db8::1", 25, "u", "p")),
    ],
)
def test_servers(text: str, server: NamedServer) -> None:
    assert parse_server(text) == server


def test_what_is_no_server() -> None:
    with pytest.raises(BadOverride):
        parse_server("a b")


def test_lists_of_dns_servers() -> None:
    assert parse_dns_servers("") == ()
    assert parse_dns_servers("10.0.0.1, 10.0.0.2:5353 [::1]:54,2001:db8::1") == (
        DnsServer("10.0.0.1"),
        DnsServer("10.0.0.2", 5353),
        DnsServer("::1", 54),
        DnsServer("2001:db8::1"),
    )


@pytest.mark.parametrize("text", ["dns.example", "10.0.0.1:0", "10.0.0.1:99999", "10.0.0", "[::1"])
def test_what_is_no_dns_server(text: str) -> None:
    with pytest.raises(BadDnsServer):
        parse_dns_servers(text)


@pytest.mark.parametrize("text", ["ann:s3cret@ho@st:x", "ann:s3cret@host:99999", "ann:s3:cret@@"])
def test_a_password_is_not_told_with_what_is_wrong(text: str) -> None:
    with pytest.raises(BadOverride) as caught:
        parse_server(text)
    assert "cret" not in str(caught.value)
    assert "'ann:***@" in str(caught.value)
