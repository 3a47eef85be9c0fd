# SPDX-License-Identifier: MIT
"""The first words of a message: RFC 8970."""

from __future__ import annotations

import time

import pytest

from mailserver.mime.preview import MAX_PREVIEW_CHARACTERS, PREVIEW_SOURCE_BYTES, find_text_part, make_preview
from mailserver.mime.structure import parse_structure


def preview(message: bytes) -> str | None:
    message = message.replace(b"\n", b"\r\n")
    part = find_text_part(parse_structure(message))
    return None if part is None else make_preview(part, message[part.body_start : part.end])


ALTERNATIVE = b"Content-Type: multipart/alternative; boundary=x\n\n"
MIXED = b"Content-Type: multipart/mixed; boundary=x\n\n"
HTML = b"Content-Type: text/html; charset=utf-8\n\n"


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (b"", ""),
        (b"Content-Type: image/png\n\nx", None),
        (b"Content-Type: text/plain; charset=klingon\n\ncaf\xc3\xa9", "café"),
        (b"Content-Type: text/plain; charset=hex\n\n6161", "6161"),
        (b"Content-Type: text/plain; charset=utf-8\n\n\xff", "\ufffd"),
        (b"Content-Type: text/plain; charset=iso-8859-1\n\ncaf\xe9", "café"),
        (b"Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: base64\n\nY2Fmw6k=", "café"),
        (b"Content-Transfer-Encoding: quoted-printable\n\na=20=\nb", "a b"),
        (b"Content-Transfer-Encoding: x-unknown\n\na", "a"),
        (b"\n  Hello,\n\tthis \x00is\x07 it. \n", "Hello, this is it."),
        (b"\n> quoted\n> more\nanswer", "answer"),
        (b"\n> only quoted", "> only quoted"),
        (
            HTML + b"<html><head><title>t</title><style>p {}</style></head><body><p>Hi&nbsp;&lt;you&gt;</p>x",
            "Hi <you> x",
        ),
        (HTML + b"<!-- hidden -->a<script>alert('<b>')</script>b", "a b"),
        (HTML + b"a<style>never closed", "a"),
        (HTML + b"a<unclosed", "a"),
        (HTML + "a\u200b\u200c\u00adb".encode(), "ab"),
        (
            ALTERNATIVE + b"--x\nContent-Type: text/html\n\n<b>rich</b>\n--x\n\nplain\n--x--",
            "plain",
        ),
        (
            ALTERNATIVE + b"--x\n\n\n--x\nContent-Type: text/html\n\n<b>rich</b>\n--x--",
            "rich",
        ),
        (
            MIXED + b"--x\nContent-Disposition: attachment\n\nno\n--x\n\nyes\n--x--",
            "yes",
        ),
        (b"Content-Type: message/rfc822\n\nSubject: a\n\nenclosed", None),
    ],
)
def test_previews(message: bytes, expected: str | None) -> None:
    assert preview(message) == expected


def test_a_preview_ends_between_words() -> None:
    shown = preview(b"\n" + b"word " * 100)
    assert shown
    assert len(shown) <= MAX_PREVIEW_CHARACTERS
    assert shown.endswith("word")
    assert preview(b"\n" + b"x" * 1000) == "x" * MAX_PREVIEW_CHARACTERS


@pytest.mark.parametrize("text", [b"<", b"<!--", b"<style", b"<style>", b"&", b"> ", b"</style "])
def test_no_text_takes_long(text: bytes) -> None:
    began = time.process_time()
    preview(HTML + text * (PREVIEW_SOURCE_BYTES // len(text)))
    preview(b"\n" + text * (PREVIEW_SOURCE_BYTES // len(text)))
    assert time.process_time() - began < 2
