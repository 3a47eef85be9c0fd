# SPDX-License-Identifier: MIT
"""All fields of a header section as text for people, for searches in any of them.

RFC 9051 §6.4.4 (HEADER). Pure. Never raises. Decoded as `text.py` decodes what the text index holds, so that what is
found in a field is also found in the text.
"""

from __future__ import annotations

import re

from mailserver.mime.headers import MAX_HEADER_BYTES, decode_whole

_END = re.compile(rb"\r?\n\r?\n")
_FIELD_END = re.compile(rb"\r?\n(?![ \t])")


def decode_fields(message: bytes) -> list[tuple[str, str]]:
    """Name in lower case, and value, of each field at the start of the message, in order."""
    end = _END.search(message, 0, MAX_HEADER_BYTES)
    header = message[: end.start()] if end else message[:MAX_HEADER_BYTES]
    fields: list[tuple[str, str]] = []
    for raw in _FIELD_END.split(header):
        name, colon, value = decode_whole(raw).partition(":")
        if colon:
            fields.append((name.strip().lower(), value.strip()))
    return fields
