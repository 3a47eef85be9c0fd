# SPDX-License-Identifier: MIT
"""Where mail for an address goes, and how addresses are written."""

from __future__ import annotations

import pytest

from mailserver.addressing.resolve import REMOTE, UNKNOWN, Local, resolve
from mailserver.addressing.syntax import BadDomain, format_mailbox, parse_domain
from mailserver.config.snapshot import Directory, Snapshot, User
from mailserver.values import Address, MailboxId, UserId

BOB = User(UserId(1), "bob", Address("bob", "one.test"), MailboxId(11))
OTHER_BOB = User(UserId(2), "bob", Address("bob", "two.test"), MailboxId(21))
ADMIN = User(UserId(3), "chief", Address("chief", "one.test"), MailboxId(31), admin=True)
OFF = User(UserId(4), "off", Address("off", "one.test"), MailboxId(41), active=False)


def make_snapshot(*users: User, **settings: str) -> Snapshot:
    return Snapshot(directory=Directory(("one.test", "two.test"), users), settings=settings)


@pytest.mark.parametrize(
    ("local", "domain", "target"),
    [
        ("bob", "one.test", Local(BOB)),
        ("bob", "two.test", Local(OTHER_BOB)),
        ("BOB", "ONE.TEST", Local(BOB)),
        ("off", "one.test", Local(OFF)),
        ("nobody", "one.test", UNKNOWN),
        ("chief", "two.test", UNKNOWN),
        ("bob", "three.test", REMOTE),
        ("bob+tag", "one.test", UNKNOWN),
        ("postmaster", "three.test", REMOTE),
        ("Postmaster", "one.test", Local(ADMIN)),
        ("postmaster", "two.test", Local(ADMIN)),
        ("postmaster", "", Local(ADMIN)),
    ],
)
def test_resolve(local: str, domain: str, target: object) -> None:
    snapshot = make_snapshot(BOB, OTHER_BOB, ADMIN, OFF)
    assert resolve(Address(local, domain), snapshot) == target


def test_postmaster_goes_to_whom_the_setting_names() -> None:
    snapshot = make_snapshot(BOB, OTHER_BOB, ADMIN, **{"mail.main_administrator": "bob@two.test"})
    assert resolve(Address("postmaster", "one.test"), snapshot) == Local(OTHER_BOB)


def test_a_user_called_postmaster_gets_the_mail() -> None:
    postmaster = User(UserId(5), "postmaster", Address("postmaster", "two.test"), MailboxId(51))
    snapshot = make_snapshot(ADMIN, postmaster, **{"mail.main_administrator": "chief"})
    assert resolve(Address("postmaster", "two.test"), snapshot) == Local(postmaster)
    assert resolve(Address("postmaster", "one.test"), snapshot) == Local(ADMIN)


def test_somebody_always_gets_mail_for_postmaster() -> None:
    assert resolve(Address("postmaster", "one.test"), make_snapshot(BOB)) == Local(BOB)
    assert resolve(Address("postmaster", "one.test"), make_snapshot()) == UNKNOWN


@pytest.mark.parametrize(
    "text", ["", ".", "a..b", "-a", "a b", "[", "[]", "[1.2.3]", "ü\u200db", "😀.example", "x" * 256]
)
def test_not_a_domain(text: str) -> None:
    with pytest.raises(BadDomain):
        parse_domain(text)


def test_long_domain_of_short_labels() -> None:
    assert parse_domain("a." * 127 + "b")
    with pytest.raises(BadDomain):
        parse_domain("a." * 128 + "b")


@pytest.mark.parametrize(
    ("address", "text"),
    [
        (Address("a.b", "c"), "a.b@c"),
        (Address("a b", "c"), '"a b"@c'),
        (Address("a..b", "c"), '"a..b"@c'),
        (Address("", "c"), '""@c'),
        (Address("jürgen", "c"), "jürgen@c"),
        (Address("Postmaster", ""), "Postmaster"),
    ],
)
def test_format_mailbox(address: Address, text: str) -> None:
    assert format_mailbox(address) == text
