# SPDX-License-Identifier: MIT
"""Download rules: what happens to a message before it is fetched, by its header, its size and the time. Pure.

Spec connectors 4.6. Rules are checked from the top; the first that fits decides. What is stored of a condition is
`{"kind": ..., "field": ..., "value": ...}`; `parse_condition` is its one reader.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, time

from mailserver.errors import InvalidInput
from mailserver.mime.headers import decode_field
from mailserver.mime.mailboxes import list_all_fields, list_fields


class Action(enum.StrEnum):
    """Values of `models.DownloadRule.Action`; what a message is fetched by without rules is DOWNLOAD."""

    DOWNLOAD = "download"
    DOWNLOAD_DELETE = "download-delete"
    REDIRECT = "redirect"
    COPY = "copy"
    REDIRECT_DELETE = "redirect-delete"
    COPY_DELETE = "copy-delete"
    IGNORE = "ignore"
    DELETE = "delete"
    DELETE_WARN = "delete-warn"
    DELETE_WARN_COPY = "delete-warn-copy"
    DELETE_WARN_REDIRECT = "delete-warn-redirect"
    QUERY = "query"
    QUERY_COPY = "query-copy"
    QUERY_REDIRECT = "query-redirect"

    @property
    def fetches(self) -> bool:
        return self in _FETCHES

    @property
    def deletes(self) -> bool:
        """At once, whatever the collector's leave days say."""
        return "delete" in self.value

    @property
    def warns(self) -> bool:
        return "warn" in self.value

    @property
    def asks(self) -> bool:
        return self.value.startswith("query")

    @property
    def copies(self) -> bool:
        """The named target gets it as well (or the warning, or the question)."""
        return "copy" in self.value

    @property
    def redirects(self) -> bool:
        """The named target gets it instead."""
        return "redirect" in self.value


_FETCHES = frozenset(
    {
        Action.DOWNLOAD,
        Action.DOWNLOAD_DELETE,
        Action.REDIRECT,
        Action.COPY,
        Action.REDIRECT_DELETE,
        Action.COPY_DELETE,
    }
)


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do with one message; `rule` is the name of the rule that said so, empty for none."""

    action: Action = Action.DOWNLOAD
    rule: str = ""
    targets: tuple[str, ...] = ()


DOWNLOAD = Decision()


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of a message that has not been fetched. `now` is in the installation's time zone; `recipients`
    are user names; `valid` and `invalid` count the recipients that routing found, and those behind whom nobody is."""

    header: bytes
    size: int
    now: datetime
    collector: int = 0
    collector_name: str = ""
    recipients: tuple[str, ...] = ()
    valid: int = 0
    invalid: int = 0


class ConditionKind(enum.StrEnum):
    """What a condition looks at."""

    HEADER = "header"
    SIZE = "size"
    TIME = "time"
    DAY = "day"
    RECIPIENT = "recipient"
    COLLECTOR = "collector"
    VALID = "valid"
    INVALID = "invalid"


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition, read and checked."""

    kind: ConditionKind
    field: str = ""
    value: str = ""
    number: int = 0
    begin: time = time.min
    end: time = time.max

    def holds(self, facts: Facts) -> bool:
        match self.kind:
            case ConditionKind.HEADER:
                return self._in_header(facts.header)
            case ConditionKind.SIZE:
                return facts.size >= self.number
            case ConditionKind.TIME:
                now = facts.now.time().replace(second=0, microsecond=0)
                if self.begin <= self.end:
                    return self.begin <= now <= self.end
                return now >= self.begin or now <= self.end
            case ConditionKind.DAY:
                return str(facts.now.isoweekday() % 7 + 1) in self.value
            case ConditionKind.RECIPIENT:
                return self.value.lower() in (name.lower() for name in facts.recipients)
            case ConditionKind.COLLECTOR:
                return self.value.casefold() in (facts.collector_name.casefold(), str(facts.collector))
            case ConditionKind.VALID:
                return facts.valid >= self.number
            case ConditionKind.INVALID:
                return facts.invalid >= self.number

    def _in_header(self, header: bytes) -> bool:
        parts = self.value.casefold().split("*")
        fields = list_all_fields(header) if self.field == "*" else list_fields(header, (self.field.lower(),))
        return any(
            _contains(decode_field(value.encode("utf-8", "replace")), parts) or _contains(value, parts)
            for _, value in fields
        )


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule. Without conditions it always fits."""

    name: str
    action: Action
    targets: tuple[str, ...] = ()
    match_all: bool = True
    conditions: tuple[Condition, ...] = ()

    def fits(self, facts: Facts) -> bool:
        if not self.conditions:
            return True
        results = (condition.holds(facts) for condition in self.conditions)
        return all(results) if self.match_all else any(results)


def decide(rules: Iterable[Rule], facts: Facts) -> Decision:
    """What the first fitting rule says; DOWNLOAD where none fits."""
    for rule in rules:
        if rule.fits(facts):
            return Decision(rule.action, rule.name, rule.targets)
    return DOWNLOAD


def split_targets(text: str) -> tuple[str, ...]:
    """Redirect to, Copy to: users or addresses, separated by commas."""
    return tuple(target.strip() for target in text.split(",") if target.strip())


def parse_conditions(stored: Sequence[Mapping[str, object]]) -> tuple[Condition, ...]:
    """All conditions of a rule. Raises InvalidInput that says which one is wrong, and why."""
    conditions = []
    problems = []
    for number, condition in enumerate(stored, 1):
        try:
            conditions.append(parse_condition(condition))
        except ValueError as error:
            problems.append(f"Condition {number}: {error}")
    if problems:
        raise InvalidInput({"conditions": problems})
    return tuple(conditions)


def parse_condition(stored: Mapping[str, object]) -> Condition:
    """Raises ValueError with a sentence for people."""
    name = str(stored.get("kind", ""))
    if name not in set(ConditionKind):
        raise ValueError(f"there is no condition {name!r}; there are {', '.join(ConditionKind)}.")
    kind = ConditionKind(name)
    field, value = str(stored.get("field", "")).strip(), str(stored.get("value", "")).strip()
    if kind is ConditionKind.HEADER:
        if not re.fullmatch(r"[!-9;-~]+", field):
            raise ValueError("name the header field to look at, such as Subject.")
        return Condition(kind, field, value)
    if kind in (ConditionKind.SIZE, ConditionKind.VALID, ConditionKind.INVALID):
        if not re.fullmatch(r"[0-9]{1,15}", value):
            raise ValueError(f"{value!r} is not a number.")
        return Condition(kind, value=value, number=int(value))
    if kind is ConditionKind.TIME:
        return _parse_time(value)
    if kind is ConditionKind.DAY and not re.fullmatch(r"[1-7]{1,7}", value):
        raise ValueError("write the days as digits, 1 for Sunday to 7 for Saturday.")
    if not value:
        raise ValueError("say who or what is meant.")
    return Condition(kind, value=value)


def _parse_time(value: str) -> Condition:
    found = re.fullmatch(r"(\d{1,2}):(\d\d)\s*-\s*(\d{1,2}):(\d\d)", value)
    try:
        if found is None:
            raise ValueError
        begin, end = time(int(found[1]), int(found[2])), time(int(found[3]), int(found[4]))
    except ValueError:
        raise ValueError("write the time as 09:00-17:30.") from None
    return Condition(ConditionKind.TIME, value=value, begin=begin, end=end)


def _contains(text: str, parts: Sequence[str]) -> bool:
    """The parts one behind the other, anywhere in the text, whatever the case; what lies between them is anything.

    Looked for one by one: senders choose how long a field is, and how often it nearly fits.
    """
    folded, place = text.casefold(), 0
    for part in parts:
        found = folded.find(part, place)
        if found < 0:
            return False
        place = found + len(part)
    return True
