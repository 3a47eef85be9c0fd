# SPDX-License-Identifier: MIT
"""What a POP3 server says, as values: status lines, listings, capabilities. The client's half of `grammar.py`.

RFC 1939 §3, §5 and §7, RFC 2449 §5 and §8, RFC 5034 §4. Pure; lines come without their line end.
"""

from __future__ import annotations

import binascii
import re
from base64 import b64decode
from collections.abc import Iterator
from dataclasses import dataclass

# RFC 2449 §8: "[" resp-level *("/" resp-level) "]"
_STATUS = re.compile(rb"(\+OK|-ERR)(?:[ \t](.*))?", re.IGNORECASE | re.DOTALL)
_CODE = re.compile(r"\[([A-Za-z0-9/_-]{1,60})\]")
# RFC 1939 §7: the timestamp at the end of the greeting has the form of a message id.
_STAMP = re.compile(rb"<[!-;=?-~]+@[!-;=?-~]*>|<[!-;=?-~]+>")
# RFC 1939 §5: scan listing; some servers add more behind it.
_SIZE = re.compile(rb"[ \t]*([0-9]{1,10})[ \t]+([0-9]{1,20})(?:[ \t].*)?")
# RFC 1939 §7: unique-id = 1*70 characters of %x21-7E. Quirk: some have blanks or other bytes in theirs.
_UNIQUE_ID = re.compile(rb"[ \t]*([0-9]{1,10})[ \t]+(.*[^ \t])[ \t]*")


class NotAStatus(Exception):
    """The line is neither +OK nor -ERR."""


@dataclass(frozen=True, slots=True)
class Status:
    """One status line. `code` is the response code in capitals, without its brackets; empty for none."""

    ok: bool
    text: str = ""
    code: str = ""


def parse_status(line: bytes) -> Status:
    """Raises NotAStatus."""
    found = _STATUS.fullmatch(line)
    if found is None:
        raise NotAStatus
    text = _for_people(found[2] or b"")
    code = _CODE.match(text)
    return Status(found[1].startswith(b"+"), text, code[1].upper() if code else "")


def parse_challenge(line: bytes) -> bytes:
    """The data behind `+ ` in an AUTH exchange. Raises NotAStatus for a line that is no challenge."""
    if line[:1] != b"+" or line[:3].upper() == b"+OK":
        raise NotAStatus
    try:
        return b64decode(line[1:].strip(), validate=True)
    except binascii.Error:
        raise NotAStatus from None


def find_stamp(greeting: bytes) -> str:
    """The timestamp for APOP; empty where the server knows no APOP."""
    found = _STAMP.search(greeting)
    return found[0].decode("ascii") if found else ""


def parse_sizes(listing: bytes) -> dict[int, int]:
    """LIST: sizes by number. Lines that make no sense are passed over, and of a number named twice the first counts."""
    sizes: dict[int, int] = {}
    for line in _lines(listing):
        if found := _SIZE.fullmatch(line):
            sizes.setdefault(int(found[1]), int(found[2]))
    return sizes


def parse_unique_ids(listing: bytes) -> dict[int, str]:
    """UIDL: unique ids by number, in the order of the listing."""
    ids: dict[int, str] = {}
    for line in _lines(listing):
        if found := _UNIQUE_ID.fullmatch(line):
            ids.setdefault(int(found[1]), found[2].decode("latin-1"))
    return ids


def parse_count(text: str) -> tuple[int, int]:
    """STAT: how many messages there are, and their bytes. Raises NotAStatus."""
    found = _SIZE.fullmatch(text.encode("latin-1", "replace"))
    if found is None:
        raise NotAStatus
    return int(found[1]), int(found[2])


def parse_capabilities(listing: bytes) -> dict[str, str]:
    """CAPA: what stands behind each capability, by its name in capitals (RFC 2449 §5)."""
    capabilities: dict[str, str] = {}
    for line in _lines(listing):
        name, _, arguments = _for_people(line).strip().partition(" ")
        if name:
            capabilities.setdefault(name.upper(), arguments.strip())
    return capabilities


def _lines(listing: bytes) -> Iterator[bytes]:
    for line in listing.split(b"\n"):
        if line := line.removesuffix(b"\r"):
            yield line


def _for_people(data: bytes) -> str:
    """Readable whatever was sent: the text goes into logs and onto pages."""
    text = data.decode("utf-8", "backslashreplace")
    if text.isprintable():
        return text.strip()
    return "".join(letter if letter.isprintable() else " " for letter in text).strip()
