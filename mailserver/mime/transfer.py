# SPDX-License-Identifier: MIT
"""Undoing a part's transfer encoding, for BINARY, previews and search.

RFC 2045 §6, RFC 9051 §6.4.5 (BINARY). Pure. Damage is read as far as it goes, as mail programs do: one bad character
must not hide an attachment.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterable, Iterator

ENCODINGS = ("7bit", "8bit", "binary", "base64", "quoted-printable")
"""Any other is unknown: RFC 9051 §7.1 UNKNOWN-CTE."""

_NOT_BASE64 = re.compile(rb"[^A-Za-z0-9+/]+")
_PADDING = re.compile(rb"=[\s=]*")


def is_known_encoding(encoding: str) -> bool:
    return encoding.lower() in ENCODINGS


def decode_body(encoding: str, pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The decoded bytes in pieces, however the encoded ones are cut; an unknown encoding raises LookupError."""
    name = encoding.lower()
    if name == "base64":
        return _decode_base64(pieces)
    if name == "quoted-printable":
        return _decode_quoted_printable(pieces)
    if name in ENCODINGS:
        return iter(pieces)
    raise LookupError(encoding)


def _decode_base64(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Characters outside the alphabet are passed over (RFC 2045 §6.8); padding ends a run, and another may follow."""
    rest = b""
    for piece in pieces:
        *runs, last = _PADDING.split(rest + piece)
        decoded = b"".join(_decode_run(_NOT_BASE64.sub(b"", run)) for run in runs)
        kept = _NOT_BASE64.sub(b"", last)
        whole = len(kept) // 4 * 4
        decoded += _decode_run(kept[:whole])
        rest = kept[whole:]
        if decoded:
            yield decoded
    if rest:
        yield _decode_run(rest)


def _decode_run(characters: bytes) -> bytes:
    """As many whole octets as the characters hold; a single one left over holds none."""
    if len(characters) % 4 == 1:
        characters = characters[:-1]
    return binascii.a2b_base64(characters + b"=" * (-len(characters) % 4))


def _decode_quoted_printable(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Whole lines at a time, since white space before a line end is dropped (RFC 2045 §6.7 rule 3).

    A line without an end is decoded in stretches, so that memory stays bounded.
    """
    rest = b""
    for piece in pieces:
        text = rest + piece
        cut = text.rfind(b"\n") + 1
        if not cut and len(text) > _LONG_LINE_BYTES:
            cut = _safe_cut(text)
        if cut:
            yield _decode_lines(text[:cut])
        rest = text[cut:]
    if rest:
        yield _decode_lines(rest)


_LONG_LINE_BYTES = 1 << 16


def _safe_cut(text: bytes) -> int:
    """Before white space or an escape that the next piece may complete."""
    kept = text.rstrip(b" \t\r")
    escape = kept.rfind(b"=", max(0, len(kept) - 2))
    return escape if escape >= 0 else len(kept)


def _decode_lines(text: bytes) -> bytes:
    *lines, last = text.split(b"\n")
    ended = [
        line[:-1].rstrip(b" \t") + b"\r" if line.endswith(b"\r") else line.rstrip(b" \t") for line in lines
    ]  # fmt: skip
    return binascii.a2b_qp(b"\n".join([*ended, last]))
