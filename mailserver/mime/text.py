# SPDX-License-Identifier: MIT
"""The text of a message that SEARCH looks into: header fields and displayable text, decoded.

RFC 9051 §6.4.4 (TEXT, BODY). Pure; never raises, whatever the bytes. Text parts are decoded from their transfer
encoding and charset, and of HTML only what a reader sees counts; attachments other than text have their header fields
only. An enclosed message is a part of the body with its header.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from mailserver.mime.headers import decode_whole
from mailserver.mime.preview import decode_text, strip_html
from mailserver.mime.raw_fields import Buffer
from mailserver.mime.structure import Part
from mailserver.mime.transfer import decode_body, is_known_encoding

MAX_TEXT_BYTES = 16 * 1024 * 1024
"""Of one text part, encoded. Nobody has written more by hand; beyond it are dumps and logs."""
_FIELD_END = re.compile(rb"\r?\n(?![ \t])")


@dataclass(frozen=True, slots=True)
class MessageText:
    """`header`: the fields of the message and of its parts, one a line. `body`: all text parts one after the other."""

    header: str
    body: str


def extract_text(root: Part, message: Buffer) -> MessageText:
    """Read by the structure that `parse_structure` found in the same bytes."""
    header = "\n".join(_fields(part, message) for part in _own_parts(root))
    return MessageText(header, "\n".join(_body(root, message)))


def _own_parts(part: Part) -> Iterator[Part]:
    """The message and its parts; what is inside an enclosed message is text of the body."""
    yield part
    if part.is_multipart:
        for child in part.children:
            yield from _own_parts(child)


def _fields(part: Part, message: Buffer) -> str:
    raw = bytes(message[part.start : part.body_start])
    return "\n".join(filter(None, (decode_whole(field) for field in _FIELD_END.split(raw))))


def _body(part: Part, message: Buffer) -> Iterator[str]:
    if part.is_message:
        for enclosed in part.children:
            yield from (_fields(inner, message) for inner in _own_parts(enclosed))
            yield from _body(enclosed, message)
    elif part.children:
        for child in part.children:
            yield from _body(child, message)
    elif part.type == "text":
        yield _text(part, message)


def _text(part: Part, message: Buffer) -> str:
    encoding = part.encoding if is_known_encoding(part.encoding) else "8bit"
    encoded = bytes(message[part.body_start : min(part.end, part.body_start + MAX_TEXT_BYTES)])
    text = decode_text(b"".join(decode_body(encoding, [encoded])), part.find_parameter("charset"))
    return strip_html(text) if part.subtype == "html" else text
