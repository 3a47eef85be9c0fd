# SPDX-License-Identifier: MIT
"""Which bytes of a stored message a FETCH item, or a URL of CATENATE, means; read in pieces however large they are.

RFC 9051 §6.4.5, RFC 3516 §4. Small messages are in memory when they get here, large ones in a file of which only what
is asked for is read. Blocks: large ones are read by `offload`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from mailserver.mime.sections import Section, SectionText, Span, find_part, find_section, select_fields
from mailserver.mime.structure import Part
from mailserver.mime.transfer import decode_body, is_known_encoding
from mailserver.store.interface import StoredContent
from protocols.imap.fetch_items import Extent

PIECE_BYTES = 64 * 1024

# As `mailserver.mime.structure` has it: the header ends at the first empty line.
_BLANK_LINE = re.compile(rb"^\r?\n", re.MULTILINE)

_OF_HEADER = frozenset({SectionText.HEADER, SectionText.FIELDS, SectionText.FIELDS_NOT})


class UnknownEncoding(Exception):
    """The part's transfer encoding is none that is known (RFC 9051 §7.1 UNKNOWN-CTE)."""


@dataclass(frozen=True, slots=True)
class Streamed:
    """Bytes too many to hold: their number, and where to get them."""

    size: int
    pieces: Iterator[bytes]
    """Raises OSError when the file cannot be read."""


def needs_structure(section: Section, content: StoredContent) -> bool:
    """The header of a message that is in memory is found without."""
    if section.part:
        return True
    return section.text is not SectionText.WHOLE and content.body is None


class StoredMessage:
    """One message and, where it is needed, its structure."""

    def __init__(self, content: StoredContent, structure: Part | None) -> None:
        self._content = content
        self._structure = structure
        self._whole: bytes | None = content.head + content.body if content.body is not None else None
        size = len(self._whole) if self._whole is not None else content.size
        self._size = size

    @property
    def in_file(self) -> bool:
        """Reading it may block."""
        return self._whole is None

    def read_section(self, section: Section, extent: Extent | None = None) -> bytes | Streamed | None:
        """None: there is no such part. Raises OSError."""
        span = self._find(section)
        if span is None:
            return None
        if section.fields or section.text in (SectionText.FIELDS, SectionText.FIELDS_NOT):
            header = b"".join(self._pieces(span))
            leave_out = section.text is SectionText.FIELDS_NOT
            return _cut(select_fields(header, section.fields, leave_out=leave_out), extent)
        if extent is not None:
            start = min(span.start + extent.start, span.end)
            span = Span(start, min(start + extent.size, span.end))
        return self._read(span)

    def read_decoded(self, part: tuple[int, ...], extent: Extent | None = None) -> bytes | Streamed | None:
        """The part with its transfer encoding undone (RFC 3516 §4.2). Raises UnknownEncoding, OSError."""
        found = self._find_decodable(part)
        if found is None:
            return None
        span, encoding = found
        if span.size <= PIECE_BYTES:
            return _cut(b"".join(decode_body(encoding, self._pieces(span))), extent)
        size = sum(map(len, decode_body(encoding, self._pieces(span))))
        start = min(extent.start, size) if extent else 0
        end = min(start + extent.size, size) if extent else size
        return Streamed(end - start, _window(decode_body(encoding, self._pieces(span)), start, end))

    def decoded_size(self, part: tuple[int, ...]) -> int | None:
        """RFC 3516 §4.3 BINARY.SIZE. Raises UnknownEncoding, OSError."""
        found = self._find_decodable(part)
        return None if found is None else sum(map(len, decode_body(found[1], self._pieces(found[0]))))

    # ------------------------------------------------------------ inside

    def _find(self, section: Section) -> Span | None:
        if not section.part and section.text is SectionText.WHOLE:
            return Span(0, self._size)
        if section.part or self._whole is None:
            assert self._structure is not None
            return find_section(self._structure, section)
        if section.text is SectionText.MIME:
            return None
        blank = _BLANK_LINE.search(self._whole)
        body_start = blank.end() if blank else self._size
        return Span(0, body_start) if section.text in _OF_HEADER else Span(body_start, self._size)

    def _find_decodable(self, numbers: tuple[int, ...]) -> tuple[Span, str] | None:
        """The whole message is as it is; a multipart has no encoding of its own."""
        if not numbers:
            return Span(0, self._size), "8bit"
        assert self._structure is not None
        part = find_part(self._structure, numbers)
        if part is None:
            return None
        encoding = part.encoding if not part.is_multipart and not part.is_message else "8bit"
        if not is_known_encoding(encoding):
            raise UnknownEncoding(encoding)
        return Span(part.body_start, part.end), encoding

    def _read(self, span: Span) -> bytes | Streamed:
        if self._whole is not None:
            return self._whole[span.start : span.end]
        if span.size <= PIECE_BYTES:
            return b"".join(self._pieces(span))
        return Streamed(span.size, self._pieces(span))

    def _pieces(self, span: Span) -> Iterator[bytes]:
        if self._whole is not None:
            yield self._whole[span.start : span.end]
            return
        head = self._content.head
        if span.start < len(head):
            yield head[span.start : span.end]
        assert self._content.path is not None
        left = span.end - max(span.start, len(head))
        with self._content.path.open("rb") as file:
            file.seek(max(0, span.start - len(head)))
            while left > 0:
                piece = file.read(min(PIECE_BYTES, left))
                if not piece:
                    raise OSError(f"{self._content.path} is shorter than it was")
                left -= len(piece)
                yield piece


def _cut(data: bytes, extent: Extent | None) -> bytes:
    return data if extent is None else data[extent.start : extent.start + extent.size]


def _window(pieces: Iterator[bytes], start: int, end: int) -> Iterator[bytes]:
    """Bytes `start` up to `end` of what the pieces make up."""
    place = 0
    for piece in pieces:
        if place >= end:
            return
        wanted = piece[max(0, start - place) : end - place]
        if wanted:
            yield wanted
        place += len(piece)
