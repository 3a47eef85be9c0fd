# SPDX-License-Identifier: MIT
"""The header section of a message: found, summarised, and decoded for people. Never raises, whatever the bytes.

RFC 5322 §2.2, RFC 2047, RFC 6532 §3. Pure. Header sections are read once, when a message arrives, so this is kept
cheap: one pass of one pattern, and decoding only of what is stored.

The stored fields (`NewContent.fields`) are those that lists, sorting and search need: `subject`, `from`, `to`, `cc`,
`date`, `message-id`, `in-reply-to` and `references`, decoded, each cut at `MAX_FIELD_CHARACTERS`; a field that the
message lacks is left out, and of a repeated one the first counts.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import groupby

MAX_HEADER_BYTES = 256 * 1024
"""What stands behind is taken for body. Postfix cuts at 100 KB (header_size_limit is 102,400)."""
MAX_FIELD_CHARACTERS = 8000
"""Some 200 addresses; whoever needs all of a longer field reads the message."""

# field = field-name ":" unstructured; obs-optional = field-name *WSP ":" (RFC 5322 §4.5.8)
_FIELDS = re.compile(
    rb"^(subject|from|to|cc|date|message-id|in-reply-to|references|received)[ \t]*:"
    rb"([^\r\n]*(?:\r\n[ \t][^\r\n]*)*)",
    re.IGNORECASE | re.MULTILINE,
)
# field-name = 1*ftext (RFC 5322 §3.6.8)
_FIRST_FIELD = re.compile(rb"[!-9;-~]+[ \t]*:")
# encoded-word = "=?" charset ["*" language] "?" encoding "?" encoded-text "?=" (RFC 2047 §2, RFC 2231 §5)
_ENCODED_WORD = re.compile(r"=\?([^\s?*]+)(?:\*[^\s?]*)?\?([bBqQ])\?([^\s?]*)\?=")
_BETWEEN_WORDS = re.compile(r"(\?=)\s+(?==\?[^\s?]+\?[bBqQ]\?)")
_Q_BYTE = re.compile(rb"=([0-9A-Fa-f]{2})")
_FOLD = re.compile(r"\r\n(?=[ \t])")


@dataclass(frozen=True, slots=True)
class HeaderSummary:
    """What reception wants to know of a header section."""

    fields: Mapping[str, str]
    received_count: int = 0


def header_section(data: bytes) -> bytes:
    """The header section at the start of a message, with the CRLF of its last field; empty if it starts with text."""
    if _FIRST_FIELD.match(data) is None:
        return b""
    end = data.find(b"\r\n\r\n", 0, MAX_HEADER_BYTES)
    return data[: end + 2] if end >= 0 else data[:MAX_HEADER_BYTES]


def summarise(header: bytes) -> HeaderSummary:
    """The stored fields, and how many Received lines there are (the hops so far, RFC 5321 §6.3)."""
    fields: dict[str, str] = {}
    hops = 0
    for name_bytes, value in _FIELDS.findall(header):
        name = name_bytes.decode("ascii").lower()
        if name == "received":
            hops += 1
        elif name not in fields:
            fields[name] = decode_field(value)
    return HeaderSummary(fields, hops)


def decode_field(value: bytes) -> str:
    """A field's value for people: unfolded, encoded words decoded, no control characters, cut to the limit."""
    return decode_whole(value[: 4 * MAX_FIELD_CHARACTERS])[:MAX_FIELD_CHARACTERS]


def decode_whole(raw: bytes) -> str:
    """The same of everything, however long; also of several fields, which end up on one line."""
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        text = raw.decode("latin-1")
    if "\r" in text:
        text = _FOLD.sub("", text)
    if "=?" in text:
        text = _decode_words(text)
    if not text.isprintable():
        text = "".join(c if c.isprintable() else " " for c in text)
    return text.strip()


def _decode_words(text: str) -> str:
    """RFC 2047 §6.2: blanks between two encoded words do not count.

    Quirk: words of one charset that stand together are joined before decoding, because many programs cut a
    character in two.
    """
    pieces: list[str] = []
    end = 0
    words: list[tuple[str, bytes]] = []
    text = _BETWEEN_WORDS.sub(r"\1", text)
    for word in _ENCODED_WORD.finditer(text):
        if word.start() > end:
            pieces += _join(words)
            words = []
            pieces.append(text[end : word.start()])
        words.append((word[1].lower(), _word_bytes(word[2], word[3])))
        end = word.end()
    pieces += _join(words)
    pieces.append(text[end:])
    return "".join(pieces)


def _join(words: list[tuple[str, bytes]]) -> list[str]:
    return [
        _decode_bytes(b"".join(data for _, data in group), charset)
        for charset, group in groupby(words, key=lambda word: word[0])
    ]


def _word_bytes(encoding: str, text: str) -> bytes:
    data = text.encode("utf-8")
    if encoding in "qQ":
        return _Q_BYTE.sub(lambda found: bytes([int(found[1], 16)]), data.replace(b"_", b" "))
    try:
        return binascii.a2b_base64(data.rstrip(b"=") + b"==")
    except binascii.Error:
        return data


def _decode_bytes(data: bytes, charset: str) -> str:
    """Unknown charsets, and names that Python knows as something else, are read as UTF-8 as far as it goes."""
    try:
        text = data.decode(charset, "replace")
    except (LookupError, ValueError):
        text = data.decode("utf-8", "replace")
    return text.encode("utf-8", "replace").decode("utf-8")
