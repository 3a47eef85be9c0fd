# SPDX-License-Identifier: MIT
"""How values are written in replies: strings, names, dates, lists.

RFC 9051 §4.3 and §9; RFC 6855 §3. Until a client has enabled IMAP4rev2 or UTF8=ACCEPT it gets no 8-bit octet in a
quoted string, and mailbox names in modified UTF-7. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from functools import lru_cache

from protocols.imap.lexer import MONTHS
from protocols.imap.mailbox_names import format_mailbox_name

CRLF = b"\r\n"
NIL = b"NIL"

MAX_QUOTED_BYTES = 1000
"""Longer strings go as literals: some clients read lines into small buffers (RFC 7162 §4 warns of 8192 in all)."""

_QUOTABLE = re.compile(rb"[\x01-\x09\x0b\x0c\x0e-\x7f]*")
_SPECIAL = re.compile(rb'(["\\])')
_ATOM = re.compile(r"[!#$&'+,\-./0-9:;<=>?@A-Z\[^_`a-z|}~]+")


def format_string(value: bytes | None, *, utf8: bool = False) -> bytes:
    """nstring: quoted where that is possible, else a literal. NUL, which no string may hold, is dropped."""
    if value is None:
        return NIL
    if b"\x00" in value:
        value = value.replace(b"\x00", b"")
    if len(value) <= MAX_QUOTED_BYTES and (_QUOTABLE.fullmatch(value) or (utf8 and _is_quotable_utf8(value))):
        return b'"' + (_SPECIAL.sub(rb"\\\1", value) if b'"' in value or b"\\" in value else value) + b'"'
    return format_literal(value)


def _is_quotable_utf8(value: bytes) -> bool:
    if b"\r" in value or b"\n" in value:
        return False
    try:
        value.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def format_literal(value: bytes, *, binary: bool = False) -> bytes:
    """`binary` makes a literal8, in which NUL may stand."""
    return b"%s{%d}\r\n%s" % (b"~" if binary else b"", len(value), value)


def format_text(value: str | None, *, utf8: bool = False) -> bytes:
    """Text of our own."""
    return NIL if value is None else format_string(value.encode("utf-8", "replace"), utf8=utf8)


def format_raw(value: str | None, *, utf8: bool = False) -> bytes:
    """Text in the bytes-as-characters form of `mailserver.mime.raw_fields`."""
    return NIL if value is None else format_string(value.encode("latin-1", "replace"), utf8=utf8)


def format_mailbox(name: str, *, utf8: bool = False) -> bytes:
    """Always as a string: NIL is a fine name for a mailbox."""
    return format_string(format_mailbox_name(name, utf8=utf8), utf8=utf8)


def format_astring(value: str, *, utf8: bool = False) -> bytes:
    """An atom where it can be one."""
    if _ATOM.fullmatch(value) and value.upper() != "NIL":
        return value.encode("ascii")
    return format_text(value, utf8=utf8)


def format_list(items: Iterable[bytes]) -> bytes:
    return b"(" + b" ".join(items) + b")"


def format_flags(flags: Iterable[str]) -> bytes:
    """System flags first, then keywords, so that the same flags always look the same."""
    return _format_flag_set(frozenset(flags))


@lru_cache(maxsize=1000)
def _format_flag_set(flags: frozenset[str]) -> bytes:
    """The same few sets come again and again; frozenset() of a frozenset costs nothing."""
    return format_list(flag.encode("ascii") for flag in sorted(flags, key=_flag_order))


def _flag_order(flag: str) -> tuple[bool, str]:
    return not flag.startswith("\\"), flag


def format_date_time(moment: datetime) -> bytes:
    """RFC 9051 §9 date-time, in UTC."""
    local = moment.astimezone(UTC)
    return b'"%02d-%s-%04d %02d:%02d:%02d +0000"' % (
        local.day, MONTHS[local.month - 1].encode("ascii"), local.year, local.hour, local.minute, local.second,
    )  # fmt: skip
