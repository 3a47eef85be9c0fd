# SPDX-License-Identifier: MIT
"""Special Header Fields: where a provider writes down whom a message was really for (spec connectors 4.4). Pure.

One definition a line: `X-RCPTTO` takes the address in that field; `X-Recipient: account-5123112 * delivered` takes
what stands at the `*` between these texts; a `~` at the end swallows the rest of the line. One address is taken of
each field, and each field of the name is looked at.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from mailserver.errors import InvalidInput
from mailserver.mime.mailboxes import find_address, list_fields
from mailserver.values import Address

# field-name = 1*ftext (RFC 5322 §3.6.8)
_NAME = re.compile(r"[!-9;-~]+")


@dataclass(frozen=True, slots=True)
class SpecialField:
    """One definition. Without a `pattern` all of the value is looked through."""

    name: str
    pattern: re.Pattern[str] | None = None


def parse_special_fields(text: str) -> tuple[SpecialField, ...]:
    """The definitions, one a line. Raises InvalidInput that names the lines which cannot be read."""
    fields, problems = _read(text)
    if problems:
        raise InvalidInput({"special_fields": list(problems)})
    return fields


def find_special(header: bytes, text: str) -> Iterator[Address]:
    """The addresses that these definitions find, in the order of the definitions. Lines that are wrong are skipped."""
    fields, _ = _read(text)
    for special in fields:
        for _, value in list_fields(header, (special.name.lower(),)):
            address = _take(special, value)
            if address is not None:
                yield address


@lru_cache(maxsize=64)
def _read(text: str) -> tuple[tuple[SpecialField, ...], tuple[str, ...]]:
    fields: list[SpecialField] = []
    problems: list[str] = []
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip():
            try:
                fields.append(_parse_line(line.strip()))
            except ValueError as error:
                problems.append(f"Line {number}: {error}")
    return tuple(fields), tuple(problems)


def _parse_line(line: str) -> SpecialField:
    name, _, form = line.partition(":")
    name, form = name.strip(), form.strip()
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name or line!r} is not the name of a header field.")
    if not form:
        return SpecialField(name)
    if form.count("*") != 1:
        raise ValueError("write exactly one * where the address stands.")
    swallow = form.endswith("~")
    before, _, after = form.removesuffix("~").partition("*")
    if "~" in before or "~" in after:
        raise ValueError("the ~ stands at the end of the line only.")
    taken = r"\s*(\S+)" if swallow and not after.strip() else r"\s*(.+?)\s*"
    pattern = _literal(before) + taken + _literal(after) + (".*" if swallow else "")
    return SpecialField(name, re.compile(pattern, re.IGNORECASE | re.DOTALL))


def _literal(text: str) -> str:
    """Literal words; however many blanks stand between them."""
    return r"\s+".join(re.escape(word) for word in text.split())


def _take(special: SpecialField, value: str) -> Address | None:
    if special.pattern is None:
        return find_address(value)
    # However many blanks stand in a row, one does: the pattern would try all the ways to share them out.
    found = special.pattern.fullmatch(" ".join(value[:4000].split()))
    return find_address(found[1]) if found else None
