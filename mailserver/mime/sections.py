# SPDX-License-Identifier: MIT
"""Which bytes of a message a client means: a whole part, its header, chosen fields, or its text.

RFC 9051 §6.4.5.1 (section), §6.4.5 (BINARY). Pure. A section is found in a stored `Part` tree, so that only the
bytes asked for need to be read: first `find_section()` says where they are, then, for header fields,
`select_fields()` picks from the header's bytes.
"""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass

from mailserver.mime.structure import Part


class SectionText(enum.Enum):
    """RFC 9051 §9 section-text and what stands for it when nothing is written."""

    WHOLE = ""
    HEADER = "HEADER"
    FIELDS = "HEADER.FIELDS"
    FIELDS_NOT = "HEADER.FIELDS.NOT"
    TEXT = "TEXT"
    MIME = "MIME"


@dataclass(frozen=True, slots=True)
class Section:
    """Part numbers from the outside in, and what of that part; `fields` are header names, as typed."""

    part: tuple[int, ...] = ()
    text: SectionText = SectionText.WHOLE
    fields: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Span:
    """Bytes `start` up to `end` of the message."""

    start: int
    end: int

    @property
    def size(self) -> int:
        return self.end - self.start


def find_part(root: Part, numbers: tuple[int, ...]) -> Part | None:
    """The part with these numbers, or None.

    RFC 9051 §6.4.5.1: every message has a part 1; the parts of an enclosed message are numbered below the
    message/rfc822 part itself.
    """
    if not numbers:
        return root
    part = _in_message(root, numbers[0])
    for number in numbers[1:]:
        if part is None:
            return None
        part = _below(part, number)
    return part


def _in_message(message: Part, number: int) -> Part | None:
    if message.is_multipart:
        return _nth(message, number)
    return message if number == 1 else None


def _below(part: Part, number: int) -> Part | None:
    if part.is_multipart:
        return _nth(part, number)
    return _in_message(part.children[0], number) if part.children else None


def _nth(multipart: Part, number: int) -> Part | None:
    return multipart.children[number - 1] if 1 <= number <= len(multipart.children) else None


def find_section(root: Part, section: Section) -> Span | None:
    """Where the section's bytes are, for FIELDS and FIELDS_NOT the whole header's; None when there is no such thing."""
    part = find_part(root, section.part)
    if part is None:
        return None
    if not section.part:
        return _message_span(root, section.text)
    if section.text is SectionText.WHOLE:
        return Span(part.body_start, part.end)
    if section.text is SectionText.MIME:
        return Span(part.start, part.body_start)
    # HEADER and TEXT of a numbered part speak of the message it encloses.
    if part.is_multipart or not part.children:
        return None
    return _message_span(part.children[0], section.text)


def _message_span(message: Part, text: SectionText) -> Span | None:
    if text is SectionText.WHOLE:
        return Span(message.start, message.end)
    if text is SectionText.TEXT:
        return Span(message.body_start, message.end)
    if text is SectionText.MIME:
        return None
    return Span(message.start, message.body_start)


# A field's name up to the colon, then its lines: all that follow and begin with white space.
_FIELD = re.compile(rb"([^\r\n:]*?)[ \t]*:[^\n]*(?:\n[ \t][^\n]*)*(?:\n|\Z)|[^\n]*(?:\n|\Z)")


def select_fields(header: bytes, names: tuple[str, ...], *, leave_out: bool) -> bytes:
    """RFC 9051 §6.4.5.1 HEADER.FIELDS and HEADER.FIELDS.NOT: the fields as they stand, and the blank line.

    A line that is no field (a broken header) is none of the named ones: FIELDS leaves it out, FIELDS_NOT keeps it.
    """
    wanted = {name.encode("utf-8", "surrogateescape").lower() for name in names}
    kept: list[bytes] = []
    for match in _FIELD.finditer(header):
        line = match[0]
        if not line or line in (b"\r\n", b"\n"):
            continue
        named = match[1] is not None and match[1].lower() in wanted
        if named != leave_out:
            kept.append(line)
    if kept and not kept[-1].endswith(b"\n"):
        kept.append(b"\r\n")
    return b"".join(kept) + b"\r\n"
