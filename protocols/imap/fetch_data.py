# SPDX-License-Identifier: MIT
"""The answer to FETCH, item by item.

RFC 9051 §7.5.2, and the extensions that `fetch_items.py` names. Each function gives one item's bytes;
`format_fetch()` puts them into a response. A section that is streamed is announced by `begin_section()`, and its
bytes follow. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from functools import lru_cache

from mailserver.mime.addresses import HeaderAddress
from mailserver.mime.envelope import Addresses, MessageEnvelope
from mailserver.mime.structure import Part
from protocols.imap.wire import (
    NIL,
    format_date_time,
    format_flags,
    format_list,
    format_literal,
    format_raw,
    format_text,
)


def format_fetch(number: int, items: Iterable[bytes], *, uid_only: bool = False) -> bytes:
    """`* 12 FETCH (...)`; with UIDONLY the number is a UID (RFC 9586 §3.4)."""
    return begin_fetch(number, uid_only=uid_only) + b" ".join(items) + END_FETCH


def begin_fetch(number: int, *, uid_only: bool = False) -> bytes:
    return b"* %d %s (" % (number, b"UIDFETCH" if uid_only else b"FETCH")


END_FETCH = b")\r\n"


@lru_cache(maxsize=1000)
def format_flags_item(flags: frozenset[str]) -> bytes:
    """The same few sets come again and again."""
    return b"FLAGS " + format_flags(flags)


def format_uid_item(uid: int) -> bytes:
    return b"UID %d" % uid


def format_modseq_item(modseq: int) -> bytes:
    """RFC 7162 §3.1.4.2."""
    return b"MODSEQ (%d)" % modseq


def format_size_item(size: int) -> bytes:
    return b"RFC822.SIZE %d" % size


def format_internal_date_item(moment: datetime) -> bytes:
    return b"INTERNALDATE " + format_date_time(moment)


def format_save_date_item(moment: datetime | None) -> bytes:
    """RFC 8514 §4.1: NIL where the mailbox does not keep it."""
    return b"SAVEDATE " + (format_date_time(moment) if moment else NIL)


def format_email_id_item(identifier: str) -> bytes:
    """RFC 8474 §5.1."""
    return b"EMAILID (%s)" % identifier.encode("ascii")


def format_thread_id_item(identifier: str | None) -> bytes:
    """RFC 8474 §5.2."""
    return b"THREADID " + (b"(%s)" % identifier.encode("ascii") if identifier else NIL)


def format_preview_item(preview: str | None, *, utf8: bool) -> bytes:
    """RFC 8970 §3.1: UTF-8 text; NIL when LAZY was asked for and none is at hand."""
    return b"PREVIEW " + format_text(preview, utf8=utf8)


def format_section(label: str, value: bytes | None, *, binary: bool = False) -> bytes:
    """BODY[...] or BINARY[...]; None is NIL: there is no such part.

    Always a literal, so that what a client stores is what stands there; `binary` for BINARY data that holds NUL.
    """
    head = _label(label)
    return head + NIL if value is None else head + format_literal(value, binary=binary)


def begin_section(label: str, size: int, *, binary: bool = False) -> bytes:
    """The same for `size` bytes that follow from elsewhere."""
    return _label(label) + b"%s{%d}\r\n" % (b"~" if binary else b"", size)


def format_binary_size(label: str, size: int) -> bytes:
    return _label(label) + b"%d" % size


def _label(label: str) -> bytes:
    """Field names outside ASCII are repeated as they were sent, in UTF-8."""
    return label.encode("utf-8") + b" "


def format_envelope_item(envelope: MessageEnvelope, *, utf8: bool = False) -> bytes:
    return b"ENVELOPE " + format_envelope(envelope, utf8=utf8)


def format_envelope(envelope: MessageEnvelope, *, utf8: bool = False) -> bytes:
    """RFC 9051 §7.5.2 ENVELOPE."""
    parts = [format_raw(envelope.date, utf8=utf8), format_raw(envelope.subject, utf8=utf8)]
    people = (envelope.from_, envelope.sender, envelope.reply_to, envelope.to, envelope.cc, envelope.bcc)
    parts += (_format_addresses(addresses, utf8=utf8) for addresses in people)
    parts += [format_raw(envelope.in_reply_to, utf8=utf8), format_raw(envelope.message_id, utf8=utf8)]
    return format_list(parts)


def _format_addresses(addresses: Addresses, *, utf8: bool) -> bytes:
    """env-from and its like: addresses without spaces between them."""
    if not addresses:
        return NIL
    return b"(" + b"".join(_format_address(address, utf8=utf8) for address in addresses) + b")"


def _format_address(address: HeaderAddress, *, utf8: bool) -> bytes:
    fields = (address.name, address.route, address.mailbox, address.host)
    return format_list(format_raw(field, utf8=utf8) for field in fields)


def format_body_item(part: Part, *, utf8: bool = False) -> bytes:
    """BODY: the structure without its extension data."""
    return b"BODY " + format_body(part, extended=False, utf8=utf8)


def format_body_structure_item(part: Part, *, utf8: bool = False) -> bytes:
    return b"BODYSTRUCTURE " + format_body(part, extended=True, utf8=utf8)


def format_body(part: Part, *, extended: bool, utf8: bool = False) -> bytes:
    """RFC 9051 §9 body."""
    pieces = _multipart(part, extended, utf8) if part.is_multipart else _single_part(part, extended, utf8)
    return b"(" + b" ".join(pieces) + b")"


def _multipart(part: Part, extended: bool, utf8: bool) -> list[bytes]:
    children = b"".join(format_body(child, extended=extended, utf8=utf8) for child in part.children)
    pieces = [children, format_raw(part.subtype, utf8=utf8)]
    if extended:
        pieces += [_format_parameters(part.parameters, utf8), *_common_extension(part, utf8)]
    return pieces


def _single_part(part: Part, extended: bool, utf8: bool) -> list[bytes]:
    pieces = [
        format_raw(part.type, utf8=utf8),
        format_raw(part.subtype, utf8=utf8),
        _format_parameters(part.parameters, utf8),
        format_raw(part.id, utf8=utf8),
        format_raw(part.description, utf8=utf8),
        format_raw(part.encoding, utf8=utf8),
        b"%d" % part.size,
    ]
    if part.is_message:
        message = part.children[0]
        pieces += [
            format_envelope(message.envelope or MessageEnvelope(), utf8=utf8),
            format_body(message, extended=extended, utf8=utf8),
        ]
    if part.is_message or part.type == "text":
        pieces.append(b"%d" % part.lines)
    if extended:
        pieces += [format_raw(part.md5, utf8=utf8), *_common_extension(part, utf8)]
    return pieces


def _common_extension(part: Part, utf8: bool) -> list[bytes]:
    """Disposition, language, location."""
    disposition = NIL
    if part.disposition:
        shown = _format_parameters(part.disposition.parameters, utf8)
        disposition = format_list((format_raw(part.disposition.value, utf8=utf8), shown))
    language = format_list(format_raw(word, utf8=utf8) for word in part.language) if part.language else NIL
    return [disposition, language, format_raw(part.location, utf8=utf8)]


def _format_parameters(parameters: tuple[tuple[str, str], ...], utf8: bool) -> bytes:
    if not parameters:
        return NIL
    return format_list(format_raw(text, utf8=utf8) for pair in parameters for text in pair)
