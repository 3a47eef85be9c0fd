# SPDX-License-Identifier: MIT
"""Surrogates of internationalized headers: each kind of field, and what is left alone."""

from __future__ import annotations

from email.header import decode_header, make_header

import pytest

from mailserver.mime.downgrade import UNREACHABLE, downgrade_header


@pytest.mark.parametrize(
    ("field", "downgraded"),
    [
        ("Subject: plain", "Subject: plain"),
        ("Subject: Grüße", "Subject: =?utf-8?b?R3LDvMOfZQ==?="),
        ("SUBJECT:ü", "SUBJECT: =?utf-8?b?w7w=?="),
        ("From: Jörg <joerg@example.test>", "From: =?utf-8?b?SsO2cmc=?= <joerg@example.test>"),
        ('From: "Jörg" <joerg@example.test>', "From: =?utf-8?b?SsO2cmc=?= <joerg@example.test>"),
        ("To: a@b.test, ü <c@d.test>", "To: a@b.test,\r\n =?utf-8?b?w7w=?= <c@d.test>"),
        ("To: jörg@example.test", f"To: =?utf-8?b?asO2cmdAZXhhbXBsZS50ZXN0?= <{UNREACHABLE}>"),
        ("Resent-Cc: Jo <jo@bücher.test>", f"Resent-Cc: Jo <{UNREACHABLE}>"),
        ('Content-Type: text/plain; name="ü.txt"; x=y', "Content-Type: text/plain;\r\n name*=utf-8''%C3%BC.txt; x=y"),
        ("Content-Disposition: attachment; filename=ü", "Content-Disposition: attachment;\r\n filename*=utf-8''%C3%BC"),
        ("Content-Type: text/plain; ü", "Content-Type: text/plain; ?"),
    ],
)
def test_fields(field: str, downgraded: str) -> None:
    assert downgrade_header(f"{field}\r\n\r\n".encode()) == f"{downgraded}\r\n\r\n".encode("ascii")


@pytest.mark.parametrize("field", ["X-Note: ü", "Received: from ü", "Message-ID: <ü@x>", "Nämé: x", "no field ü"])
def test_fields_that_cannot_be_said_in_ascii_are_left_out(field: str) -> None:
    assert downgrade_header(f"A: 1\r\n{field}\r\n\tfolded\r\nB: 2\r\n\r\n".encode()) == b"A: 1\r\nB: 2\r\n\r\n"


def test_folded_and_long_subjects_come_through() -> None:
    text = "Grüße aus Köln, " * 20
    header = downgrade_header(f"Subject: {text[:100]}\r\n {text[100:]}\r\n".encode())
    assert header.isascii()
    assert all(len(line) <= 78 for line in header.splitlines())
    read = str(make_header(decode_header(header.decode().partition(": ")[2].rstrip())))
    assert read.replace(" ", "") == text.replace(" ", "")


@pytest.mark.parametrize("header", [b"", b"\r\n", b"A: 1\r\n\r\n", b"Subject: \xfc\r\nX: \xc3\xbc\r\n"])
def test_left_alone(header: bytes) -> None:
    assert downgrade_header(header) is header
