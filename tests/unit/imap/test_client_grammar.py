# SPDX-License-Identifier: MIT
"""What servers say, read as values; and what we say, read back by our own server's grammar."""

from __future__ import annotations

import pytest

from protocols.imap import client_grammar as g
from protocols.imap.client_grammar import (
    STREAMED,
    BadResponse,
    Capabilities,
    Command,
    Condition,
    Continuation,
    Exists,
    Expunged,
    FetchedItems,
    Folder,
    Found,
    Literal,
    Other,
    Piece,
    Response,
    parse_response,
)
from protocols.imap.commands import Login
from protocols.imap.grammar import parse_command
from protocols.imap.mutf7 import encode_mutf7


@pytest.mark.parametrize(
    ("line", "response"),
    [
        (b"* OK hello", Condition(b"", "OK", text="hello")),
        (b"* ok", Condition(b"", "OK")),
        (b"* OK [UIDVALIDITY 3857529045] UIDs valid", Condition(b"", "OK", "UIDVALIDITY", "3857529045", "UIDs valid")),
        (b"* OK [CAPABILITY IMAP4rev1 X] hi", Condition(b"", "OK", "CAPABILITY", "IMAP4rev1 X", "hi")),
        (b"* BYE [UNAVAILABLE] later", Condition(b"", "BYE", "UNAVAILABLE", "", "later")),
        (b"a1 NO [AUTHENTICATIONFAILED] wrong", Condition(b"a1", "NO", "AUTHENTICATIONFAILED", "", "wrong")),
        (b"a12 BAD \xff", Condition(b"a12", "BAD", text="\ufffd")),
        (b"a1 OK [READ-ONLY]", Condition(b"a1", "OK", "READ-ONLY")),
        (b"* OK [PERMANENTFLAGS (\\Seen \\*)] x", Condition(b"", "OK", "PERMANENTFLAGS", "(\\Seen \\*)", "x")),
        (b"+ go on", Continuation(b"go on")),
        (b"+", Continuation(b"")),
        (b"+ ", Continuation(b"")),
        (b"* CAPABILITY IMAP4rev1 auth=plain", Capabilities(frozenset({"IMAP4REV1", "AUTH=PLAIN"}))),
        (b"* 23 EXISTS", Exists(23)),
        (b"* 3 EXPUNGE", Expunged(3)),
        (b"* 1 RECENT", Other("RECENT")),
        (b"* SEARCH 2 84 882", Found((2, 84, 882))),
        (b"* SEARCH", Found(())),
        (b"* SEARCH 5 (MODSEQ 917)", Found((5,))),
        (b'* LIST (\\Noselect) "/" "~/Mail/foo"', Folder("~/Mail/foo", "/", frozenset({"\\Noselect"}))),
        (b"* LIST () NIL INBOX", Folder("INBOX", "", frozenset())),
        (b'* LIST () "." "Entw&APw-rfe" ("CHILDINFO" ("SUBSCRIBED"))', Folder("Entwürfe", ".", frozenset())),
        (b'* LIST () "/" "a&b"', Folder("a&b", "/", frozenset())),
        (b'* LIST () "\\\\" "a\\"b"', Folder('a"b', "\\", frozenset())),
        (
            b"* 12 FETCH (UID 5 RFC822.SIZE 44827 FLAGS (\\Seen $X))",
            FetchedItems(12, 5, 44827, frozenset({"\\Seen", "$X"})),
        ),
        (b"* 12 FETCH (FLAGS () UID 5)", FetchedItems(12, 5, None, frozenset())),
        (b"* 12 FETCH (MODSEQ (65402) UID 7)", FetchedItems(12, 7)),
        (b'* 1 FETCH (ENVELOPE ("x" (NIL NIL)) uid 4 BODY[] NIL)', FetchedItems(1, 4)),
        (b'* 1 FETCH (UID 4 BODY[] "short")', FetchedItems(1, 4, text=b"short")),
        (b"* 1 FETCH ()", FetchedItems(1)),
        (b"* FLAGS (\\Answered)", Other("FLAGS")),
        (b"* VANISHED 1:5", Other("VANISHED")),
    ],
)
def test_one_line(line: bytes, response: Response) -> None:
    assert parse_response([line]) == response


@pytest.mark.parametrize(
    ("pieces", "response"),
    [
        ([b"* 1 FETCH (UID 5 BODY[] ", STREAMED, b")"], FetchedItems(1, 5, body=True)),
        (
            [b"* 1 FETCH (BODY[] ", STREAMED, b" UID 5 FLAGS (a))"],
            FetchedItems(1, 5, None, frozenset({"a"}), body=True),
        ),
        ([b"* 1 FETCH (BODY[HEADER]<0> ", b"A: b\r\n", b" UID 9)"], FetchedItems(1, 9, header=b"A: b\r\n")),
        (
            [b'* 1 FETCH (BODY[HEADER.FIELDS (DATE "FROM")]<0> ', b"(", b" UID 9)"],
            FetchedItems(1, 9, header=b"("),
        ),
        ([b'* LIST () "/" ', b"a b", b""], Folder("a b", "/", frozenset())),
        ([b"* XYZZY ", b"anything", b" more"], Other("XYZZY")),
    ],
)
def test_with_literals(pieces: list[Piece], response: Response) -> None:
    assert parse_response(pieces) == response


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"*",
        b"nonsense",
        b"-ERR no",
        b"a.b OK x",
        b"a1 PREAUTH x",
        b"a1 EXISTS 5",
        b"* 1 FETCH",
        b"* 1 FETCH UID 5",
        b"* 1 FETCH (UID 5",
        b"* 1 FETCH (UID)",
        b"* 1 FETCH (UID x)",
        b"* 1 FETCH (UID 4294967296)",
        b"* 1 FETCH (UID -1)",
        b"* 1 FETCH (RFC822.SIZE 1e9)",
        b'* 1 FETCH ("UID" 5)',
        b"* 1 FETCH ((UID) 5)",
        b"* 1 FETCH (X (a (b) UID 5)",
        b'* 1 FETCH (X "abc)',
        b"* 1 FETCH (BODY[ 5)",
        b'* LIST "/" x',
        b"* LIST ()",
        b"* LIST () (a) b",
    ],
)
def test_what_breaks_the_grammar(line: bytes) -> None:
    with pytest.raises(BadResponse):
        parse_response([line])


def _pieces(command: Command) -> list[bytes]:
    """As our server's machine hands them on: a line without its end, then each literal and the line after it."""
    pieces = [b"t"]
    for part in command.parts:
        if isinstance(part, Literal):
            pieces[-1] += b" {%d}" % len(part.value)
            pieces += [part.value, b""]
        else:
            pieces[-1] += b" " + part
    return pieces


NASTY = [
    "plain",
    'quo"te',
    "back\\slash",
    "spa ce",
    "",
    "ümläut",
    "a\tb",
    "line\r\nbreak",
    "x" * 2000,
    "{3}",
    "(a)",
    "%*",
]


@pytest.mark.parametrize("text", NASTY)
def test_names_and_passwords_come_through(text: str) -> None:
    read = parse_command(_pieces(g.login(text, text)))
    assert isinstance(read, Login)
    assert (read.user, read.password) == (text, text)


def test_secrets_are_in_no_representation() -> None:
    command = g.login("anne", "s3cret")
    assert command.shown == "LOGIN anne ***"
    assert "s3cret" not in repr(command)
    assert "c2VjcmV0" not in g.authenticate("PLAIN", b"c2VjcmV0").shown
    assert "s3cret" not in repr(Literal(b"s3cret"))


@pytest.mark.parametrize("name", ["INBOX", "Entwürfe", "a b", 'x"y', "R&D", "日本語", "x" * 1500])
def test_folders_come_through(name: str) -> None:
    read = parse_command(_pieces(g.select(name)))
    assert getattr(read, "mailbox", None) == name


def test_what_a_collector_says_is_understood() -> None:
    for command in (
        g.uid_fetch([5, 1, 2, 3, 9], "(UID BODY.PEEK[])"),
        g.uid_fetch_all("(UID RFC822.SIZE FLAGS)"),
        g.uid_fetch([7], "(UID BODY.PEEK[HEADER.FIELDS (MESSAGE-ID DATE)]<0.1000>)"),
        g.uid_delete([1, 2]),
        g.uid_expunge([1, 2]),
        g.uid_move([1], "Done"),
        g.uid_copy([1], "Done"),
        g.create_folder("Done"),
        g.list_folders("*"),
        g.command("UID SEARCH DELETED"),
        g.command("IDLE", continues=True),
        g.authenticate("PLAIN", b"="),
        g.authenticate("PLAIN", None),
    ):
        parse_command(_pieces(command))
    assert g.format_uids([5, 1, 2, 3, 9]) == b"1:3,5,9"
    assert encode_mutf7("R&D") == b"R&-D"
