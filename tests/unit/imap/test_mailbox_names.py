# SPDX-License-Identifier: MIT
"""Names of mailboxes: modified UTF-7, INBOX, wildcards."""

import time

import pytest

from protocols.imap.mailbox_names import (
    find_fault,
    list_parents,
    matches_pattern,
    normalise_inbox,
    parse_mailbox_name,
)
from protocols.imap.mutf7 import decode_mutf7, encode_mutf7

NAMES = [
    (b"INBOX", "INBOX"),
    (b"a b/c", "a b/c"),
    (b"R&-D", "R&D"),
    (b"&-", "&"),
    (b"&-&-", "&&"),
    (b"&AOQ-", "ä"),
    (b"Entw&APw-rfe", "Entwürfe"),
    (b"~peter/mail/&U,BTFw-/&ZeVnLIqe-", "~peter/mail/台北/日本語"),  # RFC 3501 §5.1.3
    (b"&2D3eAA-", "\U0001f600"),
    (b"&AOk-&-&AOk-", "é&é"),
    (b"&AAk-", "\t"),
]


@pytest.mark.parametrize(
    "name",
    [
        b"&",
        b"&AOQ",
        b"R&D",
        b"&A-",
        b"&AO-",
        b"&AGE-",
        b"&AOQ-&APY-",
        b"&AOR-",
        b"&AOQ=-",
        b"&/-",
        b"a\xe4",
        b"\xc3\xa4",
        b"a\tb",
        b"&2D0-",
        b"&AOQAYQ-",
        b"&AOQ AOQ-",
        b"a\x00b",
        b"\x7f",
    ],
)
def test_broken_modified_utf7_is_refused(name: bytes) -> None:
    with pytest.raises(ValueError):
        decode_mutf7(name)


@pytest.mark.parametrize(("wire", "name"), NAMES)
def test_modified_utf7_both_ways(wire: bytes, name: str) -> None:
    assert decode_mutf7(wire) == name
    assert encode_mutf7(name) == wire


def test_after_enabling_utf8_names_are_utf8() -> None:
    assert parse_mailbox_name("Entwürfe".encode(), utf8=True) == "Entwürfe"
    assert parse_mailbox_name(b"R&D", utf8=True) == "R&D"
    with pytest.raises(ValueError):
        parse_mailbox_name(b"\xff", utf8=True)


@pytest.mark.parametrize(
    ("name", "expected"),
    [("inbox", "INBOX"), ("InBox/a", "INBOX/a"), ("inboxes", "inboxes"), ("a/inbox", "a/inbox"), ("", "")],
)
def test_inbox_is_the_same_in_any_case(name: str, expected: str) -> None:
    assert normalise_inbox(name) == expected


@pytest.mark.parametrize(
    "name", ["", "a\x00", "a\nb", "a\u2028b", "a%", "*", "/a", "a//b", "a/", "e\u0301", "x" * 256, "\ud800", "\x85"]
)
def test_names_that_cannot_be_created(name: str) -> None:
    assert find_fault(name)


@pytest.mark.parametrize("name", ["a", "a/b c/d", "é", "台北", "R&D", "#users/x", "a\\b", '"'])
def test_names_that_can_be_created(name: str) -> None:
    assert find_fault(name) == ""


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("*", ["INBOX", "INBOX/x", "a", "a/b", "a/b/c"]),
        ("%", ["INBOX", "a"]),
        ("a/%", ["a/b"]),
        ("a*", ["a", "a/b", "a/b/c"]),
        ("a%", ["a"]),
        ("*/%", ["INBOX/x", "a/b", "a/b/c"]),
        ("%/%", ["INBOX/x", "a/b"]),
        ("%%", ["INBOX", "a"]),
        ("***b", ["a/b"]),
        ("inbox", ["INBOX"]),
        ("inb%", ["INBOX"]),
        ("inbox/%", ["INBOX/x"]),
        ("INBOX/X", []),
        ("A", []),
        ("", []),
        ("a/", []),
    ],
)
def test_wildcards(pattern: str, names: list[str]) -> None:
    everything = ["INBOX", "INBOX/x", "a", "a/b", "a/b/c"]
    assert [name for name in everything if matches_pattern(name, pattern)] == names


def test_a_pattern_of_many_wildcards_is_no_trap() -> None:
    began = time.process_time()
    assert not matches_pattern("a" * 255, "*a" * 120 + "b")
    assert time.process_time() - began < 2


def test_parents() -> None:
    assert list(list_parents("a/b/c")) == ["a/b", "a"]
    assert list(list_parents("a")) == []
