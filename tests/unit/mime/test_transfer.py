# SPDX-License-Identifier: MIT
"""Undoing transfer encodings, cut anywhere."""

from __future__ import annotations

import base64
import quopri
import random
import time

import pytest

from mailserver.mime.transfer import decode_body, is_known_encoding


def decode(encoding: str, *pieces: bytes) -> bytes:
    return b"".join(decode_body(encoding, pieces))


@pytest.mark.parametrize("encoding", ["x-uuencode", "", "base 64"])
def test_an_unknown_encoding_is_an_error(encoding: str) -> None:
    assert not is_known_encoding(encoding)
    with pytest.raises(LookupError):
        decode(encoding, b"x")


@pytest.mark.parametrize(
    ("encoded", "decoded"),
    [
        (b"", b""),
        (b"=", b""),
        (b"A", b""),
        (b"AA", b"\0"),
        (b"AAA", b"\0\0"),
        (b"A===", b""),
        (b"!@#$", b""),
        (b"Z m9\r\nv", b"foo"),
        (b"Zm9v=Zm9v", b"foofoo"),
        (b"Zg==Zm8=", b"ffo"),
        (b"Zm9v\r\n-- \r\nfooter", base64.b64decode(b"Zm9vfooter==")),
    ],
)
def test_base64_as_far_as_it_goes(encoded: bytes, decoded: bytes) -> None:
    assert decode("BASE64", encoded) == decoded
    assert decode("base64", *(encoded[at : at + 1] for at in range(len(encoded)))) == decoded


@pytest.mark.parametrize(
    ("encoded", "decoded"),
    [
        (b"", b""),
        (b"=", b""),
        (b"a=\r\nb", b"ab"),
        (b"a= \t\r\nb", b"ab"),
        (b"a=\nb", b"ab"),
        (b"a  \r\nb\t\n", b"a\r\nb\n"),
        (b"=C3=a9", b"\xc3\xa9"),
        (b"=zz=4", b"=zz=4"),
        (b"a=20\r\n", b"a \r\n"),
        (b"\xe9 _x", b"\xe9 _x"),
    ],
)
def test_quoted_printable_as_far_as_it_goes(encoded: bytes, decoded: bytes) -> None:
    assert decode("Quoted-Printable", encoded) == decoded
    assert decode("quoted-printable", *(encoded[at : at + 1] for at in range(len(encoded)))) == decoded


def test_both_agree_with_python_however_they_are_cut() -> None:
    dice = random.Random(3)
    for _ in range(100):
        raw = dice.randbytes(dice.randrange(300))
        for name, encoded in (("base64", base64.encodebytes(raw)), ("quoted-printable", quopri.encodestring(raw))):
            cuts = sorted(dice.randrange(len(encoded) + 1) for _ in range(5))
            pieces = [encoded[a:b] for a, b in zip([0, *cuts], [*cuts, len(encoded)], strict=True)]
            expected = raw if name == "base64" else quopri.decodestring(encoded)
            assert decode(name, *pieces) == expected


@pytest.mark.parametrize("piece", [b" " * 65536, b"=" * 65536, b"=\n" * 32768, b"a" * 65536, b"=4" * 32768])
@pytest.mark.parametrize("encoding", ["base64", "quoted-printable"])
def test_nothing_takes_long(encoding: str, piece: bytes) -> None:
    began = time.process_time()
    sum(map(len, decode_body(encoding, [piece] * 32)))
    assert time.process_time() - began < 4


def test_other_encodings_change_nothing() -> None:
    assert decode("8bit", b"a", b"=20") == b"a=20"
