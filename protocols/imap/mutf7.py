# SPDX-License-Identifier: MIT
"""Mailbox names in modified UTF-7, the form that IMAP4rev1 clients use.

RFC 3501 §5.1.3, RFC 2152 (UTF-7), RFC 9051 appendix A.1. Decoding takes only the one right form of a name: what
could have been written plainly must not be encoded, shifts must not be empty or follow one another, and the bits
left over are zero. Two spellings of one name would be two names to a client and one to the server. Pure.
"""

from __future__ import annotations

import binascii
import re

# Everything that stands for itself, then shifted stretches: "&" base64 "-", or "&-" for "&".
_PARTS = re.compile(rb"[\x20-\x25\x27-\x7e]+|&([A-Za-z0-9+,]*)-")
_SHIFTED = re.compile(r"[^\x20-\x7e]+|&")


def decode_mutf7(name: bytes) -> str:
    """Raises ValueError for anything but the canonical form."""
    if b"&" not in name and name.isascii() and name.decode("ascii").isprintable():
        return name.decode("ascii")
    text: list[str] = []
    position, after_shift = 0, False
    while position < len(name):
        match = _PARTS.match(name, position)
        if not match:
            raise ValueError("not modified UTF-7")
        shifted = match[1]
        if shifted:
            if after_shift:
                raise ValueError("two shifts in a row")
            text.append(_decode_shift(shifted))
        else:
            text.append(match[0].decode("ascii") if shifted is None else "&")
        after_shift = bool(shifted)
        position = match.end()
    return "".join(text)


def _decode_shift(encoded: bytes) -> str:
    try:
        raw = binascii.a2b_base64(encoded.replace(b",", b"/") + b"=" * (-len(encoded) % 4))
        text = raw.decode("utf-16-be")
    except (binascii.Error, UnicodeDecodeError) as error:
        raise ValueError("broken modified UTF-7") from error
    if any("\x20" <= character <= "\x7e" for character in text):
        raise ValueError("printable characters must stand for themselves")
    if _encode_shift(text) != b"&" + encoded + b"-":
        raise ValueError("not the canonical form")
    return text


def encode_mutf7(name: str) -> bytes:
    """Any text without lone surrogates."""
    if name.isascii() and name.isprintable() and "&" not in name:
        return name.encode("ascii")
    parts: list[bytes] = []
    position = 0
    for match in _SHIFTED.finditer(name):
        parts.append(name[position : match.start()].encode("ascii"))
        parts.append(b"&-" if match[0] == "&" else _encode_shift(match[0]))
        position = match.end()
    parts.append(name[position:].encode("ascii"))
    return b"".join(parts)


def _encode_shift(text: str) -> bytes:
    encoded = binascii.b2a_base64(text.encode("utf-16-be"), newline=False)
    return b"&" + encoded.rstrip(b"=").replace(b"/", b",") + b"-"
