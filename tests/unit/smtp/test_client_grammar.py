# SPDX-License-Identifier: MIT
"""The client's grammar by tables: replies however they are cut, EHLO's answers, commands, and dots."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailserver.values import Address
from protocols.smtp.client_grammar import (
    MAX_REPLY_BYTES,
    BadReply,
    DotStuffer,
    Extensions,
    OutgoingRecipient,
    Reply,
    ReplyReader,
    format_mail,
    format_rcpt,
    needs_smtputf8,
    parse_extensions,
    parse_reply,
)

ANN = Address("ann", "example.org")
EVERYTHING = Extensions({"SIZE": "100", "8BITMIME": "", "SMTPUTF8": "", "DSN": ""})

REPLIES = [
    (b"250 fine\r\n", Reply(250, ("fine",))),
    (b"250\r\n", Reply(250, ("",))),
    (b"250 \r\n", Reply(250, ("",))),
    (b"250-one\r\n250-two\r\n250 three\r\n", Reply(250, ("one", "two", "three"))),
    (b"250-one\n250 two\n", Reply(250, ("one", "two"))),
    (b"250-one\r\n550 two\r\n", Reply(550, ("one", "two"))),
    (b"550 a\x1b[2Jb\tc\r\n", Reply(550, ("a\\x1b[2Jb c",))),
    ("550 größer\r\n".encode(), Reply(550, ("größer",))),
    (b"550 \xff\r\n", Reply(550, ("\\xff",))),
]


@pytest.mark.parametrize(("data", "reply"), REPLIES)
@pytest.mark.parametrize("cut", [1, 3, 1000])
def test_a_reply_however_it_is_cut(data: bytes, reply: Reply, cut: int) -> None:
    reader = ReplyReader()
    found = []
    for start in range(0, len(data), cut):
        reader.feed(data[start : start + cut])
        if (one := reader.next_reply()) is not None:
            found.append(one)
    assert found == [reply]
    assert reader.empty


def test_several_replies_at_once() -> None:
    reader = ReplyReader()
    reader.feed(b"250 a\r\n250-b\r\n250 c\r\n354 d\r\n2")
    codes = [reader.next_reply() for _ in range(4)]
    assert [reply.code if reply else None for reply in codes] == [250, 250, 354, None]
    assert not reader.empty


JUNK = [
    b"hello\r\n",
    b"25 x\r\n",
    b"2500 x\r\n",
    b"650 x\r\n",
    b"\r\n",
    b"250-a\r\nnonsense\r\n",
    b"x" * 9000,
    b"150 x\r\n",
]


@pytest.mark.parametrize("data", JUNK)
def test_what_is_no_reply(data: bytes) -> None:
    with pytest.raises(BadReply):
        read_all([data])


def test_a_reply_that_never_ends() -> None:
    with pytest.raises(BadReply):
        read_all([b"250-and another thing\r\n"] * MAX_REPLY_BYTES)


def read_all(pieces: list[bytes]) -> list[Reply]:
    reader, found = ReplyReader(), []
    for piece in pieces:
        reader.feed(piece)
        while (reply := reader.next_reply()) is not None:
            found.append(reply)
    return found


@given(st.binary(max_size=300), st.integers(1, 50))
def test_any_bytes_are_replies_or_a_bad_reply(data: bytes, cut: int) -> None:
    """And how they are cut does not matter."""

    def read(pieces: list[bytes]) -> list[object]:
        reader, found = ReplyReader(), []
        try:
            for piece in pieces:
                reader.feed(piece)
                while (reply := reader.next_reply()) is not None:
                    found.append(reply)
        except BadReply as error:
            found.append(str(error))
        return found

    assert read([data]) == read([data[start : start + cut] for start in range(0, len(data), cut)])


def test_the_words_of_a_reply() -> None:
    reply = Reply(550, ("5.1.1 no such user", "go away", ""))
    assert reply.text == "550-5.1.1 no such user\n550-go away\n550"
    assert reply.raw == "550-5.1.1 no such user\r\n550-go away\r\n550"
    assert (reply.enhanced, reply.permanent, reply.positive) == ("5.1.1", True, False)


@pytest.mark.parametrize(
    ("reply", "enhanced"),
    [
        (Reply(250, ("2.1.5 ok",)), "2.1.5"),
        (Reply(450, ("4.07.001",)), "4.7.1"),
        (Reply(550, ("4.7.1 odd",)), ""),
        (Reply(550, ("no code",)), ""),
        (Reply(550, ("5.1.1x",)), ""),
        (Reply(550, ()), ""),
    ],
)
def test_enhanced_codes(reply: Reply, enhanced: str) -> None:
    assert reply.enhanced == enhanced


def test_what_a_script_makes_of_a_reply() -> None:
    assert parse_reply("550 5.1.1 no") == Reply(550, ("5.1.1 no",))
    assert parse_reply("550-a\r\n550 b\r\n") == Reply(550, ("a", "b"))
    assert parse_reply("no code") is None
    assert parse_reply("") is None
    assert parse_reply("550-open") is None


def test_extensions() -> None:
    reply = Reply(250, ("mx.example hello", "SIZE 1000", "size-not", "auth=LOGIN", "AUTH PLAIN", "X Y Z", "?odd"))
    extensions = parse_extensions(reply)
    assert extensions.server_name == "mx.example"
    assert extensions.max_size == 1000
    assert extensions.login_methods == ("LOGIN", "PLAIN")
    assert "X" in extensions
    assert "?ODD" not in extensions
    assert parse_extensions(Reply(250, ("mx", "SIZE"))).max_size == 0
    assert parse_extensions(Reply(250, ("mx", "SIZE many"))).max_size == 0


MAILS = [
    (None, EVERYTHING, {}, b"MAIL FROM:<> SIZE=7"),
    (ANN, Extensions({}), {"eight_bit": True, "envelope_id": "x", "smtputf8": True}, b"MAIL FROM:<ann@example.org>"),
    (
        ANN,
        EVERYTHING,
        {"eight_bit": True, "smtputf8": True, "dsn_return": "HDRS", "envelope_id": "a+20b"},
        b"MAIL FROM:<ann@example.org> SIZE=7 BODY=8BITMIME SMTPUTF8 RET=HDRS ENVID=a+20b",
    ),
    (Address("a b", "example.org"), Extensions({}), {}, b'MAIL FROM:<"a b"@example.org>'),
    (Address("grün", "example.org"), Extensions({}), {}, "MAIL FROM:<grün@example.org>".encode()),
]


@pytest.mark.parametrize(("path", "extensions", "more", "command"), MAILS)
def test_mail_from(path: Address | None, extensions: Extensions, more: dict[str, object], command: bytes) -> None:
    assert format_mail(path, extensions, 7, **more) == command  # type: ignore[arg-type]


def test_rcpt_to() -> None:
    recipient = OutgoingRecipient(ANN, "SUCCESS FAILURE", "rfc822;ann@example.org")
    with_dsn = b"RCPT TO:<ann@example.org> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;ann@example.org"
    assert format_rcpt(recipient, EVERYTHING) == with_dsn
    assert format_rcpt(recipient, Extensions({})) == b"RCPT TO:<ann@example.org>"


def test_no_command_is_smuggled_in() -> None:
    with pytest.raises(ValueError, match="control"):
        format_rcpt(OutgoingRecipient(Address("a", "b.example>\r\nDATA")), EVERYTHING)


def test_who_needs_smtputf8() -> None:
    assert not needs_smtputf8([ANN, None], b"Subject: x\r\n")
    assert needs_smtputf8([ANN], "Subject: grün\r\n".encode())
    assert needs_smtputf8([None, Address("grün", "example.org")], b"")


STUFFED = [
    (b"", b".\r\n"),
    (b"a\r\n", b"a\r\n.\r\n"),
    (b"a", b"a\r\n.\r\n"),
    (b".\r\n", b"..\r\n.\r\n"),
    (b"a\r\n.b\r\n..\r\n", b"a\r\n..b\r\n...\r\n.\r\n"),
    (b"a.\r\nb", b"a.\r\nb\r\n.\r\n"),
    (b"\r\n.\r\n\r\n.", b"\r\n..\r\n\r\n..\r\n.\r\n"),
]


@pytest.mark.parametrize(("data", "wire"), STUFFED)
@pytest.mark.parametrize("cut", [1, 2, 3, 100])
def test_dots(data: bytes, wire: bytes, cut: int) -> None:
    stuffer = DotStuffer()
    pieces = [stuffer.stuff(data[start : start + cut]) for start in range(0, len(data), cut)]
    assert b"".join(pieces) + stuffer.end() == wire


@given(st.lists(st.binary(max_size=4), max_size=20), st.integers(1, 7))
def test_dots_are_undone_by_the_other_end(words: list[bytes], cut: int) -> None:
    data = b"".join(word.replace(b"\r", b".").replace(b"\n", b"\r\n") for word in words)
    stuffer = DotStuffer()
    pieces = [stuffer.stuff(data[start : start + cut]) for start in range(0, len(data), cut)]
    wire = b"".join(pieces) + stuffer.end()
    lines = wire.split(b"\r\n")
    assert lines[-2:] == [b".", b""]
    assert b"." not in lines[:-2]
    undone = b"".join((line[1:] if line.startswith(b".") else line) + b"\r\n" for line in lines[:-2])
    assert undone in (data, data + b"\r\n")
