# SPDX-License-Identifier: MIT
"""Domain filtering: the little language that says which messages a Sender may take. Spec senders 7.1. Pure.

    # Large messages go by the other line
    Skip: Size > 5M
    Attempt: ToDomain = *.example.net, From = *@office.example
    Attempt: Subject ~ "^\\[News\\]"

Each line is `Attempt:` or `Skip:` and conditions, all of which must hold; commas between them may be left out. The
first line that matches decides. When none does, a text with any `Attempt:` line skips, another one attempts.

The language of older versions is taken as well, for imports: `From: <wildcard>` for senders, a bare wildcard for
recipients' domains (or addresses, where it has an @), `!` in front for the opposite. A message is attempted when it
fits one of the sender rules and one of the recipient rules; where there is only one sort, that alone decides. What
fits a rule with `!` is never attempted, and where all rules of a sort have it, everything else fits.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache, partial
from ipaddress import ip_address, ip_network

from mailserver.mime.decoded_fields import decode_fields
from mailserver.patterns import BadPattern, Pattern
from mailserver.wildcards import compile_wildcard, matches


@dataclass(frozen=True, slots=True)
class Facts:
    """What can be asked of one recipient of a message. `header` is called only where a condition needs it."""

    size: int = 0
    recipients: int = 1
    tries: int = 0
    age_minutes: int = 0
    reverse_path: str = ""
    recipient: str = ""
    login: str = ""
    client: str = ""
    subject: str = ""
    header: Callable[[], bytes] = bytes

    @property
    def domain(self) -> str:
        return self.recipient.rpartition("@")[2]


@dataclass(frozen=True, slots=True)
class FilterProblem:
    """A line that cannot be read, and why, for whoever wrote it."""

    line: int
    text: str

    def __str__(self) -> str:
        return f"Line {self.line}: {self.text}"


Condition = Callable[[Facts], bool]


@dataclass(frozen=True, slots=True)
class FilterRule:
    """One line of the new language."""

    attempt: bool
    conditions: tuple[Condition, ...]

    def fits(self, facts: Facts) -> bool:
        return all(condition(facts) for condition in self.conditions)


@dataclass(frozen=True, slots=True)
class OldRules:
    """The lines of one sort in the old language."""

    wanted: tuple[Condition, ...] = ()
    unwanted: tuple[Condition, ...] = ()

    def fit(self, facts: Facts) -> bool:
        if any(condition(facts) for condition in self.unwanted):
            return False
        return not self.wanted or any(condition(facts) for condition in self.wanted)


@dataclass(frozen=True, slots=True)
class DomainFilter:
    """A text that was read. Lines that cannot be read are in `problems`, and count for nothing otherwise."""

    rules: tuple[FilterRule, ...] = ()
    old: tuple[OldRules, ...] = ()
    problems: tuple[FilterProblem, ...] = field(default=(), compare=False)

    @property
    def takes_everything(self) -> bool:
        """Nothing needs to be asked."""
        return not self.rules and not self.old

    def attempts(self, facts: Facts) -> bool:
        """Whether the Sender may send to this recipient."""
        for rule in self.rules:
            if rule.fits(facts):
                return rule.attempt
        if self.rules:
            return not any(rule.attempt for rule in self.rules)
        return all(rules.fit(facts) for rules in self.old)


class _Problem(ValueError):
    """Why a line cannot be read."""


@lru_cache(maxsize=64)
def read_filter(text: str) -> DomainFilter:
    """Never raises: what is wrong is in the result."""
    lines = [(number, _without_comment(line)) for number, line in enumerate(text.splitlines(), start=1)]
    lines = [(number, line) for number, line in lines if line]
    if any(_RULE.match(line) for _, line in lines):
        return _read_new(lines)
    return _read_old(lines)


# ---------------------------------------------------------------- the language of today

_RULE = re.compile(r"(attempt|skip)\s*:", re.IGNORECASE)
_BETWEEN = re.compile(r"[\s,]*")
_WORD = re.compile(r"[A-Za-z]+(?::[!-9;-~]+?(?=\s|[=<>!~]|$))?")
_COMPARATOR = re.compile(r"!?(?:<>|==|<=|>=|<|>|=|~)|!=")
_VALUE = re.compile(r'"((?:[^"\\]|\\.)*)"|([^\s,"]+)')
_NUMBER = re.compile(r"(\d{1,15})\s*([kmg]?)b?", re.IGNORECASE)
_UNITS = {"": 1, "k": 1024, "m": 1024**2, "g": 1024**3}

_NUMERIC: dict[str, Callable[[Facts], int]] = {
    "size": lambda facts: facts.size,
    "recipients": lambda facts: facts.recipients,
    "retries": lambda facts: facts.tries,
    "age": lambda facts: facts.age_minutes,
}
_TEXTUAL: dict[str, Callable[[Facts], str]] = {
    "from": lambda facts: facts.reverse_path,
    "to": lambda facts: facts.recipient,
    "todomain": lambda facts: facts.domain,
    "auth": lambda facts: facts.login,
    "subject": lambda facts: facts.subject,
}
_COMPARISONS: dict[str, Callable[[int, int], bool]] = {
    "=": operator.eq,
    "<>": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_SPELLINGS = {"==": "=", "!=": "<>", "!==": "<>", "!<>": "=", "!<": ">=", "!<=": ">", "!>": "<=", "!>=": "<"}
"""Other ways to write a comparator."""
KNOWN = "All, None, Size, Recipients, Retries, Age, From, To, ToDomain, Auth, IP, Subject and Header:name"


def _read_new(lines: list[tuple[int, str]]) -> DomainFilter:
    rules, problems = [], []
    for number, line in lines:
        try:
            rules.append(_read_rule(line))
        except _Problem as problem:
            problems.append(FilterProblem(number, str(problem)))
            if not line.lower().startswith("skip"):  # The line still says that not everything is attempted.
                rules.append(_NEVER)
    return DomainFilter(tuple(rules), (), tuple(problems))


def _read_rule(line: str) -> FilterRule:
    verb = _RULE.match(line)
    if verb is None:
        raise _Problem(f"a line begins with Attempt: or Skip:, not with {_shown(line)}")
    conditions = tuple(_read_conditions(line, verb.end()))
    if not conditions:
        raise _Problem(f"{verb[1].capitalize()}: needs a condition; write All to mean every message")
    return FilterRule(verb[1].lower() == "attempt", conditions)


def _read_conditions(line: str, place: int) -> Iterator[Condition]:
    while (place := _skip(line, place)) < len(line):
        word = _WORD.match(line, place)
        if word is None:
            raise _Problem(f"a condition was expected at {_shown(line[place:])}")
        name = word[0]
        place = word.end()
        if name.lower() in ("all", "none"):
            yield _always if name.lower() == "all" else _nothing
            continue
        place = _skip(line, place)
        comparator = _COMPARATOR.match(line, place)
        if comparator is None:
            raise _Problem(
                f"after {name} a comparison was expected, such as = or <>" if _is_known(name) else _odd(name)
            )
        place = _skip(line, comparator.end())
        value = _VALUE.match(line, place)
        if value is None:
            raise _Problem(f"after {name} {comparator[0]} a value was expected")
        place = value.end()
        yield _make_condition(name, comparator[0], _unquote(value))


def _always(facts: Facts) -> bool:
    return True


def _nothing(facts: Facts) -> bool:
    return False


_NEVER = FilterRule(True, (_nothing,))


def _make_condition(name: str, comparator: str, value: str) -> Condition:
    comparator = _SPELLINGS.get(comparator, comparator)
    key = name.lower()
    if key in _NUMERIC:
        return _compare_numbers(name, _NUMERIC[key], comparator, value)
    if key == "ip":
        return _compare_addresses(comparator, value)
    if key.startswith("header:"):
        return _compare_texts(name, _field_reader(key.partition(":")[2]), comparator, value)
    if key in _TEXTUAL:
        source = _TEXTUAL[key]
        return _compare_texts(name, lambda facts: (source(facts),), comparator, value)
    raise _Problem(_odd(name))


def _compare_numbers(name: str, source: Callable[[Facts], int], comparator: str, value: str) -> Condition:
    comparison = _COMPARISONS.get(comparator)
    if comparison is None:
        raise _Problem(f"{name} is a number: compare it with =, <>, <, <=, > or >=")
    number = _NUMBER.fullmatch(value)
    if number is None:
        raise _Problem(f"{name} is compared with a number, not with {_shown(value)}")
    limit = int(number[1]) * _UNITS[number[2].lower()]
    return lambda facts: comparison(source(facts), limit)


def _compare_texts(name: str, source: Callable[[Facts], tuple[str, ...]], comparator: str, value: str) -> Condition:
    """A field that is not there is an empty text."""
    if comparator in ("~", "!~"):
        found = _compile(name, value).is_in
    elif comparator in ("=", "<>"):
        found = partial(matches, value)
    else:
        raise _Problem(f"{name} is a text: compare it with =, <>, ~ or !~")
    wanted = comparator in ("=", "~")
    return lambda facts: any(found(text) for text in source(facts)) is wanted


def _compile(name: str, value: str) -> Pattern:
    try:
        return Pattern(value)
    except BadPattern as error:
        raise _Problem(f"the regular expression after {name} {error}") from None


def _compare_addresses(comparator: str, value: str) -> Condition:
    if comparator not in ("=", "<>"):
        raise _Problem("IP is an address: compare it with = or <>")
    try:
        network = ip_network(value, strict=False)
    except ValueError:
        raise _Problem(f"{_shown(value)} is not an address, nor one with /bits behind it") from None

    def inside(facts: Facts) -> bool:
        try:
            return ip_address(facts.client) in network
        except ValueError:  # Written by this server: it came from nowhere.
            return False

    wanted = comparator == "="
    return lambda facts: inside(facts) is wanted


def _field_reader(name: str) -> Callable[[Facts], tuple[str, ...]]:
    return lambda facts: tuple(text for found, text in decode_fields(facts.header()) if found == name) or ("",)


def _skip(line: str, place: int) -> int:
    match = _BETWEEN.match(line, place)
    return match.end() if match else place


def _unquote(value: re.Match[str]) -> str:
    """In quotes only the quote itself needs a backslash, so that a regular expression keeps its own."""
    return value[1].replace('\\"', '"') if value[1] is not None else value[2]


def _is_known(name: str) -> bool:
    key = name.lower()
    return key in _NUMERIC or key in _TEXTUAL or key == "ip" or key.startswith("header:")


def _odd(name: str) -> str:
    return f"{_shown(name)} is not a condition; there are {KNOWN}"


def _shown(text: str) -> str:
    return f'"{text[:40]}"'


def _without_comment(line: str) -> str:
    """Up to a `#` that stands outside quotes."""
    match = _BEFORE_COMMENT.match(line)
    return (match[0] if match else line).strip()


_BEFORE_COMMENT = re.compile(r'(?:[^"#]|"(?:[^"\\]|\\.)*"|"(?=[^"]*$))*')

# ---------------------------------------------------------------- the language of older versions

_OLD_LINE = re.compile(r"(!?)\s*(from\s*:\s*)?(!?)\s*([^\s:]+)", re.IGNORECASE)


def _read_old(lines: list[tuple[int, str]]) -> DomainFilter:
    sorts: dict[bool, tuple[list[Condition], list[Condition]]] = {}
    problems = []
    for number, line in lines:
        match = _OLD_LINE.fullmatch(line)
        if match is None:
            problems.append(FilterProblem(number, f"a line begins with Attempt: or Skip:, not with {_shown(line)}"))
            continue
        by_sender = match[2] is not None
        negated = bool(match[1]) != bool(match[3])
        wanted, unwanted = sorts.setdefault(by_sender, ([], []))
        (unwanted if negated else wanted).append(_old_condition(by_sender, match[4]))
    if lines and not sorts:
        return DomainFilter((_NEVER,), (), tuple(problems))
    old = tuple(OldRules(tuple(wanted), tuple(unwanted)) for wanted, unwanted in sorts.values())
    return DomainFilter((), old, tuple(problems))


def _old_condition(by_sender: bool, wildcard: str) -> Condition:
    fits = compile_wildcard(wildcard).fullmatch
    if by_sender:
        return lambda facts: fits(facts.reverse_path) is not None
    if "@" in wildcard:
        return lambda facts: fits(facts.recipient) is not None
    return lambda facts: fits(facts.domain) is not None
