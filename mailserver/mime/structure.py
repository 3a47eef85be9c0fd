# SPDX-License-Identifier: MIT
"""The MIME structure of a message: every part, where its bytes are, and what BODYSTRUCTURE tells of it.

RFC 2045, RFC 2046 §5, RFC 9051 §7.5.2. Pure: never raises, whatever the bytes. Made once when a message is filed
and stored as JSON, so that a section can be read later without looking at the rest of the message. Pure.

One pass, in time proportional to the message: each line is looked at once for delimiters in a header and once in a
body. Damage is read as most mail programs read it: a missing final delimiter ends with the enclosing part; a
multipart in which no delimiter is found is plain text; a message/rfc822 in a transfer encoding, which RFC 2046
§5.2.1 forbids, is an opaque attachment.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from mailserver.mime.envelope import MessageEnvelope, make_envelope
from mailserver.mime.raw_fields import (
    Buffer,
    Fields,
    ParameterisedValue,
    parse_parameterised,
    read_fields,
    split_list,
)

MAX_DEPTH = 100
"""Parts inside one another; what lies deeper is one opaque part. Dovecot stops at 100, Exim and ClamAV much earlier;
replies are formatted by recursion, which this keeps well within Python's limit."""

MAX_PARTS = 20_000
"""Parts in one message; a multipart shows none after that. Dovecot stops at 10,000. Each takes some 200 bytes in the
stored structure and 100 in every BODYSTRUCTURE reply."""

MAX_BOUNDARY_BYTES = 250
"""RFC 2046 §5.1.1 allows 70; some programs write more. Longer ones are taken for damage."""


@dataclass(frozen=True, slots=True)
class Part:
    """One entity: header at `start`, body at `body_start`, up to `end`; offsets into the whole message.

    A multipart's children are its parts; a message/rfc822's only child is the enclosed message, which has
    `is_root` and an `envelope`, as the outermost message has.
    """

    start: int
    body_start: int
    end: int
    lines: int
    """Text lines of the body, for text and enclosed messages (RFC 9051 §7.5.2); a last line without an end counts."""
    type: str
    subtype: str
    parameters: tuple[tuple[str, str], ...] = ()
    encoding: str = "7bit"
    id: str | None = None
    description: str | None = None
    md5: str | None = None
    disposition: ParameterisedValue | None = None
    language: tuple[str, ...] = ()
    location: str | None = None
    envelope: MessageEnvelope | None = None
    children: tuple[Part, ...] = ()

    @property
    def size(self) -> int:
        """Octets of the body in its transfer encoding."""
        return self.end - self.body_start

    @property
    def is_multipart(self) -> bool:
        return self.type == "multipart"

    @property
    def is_message(self) -> bool:
        """An enclosed message is known by its child; other message types are opaque (RFC 9051 §7.5.2)."""
        return self.type == "message" and bool(self.children)

    @property
    def is_root(self) -> bool:
        return self.envelope is not None

    def find_parameter(self, name: str) -> str | None:
        return next((value for key, value in self.parameters if key == name), None)

    def to_json(self) -> list[Any]:
        """Values for a JSON column. The outermost envelope is stored by itself: see `from_json`."""
        return self._to_json(with_envelope=False)

    def _to_json(self, *, with_envelope: bool) -> list[Any]:
        shown = self.envelope.to_json() if with_envelope and self.envelope else None
        disposition = [self.disposition.value, _flat(self.disposition.parameters)] if self.disposition else None
        stored = [
            self.start, self.body_start - self.start, self.size, self.lines, self.type, self.subtype,
            _flat(self.parameters), self.encoding, [child._to_json(with_envelope=True) for child in self.children],
            shown, disposition, self.id, self.description, self.md5, list(self.language), self.location,
        ]  # fmt: skip
        while stored[-1] is None or stored[-1] == []:
            stored.pop()
        return stored

    @classmethod
    def from_json(cls, stored: Sequence[Any], envelope: MessageEnvelope | None = None) -> Part:
        """`envelope` is the outermost message's, where it is at hand."""
        row = [*stored, *[None] * (16 - len(stored))]
        start, header_size, size, lines, type_, subtype, parameters, encoding, children, shown, disposition = row[:11]
        return cls(
            start=start, body_start=start + header_size, end=start + header_size + size, lines=lines,
            type=type_, subtype=subtype, parameters=_pairs(parameters or ()), encoding=encoding,
            id=row[11], description=row[12], md5=row[13], language=tuple(row[14] or ()), location=row[15],
            disposition=ParameterisedValue(disposition[0], _pairs(disposition[1])) if disposition else None,
            envelope=MessageEnvelope.from_json(shown) if shown else envelope,
            children=tuple(cls.from_json(child) for child in children or ()),
        )  # fmt: skip


def _flat(pairs: tuple[tuple[str, str], ...]) -> list[str]:
    return [text for pair in pairs for text in pair]


def _pairs(flat: Sequence[str]) -> tuple[tuple[str, str], ...]:
    return tuple(zip(flat[::2], flat[1::2], strict=True))


def parse_structure(message: Buffer, *, envelopes: bool = True) -> Part:
    """The outermost message. Making the envelopes takes about half of the time; who does not need them may say so."""
    part, _ = _Parser(message, envelopes).entity(0, depth=0, default=_PLAIN, is_root=True)
    return part


_PLAIN = ParameterisedValue("text/plain", (("charset", "us-ascii"),))
_ENCLOSED = ParameterisedValue("message/rfc822")
_OPAQUE = ParameterisedValue("application/octet-stream")
_UNENCODED = {"7bit", "8bit", "binary", ""}

# delimiter := "--" boundary [transport-padding] CRLF (RFC 2046 §5.1.1); a bare LF ends a line as well.
_DELIMITER = re.compile(rb"^--([^\r\n]{0,%d})" % (MAX_BOUNDARY_BYTES + 10), re.MULTILINE)
_BLANK_LINE = re.compile(rb"^\r?\n", re.MULTILINE)
_LINE_END = re.compile(rb"\n|\Z")


@dataclass(frozen=True, slots=True)
class _Delimiter:
    """Where an open multipart's delimiter stands: `end` is before the line break that belongs to it."""

    level: int
    closes: bool
    start: int
    next_line: int


@dataclass(slots=True)
class _Header:
    body_start: int
    fields: Fields
    delimiter: _Delimiter | None
    """Found inside the header, which it ends."""


@dataclass(slots=True)
class _Parser:
    message: Buffer
    envelopes: bool = True
    _levels: dict[bytes, int] = field(default_factory=dict)
    """Boundaries of the multiparts that are open, the innermost with the highest number."""
    _blank_searched: tuple[int, int, int] = (0, -1, -1)
    """From where the last search for a blank line began, and where that line starts and ends."""
    _parts: int = 0
    _line_ends: list[int] = field(default_factory=list)
    """Line ends before each block of the message: enclosed messages overlap, and are not counted again and again."""

    def entity(
        self, start: int, depth: int, default: ParameterisedValue, is_root: bool
    ) -> tuple[Part, _Delimiter | None]:
        """The entity at `start`, and the delimiter that ended it."""
        self._parts += 1
        header = self._header(start, is_root)
        content = _content_type(header.fields, default)
        encoding = header.fields.get("content-transfer-encoding", "").partition("(")[0].strip().lower()
        children: list[Part] = []
        if header.delimiter:
            delimiter: _Delimiter | None = header.delimiter
            if content.value.startswith("multipart/") or content.value in _MESSAGES:
                content = _PLAIN
        elif content.value.startswith("multipart/"):
            boundary = _boundary(content) if depth < MAX_DEPTH else b""
            children, delimiter = self._multipart(header.body_start, depth, content.value, boundary)
            content = content if children else _PLAIN
        elif content.value in _MESSAGES and encoding in _UNENCODED and depth < MAX_DEPTH:
            child, delimiter = self.entity(header.body_start, depth + 1, _PLAIN, is_root=True)
            children = [child]
        else:
            content = _OPAQUE if content.value in _MESSAGES else content
            delimiter = self._next_delimiter(header.body_start, len(self.message))
        end = self._end(header.body_start, delimiter)
        return self._part(start, header, end, content, encoding, tuple(children), is_root), delimiter

    def _multipart(
        self, body_start: int, depth: int, content_type: str, boundary: bytes
    ) -> tuple[list[Part], _Delimiter | None]:
        """Its parts, and the delimiter of an enclosing multipart that ends it."""
        level = max(self._levels.values(), default=-1) + 1
        if not boundary:
            return [], self._next_delimiter(body_start, len(self.message))
        shadowed = self._levels.get(boundary)
        self._levels[boundary] = level
        default = _ENCLOSED if content_type == "multipart/digest" else _PLAIN
        children: list[Part] = []
        delimiter = self._next_delimiter(body_start, len(self.message))
        while delimiter and delimiter.level == level and not delimiter.closes and self._parts < MAX_PARTS:
            child, delimiter = self.entity(delimiter.next_line, depth + 1, default, is_root=False)
            children.append(child)
        del self._levels[boundary]
        if shadowed is not None:
            self._levels[boundary] = shadowed
        if delimiter and delimiter.level == level:
            # The epilogue, or what came after too many parts.
            delimiter = self._next_delimiter(delimiter.next_line, len(self.message))
        return children, delimiter

    def _header(self, start: int, is_root: bool) -> _Header:
        body_start = self._after_blank_line(start)
        delimiter = self._next_delimiter(start, body_start)
        if delimiter:
            body_start = self._end(start, delimiter)
        return _Header(
            body_start, read_fields(self.message, start, body_start, envelope=is_root and self.envelopes), delimiter
        )

    def _after_blank_line(self, start: int) -> int:
        """Where the body begins; searches no stretch twice, however many parts have no blank line."""
        searched_from, blank_start, blank_end = self._blank_searched
        if not searched_from <= start <= blank_start:
            match = _BLANK_LINE.search(self.message, start)
            blank_start, blank_end = match.span() if match else (len(self.message), len(self.message))
            self._blank_searched = (start, blank_start, blank_end)
        return blank_end

    def _next_delimiter(self, start: int, limit: int) -> _Delimiter | None:
        if not self._levels:
            return None
        for match in _DELIMITER.finditer(self.message, start, limit):
            line = bytes(match[1]).rstrip(b" \t")
            level, closes = self._levels.get(line), False
            if level is None and line.endswith(b"--"):
                level, closes = self._levels.get(line[:-2]), True
            if level is not None:
                ending = _LINE_END.search(self.message, match.end())
                return _Delimiter(level, closes, match.start(), ending.end() if ending else len(self.message))
        return None

    def _end(self, start: int, delimiter: _Delimiter | None) -> int:
        """The line break before a delimiter belongs to the delimiter (RFC 2046 §5.1.1)."""
        if delimiter is None:
            return len(self.message)
        end = delimiter.start
        if end > start and self.message[end - 1] == 0x0A:
            end -= 1
            if end > start and self.message[end - 1] == 0x0D:
                end -= 1
        return max(start, end)

    def _part(
        self,
        start: int,
        header: _Header,
        end: int,
        content: ParameterisedValue,
        encoding: str,
        children: tuple[Part, ...],
        is_root: bool,
    ) -> Part:
        fields = header.fields
        type_, _, subtype = content.value.partition("/")
        counts_lines = type_ == "text" or (type_ == "message" and children)
        disposition = parse_parameterised(fields.get("content-disposition", ""))
        return Part(
            start=start,
            body_start=header.body_start,
            end=end,
            lines=self._count_lines(header.body_start, end) if counts_lines else 0,
            type=type_,
            subtype=subtype,
            parameters=content.parameters,
            encoding=encoding or "7bit",
            id=fields.get("content-id"),
            description=fields.get("content-description"),
            md5=fields.get("content-md5"),
            disposition=disposition if disposition.value else None,
            language=split_list(fields.get("content-language", "")),
            location=fields.get("content-location"),
            envelope=make_envelope(fields) if is_root and self.envelopes else None,
            children=children,
        )

    def _count_lines(self, start: int, end: int) -> int:
        if start >= end:
            return 0
        count = self._count_line_ends(end) - self._count_line_ends(start) if end - start > _BLOCK else (
            bytes(self.message[start:end]).count(b"\n")
        )  # fmt: skip
        return count if self.message[end - 1] == 0x0A else count + 1

    def _count_line_ends(self, position: int) -> int:
        """Those before `position`."""
        if not self._line_ends:
            self._line_ends.append(0)
            for start in range(0, len(self.message), _BLOCK):
                self._line_ends.append(self._line_ends[-1] + bytes(self.message[start : start + _BLOCK]).count(b"\n"))
        block = position // _BLOCK
        return self._line_ends[block] + bytes(self.message[block * _BLOCK : position]).count(b"\n")


_BLOCK = 1 << 16
_MESSAGES = {"message/rfc822", "message/global"}


def _content_type(fields: Fields, default: ParameterisedValue) -> ParameterisedValue:
    """RFC 2045 §5.2: without a Content-Type that can be read, plain text in US-ASCII (or what a digest holds)."""
    content = parse_parameterised(fields.get("content-type", ""))
    type_, slash, subtype = content.value.partition("/")
    if not (type_ and slash and subtype):
        return default
    if content.value == "text/plain" and not content.parameters:
        return _PLAIN
    return content


def _boundary(content: ParameterisedValue) -> bytes:
    boundary = (content.find("boundary") or "").rstrip(" \t").encode("latin-1", "replace")
    return boundary if len(boundary) <= MAX_BOUNDARY_BYTES else b""
