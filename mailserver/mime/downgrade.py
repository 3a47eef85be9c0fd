# SPDX-License-Identifier: MIT
"""An internationalized header section (RFC 6532) for clients that know only ASCII ones.

RFC 6858 §3: the simple downgrade, made while reading; the stored message stays as it is. Display names and subjects
become encoded words (RFC 2047), an address that has no ASCII form becomes one that cannot be answered, MIME
parameters are encoded (RFC 2231), and other fields that need UTF-8 are left out. Header sections whose 8-bit bytes
are not UTF-8 were never internationalized mail: they pass as they are, as they do everywhere. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from email.header import Header
from email.utils import encode_rfc2231, formataddr, getaddresses

UNREACHABLE = "invalid@internationalized-address.invalid"
"""RFC 6858 §3.1 gives this address."""

ADDRESS_FIELDS = frozenset(
    f"{prefix}{name}" for prefix in ("", "resent-") for name in ("from", "sender", "reply-to", "to", "cc", "bcc")
)
TEXT_FIELDS = frozenset(("subject", "comments", "content-description"))
PARAMETER_FIELDS = frozenset(("content-type", "content-disposition"))
# A field: its first line, and those that follow with a space or tab in front (RFC 5322 §2.2.3).
FIELD = re.compile(rb"[^\n]*(?:\n|\Z)(?:[ \t][^\n]*(?:\n|\Z))*")
FOLD = re.compile(r"\r?\n(?=[ \t])")
"""Where a field goes on in another line."""
LONGEST_VALUE = 900
"""Of a parameter in one piece: RFC 5322 §2.1.1 allows lines of 998 characters."""
_VALUE_PIECE = re.compile(r"(?:%[0-9A-F]{2}|[^%]){1,250}")
# RFC 2045 §5.1: parameter := attribute "=" value
_PARAMETER = re.compile(r';\s*([^\s=;*"]+)\s*=\s*("(?:[^"\\]|\\.)*"|[^\s;"]+)')


def downgrade_header(header: bytes) -> bytes:
    """The same header section in ASCII; `header` itself when there is nothing to do."""
    if header.isascii():
        return header
    try:
        header.decode()
    except UnicodeDecodeError:
        return header
    return b"".join(field if field.isascii() else _downgrade_field(field) for field in FIELD.findall(header))


def _downgrade_field(field: bytes) -> bytes:
    name, colon, value = field.decode().partition(":")
    downgrade = _find_downgrade(name.strip().lower())
    if not colon or not name.isascii() or downgrade is None:
        return b""
    text = FOLD.sub("", value).strip().replace("\r", " ").replace("\n", " ").replace("\0", " ")
    return f"{name}: {downgrade(name, text)}\r\n".encode("ascii", "replace")


def _find_downgrade(name: str) -> Callable[[str, str], str] | None:
    if name in ADDRESS_FIELDS:
        return _downgrade_addresses
    if name in TEXT_FIELDS:
        return encode_text
    if name in PARAMETER_FIELDS:
        return encode_parameters
    return None


def encode_text(name: str, text: str) -> str:
    """As encoded words (RFC 2047); `name` is the field's, for the length of its first line."""
    return Header(text, "utf-8", header_name=name).encode(linesep="\r\n")


def _downgrade_addresses(name: str, text: str) -> str:
    return ",\r\n ".join(_downgrade_mailbox(*mailbox) for mailbox in getaddresses([text]))


def _downgrade_mailbox(display_name: str, address: str) -> str:
    if not address.isascii():
        display_name, address = display_name or address, UNREACHABLE
    if display_name.isascii():
        return formataddr((display_name, address))
    return f"{encode_text('', display_name)} <{address}>"


def encode_parameters(name: str, text: str) -> str:
    """Those that need it, of a field that has parameters (RFC 2231). The others keep their folds."""
    return _PARAMETER.sub(_downgrade_parameter, text)


def _downgrade_parameter(found: re.Match[str]) -> str:
    """In pieces (RFC 2231 §3) only where the line would be too long: not every program puts them together again."""
    attribute, value = found[1], found[2]
    if value.isascii():
        return found[0]
    text = re.sub(r"\\(.)", r"\1", value[1:-1]) if value.startswith('"') else value
    encoded = encode_rfc2231(FOLD.sub("", text), "utf-8")
    if len(encoded) <= LONGEST_VALUE:
        return f";\r\n {attribute}*={encoded}"
    pieces = enumerate(_VALUE_PIECE.findall(encoded))
    return "".join(f";\r\n {attribute}*{number}*={piece}" for number, piece in pieces)
