# SPDX-License-Identifier: MIT
"""Which messages a search means. Pure.

RFC 9051 §6.4.4; WITHIN (RFC 5032), CONDSTORE (RFC 7162 §3.1.5), OBJECTID (RFC 8474 §6), SAVEDATE (RFC 8514 §4.3).
Most keys are decided by what the index of a mailbox knows of each message. For the others, which need the message
itself, a function is asked, about as few messages as possible: where all of several keys must hold the cheap ones come
first, where one is enough those it has found are not asked about again.
"""

from __future__ import annotations

import enum
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta

from mailserver.store.interface import Entry, FlagsTest
from mailserver.values import ContentId
from protocols.imap.object_ids import format_email_id
from protocols.imap.search_keys import (
    And,
    DateOf,
    HasBody,
    HasDate,
    HasEmailId,
    HasFlag,
    HasHeader,
    HasModSeq,
    HasSize,
    HasText,
    HasThreadId,
    InNumbers,
    InUids,
    IsRecent,
    IsWithin,
    Not,
    Or,
    SaveDateSupported,
    SearchKey,
    When,
)
from protocols.imap.sequence import NumberSet, SequenceSet

Test = Callable[[Entry], bool]

ContentKey = HasHeader | HasDate | HasThreadId | HasBody | HasText
"""What only the message itself can tell; of the dates, the one it was sent."""

Ask = Callable[[ContentKey, Sequence[ContentId]], AbstractSet[ContentId]]
"""Gives those of the contents for which the key holds."""


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What a search depends on besides the messages."""

    now: datetime
    is_recent: Callable[[int], bool]
    uids_of: Callable[[SequenceSet, bool], NumberSet]
    """The UIDs that a set names: of messages that are there, by UID if the second argument says so."""


class Cost(enum.IntEnum):
    """In the order in which keys are tried."""

    INDEX = 0
    """The index of the mailbox knows."""
    FIELDS = 1
    """A stored field of each message is looked at."""
    TEXT = 2
    """The index of words is asked, and the text of what it finds is read."""


class Matcher:
    """A search, ready to be tried on messages; it may be used from any thread."""

    def __init__(self, key: SearchKey, circumstances: Circumstances) -> None:
        self._root = _plan(key, circumstances)

    @property
    def asks(self) -> bool:
        """Messages must be looked into, so that `find()` may take long."""
        return self._root.cost > Cost.INDEX

    @property
    def within(self) -> NumberSet | None:
        """The UIDs that alone can match, where the search says so; None for any."""
        return self._root.within

    @property
    def flags(self) -> FlagsTest | None:
        """What holds for the flags of every message that matches, where the search says so."""
        return self._root.flags

    @property
    def needle(self) -> str | None:
        """A text that every message which matches has somewhere, where the search says so."""
        return self._root.needle

    def find(self, entries: Sequence[Entry], ask: Ask) -> Sequence[Entry]:
        """Those that match, in the order given."""
        return self._root.find(entries, ask)


def needle_of(key: ContentKey) -> str | None:
    """What the text index is asked for: it knows the text of every header field, and its name."""
    match key:
        case HasBody(text) | HasText(text):
            return text or None
        case HasHeader(name, text):
            return text or name
        case _:
            return None


def mentions(key: SearchKey, kinds: type | tuple[type, ...]) -> bool:
    """Whether keys of these kinds occur in the search, however deep."""
    if isinstance(key, And | Or):
        return any(mentions(part, kinds) for part in key.keys)
    if isinstance(key, Not):
        return mentions(key.key, kinds)
    return isinstance(key, kinds)


# ---------------------------------------------------------------- the plan


class _Node(ABC):
    """A part of a search."""

    cost: Cost
    within: NumberSet | None = None
    flags: FlagsTest | None = None
    needle: str | None = None

    @abstractmethod
    def find(self, entries: Sequence[Entry], ask: Ask) -> Sequence[Entry]:
        """As `Matcher.find()`."""


class _Tested(_Node):
    """Decided by the entry alone."""

    cost = Cost.INDEX

    def __init__(self, test: Test, within: NumberSet | None = None, flags: FlagsTest | None = None) -> None:
        self.test = test
        self.within = within
        self.flags = flags

    def find(self, entries: Sequence[Entry], ask: Ask) -> Sequence[Entry]:
        return list(filter(self.test, entries))


class _Flagged(_Tested):
    """Decided by the flags alone."""

    def __init__(self, holds: FlagsTest) -> None:
        super().__init__(lambda entry: holds(entry.flags), flags=holds)
        self.holds = holds


class _Asked(_Node):
    """Decided by the message."""

    def __init__(self, key: ContentKey) -> None:
        self._key = key
        self.cost = Cost.TEXT if isinstance(key, HasBody | HasText) else Cost.FIELDS
        self.needle = needle_of(key)

    def find(self, entries: Sequence[Entry], ask: Ask) -> Sequence[Entry]:
        if not entries:
            return entries
        holding = ask(self._key, sorted({entry.content for entry in entries}))
        return [entry for entry in entries if entry.content in holding]


class _All(_Node):
    def __init__(self, parts: Sequence[_Node]) -> None:
        self._parts = sorted(parts, key=lambda part: part.cost)
        self.cost = max(part.cost for part in parts)
        self.within = _intersection(parts)
        self.flags = _flags_of_all(parts)
        self.needle = max(filter(None, (part.needle for part in parts)), key=len, default=None)

    def find(self, entries: Sequence[Entry], ask: Ask) -> Sequence[Entry]:
        for part in self._parts:
            entries = part.find(entries, ask)
        return entries


class _Any(_Node):
    def __init__(self, parts: Sequence[_Node]) -> None:
        self._parts = sorted(parts, key=lambda part: part.cost)
        self.cost = max(part.cost for part in parts)

    def find(self, entries: Sequence[Entry], ask: Ask) -> Sequence[Entry]:
        found: set[int] = set()
        rest = entries
        for part in self._parts:
            uids = {entry.uid for entry in part.find(rest, ask)}
            if uids:
                found |= uids
                rest = [entry for entry in rest if entry.uid not in uids]
        return [entry for entry in entries if entry.uid in found]


class _Neither(_Node):
    def __init__(self, part: _Node) -> None:
        self._part = part
        self.cost = part.cost

    def find(self, entries: Sequence[Entry], ask: Ask) -> Sequence[Entry]:
        uids = {entry.uid for entry in self._part.find(entries, ask)}
        return [entry for entry in entries if entry.uid not in uids]


def _plan(key: SearchKey, circumstances: Circumstances) -> _Node:
    if isinstance(key, And):
        return _plan_all([_plan(part, circumstances) for part in key.keys])
    if isinstance(key, Or):
        return _plan_any([_plan(part, circumstances) for part in key.keys])
    if isinstance(key, Not):
        return _plan_not(_plan(key.key, circumstances))
    if isinstance(key, InNumbers | InUids):
        by_uid = isinstance(key, InUids)
        uids = circumstances.uids_of(key.uids if isinstance(key, InUids) else key.numbers, by_uid)
        return _Tested(_uid_test(uids), uids)
    if isinstance(key, HasHeader | HasThreadId | HasBody | HasText) or (
        isinstance(key, HasDate) and key.of is DateOf.SENT
    ):
        return _Asked(key)
    if isinstance(key, HasFlag):
        return _Flagged(_flags_test(key.flag))
    return _Tested(_make_test(key, circumstances))


def _plan_all(parts: Sequence[_Node]) -> _Node:
    if len(parts) == 1:
        return parts[0]
    flags = _flags_of_all(parts)
    if flags is not None and all(isinstance(part, _Flagged) for part in parts):
        return _Flagged(flags)
    if all(isinstance(part, _Tested) for part in parts):
        tests = [part.test for part in parts if isinstance(part, _Tested)]
        return _Tested(lambda entry: all(test(entry) for test in tests), _intersection(parts), flags)
    return _All(parts)


def _flags_of_all(parts: Iterable[_Node]) -> FlagsTest | None:
    tests = [part.flags for part in parts if part.flags is not None]
    return (lambda flags: all(test(flags) for test in tests)) if tests else None


def _plan_any(parts: Sequence[_Node]) -> _Node:
    if all(isinstance(part, _Flagged) for part in parts):
        choices = [part.holds for part in parts if isinstance(part, _Flagged)]
        return _Flagged(lambda flags: any(holds(flags) for holds in choices))
    if all(isinstance(part, _Tested) for part in parts):
        tests = [part.test for part in parts if isinstance(part, _Tested)]
        return _Tested(lambda entry: any(test(entry) for test in tests))
    return _Any(parts)


def _plan_not(part: _Node) -> _Node:
    if isinstance(part, _Flagged):
        holds = part.holds
        return _Flagged(lambda flags: not holds(flags))
    if isinstance(part, _Tested):
        test = part.test
        return _Tested(lambda entry: not test(entry))
    return _Neither(part)


def _intersection(parts: Iterable[_Node]) -> NumberSet | None:
    common: NumberSet | None = None
    for part in parts:
        if part.within is not None:
            common = part.within if common is None else common.intersection(part.within)
    return common


# ---------------------------------------------------------------- keys that the index decides


def _make_test(key: SearchKey, circumstances: Circumstances) -> Test:
    match key:
        case IsRecent():
            return lambda entry: circumstances.is_recent(entry.uid)
        case HasDate():
            return _date_test(key)
        case HasSize(larger, size):
            return (lambda entry: entry.size > size) if larger else (lambda entry: entry.size < size)
        case HasModSeq(modseq):
            return lambda entry: entry.modseq >= modseq
        case IsWithin(younger, seconds):
            return _age_test(younger, seconds, circumstances.now)
        case HasEmailId(identifier):
            return lambda entry: format_email_id(entry.content) == identifier
        case SaveDateSupported():
            return lambda _: True
    raise AssertionError(f"no test for {key}")


def _uid_test(uids: NumberSet) -> Test:
    if len(uids.ranges) == 1:
        first, last = uids.ranges[0]
        return lambda entry: first <= entry.uid <= last
    return lambda entry: entry.uid in uids


def _flags_test(flag: str) -> FlagsTest:
    """Keywords compare without case (RFC 9051 §2.3.2). Few combinations of flags occur, so each is looked at once."""
    wanted = flag.lower()
    known: dict[frozenset[str], bool] = {}

    def holds(flags: frozenset[str]) -> bool:
        answer = known.get(flags)
        if answer is None:
            answer = known[flags] = any(held.lower() == wanted for held in flags)
        return answer

    return holds


def _date_test(key: HasDate) -> Test:
    """The day in UTC, which is how INTERNALDATE and SAVEDATE are shown."""
    midnight = datetime.combine(key.date, time(), UTC)
    next_midnight = midnight + timedelta(days=1) if key.date < datetime.max.date() else datetime.max.replace(tzinfo=UTC)

    def holds(moment: datetime) -> bool:
        if key.when is When.BEFORE:
            return moment < midnight
        return moment >= midnight and (key.when is When.SINCE or moment < next_midnight)

    if key.of is DateOf.SAVED:
        return lambda entry: holds(entry.saved)
    return lambda entry: holds(entry.internal_date)


def _age_test(younger: bool, seconds: int, now: datetime) -> Test:
    """RFC 5032 §2: the limit itself counts on both sides."""

    def age(entry: Entry) -> float:
        return (now - entry.internal_date).total_seconds()

    return (lambda entry: age(entry) <= seconds) if younger else (lambda entry: age(entry) >= seconds)
