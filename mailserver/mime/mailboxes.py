# SPDX-License-Identifier: MIT
"""Mailboxes in header fields, as the rest of the server speaks of addresses: who is named, and under which address.

RFC 5322 §3.4 (address lists), RFC 5321 §4.4 (the `for` clause of Received lines). Pure: never raises; what is no
address is left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from mailserver.addressing.syntax import BadDomain, parse_domain
from mailserver.mime.addresses import HeaderAddress, parse_addresses
from mailserver.mime.headers import decode_field
from mailserver.values import Address

MAX_TRACE_CHARACTERS = 4000
"""What a Received line says further on is not looked at; real ones have some 300 characters."""

_FOLD = re.compile(rb"\r?\n(?=[ \t])")
# field = field-name *WSP ":" unstructured, folded lines begin with white space (RFC 5322 §2.2.3, §4.5)
_FIELD = re.compile(rb"^([!-9;-~]+)[ \t]*:([^\n]*(?:\n[ \t][^\n]*)*)", re.MULTILINE)
_COMMENT = re.compile(r"\((?:[^()\\]|\\.)*\)")
# For = CFWS "FOR" FWS ( Path / Mailbox ) (RFC 5321 §4.4); many servers leave the angle brackets out.
_FOR = re.compile(r"\bfor\s+(?:<([^<>]*)>|([^\s<>;()]+))", re.IGNORECASE)


# The form that nearly all have: Dot-string "@" Domain, nothing else. A short cut, no other grammar.
_PLAIN = re.compile(r"\s*<?([\w.!#$%&'*+/=?^`{|}~-]+)@([A-Za-z0-9.-]+)>?\s*", re.ASCII)


@dataclass(frozen=True, slots=True)
class NamedAddress:
    """An address, and the name beside it, decoded; empty where there is none."""

    name: str
    address: Address


def list_fields(header: bytes, names: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Lower-case name and unfolded value of each field that has one of these lower-case names, from the top."""
    wanted = {name.encode("latin-1") for name in names}
    for found in _FIELD.finditer(header):
        name = found[1].lower()
        if name in wanted:
            yield name.decode("latin-1"), _text(_FOLD.sub(b"", found[2]))


def list_all_fields(header: bytes) -> Iterator[tuple[str, str]]:
    """Lower-case name and unfolded value of every field, from the top."""
    for found in _FIELD.finditer(header):
        yield found[1].lower().decode("latin-1"), _text(_FOLD.sub(b"", found[2]))


def find_addresses(value: str) -> list[NamedAddress]:
    """Everybody whom an address list names; groups are taken apart."""
    found = []
    for entry in parse_addresses(value):
        address = _to_address(entry)
        if address is not None:
            name = decode_field(entry.name.encode("utf-8", "replace")) if entry.name else ""
            found.append(NamedAddress(name, address))
    return found


def find_address(text: str) -> Address | None:
    """The first address in a piece of text, with or without angle brackets; None when there is none."""
    if plain := _PLAIN.fullmatch(text):
        return make_address(plain[1], plain[2])
    return next((named.address for named in find_addresses(text)), None)


def find_trace_recipient(value: str) -> Address | None:
    """Whom a Received line says that the message was for; None when it does not say."""
    plain = value[:MAX_TRACE_CHARACTERS]
    while (shorter := _COMMENT.sub(" ", plain)) != plain:
        plain = shorter
    found = _FOR.search(plain)
    return find_address(found[1] or found[2] or "") if found else None


def make_address(local: str, domain: str) -> Address | None:
    """The address in the form in which addresses are compared; None when the domain cannot be one."""
    try:
        return Address(local, parse_domain(domain)) if local and domain else None
    except BadDomain:
        return None


def _to_address(entry: HeaderAddress) -> Address | None:
    return make_address(entry.mailbox or "", entry.host or "")


def _text(value: bytes) -> str:
    try:
        text = value.decode("utf-8")
    except UnicodeDecodeError:
        text = value.decode("latin-1")
    return text.strip(" \t\r\n")
