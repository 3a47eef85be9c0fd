# SPDX-License-Identifier: MIT
"""Fields of any name, decoded, and the day that a Date field names."""

from __future__ import annotations

from datetime import date

import pytest

from mailserver.mime.dates import find_written_day
from mailserver.mime.decoded_fields import decode_fields
from mailserver.mime.headers import MAX_HEADER_BYTES


@pytest.mark.parametrize(
    ("message", "fields"),
    [
        (b"", []),
        (b"no header at all", []),
        (b"\r\n\r\nX: body", []),
        (b"A: 1\r\nB : 2\r\n\r\nC: 3\r\n", [("a", "1"), ("b", "2")]),
        (b"A: 1\nB: 2\n\nC: 3\n", [("a", "1"), ("b", "2")]),
        (b"A: one\r\n\ttwo\r\nA: three\r\n\r\n", [("a", "one two"), ("a", "three")]),
        (b"A:\r\n\r\n", [("a", "")]),
        (b"A: =?iso-8859-1?q?caf=E9?=\r\n\r\n", [("a", "caf\xe9")]),
        (b"A: caf\xc3\xa9\r\nB: caf\xe9\r\n\r\n", [("a", "caf\xe9"), ("b", "caf\xe9")]),
        (b"From nobody\r\nA: 1\r\nA: x:y\r\n\r\n", [("a", "1"), ("a", "x:y")]),
    ],
)
def test_fields(message: bytes, fields: list[tuple[str, str]]) -> None:
    assert decode_fields(message) == fields


def test_a_header_without_end_is_cut() -> None:
    fields = decode_fields(b"A: 1\r\n" + b"X: y\r\n" * MAX_HEADER_BYTES)
    assert fields[0] == ("a", "1")
    assert len(fields) < MAX_HEADER_BYTES / 5


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("Mon, 2 Mar 2026 23:30:00 -0500", date(2026, 3, 2)),
        ("3 Mar 2026 00:10:00 +1400", date(2026, 3, 3)),
        ("no day at all", None),
        ("Mon, 99 Mar 2026 10:00:00 +0000", None),
        ("", None),
    ],
)
def test_the_day_is_the_one_that_is_written(text: str, day: date | None) -> None:
    assert find_written_day(text) == day
