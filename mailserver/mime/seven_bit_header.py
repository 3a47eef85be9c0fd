# SPDX-License-Identifier: MIT
"""A header field with raw 8-bit bytes, as programs wrote them before there was a standard, in ASCII.

RFC 2047 §5 says where encoded words may stand: in text, in comments, and in the names beside addresses; RFC 2231 has
the form of MIME's parameters. Anything else (an address with an 8-bit local part, trace fields, message ids) has no
form in ASCII and is left as it is, which is what servers do with it everywhere. Pure.
"""

from __future__ import annotations

import re

from mailserver.mime.downgrade import (
    ADDRESS_FIELDS,
    FOLD,
    PARAMETER_FIELDS,
    TEXT_FIELDS,
    encode_parameters,
    encode_text,
)

_MORE_TEXT_FIELDS = frozenset(("keywords", "organization", "thread-topic"))
# RFC 5322 §3.4: what a list of addresses is made of; comments that nest are none of these. What does not end is looked
# through once: a backslash takes its letter along everywhere, so no quote or bracket is tried again.
_ADDRESS_PIECE = re.compile(
    r'<[^<>]*+>|"(?:[^"\\]|\\.)*+"(?:\s*@[^\s<>,;]*)?|\((?:[^()\\]|\\.)*+\)|[,;:]|(?:[^<>"(),;:\\]|\\.)++|.',
    re.DOTALL,
)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_BLANKS = re.compile(r"(\s+)")

_ASCII = (rb"\u0041", bytes(range(128)))
"""A charset in which these mean something else (UTF-16, Python's escapes) is not the one of a header."""


def make_ascii(field: bytes, charset: str) -> bytes:
    """The field with its line end; itself where it is in order or has no other form. `charset` is tried where the bytes
    are not UTF-8; ISO 8859-1 after that, which fits all bytes and is what `headers.decode_field` reads."""
    name_bytes, colon, raw = field.partition(b":")
    name = name_bytes.decode("latin-1").strip().lower()
    if field.isascii() or not colon or not name.isascii():
        return field
    text = _decode(raw, charset)
    if name in TEXT_FIELDS or name in _MORE_TEXT_FIELDS or name.startswith("x-"):
        value = _encode_words(text)
    elif name in ADDRESS_FIELDS:
        value = _encode_addresses(text)
    elif name in PARAMETER_FIELDS:
        value = encode_parameters(name, text)
    else:
        return field
    return name_bytes + b":" + value.encode("ascii") if value.isascii() else field


def _decode(raw: bytes, charset: str) -> str:
    for name in ("utf-8", charset):
        try:
            if all(text.decode(name) == text.decode("ascii") for text in _ASCII):
                return raw.decode(name)
        except (UnicodeError, LookupError, ValueError):
            continue
    return raw.decode("latin-1")


def _encode_words(text: str) -> str:
    """From the first word with a letter beyond ASCII to the last: blanks between encoded words do not count."""
    pieces = _BLANKS.split(text)
    beyond = [place for place, piece in enumerate(pieces) if not piece.isascii()]
    if not beyond:
        return text
    first, end = beyond[0], beyond[-1] + 1
    return "".join((*pieces[:first], _encode("".join(pieces[first:end])), *pieces[end:]))


def _encode(text: str) -> str:
    """What cannot be seen becomes a blank, as where it is read (`headers.decode_field`)."""
    unfolded = FOLD.sub("", text)
    return encode_text("", "".join(letter if letter.isprintable() else " " for letter in unfolded))


def _encode_addresses(text: str) -> str:
    """RFC 2047 §5 (3): a blank stands between an encoded word and what follows it."""
    return "".join(_encode_piece(piece) for piece in _ADDRESS_PIECE.findall(text)).replace("?=<", "?= <")


def _encode_piece(piece: str) -> str:
    """A name or a comment; not an address itself."""
    if piece.isascii() or piece.startswith("<"):
        return piece
    inner = _ESCAPE.sub(r"\1", piece[1:-1])
    if piece.startswith("("):
        return f"({_encode(inner)})"
    if piece.startswith('"'):
        return _encode(inner) if piece.endswith('"') else piece
    return piece if "@" in piece else _encode_words(piece)
