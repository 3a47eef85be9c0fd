# SPDX-License-Identifier: MIT
"""Address lists as people and programs really write them.

RFC 5322 §3.4 and the obsolete forms of §4.4: groups, comments, routes. Pure: never raises. What is no address comes
out as one whose host is empty, so that a client still sees what was written.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import takewhile

from mailserver.mime.raw_fields import skip_comment

MAX_ADDRESSES = 10_000
"""Addresses kept of one field; a reader sees no more of a longer list."""


@dataclass(frozen=True, slots=True)
class HeaderAddress:
    """One address as ENVELOPE shows it (RFC 9051 §7.5.2).

    A group is opened by an address with no host, whose mailbox is the group's name, and closed by one with neither.
    """

    name: str | None
    route: str | None
    mailbox: str | None
    host: str | None


GROUP_END = HeaderAddress(None, None, None, None)

_TOKEN = re.compile(r'"((?:[^"\\]|\\.)*)(?:"|\Z)|(\[[^\]]*\]?)|([^\s"(<>@,;:\[]+)|([<>@,;:])|\s+|.', re.DOTALL)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    """`word`, `quoted`, `comment`, or the special character itself."""
    text: str


def _tokens(text: str) -> Iterator[_Token]:
    position = 0
    while position < len(text):
        if text[position] == "(":
            end = skip_comment(text, position)
            yield _Token("comment", _ESCAPE.sub(r"\1", text[position + 1 : end].removesuffix(")")).strip())
            position = end
            continue
        match = _TOKEN.match(text, position)
        assert match, "every character is some token"
        position = match.end()
        if match[1] is not None:
            yield _Token("quoted", _ESCAPE.sub(r"\1", match[1]))
        elif match[4]:
            yield _Token(match[4], match[4])
        elif not match[0].isspace():
            yield _Token("word", match[0])


def parse_addresses(text: str) -> tuple[HeaderAddress, ...]:
    """All addresses of a field's value, groups marked as RFC 9051 §7.5.2 has it."""
    found: list[HeaderAddress] = []
    collected: list[_Token] = []
    in_group = in_angle = False
    for token in _tokens(text):
        if len(found) >= MAX_ADDRESSES:
            break
        if token.kind in "<>":
            in_angle = token.kind == "<"
        if in_angle or token.kind not in ",;:":
            collected.append(token)
        elif token.kind == ":" and not in_group:
            found.append(HeaderAddress(None, None, _phrase(collected), None))
            collected, in_group = [], True
        else:
            found.extend(_address(collected))
            collected = []
            if token.kind == ";" and in_group:
                found.append(GROUP_END)
                in_group = False
    found.extend(_address(collected))
    if in_group:
        found.append(GROUP_END)
    return tuple(found)


def _phrase(tokens: list[_Token]) -> str:
    return " ".join(token.text for token in tokens if token.kind != "comment")


def _address(tokens: list[_Token]) -> tuple[HeaderAddress, ...]:
    """The address that these tokens make up; none if there is nothing but comments."""
    plain = [token for token in tokens if token.kind != "comment"]
    if not plain:
        return ()
    opening = next((place for place, token in enumerate(plain) if token.kind == "<"), None)
    if opening is None:
        comment = next((token.text for token in tokens if token.kind == "comment"), None)
        return (_addr_spec(plain, comment or None, None),)
    inside = list(takewhile(lambda token: token.kind != ">", plain[opening + 1 :]))
    route: str | None = None
    if inside and inside[0].kind == "@":
        colon = next((place for place, token in enumerate(inside) if token.kind == ":"), len(inside))
        route = "".join(token.text for token in inside[:colon])
        inside = inside[colon + 1 :]
    return (_addr_spec(inside, _phrase(plain[:opening]) or None, route),)


def _addr_spec(tokens: list[_Token], name: str | None, route: str | None) -> HeaderAddress:
    """Split at the last `@`. Without one all of it is the mailbox, and the host empty, which is not NIL: NIL would
    make it a group."""
    at = max((place for place, token in enumerate(tokens) if token.kind == "@"), default=None)
    if at is None:
        return HeaderAddress(name, route, _phrase(tokens), "")
    return HeaderAddress(name, route, "".join(t.text for t in tokens[:at]), "".join(t.text for t in tokens[at + 1 :]))
