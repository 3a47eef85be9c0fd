# SPDX-License-Identifier: MIT
"""Header fields as they stand in a message, for ENVELOPE and BODYSTRUCTURE.

RFC 5322 §2.2, RFC 2045 §5 to §8. Pure. Values are text in which each character is one byte of the message (ISO
8859-1 both ways), so that what a client is shown is what was sent, valid or not; decoding for people is done
elsewhere. NUL, which IMAP cannot carry in a string and PostgreSQL not in JSON, is dropped.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from mmap import mmap
from typing import TypeAlias

Buffer: TypeAlias = bytes | bytearray | memoryview | mmap

MAX_FIELD_BYTES = 1 << 20
"""As much of one field as is kept: some 20,000 addresses. Headers beyond it are attacks on whoever shows them."""

ENVELOPE_FIELDS = (
    "date", "subject", "from", "sender", "reply-to", "to", "cc", "bcc", "in-reply-to", "message-id",
)  # fmt: skip
CONTENT_FIELDS = (
    "content-type", "content-transfer-encoding", "content-id", "content-description", "content-md5",
    "content-disposition", "content-language", "content-location",
)  # fmt: skip


def _pattern(names: Sequence[str]) -> re.Pattern[bytes]:
    alternatives = "|".join(names).encode("ascii")
    # field = field-name *WSP ":" unstructured, folded lines begin with white space (RFC 5322 §2.2.3, §4.5)
    return re.compile(rb"^(" + alternatives + rb")[ \t]*:([^\n]*(?:\n[ \t][^\n]*)*)", re.IGNORECASE | re.MULTILINE)


_CONTENT = _pattern(CONTENT_FIELDS)
_ALL = _pattern(ENVELOPE_FIELDS + CONTENT_FIELDS)
_FOLD = re.compile(r"\r?\n(?=[ \t])")
_ADDRESS_FIELDS = {"from", "sender", "reply-to", "to", "cc", "bcc"}


def read_fields(message: Buffer, start: int, end: int, *, envelope: bool) -> dict[str, str]:
    """The wanted fields of the header at `start`, unfolded, by lower-case name.

    Of a repeated field the first counts, but address lists are joined: two To fields are a mistake that must not
    hide anybody.
    """
    found: dict[str, str] = {}
    for match in (_ALL if envelope else _CONTENT).finditer(message, start, end):
        name = bytes(match[1]).decode("ascii").lower()
        if name in found and name not in _ADDRESS_FIELDS:
            continue
        value = bytes(match[2][:MAX_FIELD_BYTES]).decode("latin-1")
        value = _FOLD.sub("", value).replace("\r", "").replace("\n", "").replace("\x00", "").strip(" \t")
        found[name] = f"{found[name]}, {value}" if found.get(name) else value
    return found


@dataclass(frozen=True, slots=True)
class ParameterisedValue:
    """`value; name=text; ...` as in Content-Type (RFC 2045 §5.1); the value and the names in lower case."""

    value: str
    parameters: tuple[tuple[str, str], ...] = ()

    def find(self, name: str) -> str | None:
        return next((text for key, text in self.parameters if key == name), None)


_VALUE = re.compile(r"[^;(\s]*(?:\s*/\s*[^;(\s]+)?")
_PARAMETER = re.compile(r'\s*([^\s=;()"]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"?|([^;(]*))')
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
MAX_PARAMETERS = 100
"""Parameters kept of one field. Long file names come in a dozen pieces (RFC 2231 §3)."""


def parse_parameterised(text: str) -> ParameterisedValue:
    """Never raises: what cannot be read is passed over. Continuations (RFC 2231) stay as they were sent."""
    position = _skip_comments(text, 0)
    match = _VALUE.match(text, position)
    value = "".join(match[0].split()).lower() if match else ""
    position = match.end() if match else position
    parameters: list[tuple[str, str]] = []
    while len(parameters) < MAX_PARAMETERS:
        position = text.find(";", _skip_comments(text, position))
        if position < 0:
            break
        position = _skip_comments(text, position + 1)
        found = _PARAMETER.match(text, position)
        if found:
            quoted, plain = found[2], found[3]
            parameters.append((found[1].lower(), _ESCAPE.sub(r"\1", quoted) if quoted is not None else plain.strip()))
            position = found.end()
    return ParameterisedValue(value, tuple(parameters))


def _skip_comments(text: str, position: int) -> int:
    """Past white space and comments, which nest (RFC 5322 §3.2.2)."""
    while position < len(text):
        if text[position] in " \t":
            position += 1
        elif text[position] == "(":
            position = skip_comment(text, position)
        else:
            break
    return position


_COMMENT_STEP = re.compile(r"[^()\\]*(?:\\.[^()\\]*)*", re.DOTALL)


def skip_comment(text: str, position: int) -> int:
    """The place after the comment that opens at `position`; the end when it is never closed."""
    depth = 0
    while position < len(text):
        if text[position] == "(":
            depth += 1
        elif text[position] == ")":
            depth -= 1
        position += 1
        if not depth:
            return position
        step = _COMMENT_STEP.match(text, position)
        position = step.end() if step else position
        if position < len(text) and text[position] == "\\":
            position += 1
    return len(text)


def split_list(text: str) -> tuple[str, ...]:
    """`de, en (mostly)`: the words of Content-Language (RFC 3282 §2)."""
    words = (re.sub(r"\([^()]*\)", "", word).strip() for word in text.split(","))
    return tuple(word for word in words if word)


Fields: TypeAlias = Mapping[str, str]
