# SPDX-License-Identifier: MIT
"""Trace lines and dates."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from email import message_from_bytes
from email.policy import default

import pytest

from mailserver.mime.dates import find_date, format_date
from mailserver.mime.received import Hop, format_received, format_return_path, transmission_keyword
from mailserver.values import Address

MOMENT = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
HOP = Hop("192.0.2.7", "client.example", "mail.example.test", "Pillarbox", "ESMTP", "01ABC", MOMENT)


@pytest.mark.parametrize(
    ("moment", "text"),
    [
        (MOMENT, "Mon, 02 Mar 2026 09:30:00 +0000"),
        (MOMENT.astimezone(timezone(timedelta(hours=-5))), "Mon, 02 Mar 2026 09:30:00 +0000"),
        (datetime(2025, 12, 31, 23, 59, 59, tzinfo=UTC), "Wed, 31 Dec 2025 23:59:59 +0000"),
    ],
)
def test_date(moment: datetime, text: str) -> None:
    assert format_date(moment) == text
    assert find_date(text) == moment


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2 Mar 26 09:30 GMT", MOMENT),
        ("Mon, 2 Mar 2026 10:30:00 +0100 (CET)", MOMENT),
        ("Mon, 02 Mar 2026 09:30:00 -0000", MOMENT),
        ("", None),
        ("yesterday", None),
        ("Mon, 02 Mar 2026 25:30:00 +0000", None),
        ("Mon, 02 Mar 99999999999 09:30:00 +0000", None),
    ],
)
def test_dates_of_others(text: str, moment: datetime | None) -> None:
    assert find_date(text) == moment


def test_received() -> None:
    assert format_received(replace(HOP, only_recipient=Address("a b", "x.example"), tls="TLSv1.3 CIPHER")) == (
        b"Received: from client.example ([192.0.2.7])\r\n"
        b"\tby mail.example.test (Pillarbox) with ESMTP\r\n"
        b"\t(TLSv1.3 CIPHER)\r\n"
        b'\tid 01ABC for <"a b"@x.example>;\r\n'
        b"\tMon, 02 Mar 2026 09:30:00 +0000\r\n"
    )


@pytest.mark.parametrize(
    ("address", "helo", "source"),
    [
        ("2001:db8::1", "client.example", "client.example ([IPv6:2001:db8::1])"),
        ("192.0.2.7", "[192.0.2.7]", "[192.0.2.7] ([192.0.2.7])"),
        ("192.0.2.7", "", "[192.0.2.7] (HELO )"),
        ("192.0.2.7", "x) by evil (", "[192.0.2.7] (HELO x\\) by evil \\()"),
        ("", "client.example", "client.example ([unknown])"),
    ],
)
def test_source(address: str, helo: str, source: str) -> None:
    line = format_received(replace(HOP, client_address=address, helo=helo)).split(b"\r\n")[0]
    assert line == f"Received: from {source}".encode()


@pytest.mark.parametrize(
    ("extended", "encrypted", "authenticated", "smtputf8", "keyword"),
    [
        (False, False, False, False, "SMTP"),
        (True, False, False, False, "ESMTP"),
        (True, True, False, False, "ESMTPS"),
        (True, False, True, False, "ESMTPA"),
        (True, True, True, False, "ESMTPSA"),
        (True, False, False, True, "UTF8SMTP"),
        (True, True, True, True, "UTF8SMTPSA"),
    ],
)
def test_keyword(extended: bool, encrypted: bool, authenticated: bool, smtputf8: bool, keyword: str) -> None:
    given = transmission_keyword(extended=extended, encrypted=encrypted, authenticated=authenticated, smtputf8=smtputf8)
    assert given == keyword


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (None, b"Return-Path: <>\r\n"),
        (Address("a", "b.example"), b"Return-Path: <a@b.example>\r\n"),
        (Address('a"b', "c.example"), b'Return-Path: <"a\\"b"@c.example>\r\n'),
    ],
)
def test_return_path(path: Address | None, line: bytes) -> None:
    assert format_return_path(path) == line


def test_trace_lines_are_a_header_that_others_read() -> None:
    head = format_return_path(None) + format_received(HOP)
    message = message_from_bytes(head + b"Subject: x\r\n\r\ntext\r\n", policy=default)
    assert message.keys() == ["Return-Path", "Received", "Subject"]
    assert not message.defects
