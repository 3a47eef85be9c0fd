# SPDX-License-Identifier: MIT
"""A message with 8-bit bytes made fit for a server that takes only 7 bits, without a change to what its parts say.

RFC 6152 §3 (convert, or return), RFC 2045 §6 (transfer encodings; a multipart and an enclosed message have none of
their own, §6.4). Pure. Text becomes quoted-printable, everything else base64. Parts that are in order stay byte for
byte, but for a label of 8bit or binary, which would no longer be true. What is signed cannot be changed (RFC 1847
§2.1). Text without a Content-Type gets one, as it becomes US-ASCII otherwise (RFC 1428 §3 has the name for a charset
that nobody knows). Preambles and epilogues, which nobody is shown, have their 8-bit bytes replaced by question marks.

The fields of a header section are the work of `seven_bit_header`; some have no form in 7 bits and go as they are.
"""

from __future__ import annotations

import binascii
import codecs
import re
from base64 import encodebytes
from collections.abc import Iterator

from mailserver.mime.downgrade import FIELD
from mailserver.mime.raw_fields import parse_parameterised, read_fields
from mailserver.mime.seven_bit_header import make_ascii
from mailserver.mime.structure import MAX_PARTS, Part, parse_structure
from mailserver.mime.transfer import decode_body, is_known_encoding

QUOTED_LINE_BYTES = 76
"""RFC 2045 §6.7 rule 5, the soft line break's = included."""

LONGEST_LINE_BYTES = 1000
"""RFC 5321 §4.5.3.1.6, the line end included."""
BLOCK_BYTES = 57 * 1024
"""As much of a part as is encoded in one go: whole lines of base64, and no long time in which nothing else runs."""

_BLANK_LINE = re.compile(rb"(?:\A|(?<=\n))\r?\n\Z")
_EIGHT_BIT = re.compile(rb"[\x80-\xff]")
# As much as fits into a line beside the =, never ending within =XX.
_QUOTED_PIECE = re.compile(rb".{1,%d}(?<!=)(?<!=.)" % (QUOTED_LINE_BYTES - 3), re.DOTALL)
_IDENTITIES = ("8bit", "binary")
_UNALTERABLE = {
    "multipart/signed": "a part is signed, and would not be valid any more",
    "message/partial": "it is a piece of a larger message (message/partial)",
    "message/external-body": "what a part points to is described with 8-bit characters (message/external-body)",
}


class CannotConvert(Exception):
    """The message cannot be said in 7 bits; the text says why."""


def make_seven_bit(message: bytes) -> bytes:
    """The same message for a 7-bit server; `message` itself when there is nothing to do. Raises CannotConvert."""
    if message.isascii():
        return message
    structure = parse_structure(message, envelopes=False)
    parts = list(_walk(structure))
    if len(parts) >= MAX_PARTS:
        raise CannotConvert("it has too many parts")
    charset = next((found for part in parts if (found := part.find_parameter("charset"))), "")
    return b"".join(_Converter(message, charset).entity(structure, is_root=True))


def _walk(part: Part) -> Iterator[Part]:
    yield part
    for child in part.children:
        yield from _walk(child)


class _Converter:
    """One message; `charset` is a guess at the one in which header fields were written."""

    def __init__(self, message: bytes, charset: str) -> None:
        self._message = message
        self._charset = charset

    def entity(self, part: Part, *, is_root: bool) -> Iterator[bytes]:
        """An entity's pieces. Raises CannotConvert."""
        body = self._message[part.body_start : part.end]
        kind = f"{part.type}/{part.subtype}"
        if kind in _UNALTERABLE:
            if not body.isascii():
                raise CannotConvert(_UNALTERABLE[kind])
            yield self._header(part, is_root)
            yield body
        elif part.children and kind != "message/global":
            yield self._header(part, is_root)
            yield from self._inside(part)
        else:
            yield from self._leaf(part, body, is_root)

    def _inside(self, part: Part) -> Iterator[bytes]:
        boundary = part.find_parameter("boundary") or ""
        if not boundary.isascii():
            raise CannotConvert("the boundary between its parts has 8-bit characters")
        position = part.body_start
        for child in part.children:
            yield _EIGHT_BIT.sub(b"?", self._message[position : child.start])
            yield from self.entity(child, is_root=part.is_message)
            position = child.end
        yield _EIGHT_BIT.sub(b"?", self._message[position : part.end])

    def _leaf(self, part: Part, body: bytes, is_root: bool) -> Iterator[bytes]:
        """RFC 6532 §3.7: message/global is the one enclosed message that may have a transfer encoding."""
        known, broken = is_known_encoding(part.encoding), self._is_broken(part)
        if body.isascii() and (broken or not known or not _has_long_line(body)):
            yield self._header(part, is_root)
            yield body
            return
        if broken:
            raise CannotConvert("a part is damaged, or nested too deeply")
        if not known:
            raise CannotConvert(f"a part has 8-bit bytes in an unknown transfer encoding ({part.encoding[:40]!a})")
        decoded = b"".join(decode_body(part.encoding, [body]))
        if part.type in ("text", "message"):
            yield self._header(part, is_root, "quoted-printable", decoded)
            yield from _quote(decoded)
        else:
            yield self._header(part, is_root, "base64", decoded)
            yield from _encode_base64(decoded)

    def _is_broken(self, part: Part) -> bool:
        """It was to have parts, and none were found: other programs may find some."""
        declared = parse_parameterised(self._content_type(part)).value
        enclosed = declared == "message/rfc822" and part.encoding in ("7bit", *_IDENTITIES)
        return declared.startswith("multipart/") or enclosed

    def _content_type(self, part: Part) -> str:
        """As it stands in the part's header; empty for none."""
        return read_fields(self._message, part.start, part.body_start, envelope=False).get("content-type", "")

    def _header(self, part: Part, is_root: bool, encoding: str = "", decoded: bytes = b"") -> bytes:
        """With the transfer encoding named; without one, a label that is no longer true becomes 7bit."""
        header = self._message[part.start : part.body_start]
        blank = _BLANK_LINE.search(header)
        section = header[: blank.start()] if blank else header
        fields = [make_ascii(field, self._charset) for field in FIELD.findall(section)]
        unlabelled = bool(encoding) and part.type == "text" and not self._content_type(part)
        if not encoding and part.encoding in _IDENTITIES:
            encoding = "7bit"
        if encoding and blank:
            fields = [field for field in fields if _name(field) != b"content-transfer-encoding"]
            if unlabelled:
                fields.append(b"Content-Type: text/plain; charset=%s\r\n" % _charset_of(decoded))
            fields.append(b"Content-Transfer-Encoding: %s\r\n" % encoding.encode("ascii"))
            if is_root and all(_name(field) != b"mime-version" for field in fields):
                fields.append(b"MIME-Version: 1.0\r\n")
        return b"".join(fields) + (blank[0] if blank else b"")


def _name(field: bytes) -> bytes:
    return field.partition(b":")[0].strip().lower()


def _charset_of(text: bytes) -> bytes:
    """What its beginning is in."""
    try:
        codecs.getincrementaldecoder("utf-8")().decode(text[:BLOCK_BYTES])
    except UnicodeDecodeError:
        return b"unknown-8bit"
    return b"utf-8"


def _has_long_line(text: bytes) -> bool:
    """In as many steps as there are lines of the greatest length, whatever their real one."""
    position = 0
    while position + LONGEST_LINE_BYTES < len(text):
        position = text.rfind(b"\n", position, position + LONGEST_LINE_BYTES) + 1
        if not position:
            return True
    return False


def _encode_base64(data: bytes) -> Iterator[bytes]:
    for start in range(0, len(data), BLOCK_BYTES):
        yield encodebytes(data[start : start + BLOCK_BYTES]).replace(b"\n", b"\r\n")


def _quote(text: bytes) -> Iterator[bytes]:
    """RFC 2045 §6.7. Line ends that are not CRLF are encoded, as they would not arrive otherwise; so is a hyphen before
    another one at the start of a line, which could be taken for a delimiter of an enclosing multipart."""
    start = 0
    while start < len(text):
        end = _block_end(text, start)
        yield b"\r\n".join(_quote_line(line) for line in text[start:end].split(b"\r\n"))
        if end < len(text) and not text.endswith(b"\r\n", start, end):
            yield b"=\r\n"
        start = end


def _block_end(text: bytes, start: int) -> int:
    """Behind a line, or within one that is very long; never within a line end."""
    end = start + BLOCK_BYTES
    if end >= len(text):
        return len(text)
    line_end = text.rfind(b"\r\n", start, end)
    if line_end >= 0:
        return line_end + 2
    return end - 1 if text[end - 1 : end + 1] == b"\r\n" else end


def _quote_line(line: bytes) -> bytes:
    escaped = binascii.b2a_qp(line, istext=False).replace(b"=\n", b"")
    pieces = _QUOTED_PIECE.findall(escaped)
    return b"=\r\n".join(b"=2D" + piece[1:] if piece.startswith(b"--") else piece for piece in pieces)
