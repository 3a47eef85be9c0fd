# SPDX-License-Identifier: MIT
"""POP3 lines: what cannot be read, what is read as what, and what the transcript may show."""

from __future__ import annotations

import pytest

from protocols.pop3.commands import (
    Apop,
    Auth,
    Capa,
    Command,
    Dele,
    Lang,
    List,
    ListMechanisms,
    Noop,
    Pass,
    Quit,
    Retr,
    Rset,
    SaslCancel,
    SaslResponse,
    Stat,
    Stls,
    Top,
    Uidl,
    User,
    Utf8,
)
from protocols.pop3.grammar import (
    BadArguments,
    UnknownCommand,
    format_command,
    format_for_log,
    parse_command,
    parse_response,
)

DIGEST = "c4c9334bac560ecc979e58001b3e22fb"


@pytest.mark.parametrize("line", [b"", b" ", b" QUIT", b"QUI", b"QUITS", b"\xff\xfe", b"RETR\t1", b"__CLASS__", b"\0"])
def test_unknown(line: bytes) -> None:
    with pytest.raises(UnknownCommand):
        parse_command(line)


@pytest.mark.parametrize(
    "line",
    [
        b"USER",
        b"USER ",
        b"USER \xff",
        b"USER a\0b",
        b"PASS",
        b"PASS \xc3\x28",
        b"APOP",
        b"APOP alice",
        b"APOP alice " + DIGEST[:-1].encode(),
        b"APOP alice " + DIGEST[:-1].encode() + b"g",
        b"APOP  " + DIGEST.encode(),
        b"AUTH PLAIN !",
        b"AUTH PLAIN AAA",
        b"AUTH PLAIN ==",
        b"AUTH PLAIN AAAA AAAA",
        b"AUTH " + b"X" * 21,
        b"RETR",
        b"RETR 1 2",
        b"RETR one",
        b"RETR -1",
        b"RETR +1",
        b"RETR 1.0",
        b"RETR \xd9\xa1",
        b"RETR 12345678901",
        b"TOP",
        b"TOP 1",
        b"TOP 1 -1",
        b"TOP 1 2 3",
        b"DELE",
        b"LIST x",
        b"UIDL x",
        b"STAT 1",
        b"QUIT now",
        b"STLS x",
        b"UTF8 USER",
        b"LANG en us",
        b"LANG \xc3\xa9",
    ],
)
def test_bad_arguments(line: bytes) -> None:
    with pytest.raises(BadArguments):
        parse_command(line)


@pytest.mark.parametrize(
    ("line", "command"),
    [
        (b"USER alice", User("alice")),
        (b"uSeR  alice@example.test ", User("alice@example.test")),
        ("USER jörg".encode(), User("jörg")),
        (b"PASS  two  words ", Pass(" two  words ")),
        (b"APOP alice " + DIGEST.encode(), Apop("alice", DIGEST)),
        (b"APOP two words " + DIGEST.upper().encode(), Apop("two words", DIGEST)),
        (b"AUTH", ListMechanisms()),
        (b"AUTH ", ListMechanisms()),
        (b"AUTH plain", Auth("PLAIN")),
        (b"AUTH PLAIN =", Auth("PLAIN", b"")),
        (b"AUTH PLAIN AGEAYg==", Auth("PLAIN", b"\0a\0b")),
        (b"STLS", Stls()),
        (b"CAPA ", Capa()),
        (b"stat", Stat()),
        (b"LIST", List()),
        (b"LIST ", List()),
        (b"LIST 0002", List(2)),
        (b"UIDL", Uidl()),
        (b"UIDL 3", Uidl(3)),
        (b"RETR  4 ", Retr(4)),
        (b"TOP 1  0", Top(1, 0)),
        (b"DELE 9999999999", Dele(9999999999)),
        (b"NOOP", Noop()),
        (b"RSET", Rset()),
        (b"QUIT", Quit()),
        (b"UTF8", Utf8()),
        (b"LANG", Lang()),
        (b"LANG *", Lang("*")),
        (b"LANG en-GB", Lang("en-GB")),
    ],
)
def test_commands(line: bytes, command: Command) -> None:
    assert parse_command(line) == command
    assert parse_command(format_command(command).removesuffix(b"\r\n")) == command


@pytest.mark.parametrize("line", [b"!", b"AAA", b"**", b" AAAA", b"AAAA ", b"\xff", b"AA==AA=="])
def test_bad_responses(line: bytes) -> None:
    with pytest.raises(BadArguments):
        parse_response(line)


def test_responses() -> None:
    assert parse_response(b"*") == SaslCancel()
    assert parse_response(b"") == SaslResponse(b"")
    assert parse_response(b"AGEAYg==") == SaslResponse(b"\0a\0b")


@pytest.mark.parametrize(
    ("command", "shown"),
    [
        (Pass("Secret-1"), b"PASS ***"),
        (Apop("alice", DIGEST), b"APOP alice ***"),
        (Auth("PLAIN", b"\0alice\0Secret-1"), b"AUTH PLAIN ***"),
        (Auth("LOGIN"), b"AUTH LOGIN"),
        (SaslResponse(b"Secret-1"), b"***"),
        (User("alice"), b"USER alice"),
        (Top(1, 2), b"TOP 1 2"),
    ],
)
def test_secrets_are_blanked(command: Command, shown: bytes) -> None:
    assert format_for_log(command) == shown
    assert "Secret-1" not in repr(command)
    assert DIGEST not in repr(command)
