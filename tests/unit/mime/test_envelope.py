# SPDX-License-Identifier: MIT
"""Address lists and envelopes, broken ones first."""

from __future__ import annotations

import pytest

from mailserver.mime.addresses import GROUP_END, MAX_ADDRESSES, HeaderAddress, parse_addresses
from mailserver.mime.envelope import MessageEnvelope, find_envelope, make_envelope
from mailserver.mime.structure import parse_structure

A = HeaderAddress


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ()),
        (" , ,", ()),
        ("(only a comment)", ()),
        ("nobody", (A(None, None, "nobody", ""),)),
        ("<>", (A(None, None, "", ""),)),
        ("<", (A(None, None, "", ""),)),
        (">", (A(None, None, ">", ""),)),
        ("@", (A(None, None, "", ""),)),
        ("a@", (A(None, None, "a", ""),)),
        ("@b", (A(None, None, "", "b"),)),
        ("a@b@c", (A(None, None, "a@b", "c"),)),
        ("<a@b", (A(None, None, "a", "b"),)),
        ('"unclosed <a@b>', (A(None, None, "unclosed <a@b>", ""),)),
        ("(unclosed a@b", ()),
        ("x <a@b> y", (A("x", None, "a", "b"),)),
        ("x <a, b@c>", (A("x", None, "a,b", "c"),)),
        ("undisclosed recipients", (A(None, None, "undisclosed recipients", ""),)),
        ("a@b", (A(None, None, "a", "b"),)),
        ("a@b,c@d", (A(None, None, "a", "b"), A(None, None, "c", "d"))),
        ("a@b; c@d", (A(None, None, "a", "b"), A(None, None, "c", "d"))),
        ("Joe Q. Public <john.q@b>", (A("Joe Q. Public", None, "john.q", "b"),)),
        ('"Doe, \\"J\\"" <a@b>', (A('Doe, "J"', None, "a", "b"),)),
        ("a@b (Joe (the) Doe)", (A("Joe (the) Doe", None, "a", "b"),)),
        ("(x) Joe <a@b>", (A("Joe", None, "a", "b"),)),
        ('"a b"@c', (A(None, None, "a b", "c"),)),
        ("a@[192.0.2.1]", (A(None, None, "a", "[192.0.2.1]"),)),
        ("<@r1,@r2:a@b>", (A(None, "@r1,@r2", "a", "b"),)),
        ("a . b @ c . d", (A(None, None, "a.b", "c.d"),)),
        ("\xe9 <\xe9@b>", (A("\xe9", None, "\xe9", "b"),)),
        ("group:;", (A(None, None, "group", None), GROUP_END)),
        (
            "my group: a@b, x <c@d>;, e@f",
            (
                A(None, None, "my group", None),
                A(None, None, "a", "b"),
                A("x", None, "c", "d"),
                GROUP_END,
                A(None, None, "e", "f"),
            ),
        ),
        ("g: a@b", (A(None, None, "g", None), A(None, None, "a", "b"), GROUP_END)),
        ("g: h: a@b;", (A(None, None, "g", None), A(None, None, "h", ""), A(None, None, "a", "b"), GROUP_END)),
    ],
)
def test_address_lists(text: str, expected: tuple[HeaderAddress, ...]) -> None:
    assert parse_addresses(text) == expected


def test_a_very_long_list_is_cut() -> None:
    assert len(parse_addresses("a@b," * (MAX_ADDRESSES + 5))) == MAX_ADDRESSES


def test_an_envelope_without_a_header() -> None:
    assert make_envelope({}) == MessageEnvelope()


def test_the_author_stands_in_for_sender_and_reply_to() -> None:
    authors = (A(None, None, "a", "b"),)
    envelope = make_envelope({"from": "a@b", "sender": " ", "subject": ""})
    assert (envelope.from_, envelope.sender, envelope.reply_to) == (authors, authors, authors)
    assert (envelope.subject, envelope.date) == ("", None)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"from": "a@b"},
        {"from": "a@b", "sender": "c@d", "reply-to": "g: e@f;", "to": "x@y", "cc": "x@y", "bcc": "x@y"},
        {"date": "d", "subject": "\xff", "in-reply-to": "<i>", "message-id": "<m>"},
    ],
)
def test_what_is_stored_is_read_back(fields: dict[str, str]) -> None:
    envelope = make_envelope(fields)
    assert MessageEnvelope.from_json(envelope.to_json()) == envelope


@pytest.mark.parametrize(
    "message",
    [
        b"From: a@b\r\nSubject: x\r\n\r\nTo: not@this\r\n",
        b"from: a@b\nSUBJECT: x\n y\n\ntext",
        b"\r\nSubject: not this\r\n",
        b"no header\r\nat: all\r\n\r\n",
        b"Content-Type: multipart/mixed; boundary=x\r\nTo: a@b\r\nTo: c@d\r\n\r\n--x\r\nSubject: in\r\n\r\n--x--\r\n",
    ],
)
def test_the_envelope_of_the_start_is_that_of_the_whole(message: bytes) -> None:
    assert find_envelope(message) == parse_structure(message).envelope


def test_a_header_that_goes_on_has_no_envelope_yet() -> None:
    assert find_envelope(b"Subject: x\r\nTo: a@b\r\n") is None
