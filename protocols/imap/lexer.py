# SPDX-License-Identifier: MIT
"""Reads the words of one command: atoms, strings, literals, numbers, dates and lists.

RFC 9051 §4 and §9; RFC 6855 §3 (UTF-8 in quoted strings). A command arrives as a line, then for each literal its
bytes and the line that follows it. The lexer walks over these pieces once and never goes back past a literal; lines
may be added while it stands before one (`append.py` relies on that). Pure.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, timezone
from typing import TypeVar

from mailserver.values import Flag
from protocols.imap.mailbox_names import parse_mailbox_name
from protocols.imap.sequence import MAX_NUMBER, SequenceSet, parse_sequence_set

T = TypeVar("T")

MAX_MODSEQ = (1 << 63) - 1
"""RFC 7162 §7: mod-sequence values are positive unsigned 63-bit integers."""

# ATOM-CHAR = any CHAR except "(" ")" "{" SP CTL "%" "*" DQUOTE "\" "]"
_ATOM = re.compile(rb"[!#$&'+,\-./0-9:;<=>?@A-Z\[^_`a-z|}~]+")
# ASTRING-CHAR = ATOM-CHAR / "]"
_ASTRING_ATOM = re.compile(rb"[!#$&'+,\-./0-9:;<=>?@A-Z\[\]^_`a-z|}~]+")
# list-char = ATOM-CHAR / list-wildcards / "]"
_LIST_ATOM = re.compile(rb"[!#$%&'*+,\-./0-9:;<=>?@A-Z\[\]^_`a-z|}~]+")
# A label such as a command's or an item's name; "[" ends it, so that BODY[ is BODY.
_LABEL = re.compile(rb"[A-Za-z0-9.\-_/=+]+")
# quoted = DQUOTE *QUOTED-CHAR DQUOTE, with UTF-8 inside (checked when it is decoded)
_QUOTED = re.compile(rb'"((?:[^"\\\r\n\x00]|\\["\\])*)"')
_UNESCAPE = re.compile(rb"\\(.)")
# literal = "{" number64 ["+"] "}" CRLF, and literal8 with "~" in front (RFC 9051 §9, RFC 7888 §8)
LITERAL_MARK = re.compile(rb"(~?)\{([0-9]{1,19})(\+?)\}\Z")
_NUMBER = re.compile(rb"[0-9]{1,19}")
_SEQUENCE = re.compile(rb"[0-9*:,$]+")
_KEYWORD = re.compile(rb"\\?[!#$&'+,\-./0-9:;<=>?@A-Z\[^_`a-z|}~]+")
_DATE = re.compile(rb'("?)([0-9]{1,2})-([A-Za-z]{3})-([0-9]{4})\1')
_DATE_TIME = re.compile(
    rb'"([ 0-9][0-9])-([A-Za-z]{3})-([0-9]{4}) ([0-9]{2}):([0-9]{2}):([0-9]{2}) ([+-])([0-9]{2})([0-9]{2})"'
)
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_MONTH_NUMBERS = {name.upper().encode(): number for number, name in enumerate(MONTHS, 1)}

_SYSTEM_FLAGS = {flag.value.upper(): flag.value for flag in Flag}
_WELL_KNOWN_KEYWORDS = {
    name.upper(): name for name in ("$Forwarded", "$MDNSent", "$Junk", "$NotJunk", "$Phishing")
}  # RFC 9051 §2.3.2


class GrammarError(Exception):
    """What the client wrote is not in the grammar. `code` is a response code in brackets; `no` asks for NO, not BAD."""

    def __init__(self, reason: str, *, code: str = "", no: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.code = code
        self.no = no


class Lexer:
    """A cursor over the pieces of one command: line, literal, line, literal, line."""

    __slots__ = ("_index", "_pieces", "line", "position", "utf8")

    def __init__(self, pieces: list[bytes], *, utf8: bool = False, position: int = 0) -> None:
        self._pieces = pieces
        self._index = 0
        self.line = pieces[0]
        self.position = position
        self.utf8 = utf8
        """The client has enabled UTF-8, so mailbox names are no longer in modified UTF-7 (RFC 6855 §3)."""

    # ------------------------------------------------------------ moving

    def extend(self, literal: bytes, line: bytes) -> None:
        """A literal has arrived, and the line that follows it."""
        self._pieces += (literal, line)

    def at_end(self) -> bool:
        return self.position >= len(self.line)

    def peek(self) -> bytes:
        """The next byte, empty at the end of the line."""
        return self.line[self.position : self.position + 1]

    def take(self, token: bytes) -> bool:
        """Step over `token` if it comes next; letters compare exactly."""
        if self.line.startswith(token, self.position):
            self.position += len(token)
            return True
        return False

    def expect(self, token: bytes) -> None:
        if not self.take(token):
            raise GrammarError(f"expected {token.decode('ascii')!r}")

    def space(self) -> None:
        """Exactly one.

        Quirk: several spaces in a row are taken as one, since old Netscape and some phones double them.
        """
        if not self.take(b" "):
            raise GrammarError("expected a space")
        while self.take(b" "):
            pass

    def end(self) -> None:
        """Nothing may follow. Quirk: spaces at the end of a line are passed over."""
        while self.take(b" "):
            pass
        if self.position < len(self.line):
            raise GrammarError("unexpected words at the end")

    def match(self, pattern: re.Pattern[bytes]) -> re.Match[bytes] | None:
        """Step over what `pattern` matches here."""
        found = pattern.match(self.line, self.position)
        if found:
            self.position = found.end()
        return found

    # ------------------------------------------------------------ words

    def label(self) -> str:
        """A name from the protocol's own vocabulary, in upper case."""
        found = self.match(_LABEL)
        if not found:
            raise GrammarError("expected a word")
        return found[0].decode("ascii").upper()

    def peek_label(self) -> str:
        """The same without stepping over it; empty when no word comes next."""
        found = _LABEL.match(self.line, self.position)
        return found[0].decode("ascii").upper() if found else ""

    def atom(self) -> str:
        found = self.match(_ATOM)
        if not found:
            raise GrammarError("expected an atom")
        return found[0].decode("ascii")

    def astring(self) -> bytes:
        found = self.match(_ASTRING_ATOM)
        return found[0] if found else self.string()

    def string(self) -> bytes:
        """A quoted string or a literal, as bytes without escapes."""
        found = self.match(_QUOTED)
        if found:
            text = found[1]
            return _UNESCAPE.sub(rb"\1", text) if b"\\" in text else text
        return self._literal(binary=False)

    def nstring(self) -> bytes | None:
        """A string, or None for NIL."""
        return None if self.nil() else self.string()

    def nil(self) -> bool:
        found = _ATOM.match(self.line, self.position)
        if not found or found[0].upper() != b"NIL":
            return False
        self.position = found.end()
        return True

    def string_or_literal8(self) -> bytes:
        """RFC 5464 §5 value: a string, or a literal8 in which NUL may stand."""
        return self._literal(binary=True) if self.peek() == b"~" else self.string()

    def text(self, value: bytes) -> str:
        """Strings of the protocol are UTF-8 (RFC 9051 §4.3); other bytes are refused."""
        try:
            return value.decode("utf-8")
        except UnicodeDecodeError as error:
            raise GrammarError("not valid UTF-8") from error

    def astring_text(self) -> str:
        return self.text(self.astring())

    def _literal(self, *, binary: bool) -> bytes:
        mark = LITERAL_MARK.match(self.line, self.position)
        if not mark or bool(mark[1]) != binary or self._index + 2 >= len(self._pieces):
            raise GrammarError("expected a string")
        literal = self._pieces[self._index + 1]
        self.pass_literal()
        if not binary and b"\x00" in literal:
            raise GrammarError("NUL in a literal")
        return literal

    def awaited_literal(self) -> re.Match[bytes] | None:
        """The mark of a literal that comes next and whose bytes have not been added yet."""
        if self._index + 2 < len(self._pieces):
            return None
        return LITERAL_MARK.match(self.line, self.position)

    def pass_literal(self) -> None:
        """Go on with the line after the literal."""
        self._index += 2
        self.line = self._pieces[self._index]
        self.position = 0

    # ------------------------------------------------------------ numbers

    def number(self, maximum: int = MAX_NUMBER) -> int:
        found = self.match(_NUMBER)
        if not found or int(found[0]) > maximum:
            raise GrammarError("expected a number")
        return int(found[0])

    def nz_number(self, maximum: int = MAX_NUMBER) -> int:
        number = self.number(maximum)
        if not number:
            raise GrammarError("zero is not allowed here")
        return number

    def sequence_set(self) -> SequenceSet:
        found = self.match(_SEQUENCE)
        try:
            return parse_sequence_set(found[0] if found else b"")
        except ValueError as error:
            raise GrammarError(f"bad sequence set: {error}") from error

    # ------------------------------------------------------------ names, flags, dates, lists

    def mailbox(self) -> str:
        """RFC 9051 §9 mailbox."""
        return self.mailbox_name(self.astring())

    def list_mailbox(self) -> str:
        """A mailbox name with wildcards, for LIST."""
        found = self.match(_LIST_ATOM)
        return self.mailbox_name(found[0] if found else self.string())

    def mailbox_name(self, name: bytes) -> str:
        try:
            return parse_mailbox_name(name, utf8=self.utf8)
        except ValueError as error:
            form = "UTF-8" if self.utf8 else "modified UTF-7"
            raise GrammarError(f"the mailbox name is not valid {form}") from error

    def flag(self) -> str:
        r"""A flag that a client may set: a system flag in its usual spelling, or a keyword.

        Quirk: `\Recent` gives an empty string instead of an error; imapsync and old Outlook write back every flag
        they were shown.
        """
        found = self.match(_KEYWORD)
        if not found:
            raise GrammarError("expected a flag")
        name = found[0].decode("ascii")
        if not name.startswith("\\"):
            return _WELL_KNOWN_KEYWORDS.get(name.upper(), name)
        if name.upper() == "\\RECENT":
            return ""
        if name.upper() not in _SYSTEM_FLAGS:
            raise GrammarError("unknown system flag")
        return _SYSTEM_FLAGS[name.upper()]

    def flag_list(self) -> frozenset[str]:
        """RFC 9051 §9 flag-list, which may be empty."""
        return frozenset(self.list_of(self.flag, may_be_empty=True)) - {""}

    def list_of(self, parse_item: Callable[[], T], *, may_be_empty: bool = False) -> tuple[T, ...]:
        """`(` items with one space between `)`."""
        self.expect(b"(")
        if may_be_empty and self.take(b")"):
            return ()
        items = [parse_item()]
        while not self.take(b")"):
            self.space()
            items.append(parse_item())
        return tuple(items)

    def date(self) -> date:
        """RFC 9051 §9 date, quoted or not."""
        found = self.match(_DATE)
        if not found:
            raise GrammarError("expected a date")
        try:
            return date(int(found[4]), _MONTH_NUMBERS[found[3].upper()], int(found[2]))
        except (ValueError, KeyError) as error:
            raise GrammarError("there is no such date") from error

    def date_time(self) -> datetime:
        """RFC 9051 §9 date-time, in UTC. A leap second counts as the one before it."""
        found = self.match(_DATE_TIME)
        if not found:
            raise GrammarError("expected a date and time")
        day, month, year, hour, minute, second, sign, zone_hours, zone_minutes = found.groups()
        offset = timedelta(hours=int(zone_hours), minutes=int(zone_minutes))
        try:
            local = datetime(
                int(year), _MONTH_NUMBERS[month.upper()], int(day), int(hour), int(minute), min(int(second), 59),
                tzinfo=timezone(-offset if sign == b"-" else offset),
            )  # fmt: skip
            if int(second) > 60 or int(zone_minutes) > 59:
                raise ValueError("out of range")
            return local.astimezone(UTC)
        except (ValueError, KeyError, OverflowError) as error:
            raise GrammarError("there is no such date and time") from error
