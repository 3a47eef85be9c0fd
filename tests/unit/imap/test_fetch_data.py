# SPDX-License-Identifier: MIT
"""The answer to FETCH: items, envelopes, structures; and how what is asked for is written."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from mailserver.mime.structure import parse_structure
from protocols.imap import fetch_data as f
from protocols.imap.fetch_items import format_fetch_item, parse_fetch_item
from protocols.imap.lexer import Lexer

THEN = datetime(2024, 2, 1, 3, 4, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        (f.format_flags_item(frozenset({"\\Seen", "a"})), b"FLAGS (\\Seen a)"),
        (f.format_flags_item(frozenset()), b"FLAGS ()"),
        (f.format_uid_item(7), b"UID 7"),
        (f.format_modseq_item(7), b"MODSEQ (7)"),
        (f.format_size_item(7), b"RFC822.SIZE 7"),
        (f.format_internal_date_item(THEN), b'INTERNALDATE "01-Feb-2024 03:04:05 +0000"'),
        (f.format_save_date_item(THEN), b'SAVEDATE "01-Feb-2024 03:04:05 +0000"'),
        (f.format_save_date_item(None), b"SAVEDATE NIL"),
        (f.format_email_id_item("M1"), b"EMAILID (M1)"),
        (f.format_thread_id_item("T1"), b"THREADID (T1)"),
        (f.format_thread_id_item(None), b"THREADID NIL"),
        (f.format_preview_item("hé", utf8=False), b"PREVIEW {3}\r\nh\xc3\xa9"),
        (f.format_preview_item("hé", utf8=True), b'PREVIEW "h\xc3\xa9"'),
        (f.format_preview_item(None, utf8=True), b"PREVIEW NIL"),
        (f.format_section("BODY[1]<0>", b"ab\x00"), b"BODY[1]<0> {3}\r\nab\x00"),
        (f.format_section("BODY[9]", None), b"BODY[9] NIL"),
        (f.format_section("BINARY[1]", b"\0", binary=True), b"BINARY[1] ~{1}\r\n\0"),
        (f.begin_section("BODY[]", 12), b"BODY[] {12}\r\n"),
        (f.begin_section("BINARY[]", 12, binary=True), b"BINARY[] ~{12}\r\n"),
        (f.format_binary_size("BINARY.SIZE[1]", 5), b"BINARY.SIZE[1] 5"),
    ],
)
def test_items(item: bytes, expected: bytes) -> None:
    assert item == expected


def test_responses() -> None:
    items = [f.format_uid_item(7), f.format_flags_item(frozenset())]
    assert f.format_fetch(3, items) == b"* 3 FETCH (UID 7 FLAGS ())\r\n"
    assert f.format_fetch(7, items[1:], uid_only=True) == b"* 7 UIDFETCH (FLAGS ())\r\n"


MESSAGE = (
    b"Date: Mon, 1 Jan 2024 00:00:00 +0000\r\nSubject: \xc3\xa9\r\nFrom: A <a@b>\r\nTo: g: c@d;\r\nMessage-ID: <m>\r\n"
    b"Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\nContent-Type: text/html; charset=utf-8\r\n"
    b"Content-Disposition: attachment; filename=f\r\nContent-Language: de\r\n\r\nhi\r\n--x\r\n"
    b"Content-Type: message/rfc822\r\n\r\nSubject: in\r\n\r\nx\r\ny\r\n--x\r\n"
    b"Content-Type: image/png\r\n\r\n\r\n--x--\r\n"
)


@pytest.mark.parametrize(("utf8", "subject"), [(False, b"{2}\r\n\xc3\xa9"), (True, b'"\xc3\xa9"')])
def test_an_envelope(utf8: bool, subject: bytes) -> None:
    envelope = parse_structure(MESSAGE).envelope
    assert envelope
    author = b'(("A" NIL "a" "b"))'
    expected = b'ENVELOPE ("Mon, 1 Jan 2024 00:00:00 +0000" %s %s %s %s ' % (subject, author, author, author)
    expected += b'((NIL NIL "g" NIL)(NIL NIL "c" "d")(NIL NIL NIL NIL)) NIL NIL NIL "<m>")'
    assert f.format_envelope_item(envelope, utf8=utf8) == expected


INNER = b'(NIL "in" NIL NIL NIL NIL NIL NIL NIL NIL)'


def test_a_body() -> None:
    assert f.format_body_item(parse_structure(MESSAGE)) == (
        b'BODY (("text" "html" ("charset" "utf-8") NIL NIL "7bit" 2 1)'
        b'("message" "rfc822" NIL NIL NIL "7bit" 19 '
        + INNER
        + b' ("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" '
        b'4 2) 4)("image" "png" NIL NIL NIL "7bit" 0) "mixed")'
    )


def test_a_body_structure() -> None:
    assert f.format_body_structure_item(parse_structure(MESSAGE)) == (
        b'BODYSTRUCTURE (("text" "html" ("charset" "utf-8") NIL NIL "7bit" 2 1 NIL ("attachment" ("filename" "f")) '
        b'("de") NIL)("message" "rfc822" NIL NIL NIL "7bit" 19 '
        + INNER
        + b' ("text" "plain" ("charset" "us-ascii") NIL '
        b'NIL "7bit" 4 2 NIL NIL NIL NIL) 4 NIL NIL NIL NIL)("image" "png" NIL NIL NIL "7bit" 0 NIL NIL NIL NIL) '
        b'"mixed" ("boundary" "x") NIL NIL NIL)'
    )


@pytest.mark.parametrize(
    "text",
    [
        b"FLAGS",
        b"RFC822.SIZE",
        b"RFC822.HEADER",
        b"PREVIEW",
        b"PREVIEW (LAZY)",
        b"BODY[]",
        b"BODY.PEEK[1.2.HEADER.FIELDS.NOT (From X-A)]<5.10>",
        b"BODY[1.MIME]",
        b"BINARY.PEEK[1]<0.7>",
        b"BINARY.SIZE[1.2]",
    ],
)
def test_what_is_asked_for_is_read_back(text: bytes) -> None:
    item = parse_fetch_item(Lexer([text]))
    assert format_fetch_item(item).encode() == text
