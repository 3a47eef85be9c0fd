# SPDX-License-Identifier: MIT
"""The first words of a message, for lists.

RFC 8970 §2 and §4.1. Pure. The caller reads the text part that `find_text_part()` names (a few kilobytes are enough)
and gets one line of plain text of at most 200 characters.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator

from mailserver.mime.structure import Part
from mailserver.mime.transfer import decode_body, is_known_encoding

MAX_PREVIEW_CHARACTERS = 200
"""RFC 8970 §3.1 asks for at most 256 and suggests 200."""

PREVIEW_SOURCE_BYTES = 32 * 1024
"""As much of the encoded part as is worth reading: mail made by programs has that much style in front of its text."""

# What a reader does not see; each is also removed when it is cut off before its end.
_INVISIBLE = re.compile(
    r"<!--.*?(?:-->|\Z)|<(head|style|script|title)\b[^<>]*>.*?(?:</\1\s*>|\Z)", re.IGNORECASE | re.DOTALL
)
_TAG = re.compile(r"<[^<>]*(?:>|\Z)")
_QUOTATION = re.compile(r"^[ \t]*>.*$", re.MULTILINE)
# Zero-width characters and soft hyphens, with which senders pad their own previews.
_PADDING = re.compile("[\u00ad\u034f\u061c\u115f\u1160\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff]")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\s]+")


def find_text_part(root: Part) -> Part | None:
    """The first text that is not an attachment, plain text before HTML within one multipart/alternative."""
    candidates = [part for part in _leaves(root) if part.type == "text" and not _is_attachment(part)]
    plain = next((part for part in candidates if part.subtype == "plain"), None)
    rich = next((part for part in candidates if part.subtype == "html"), None)
    first = next(iter(candidates), None)
    if plain and plain.size:
        return plain
    return rich or first


def _leaves(part: Part) -> Iterator[Part]:
    """In order; enclosed messages are not looked into."""
    if part.is_multipart:
        for child in part.children:
            yield from _leaves(child)
    else:
        yield part


def _is_attachment(part: Part) -> bool:
    return part.disposition is not None and part.disposition.value == "attachment"


def make_preview(part: Part, body: bytes) -> str:
    """From the (start of the) encoded body of a text part; empty when there is nothing to show."""
    encoding = part.encoding if is_known_encoding(part.encoding) else "8bit"
    raw = b"".join(decode_body(encoding, [body[:PREVIEW_SOURCE_BYTES]]))
    text = decode_text(raw, part.find_parameter("charset"))
    if part.subtype == "html":
        text = strip_html(text)
    else:
        unquoted = _QUOTATION.sub("", text)
        text = unquoted if unquoted.strip() else text
    return _one_line(text)


def decode_text(raw: bytes, charset: str | None) -> str:
    """As the charset says; where it is unknown or wrong, as UTF-8, and every byte left over as a question mark."""
    for name in (charset or "utf-8", "utf-8"):
        try:
            return raw.decode(name, "replace")
        except (LookupError, ValueError, UnicodeError):
            continue
    return raw.decode("latin-1")


def strip_html(text: str) -> str:
    return html.unescape(_TAG.sub(" ", _INVISIBLE.sub(" ", text)))


def _one_line(text: str) -> str:
    words = _CONTROL.sub(" ", _PADDING.sub("", text)).strip()
    if len(words) <= MAX_PREVIEW_CHARACTERS:
        return words
    cut = words[:MAX_PREVIEW_CHARACTERS]
    return (cut.rpartition(" ")[0] or cut).rstrip()
