# SPDX-License-Identifier: MIT
"""What SEARCH, SORT and THREAD look for, and what they give back.

RFC 9051 §6.4.4 and RFC 3501 §6.4.4; WITHIN (RFC 5032), MODSEQ (RFC 7162 §3.1.5), OBJECTID (RFC 8474 §6), SAVEDATE
(RFC 8514 §4.3); return options of ESEARCH (RFC 4731), SEARCHRES (RFC 5182), CONTEXT (RFC 5267) and PARTIAL
(RFC 9394). Keys that are the absence of another (UNSEEN, OLD) come out as `Not`. Pure.
"""

from __future__ import annotations

import codecs
import enum
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date

from mailserver.values import Flag
from protocols.imap.lexer import MAX_MODSEQ, GrammarError, Lexer
from protocols.imap.sequence import PartialRange, SequenceSet

MAX_SEARCH_DEPTH = 100
"""Brackets and NOTs inside one another. People write three; a program that builds long lists of alternatives uses OR
to the right, which costs no depth here. Dovecot allows 100."""

MAX_SEARCH_KEYS = 5000
"""Keys in one search, brackets included: each may look at every message."""

MAX_SIZE = (1 << 63) - 1
CHARSETS = ("UTF-8", "US-ASCII", "ISO-8859-1", "ISO-8859-15", "WINDOWS-1252")
"""Offered in BADCHARSET. RFC 9051 §6.4.4 asks for the first two; older mail programs send the others."""


class DateOf(enum.Enum):
    """Which of a message's dates."""

    INTERNAL = ""
    SENT = "SENT"
    SAVED = "SAVED"


class When(enum.Enum):
    BEFORE = "BEFORE"
    ON = "ON"
    SINCE = "SINCE"


@dataclass(frozen=True, slots=True)
class And:
    """All of them; of none, every message."""

    keys: tuple[SearchKey, ...] = ()


@dataclass(frozen=True, slots=True)
class Or:
    keys: tuple[SearchKey, ...]


@dataclass(frozen=True, slots=True)
class Not:
    key: SearchKey


@dataclass(frozen=True, slots=True)
class HasFlag:
    flag: str


@dataclass(frozen=True, slots=True)
class IsRecent:
    """RFC 3501 §6.4.4 RECENT."""


@dataclass(frozen=True, slots=True)
class HasDate:
    """Time of day and time zone do not count (RFC 9051 §6.4.4)."""

    of: DateOf
    when: When
    date: date


@dataclass(frozen=True, slots=True)
class HasSize:
    """LARGER or SMALLER than."""

    larger: bool
    size: int


@dataclass(frozen=True, slots=True)
class HasHeader:
    """The field is there and contains the text; an empty text asks only whether it is there."""

    name: str
    text: str


@dataclass(frozen=True, slots=True)
class HasBody:
    """BODY: the text is in the body."""

    text: str


@dataclass(frozen=True, slots=True)
class HasText:
    """TEXT: the text is in the header or the body."""

    text: str


@dataclass(frozen=True, slots=True)
class InNumbers:
    """Message numbers; `$` stands for the saved result, which may also be meant as UIDs (RFC 5182 §2.1)."""

    numbers: SequenceSet


@dataclass(frozen=True, slots=True)
class InUids:
    uids: SequenceSet


@dataclass(frozen=True, slots=True)
class HasModSeq:
    """At least this mod-sequence; the entry name that may precede it says nothing here, where flags share one
    (RFC 7162 §3.1.5)."""

    modseq: int


@dataclass(frozen=True, slots=True)
class IsWithin:
    """RFC 5032: internal date not more (YOUNGER) or at least (OLDER) this many seconds ago."""

    younger: bool
    seconds: int


@dataclass(frozen=True, slots=True)
class HasEmailId:
    id: str


@dataclass(frozen=True, slots=True)
class HasThreadId:
    id: str


@dataclass(frozen=True, slots=True)
class SaveDateSupported:
    """RFC 8514 §4.3: true of every message where the mailbox keeps the date."""


SearchKey = (
    And | Or | Not | HasFlag | IsRecent | HasDate | HasSize | HasHeader | HasBody | HasText | InNumbers | InUids
    | HasModSeq | IsWithin | HasEmailId | HasThreadId | SaveDateSupported
)  # fmt: skip


class ReturnOption(enum.Enum):
    """RFC 9051 §6.4.4, RFC 5267 §4."""

    MIN = "MIN"
    MAX = "MAX"
    ALL = "ALL"
    COUNT = "COUNT"
    SAVE = "SAVE"
    CONTEXT = "CONTEXT"
    UPDATE = "UPDATE"


@dataclass(frozen=True, slots=True)
class SearchReturn:
    """`RETURN (...)`; an empty list means ALL (RFC 9051 §6.4.4)."""

    options: frozenset[ReturnOption] = frozenset()
    partial: PartialRange | None = None


_SIMPLE_KEYS: dict[str, SearchKey] = {
    "ALL": And(),
    "ANSWERED": HasFlag(Flag.ANSWERED),
    "DELETED": HasFlag(Flag.DELETED),
    "DRAFT": HasFlag(Flag.DRAFT),
    "FLAGGED": HasFlag(Flag.FLAGGED),
    "SEEN": HasFlag(Flag.SEEN),
    "UNANSWERED": Not(HasFlag(Flag.ANSWERED)),
    "UNDELETED": Not(HasFlag(Flag.DELETED)),
    "UNDRAFT": Not(HasFlag(Flag.DRAFT)),
    "UNFLAGGED": Not(HasFlag(Flag.FLAGGED)),
    "UNSEEN": Not(HasFlag(Flag.SEEN)),
    "RECENT": IsRecent(),
    "NEW": And((IsRecent(), Not(HasFlag(Flag.SEEN)))),
    "OLD": Not(IsRecent()),
    "SAVEDATESUPPORTED": SaveDateSupported(),
}
_FIELD_KEYS = ("BCC", "CC", "FROM", "SUBJECT", "TO")
_DATE_KEYS = {of.value + when.value: (of, when) for of in DateOf for when in When}


class _KeyReader:
    """Reads the keys of one program."""

    def __init__(self, lexer: Lexer, charset: str) -> None:
        self._lexer = lexer
        self._charset = charset
        self._left = MAX_SEARCH_KEYS

    def program(self) -> SearchKey:
        """One or more keys up to the end of the line."""
        keys = [self.key(0)]
        while not self._lexer.at_end():
            self._lexer.space()
            if not self._lexer.at_end():
                keys.append(self.key(0))
        return keys[0] if len(keys) == 1 else And(tuple(keys))

    def key(self, depth: int) -> SearchKey:
        self._left -= 1
        if depth > MAX_SEARCH_DEPTH or self._left < 0:
            raise GrammarError("the search is too complex", code="LIMIT", no=True)
        lexer = self._lexer
        if lexer.peek() == b"(":
            keys = lexer.list_of(lambda: self.key(depth + 1))
            return keys[0] if len(keys) == 1 else And(keys)
        if lexer.peek() in b"0123456789*$":
            return InNumbers(lexer.sequence_set())
        word = lexer.label()
        simple = _SIMPLE_KEYS.get(word)
        return simple if simple is not None else self._with_argument(word, depth)

    def _with_argument(self, word: str, depth: int) -> SearchKey:
        if word in _DATE_KEYS:
            self._lexer.space()
            return HasDate(*_DATE_KEYS[word], self._lexer.date())
        if word in _FIELD_KEYS:
            self._lexer.space()
            return HasHeader(word.capitalize(), self._text())
        parse = _ARGUMENT_KEYS.get(word)
        if parse is None:
            raise GrammarError("unknown search key")
        self._lexer.space()
        return parse(self, depth)

    def not_(self, depth: int) -> SearchKey:
        return Not(self.key(depth + 1))

    def or_(self, depth: int) -> SearchKey:
        """Alternatives nested to the right come out as one flat list."""
        keys = [self.key(depth + 1)]
        self._lexer.space()
        while self._lexer.peek_label() == "OR":
            self._lexer.label()
            self._lexer.space()
            keys.append(self.key(depth + 1))
            self._lexer.space()
        keys.append(self.key(depth + 1))
        return Or(tuple(keys))

    def body(self, _depth: int) -> SearchKey:
        return HasBody(self._text())

    def text(self, _depth: int) -> SearchKey:
        return HasText(self._text())

    def header(self, _depth: int) -> SearchKey:
        name = self._lexer.astring_text()
        self._lexer.space()
        return HasHeader(name, self._text())

    def keyword(self, _depth: int) -> SearchKey:
        return HasFlag(self._flag_keyword())

    def unkeyword(self, _depth: int) -> SearchKey:
        return Not(HasFlag(self._flag_keyword()))

    def larger(self, _depth: int) -> SearchKey:
        return HasSize(larger=True, size=self._lexer.number(MAX_SIZE))

    def smaller(self, _depth: int) -> SearchKey:
        return HasSize(larger=False, size=self._lexer.number(MAX_SIZE))

    def uid(self, _depth: int) -> SearchKey:
        return InUids(self._lexer.sequence_set())

    def older(self, _depth: int) -> SearchKey:
        return IsWithin(younger=False, seconds=self._lexer.nz_number())

    def younger(self, _depth: int) -> SearchKey:
        return IsWithin(younger=True, seconds=self._lexer.nz_number())

    def modseq(self, _depth: int) -> SearchKey:
        """RFC 7162 §7: ["/flags/..." SP ("priv" / "shared" / "all") SP] mod-sequence-valzer."""
        lexer = self._lexer
        if lexer.peek() == b'"':
            lexer.string()
            lexer.space()
            if lexer.label() not in ("PRIV", "SHARED", "ALL"):
                raise GrammarError("unknown entry type")
            lexer.space()
        return HasModSeq(lexer.number(MAX_MODSEQ))

    def email_id(self, _depth: int) -> SearchKey:
        return HasEmailId(self._lexer.atom())

    def thread_id(self, _depth: int) -> SearchKey:
        return HasThreadId(self._lexer.atom())

    def _flag_keyword(self) -> str:
        flag = self._lexer.flag()
        if not flag or flag.startswith("\\"):
            raise GrammarError("expected a keyword")
        return flag

    def _text(self) -> str:
        value = self._lexer.astring()
        try:
            return value.decode(self._charset)
        except UnicodeDecodeError as error:
            raise GrammarError("the text is not in the charset that was named") from error


_ARGUMENT_KEYS: dict[str, Callable[[_KeyReader, int], SearchKey]] = {
    "NOT": _KeyReader.not_,
    "OR": _KeyReader.or_,
    "BODY": _KeyReader.body,
    "TEXT": _KeyReader.text,
    "HEADER": _KeyReader.header,
    "KEYWORD": _KeyReader.keyword,
    "UNKEYWORD": _KeyReader.unkeyword,
    "LARGER": _KeyReader.larger,
    "SMALLER": _KeyReader.smaller,
    "UID": _KeyReader.uid,
    "OLDER": _KeyReader.older,
    "YOUNGER": _KeyReader.younger,
    "MODSEQ": _KeyReader.modseq,
    "EMAILID": _KeyReader.email_id,
    "THREADID": _KeyReader.thread_id,
}


def parse_search_program(lexer: Lexer, charset: str = "UTF-8") -> SearchKey:
    """RFC 9051 §9 search-key *(SP search-key), to the end of the command."""
    return _KeyReader(lexer, charset).program()


def parse_charset(lexer: Lexer) -> str:
    """A charset's name; refused with BADCHARSET when it is not one of `CHARSETS` (RFC 9051 §6.4.4)."""
    name = lexer.astring_text().upper()
    try:
        known = any(codecs.lookup(name) == codecs.lookup(charset) for charset in CHARSETS)
    except (LookupError, ValueError):
        known = False
    if not known:
        raise GrammarError("unknown charset", code=f"BADCHARSET ({' '.join(CHARSETS)})", no=True)
    return name


def parse_return(lexer: Lexer) -> SearchReturn:
    """RFC 9051 §9 search-return-opts, after the word RETURN."""
    lexer.space()
    options: set[ReturnOption] = set()
    partial: list[PartialRange] = []

    def option() -> None:
        word = lexer.label()
        if word == "PARTIAL":
            lexer.space()
            partial.append(parse_partial_range(lexer))
        elif word in ReturnOption.__members__:
            options.add(ReturnOption[word])
        else:
            raise GrammarError("unknown return option")

    lexer.list_of(option, may_be_empty=True)
    # RFC 9394 §3.1: PARTIAL once, and not together with ALL.
    if len(partial) > 1 or (partial and ReturnOption.ALL in options):
        raise GrammarError("PARTIAL may stand once, and not with ALL")
    return SearchReturn(frozenset(options), partial[0] if partial else None)


def parse_partial_range(lexer: Lexer) -> PartialRange:
    """RFC 9394 §4 partial-range: both ends counted from the start, or both from the end."""
    backwards = lexer.take(b"-")
    first = lexer.nz_number()
    lexer.expect(b":")
    if lexer.take(b"-") != backwards:
        raise GrammarError("both ends of a range count from the same side")
    last = lexer.nz_number()
    return PartialRange(-first, -last) if backwards else PartialRange(first, last)
