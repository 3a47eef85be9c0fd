# SPDX-License-Identifier: MIT
"""Header sections: found, summarised and decoded, whatever the bytes."""

from __future__ import annotations

import pytest

from mailserver.mime.headers import (
    MAX_FIELD_CHARACTERS,
    MAX_HEADER_BYTES,
    decode_field,
    header_section,
    summarise,
)


@pytest.mark.parametrize(
    ("message", "header"),
    [
        (b"", b""),
        (b"\r\nbody\r\n\r\n", b""),
        (b"Subject: x\r\n\r\nbody", b"Subject: x\r\n"),
        (b"Subject: x\r\n", b"Subject: x\r\n"),
        (b"Hello,\r\nSubject: x\r\n\r\n", b""),
        (b" Subject: x\r\n\r\n", b""),
        (b"\xff: x\r\n\r\n", b""),
        (b"A: 1\r\nB: 2\r\n\r\n\r\n", b"A: 1\r\nB: 2\r\n"),
    ],
)
def test_header_section(message: bytes, header: bytes) -> None:
    assert header_section(message) == header


def test_endless_header_is_cut() -> None:
    assert len(header_section(b"X: 1\r\n" * 100_000)) == MAX_HEADER_BYTES


def test_summary() -> None:
    header = (
        b"Received: a\r\nreceived:b\r\nRECEIVED \t: c\r\nX-Received: d\r\n Received: folded\r\n"
        b"Subject: one\r\n\ttwo\r\nSubject: second\r\nFrom: =?utf-8?q?J=C3=BCrgen?= <j@x>\r\nCc:\r\nSubjects: no\r\n"
        b"Message-ID: <1@x>\r\nBroken line\r\nDate: Mon, 2 Mar 2026 09:30:00 +0000\r\nReferences: <0@x>\r\n"
    )
    summary = summarise(header)
    assert summary.received_count == 3
    assert summary.fields == {
        "subject": "one two",
        "from": "Jürgen <j@x>",
        "cc": "",
        "message-id": "<1@x>",
        "date": "Mon, 2 Mar 2026 09:30:00 +0000",
        "references": "<0@x>",
    }


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (b" plain ", "plain"),
        ("grüße".encode(), "grüße"),
        ("grüße".encode("latin-1"), "grüße"),
        (b"=?ISO-8859-1?Q?a_b=FC?=", "a bü"),
        (b"=?utf-8?b?Z3LDvMOfZQ==?=", "grüße"),
        (b"=?utf-8?b?Z3LDvMOfZQ?=", "grüße"),
        (b"=?utf-8*de?q?ja?=", "ja"),
        (b"=?utf-8?q?a?= =?utf-8?q?b?=", "ab"),
        (b"=?utf-8?q?a?=\r\n =?utf-8?q?b?= c", "ab c"),
        (b"a =?utf-8?q?b?= c", "a b c"),
        (b"=?utf-8?b?w7w=?= =?latin1?q?=FC?=", "üü"),
        (b"=?utf-8?q?=C3?= =?utf-8?q?=BC?=", "ü"),
        (b"=?utf-8?b?w?= =?utf-8?b?7w=?=", "w\ufffd"),
        (b"=?unknown-8bit?q?=C3=BC?=", "ü"),
        (b"=?hex?q?6162?=", "6162"),
        (b"=?undefined?q?ab?=", "ab"),
        (b"=?idna?q?=FF?=", "\ufffd"),
        (b"=?utf-8?x?ab?=", "=?utf-8?x?ab?="),
        (b"=?utf-8?q?ab", "=?utf-8?q?ab"),
        (b"a\x00b\x07c\x7f", "a b c"),
        (b"=?utf-8?q?a=00b=0D=0Ac?=", "a b  c"),
        (b"=?utf-7?q?+2D0-?=", "?"),
    ],
)
def test_decoding_for_people(value: bytes, text: str) -> None:
    assert decode_field(value) == text


def test_long_field_is_cut() -> None:
    assert len(decode_field(b"x" * 1_000_000)) == MAX_FIELD_CHARACTERS
