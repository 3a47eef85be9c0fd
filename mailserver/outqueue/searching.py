# SPDX-License-Identifier: MIT
"""What people type to find something in the queue. Spec senders 8.1, item 1. Pure.

Words that stand alone are looked for everywhere; `to:`, `from:`, `subject:`, `user:`, `address:` and `answer:` in
front of a word say where; `size>100k`, `priority<=20`, `tries=1..5` compare numbers. All of it must be true.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

TEXTS = {
    "to": "recipient",
    "from": "reverse_path",
    "subject": "subject",
    "user": "login",
    "address": "client",
    "answer": "last_reply",
}
"""What people call it, and the column."""
NUMBERS = {"size": "size", "priority": "priority", "pri": "priority", "tries": "tries"}
EVERYWHERE = ("recipient", "reverse_path", "subject", "login", "client", "last_reply", "ref")
MAX_TERMS = 8

_WORDS = re.compile(r'(?:[^\s"]|"[^"]*"?)+')
_COMPARED = re.compile(r"([a-z]+)(<=|>=|<|>|=)([0-9]{1,15}[kmg]?)(?:\.\.([0-9]{1,15}[kmg]?))?", re.IGNORECASE)
_UNITS = {"k": 1024, "m": 1024**2, "g": 1024**3}
_LOOKUPS = {"<": "lt", "<=": "lte", ">": "gt", ">=": "gte", "=": "exact"}
LARGEST = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Term:
    """One condition: any of the columns holds the text, or the number is as told. Lookups are Django's."""

    columns: tuple[str, ...]
    lookup: str
    value: str | int | tuple[int, int]


def parse_search(text: str) -> list[Term]:
    """The conditions in what somebody typed; never raises, for anything can be looked for."""
    return [_term(word) for word in _WORDS.findall(text)[:MAX_TERMS]]


def _term(word: str) -> Term:
    compared = _COMPARED.fullmatch(word)
    if compared is not None and compared[1].lower() in NUMBERS and (compared[4] is None or compared[2] == "="):
        column, low = (NUMBERS[compared[1].lower()],), _number(compared[3])
        if compared[4] is not None:
            return Term(column, "range", (low, _number(compared[4])))
        return Term(column, _LOOKUPS[compared[2]], low)
    name, colon, rest = word.partition(":")
    if colon and rest and name.lower() in TEXTS:
        return Term((TEXTS[name.lower()],), "icontains", _plain(rest))
    return Term(EVERYWHERE, "icontains", _plain(word))


def _plain(word: str) -> str:
    return word.replace('"', "").replace("\0", "")


def _number(text: str) -> int:
    unit = _UNITS.get(text[-1].lower())
    return min(int(text[:-1]) * unit if unit else int(text), LARGEST)
