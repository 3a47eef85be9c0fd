# SPDX-License-Identifier: MIT
"""DNS overrides: servers that stand in for the MX records of some domains. Spec senders 4.3. Pure.

    # target domain   mail server                 options
    *.example.org     relay.example.net
    example.com       ann:secret@10.0.0.5:587     $priority:5 $size>100000 $end

Every line is asked, in order, and each that fits contributes a server; `$end` stops there. A line that cannot be
read is named with its number when it is saved, and passed over when mail is sent.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import takewhile

from mailserver.wildcards import matches

DEFAULT_PRIORITY = 10
SMTP_PORT = 25

_COMPARISONS: dict[str, Callable[[int, int], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "=": operator.eq,
    "<>": operator.ne,
}
_NUMERIC = re.compile(r"\$(size|retries|age)(<=|>=|<>|<|>|=)(\d{1,15})", re.IGNORECASE)
_TEXTUAL = re.compile(r"\$(auth|from):(\S+)", re.IGNORECASE)
_PRIORITY = re.compile(r"\$priority:(\d{1,9})", re.IGNORECASE)
# [user ":" password "@"] host [":" port]; a password may have an @ in it, a host never.
_SERVER = re.compile(
    r"(?:(?P<login>[^:]+):(?P<password>.*)@)?(?P<host>\[[0-9A-Fa-f:.]+\]|[^\s@:\[\]]+)(?::(?P<port>\d{1,5}))?"
)
# What is wrong with a line is told on runs, and what is wrong with a script's to the message's sender.
_PASSWORD = re.compile(r":.*@", re.DOTALL)


@dataclass(frozen=True, slots=True)
class OverrideFacts:
    """What a line may ask about a message and its recipient's domain."""

    domain: str
    size: int = 0
    retries: int = 0
    age_minutes: int = 0
    login: str = ""
    reverse_path: str = ""


@dataclass(frozen=True, slots=True)
class NamedServer:
    """A server as people write it: `host`, `host:port`, `user:password@host:port`."""

    host: str
    port: int = SMTP_PORT
    login: str = ""
    password: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Override:
    """One line. `conditions` must all hold."""

    domain: str
    server: NamedServer
    priority: int = DEFAULT_PRIORITY
    end: bool = False
    conditions: tuple[Callable[[OverrideFacts], bool], ...] = ()

    def fits(self, facts: OverrideFacts) -> bool:
        return matches(self.domain, facts.domain) and all(condition(facts) for condition in self.conditions)


@dataclass(frozen=True, slots=True)
class OverrideProblem:
    """A line that cannot be read, and why, for whoever wrote it."""

    line: int
    text: str

    def __str__(self) -> str:
        return f"Line {self.line}: {self.text}"


class BadOverride(ValueError):
    """Not an override; the text says why."""


def read_overrides(text: str) -> tuple[tuple[Override, ...], tuple[OverrideProblem, ...]]:
    """The lines that can be read, and what is wrong with the others."""
    overrides, problems = [], []
    for number, line in enumerate(text.splitlines(), 1):
        words = list(takewhile(lambda word: not word.startswith("#"), line.split()))
        if not words:
            continue
        try:
            overrides.append(_parse_line(words))
        except BadOverride as error:
            problems.append(OverrideProblem(number, str(error)))
    return tuple(overrides), tuple(problems)


def find_overrides(overrides: Sequence[Override], facts: OverrideFacts) -> tuple[Override, ...]:
    """Those that fit, in order; none: the domain's own MX records count."""
    found = []
    for override in overrides:
        if override.fits(facts):
            found.append(override)
            if override.end:
                break
    return tuple(found)


def parse_server(text: str, what: str = "a server") -> NamedServer:
    """`host`, `host:port`, either with `user:password@` in front; an IPv6 address in brackets. Raises BadOverride."""
    match = _SERVER.fullmatch(text)
    shown = _PASSWORD.sub(":***@", text)
    if match is None:
        raise BadOverride(f"{shown!r} is not {what}; write host, host:port or user:password@host:port.")
    port = int(match["port"] or SMTP_PORT)
    if not 1 <= port <= 65535:
        raise BadOverride(f"{shown!r}: there is no port {port}.")
    return NamedServer(match["host"].strip("[]"), port, match["login"] or "", match["password"] or "")


def _parse_line(words: Sequence[str]) -> Override:
    if len(words) < 2:
        raise BadOverride("a line is a target domain, a blank, and a mail server.")
    domain, server, *options = words
    if "@" in domain:
        raise BadOverride(f"{domain!r} is an address; write only the domain, the part after the @.")
    priority, end = DEFAULT_PRIORITY, False
    conditions: list[Callable[[OverrideFacts], bool]] = []
    for option in options:
        if option.lower() == "$end":
            end = True
        elif found := _PRIORITY.fullmatch(option):
            priority = int(found[1])
        else:
            conditions.append(_parse_condition(option))
    return Override(domain, parse_server(server), priority, end, tuple(conditions))


def _parse_condition(option: str) -> Callable[[OverrideFacts], bool]:
    if number := _NUMERIC.fullmatch(option):
        compare, limit = _COMPARISONS[number[2]], int(number[3])
        match number[1].lower():
            case "size":
                return lambda facts: compare(facts.size, limit)
            case "retries":
                return lambda facts: compare(facts.retries, limit)
            case _:
                return lambda facts: compare(facts.age_minutes, limit)
    if text := _TEXTUAL.fullmatch(option):
        pattern = text[2]
        if text[1].lower() == "auth":
            return lambda facts: matches(pattern, facts.login)
        return lambda facts: matches(pattern, facts.reverse_path)
    raise BadOverride(
        f"{option!r} is not an option; there are $priority:, $size, $retries, $age, $auth:, $from:, $end."
    )
