# SPDX-License-Identifier: MIT
"""A converted message says what it said before, in 7 bits and in lines that every server takes."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator

from hypothesis import given
from hypothesis import strategies as st

from mailserver.mime.seven_bit import CannotConvert, make_seven_bit
from mailserver.mime.structure import Part, parse_structure
from mailserver.mime.transfer import decode_body

TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=60).map(lambda text: text.encode())
LINES = st.lists(
    st.one_of(TEXT, st.binary(max_size=200), st.sampled_from([b"--", b"--x", b"-- ", b".", b" ", b"=", b"a" * 1500])),
    max_size=8,
)  # fmt: skip
BODIES = LINES.map(b"\r\n".join)
ENCODINGS = st.sampled_from([None, b"7bit", b"8bit", b"binary", b"BASE64", b"quoted-printable"])
KINDS = st.sampled_from(
    [b"", b"text/plain", b"text/html; charset=iso-8859-1", b"image/png", b"application/x; name=\xc3\xbc", b"message/x"]
)
FIELDS = st.sampled_from(
    [
        b"",
        b"Subject: Gr\xc3\xbc\xc3\x9fe\r\n",
        b"Subject: \xfc\r\n",
        b"To: J\xf6rg <j@x.test>,\r\n \xfc <k@x.test>\r\n",
        b"MIME-Version: 1.0\r\n",
    ]
)


def make_leaf(kind: bytes, encoding: bytes | None, fields: bytes, body: bytes) -> bytes:
    header = fields + (b"Content-Type: " + kind + b"\r\n" if kind else b"")
    if encoding is not None:
        header += b"Content-Transfer-Encoding: " + encoding + b"\r\n"
    return header + b"\r\n" + body


LEAVES = st.builds(make_leaf, KINDS, ENCODINGS, FIELDS, BODIES)


def make_multipart(children: list[bytes], number: int, encoding: bytes | None, preamble: bytes) -> bytes:
    boundary = b"b%d" % number
    body = preamble + b"".join(b"\r\n--" + boundary + b"\r\n" + child for child in children)
    return make_leaf(b"multipart/mixed; boundary=" + boundary, encoding, b"", body + b"\r\n--" + boundary + b"--\r\n")


def make_enclosed(message: bytes, encoding: bytes | None, kind: bytes) -> bytes:
    return make_leaf(kind, encoding, b"", message)


CONTAINER_ENCODINGS = st.sampled_from([None, b"7bit", b"8bit", b"binary"])
MESSAGES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.builds(
            make_multipart,
            st.lists(inner, min_size=1, max_size=3),
            st.integers(1, 5),
            CONTAINER_ENCODINGS,
            st.just(b"") | TEXT,
        ),
        st.builds(make_enclosed, inner, CONTAINER_ENCODINGS, st.sampled_from([b"message/rfc822", b"message/global"])),
    ),
    max_leaves=6,
)
PIECES = st.sampled_from(
    [
        b"Content-Type: multipart/mixed; boundary=b1\r\n",
        b"Content-Type: multipart/mixed; boundary=\xfc\r\n",
        b"Content-Type: multipart/signed; boundary=b2\r\n",
        b"Content-Type: message/rfc822\r\n",
        b"Content-Transfer-Encoding: 8bit\r\n",
        b"Content-Transfer-Encoding: x\xff\r\n",
        *(b"--b1\r\n", b"--b1--\r\n", b"--\xfc\r\n", b"--b2\r\n", b"\r\n", b"\n", b"\r"),
    ]
)
RUBBISH = st.lists(PIECES | FIELDS | st.binary(max_size=12), max_size=20).map(b"".join)


def leaves(part: Part) -> Iterator[Part]:
    """Those that are not looked into; of message/global, which may be encoded whole, nothing is."""
    if part.children and f"{part.type}/{part.subtype}" != "message/global":
        for child in part.children:
            yield from leaves(child)
    else:
        yield part


def decoded(message: bytes) -> list[bytes]:
    return [
        b"".join(decode_body(part.encoding, [message[part.body_start : part.end]]))
        for part in leaves(parse_structure(message))
    ]


@given(MESSAGES)
def test_the_parts_say_what_they_said(message: bytes) -> None:
    converted = make_seven_bit(message)
    assert converted.isascii()
    assert decoded(converted) == decoded(message)
    if not message.isascii():
        assert not re.search(rb"[^\r\n]{999}", converted)
        assert all(part.encoding not in ("8bit", "binary") for part in leaves(parse_structure(converted)))
    assert make_seven_bit(converted) is converted


@given(RUBBISH)
def test_rubbish_is_converted_or_refused(message: bytes) -> None:
    with contextlib.suppress(CannotConvert):
        converted = make_seven_bit(message)
        assert all(converted[part.body_start : part.end].isascii() for part in leaves(parse_structure(converted)))
