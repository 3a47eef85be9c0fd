# SPDX-License-Identifier: MIT
"""Commands, paths and parameters as tables; the wire forms of their refusals are played in the dialogues."""

from __future__ import annotations

import pytest

from mailserver.values import Address, DsnNotify, DsnReturn
from protocols.smtp.grammar import (
    MAIL_DSN_KEYWORDS,
    MAIL_KEYWORDS,
    RCPT_DSN_KEYWORDS,
    Command,
    GrammarError,
    MailFrom,
    RcptTo,
    Wrong,
    decode_xtext,
    parse_command,
    parse_mail_from,
    parse_mailbox,
    parse_rcpt_to,
)

ALL_MAIL = MAIL_KEYWORDS | MAIL_DSN_KEYWORDS


@pytest.mark.parametrize(
    "line", [b"", b" NOOP", b"NOOP\0", b"NOOP\rQUIT", b"NOOP\nQUIT", b"1", b"MAIL<a@b>", b"\xff", b"NO-OP", b"\xc3\xa4"]
)
def test_not_a_command(line: bytes) -> None:
    with pytest.raises(GrammarError) as caught:
        parse_command(line)
    assert caught.value.wrong is Wrong.COMMAND


@pytest.mark.parametrize(
    ("line", "command"),
    [
        (b"noop", Command("NOOP", "")),
        (b"NOOP   ", Command("NOOP", "")),
        (b"Mail  FROM:<a@b>\t ", Command("MAIL", "FROM:<a@b>")),
        (b"EHLO b\xfcro", Command("EHLO", "b\udcfcro")),
        ("VRFY jürgen".encode(), Command("VRFY", "jürgen")),
    ],
)
def test_command(line: bytes, command: Command) -> None:
    assert parse_command(line) == command


@pytest.mark.parametrize(
    "path",
    [
        "", "<", "<>", "a", "<a>", "<a@>", "<@b>", "<a@b", "a@b>", "<<a@b>>", "<a@b>>", "< a@b>", "<a@b >", "<a b@c>",
        "<.a@b>", "<a.@b>", "<a..b@c>", "<a@b@c>", "<a@.b>", "<a@b..c>", "<a@-b>", "<a@b->", "<a@b_c-.d>", "<a@b,c>",
        "<a@b;c>", "<a@[1.2.3]>", "<a@[1.2.3.4>", "<a@1.2.3.4]>", "<a@[IPv6:1.2.3.4]>", "<a@[]>", "<a@[IPv6:]>",
        '<"a@b>', '<"a"b@c>', '<"a\\"@c>', '<"a\x01"@c>', "<a\x01@c>", "<a(comment)@c>", "<@a.example;b@c>",
        "<@a.example,:b@c>", "<@:b@c>", "<a@c>x", "<Postmaster@>", "<a\udcff@b>", "<a@\udcff>", "<a@\u0301b>",
        f"<a@{'b' * 64}.example>", f"<{'a' * 65}@b>", f"<a@{'b.' * 128}example>",
    ],
)  # fmt: skip
def test_not_a_path(path: str) -> None:
    with pytest.raises(GrammarError):
        parse_rcpt_to(f"TO:{path}", frozenset(), smtputf8=True)


@pytest.mark.parametrize(
    ("path", "address"),
    [
        ("<a@b>", Address("a", "b")),
        ("<A.B@Example.COM>", Address("A.B", "example.com")),
        ("<a@example.com.>", Address("a", "example.com")),
        ("<!#$%&'*+-/=?^_`{|}~@b>", Address("!#$%&'*+-/=?^_`{|}~", "b")),
        ('<"a b"@c>', Address("a b", "c")),
        ('<"a@b"@c>', Address("a@b", "c")),
        ('<"a\\"\\\\b"@c>', Address('a"\\b', "c")),
        ('<""@c>', Address("", "c")),
        ("<a@[192.0.2.1]>", Address("a", "[192.0.2.1]")),
        ("<a@[IPv6:2001:DB8::0:1]>", Address("a", "[ipv6:2001:db8::1]")),
        ("<a@[x400:c=gb]>", Address("a", "[x400:c=gb]")),
        ("<@one.example,@[192.0.2.1]:a@b>", Address("a", "b")),
        ("<a@my_office.example>", Address("a", "my_office.example")),
        ("<postMaster>", Address("postMaster", "")),
        ("<jürgen@bücher.example>", Address("jürgen", "xn--bcher-kva.example")),
        ("<a@BÜCHER.example>", Address("a", "xn--bcher-kva.example")),
        ("<a@faß.example>", Address("a", "xn--fa-hia.example")),
        ("<用户@例え.テスト>", Address("用户", "xn--r8jz45g.xn--zckzah")),
        (f"<{'a' * 64}@b>", Address("a" * 64, "b")),
    ],
)
def test_path(path: str, address: Address) -> None:
    assert parse_rcpt_to(f"TO:{path}", frozenset(), smtputf8=True).address == address
    if address.domain:
        assert parse_mail_from(f"FROM:{path} SMTPUTF8", ALL_MAIL).reverse_path == address


def test_path_may_have_256_octets() -> None:
    labels = ".".join(["b" * 60, "c" * 60, "d" * 60])
    fits = f"<{'a' * 64}@{labels}.eeeee>"
    assert len(fits) == 255
    assert parse_rcpt_to(f"TO:{fits}", frozenset(), smtputf8=False)
    with pytest.raises(GrammarError, match="Path too long"):
        parse_rcpt_to(f"TO:{fits.replace('eeeee', 'eeeeeee')}", frozenset(), smtputf8=False)


def test_null_path_is_a_sender_only() -> None:
    assert parse_mail_from("FROM:<>", ALL_MAIL) == MailFrom(None)
    with pytest.raises(GrammarError) as caught:
        parse_mail_from("FROM:<postmaster>", ALL_MAIL)
    assert caught.value.wrong is Wrong.SENDER


def test_quirk_paths_of_older_scanners_and_printers() -> None:
    assert parse_mail_from("from: a@b SIZE=5", ALL_MAIL) == MailFrom(Address("a", "b"), size=5)
    assert parse_rcpt_to("to:\t<a@b>", frozenset(), smtputf8=False).address == Address("a", "b")


def test_mail_parameters() -> None:
    mail = parse_mail_from("FROM:<a@b> SIZE=12 BODY=8BITMIME SMTPUTF8 RET=HDRS ENVID=a+2Bb AUTH=a+40b", ALL_MAIL)
    assert mail == MailFrom(Address("a", "b"), 12, True, True, DsnReturn.HEADERS, "a+2Bb")


def test_recipient_parameters() -> None:
    rcpt = parse_rcpt_to("TO:<a@b> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;A+2Bx@b", RCPT_DSN_KEYWORDS, smtputf8=False)
    notify = frozenset({DsnNotify.SUCCESS, DsnNotify.DELAY})
    assert rcpt == RcptTo(Address("a", "b"), notify, "rfc822;A+2Bx@b")
    utf8 = parse_rcpt_to("TO:<a@b> ORCPT=utf-8;jürgen@b", RCPT_DSN_KEYWORDS, smtputf8=True)
    assert utf8.original_recipient == "utf-8;jürgen@b"


@pytest.mark.parametrize(
    ("argument", "wrong"),
    [
        ("FROM:<a@b> X=1", Wrong.UNKNOWN_PARAMETER),
        ("FROM:<a@b> -X", Wrong.ARGUMENT),
        ("FROM:<a@b> SIZE==1", Wrong.ARGUMENT),
        ("FROM:<a@b> SIZE=-1", Wrong.ARGUMENT),
        ("FROM:<a@b> SIZE", Wrong.ARGUMENT),
        ("FROM:<a@b> BODY", Wrong.ARGUMENT),
        ("FROM:<a@b> RET", Wrong.ARGUMENT),
        ("FROM:<a@b> ENVID=" + "x" * 101, Wrong.ARGUMENT),
        ("FROM:<a@b> ENVID=j\u00fc", Wrong.ARGUMENT),
        ("FROM:<a@b> AUTH=a+4", Wrong.ARGUMENT),
        ("FROM:<\u00fc@b>", Wrong.NEEDS_SMTPUTF8),
        ("FROM:<a@\u00fc>", Wrong.NEEDS_SMTPUTF8),
    ],
)
def test_wrong_mail_parameters(argument: str, wrong: Wrong) -> None:
    with pytest.raises(GrammarError) as caught:
        parse_mail_from(argument, ALL_MAIL)
    assert caught.value.wrong is wrong


@pytest.mark.parametrize(
    "value", ["rfc822", ";a@b", "rfc822;", "rfc822;a+zz", "rfc822;\u00fc@b", "rfc822;" + "x" * 500]
)
def test_wrong_original_recipient(value: str) -> None:
    with pytest.raises(GrammarError):
        parse_rcpt_to(f"TO:<a@b> ORCPT={value}", RCPT_DSN_KEYWORDS, smtputf8=True)


def test_mailbox_alone() -> None:
    assert parse_mailbox("<a@b>") == parse_mailbox("a@b") == Address("a", "b")
    with pytest.raises(GrammarError):
        parse_mailbox("a@b c@d")


def test_xtext_examples_of_rfc_3461() -> None:
    assert decode_xtext("Bob+2Bx") == b"Bob+x"
    assert decode_xtext("a+20b+2Bc+3Dd+FF") == b"a b+c=d\xff"
    with pytest.raises(GrammarError):
        decode_xtext("a+2b")
