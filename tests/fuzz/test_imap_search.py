# SPDX-License-Identifier: MIT
"""Any search finds what a plain reading of RFC 9051 §6.4.4 finds, message by message, over messages made up for it."""

from __future__ import annotations

import email
import email.policy
import hashlib
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from email.message import EmailMessage
from functools import cache

from hypothesis import given
from hypothesis import strategies as st

from mailserver.store.interface import Entry, Filing, FlagChange, NewContent, NewEntry, Removal, Unit
from mailserver.store.memory import MemoryStore
from mailserver.values import Body, ContentId, MailboxId, UserId
from protocols.imap.matching import Circumstances, Matcher
from protocols.imap.message_fields import MessageFields
from protocols.imap.object_ids import format_email_id, format_thread_id
from protocols.imap.ordering import additions, removals
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
    SearchKey,
    When,
)
from protocols.imap.sequence import STAR, NumberSet, SequenceSet

NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)
SUBJECTS = ("weekly report", "Grüße aus Köln", "", "photos", "Re: weekly report", "ΣΊΣΥΦΟΣ")
AUTHORS = ("Anna Jansen <anna@example.test>", "bob@example.test", "Änne <zoe@example.test>")
TEXTS = ("Nothing happened.", "Das Café am Rhein, heute geschlossen.", "x" * 3000, "see the attachment")
FLAGS = ("\\Seen", "\\Flagged", "\\Deleted", "$Forwarded", "Work")


def _message(number: int) -> bytes:
    """All combinations come up, with other periods."""
    message = EmailMessage(policy=email.policy.SMTP)
    message["From"] = AUTHORS[number % 3]
    message["Subject"] = SUBJECTS[number % 6]
    if number % 4:
        message["Date"] = datetime(2026, 3, 1 + number % 5, 23, 30, tzinfo=UTC)
    if number % 5 == 0:
        message["List-Id"] = "Reports <reports.example.test>"
    if number % 3:
        message["Message-ID"] = f"<{number}@example.test>"
    if number % 6 in (1, 2):
        message["References"] = f"<{number // 6}@example.test> <{number - 1}@example.test>"
    if number % 6 == 4:
        message["In-Reply-To"] = f"<{number // 6}@example.test>"
    if number % 7 == 0:
        message["Bcc"] = "secret.friend@example.test"
    message.set_content(TEXTS[number % 4], charset=("utf-8", "iso-8859-1")[number % 2])
    return message.as_bytes()


@dataclass(frozen=True, slots=True)
class Case:
    """A message as the model sees it."""

    entry: Entry
    number: int
    recent: bool
    parsed: EmailMessage


@cache
def _furnished() -> tuple[MemoryStore, list[Case]]:
    store = MemoryStore()
    inbox = store.add_user(UserId(1)).id
    messages = [_message(number) for number in range(24)]
    for number, data in enumerate(messages):
        body = Body(len(data), hashlib.sha256(data).hexdigest(), data)
        flags = frozenset(flag for place, flag in enumerate(FLAGS) if (number >> place) & 1)
        entry = NewEntry(inbox, flags, NOW - timedelta(hours=7 * number))
        store.submit(Unit(filings=(Filing(NewContent(f"r{number}", body), (entry,)),))).result()
    _scatter(store, inbox)
    parsed = [email.message_from_bytes(data, policy=email.policy.SMTP) for data in messages]
    entries = store.list_entries(inbox)
    return store, [
        Case(entry, number, entry.uid % 3 == 0, parsed[entry.uid - 1]) for number, entry in enumerate(entries, 1)
    ]


def _scatter(store: MemoryStore, inbox: MailboxId) -> None:
    """Gaps in the UIDs, and mod-sequences out of order."""
    uids = [entry.uid for entry in store.list_entries(inbox)]
    store.submit(Unit(removals=(Removal(inbox, tuple(uids[5:8])),))).result()
    store.submit(Unit(flag_changes=(FlagChange(inbox, (uids[3], uids[12]), add=frozenset({"later"})),))).result()


# ---------------------------------------------------------------- the model


def holds(key: SearchKey, case: Case, cases: list[Case]) -> bool:
    entry = case.entry
    match key:
        case And(keys):
            return all(holds(part, case, cases) for part in keys)
        case Or(keys):
            return any(holds(part, case, cases) for part in keys)
        case Not(inner):
            return not holds(inner, case, cases)
        case HasFlag(flag):
            return flag.upper() in {held.upper() for held in entry.flags}
        case IsRecent():
            return case.recent
        case HasSize(larger, size):
            return entry.size > size if larger else entry.size < size
        case HasModSeq(modseq):
            return entry.modseq >= modseq
        case HasEmailId(identifier):
            return format_email_id(entry.content) == identifier
        case HasThreadId(identifier):
            return identifier == _thread_id(case)
        case IsWithin(younger, seconds):
            limit = NOW - timedelta(seconds=seconds)
            return entry.internal_date >= limit if younger else entry.internal_date <= limit
        case InUids(uids):
            return _named(uids, entry.uid, cases[-1].entry.uid)
        case InNumbers(numbers):
            return _named(numbers, case.number, len(cases))
        case HasDate(of, when, day):
            return _on_day(case, of, when, day)
        case HasHeader(name, text):
            values = case.parsed.get_all(name, [])
            return any(_folded(text) in _folded(str(value)) for value in values)
        case HasBody(text):
            return _folded(text) in _folded(case.parsed.get_content())
        case HasText(text):
            header = "\n".join(f"{name}: {value}" for name, value in case.parsed.items())
            return _folded(text) in _folded(header) or _folded(text) in _folded(case.parsed.get_content())
    raise AssertionError(key)


def _named(numbers: SequenceSet, number: int, largest: int) -> bool:
    ends = ([largest if end == STAR else end for end in pair] for pair in numbers.ranges)
    return any(min(pair) <= number <= max(pair) for pair in ends)


def _on_day(case: Case, of: DateOf, when: When, wanted: date) -> bool:
    if of is DateOf.SENT:
        field = case.parsed["Date"]
        if field is None:
            return False
        day = field.datetime.date()
    else:
        day = (case.entry.saved if of is DateOf.SAVED else case.entry.internal_date).date()
    return {When.BEFORE: day < wanted, When.ON: day == wanted, When.SINCE: day >= wanted}[when]


def _thread_id(case: Case) -> str:
    ids = [str(case.parsed.get(name, "")) for name in ("References", "In-Reply-To", "Message-ID")]
    return format_thread_id(case.entry.content, {"message-id": " ".join(ids)})


def _folded(text: str) -> str:
    """Case alone; the messages have no characters whose compatibility forms differ."""
    return text.replace("\r\n", "\n").upper().replace("SS", "ß").replace("ß", "SS")


# ---------------------------------------------------------------- the searches

DAYS = [date(2026, 2, 25) + timedelta(days=number) for number in range(16)]
NEEDLES = ("", "a", "REPORT", "grü", "köln", "anna", "example", "Σίσυφος", "café", "xxx", "attach", "zzz")
FIELDS = ("Subject", "From", "date", "List-Id", "BCC", "X-None", "Content-Type")
KEYWORDS = (*FLAGS, "$forwarded", "work", "LATER", "none")
HOURS = range(1, 7 * 25, 7)
"""Some ages are to the second those of messages, when zero is added."""


def _leaves() -> list[SearchKey]:
    """Every key that has no keys in it, with arguments on both sides of every border that the messages make."""
    _, cases = _furnished()
    sizes = sorted({case.entry.size + step for case in cases for step in (-1, 0, 1)})
    modseqs = range(max(case.entry.modseq for case in cases) + 2)
    return [
        IsRecent(),
        *(HasFlag(flag) for flag in KEYWORDS),
        *(HasSize(larger, size) for larger in (True, False) for size in sizes),
        *(HasDate(of, when, day) for of in DateOf for when in When for day in DAYS),
        *(HasHeader(name, needle) for name in FIELDS for needle in NEEDLES),
        *(kind(needle) for kind in (HasBody, HasText) for needle in NEEDLES),
        *(HasModSeq(modseq) for modseq in modseqs),
        *(IsWithin(younger, hours * 3600) for younger in (True, False) for hours in (*HOURS, *range(7, 7 * 25, 7))),
        *(HasEmailId(format_email_id(ContentId(number))) for number in range(1, 31)),
        *(HasThreadId(_thread_id(case)) for case in cases),
        HasThreadId("T"),
        *(InUids(SequenceSet(((first, last),))) for first in (1, 5, 9, 40, STAR) for last in (1, 8, 30, STAR)),
        *(InNumbers(SequenceSet(((first, last),))) for first in (1, 5, 21, 40, STAR) for last in (1, 8, 30, STAR)),
    ]


bounds = st.integers(1, 30) | st.just(STAR)
sets = st.lists(st.tuples(bounds, bounds), max_size=3).map(lambda ranges: SequenceSet(tuple(ranges)))
leaves: st.SearchStrategy[SearchKey] = st.one_of(
    st.builds(HasFlag, st.sampled_from(KEYWORDS)),
    st.builds(HasDate, st.sampled_from(DateOf), st.sampled_from(When), st.sampled_from(DAYS)),
    st.builds(HasHeader, st.sampled_from(FIELDS), st.sampled_from(NEEDLES)),
    st.builds(HasThreadId, st.deferred(lambda: st.sampled_from([_thread_id(case) for case in _furnished()[1]]))),
    st.builds(HasBody, st.sampled_from(NEEDLES)),
    st.builds(HasText, st.sampled_from(NEEDLES)),
    st.builds(InNumbers, sets),
    st.builds(InUids, sets),
)
searches = st.recursive(
    leaves,
    lambda keys: st.one_of(
        st.lists(keys, max_size=4).map(lambda found: And(tuple(found))),
        st.lists(keys, min_size=2, max_size=4).map(lambda found: Or(tuple(found))),
        keys.map(Not),
    ),
    max_leaves=12,
)


def check(key: SearchKey) -> None:
    """What is found is what the model finds, and `within` leaves none of it out."""
    store, cases = _furnished()
    recent = {case.entry.uid for case in cases if case.recent}
    uids = [case.entry.uid for case in cases]

    def uids_of(numbers: SequenceSet, by_uid: bool) -> NumberSet:
        if by_uid:
            return numbers.resolve(uids[-1])
        return NumberSet.from_numbers(uids[n - 1] for n in numbers.resolve(len(uids)) if n <= len(uids))

    matcher = Matcher(key, Circumstances(NOW, recent.__contains__, uids_of))
    found = matcher.find([case.entry for case in cases], MessageFields(store).having)
    expected = [case.entry.uid for case in cases if holds(key, case, cases)]
    assert [entry.uid for entry in found] == expected, key
    if matcher.within is not None:
        assert all(uid in matcher.within for uid in expected), key


def test_every_single_key_finds_what_the_model_finds() -> None:
    for key in _leaves():
        check(key)


@given(searches)
def test_keys_together_find_what_the_model_finds(key: SearchKey) -> None:
    check(key)


# ---------------------------------------------------------------- places in a sorted result


@given(st.lists(st.integers(1, 99), unique=True), st.sets(st.integers(1, 99)))
def test_a_client_that_removes_what_it_is_told_has_the_new_order(order: list[int], gone: set[int]) -> None:
    """RFC 5267 §4.3.4: each pair in turn, from its place on."""
    known = list(order)
    for place, messages in removals(order, gone):
        assert known[place - 1 : place - 1 + len(messages)] == messages
        del known[place - 1 : place - 1 + len(messages)]
    assert known == [message for message in order if message not in gone]


@given(st.lists(st.integers(1, 99), unique=True), st.sets(st.integers(1, 99)))
def test_a_client_that_adds_what_it_is_told_has_the_new_order(order: list[int], fresh: set[int]) -> None:
    """RFC 5267 §4.3.3."""
    known = [message for message in order if message not in fresh]
    for place, messages in additions(order, fresh):
        known[place - 1 : place - 1] = messages
    assert known == order
