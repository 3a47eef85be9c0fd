# SPDX-License-Identifier: MIT
"""LAN forwarding rules by tables: which one fits, what becomes of the address, and who may send by it."""

from __future__ import annotations

import pytest

from mailserver.addressing.resolve import Lan, Local, Remote, Unknown, resolve
from mailserver.config.snapshot import Directory, Snapshot, User
from mailserver.lan.matching import LanRule, SmtpTarget, parse_smtp_target, rewrite, split_server
from mailserver.values import Address, MailboxId, UserId

ANN = User(UserId(1), "ann", Address("ann", "office.test"), MailboxId(1))
RULES = (
    LanRule(1, ("ann@office.test", "sales@office.test"), "a:25"),
    LanRule(2, ("~@office.test",), "b:25"),
    LanRule(3, ("*@branch.test", "x?@other.test"), "c:25", rewrite="*@inner.test"),
    LanRule(4, ("sales@office.test",), "d:25"),
    LanRule(5, ("robot",), "e:25"),
    LanRule(6, ("only-pop@z.test",), "f:25", condition="pop3"),
    LanRule(7, ("only-smtp@z.test",), "g:25", condition="smtp"),
    LanRule(8, ("*@*.wide.test",), "h:25"),
    LanRule(9, ("fax@*",), "i:25"),
)


def snapshot(**settings: bool) -> Snapshot:
    return Snapshot(directory=Directory(("office.test",), (ANN,)), lan_rules=RULES, settings=dict(settings))


CASES = [
    ("ann@office.test", "user"),
    ("sales@office.test", 1),
    ("SALES@office.test", 1),
    ("nobody@office.test", 2),
    ("robot@office.test", 2),
    ("u@branch.test", 3),
    ("xy@other.test", 3),
    ("xyz@other.test", "remote"),
    ("u@elsewhere.test", "remote"),
    ("only-pop@z.test", "remote"),
    ("only-smtp@z.test", 7),
    ("u@a.wide.test", 8),
    ("fax@anywhere.test", 9),
]


@pytest.mark.parametrize(("text", "expected"), CASES)
def test_the_first_rule_that_fits(text: str, expected: object) -> None:
    local, _, domain = text.partition("@")
    assert kind(resolve(Address(local, domain), snapshot())) == expected


def kind(target: object) -> object:
    match target:
        case Lan():
            return target.rule.id
        case Local():
            return "user"
        case Remote():
            return "remote"
        case Unknown():
            return "unknown"
    raise AssertionError(target)


def test_collected_mail_has_rules_of_its_own() -> None:
    assert kind(resolve(Address("only-pop", "z.test"), snapshot(), collected=True)) == 6
    assert kind(resolve(Address("only-smtp", "z.test"), snapshot(), collected=True)) == "remote"


def test_names_without_a_domain_where_they_are_allowed() -> None:
    allowed = snapshot(**{"lan.bare_addresses": True})
    assert kind(resolve(Address("robot", "office.test"), allowed)) == 5
    assert kind(resolve(Address("robot", "elsewhere.test"), allowed)) == "remote"


@pytest.mark.parametrize(
    ("address", "open_"), [("u@branch.test", True), ("u@a.wide.test", True), ("fax@x.test", False)]
)
def test_strangers_may_send_where_a_domain_is_named(address: str, open_: bool) -> None:
    local, _, domain = address.partition("@")
    target = resolve(Address(local, domain), snapshot())
    assert isinstance(target, Lan)
    assert target.for_strangers is open_


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "u@branch.test"),
        ("*@inner.test", "u@inner.test"),
        ("all@inner.test", "all@inner.test"),
        ("nonsense", "u@branch.test"),
        ("*@not a domain", "u@branch.test"),
    ],
)
def test_rewriting(text: str, expected: str) -> None:
    assert str(rewrite(Address("u", "branch.test"), text)) == expected


TARGETS = [
    ("SMTP:ann@example.org@10.0.0.5", SmtpTarget(Address("ann", "example.org"), "10.0.0.5:25")),
    (
        "smtp:ann@example.org@relay:sec@ret@10.0.0.5:587",
        SmtpTarget(Address("ann", "example.org"), "10.0.0.5:587", "relay", "sec@ret"),
    ),
    ("SMTP:ann@example.org@[2001:db8::1]:26", SmtpTarget(Address("ann", "example.org"), "[2001:db8::1]:26")),
    ("SMTP:ann@example.org", None),
    ("ann@example.org", None),
    ("SMTP:ann@example.org@host:99999", None),
]


@pytest.mark.parametrize(("text", "target"), TARGETS)
def test_smtp_targets(text: str, target: SmtpTarget | None) -> None:
    assert parse_smtp_target(text) == target
    assert "ret" not in repr(target) or target is None


@pytest.mark.parametrize(
    ("text", "server"), [("a:26", ("a", 26)), ("a", ("a", 25)), ("[::1]:26", ("::1", 26)), ("[::1]", ("::1", 25))]
)
def test_servers(text: str, server: tuple[str, int]) -> None:
    assert split_server(text) == server
