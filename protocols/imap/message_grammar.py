# SPDX-License-Identifier: MIT
"""The arguments of commands about messages.

RFC 9051 §6.4, RFC 5256 (SORT, THREAD), RFC 6851 (MOVE), RFC 7162 (CONDSTORE, QRESYNC), RFC 9394 (PARTIAL), RFC 5267
(CANCELUPDATE). Pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from mailserver.mime.sorting import SortCriterion, SortKey
from protocols.imap import commands as c
from protocols.imap.arguments import FlagsChange, ThreadAlgorithm
from protocols.imap.fetch_items import FetchItem, parse_fetch_items
from protocols.imap.lexer import MAX_MODSEQ, GrammarError, Lexer
from protocols.imap.search_keys import (
    SearchReturn,
    parse_charset,
    parse_partial_range,
    parse_return,
    parse_search_program,
)
from protocols.imap.sequence import PartialRange, SequenceSet

MAX_SORT_CRITERIA = 20
"""There are nine keys, and each may be reversed."""


def parse_uid_expunge(tag: str, lexer: Lexer) -> c.Expunge:
    return c.Expunge(tag, lexer.sequence_set())


@dataclass(frozen=True, slots=True)
class _FetchWish:
    """What FETCH asks for, without saying of which messages."""

    items: tuple[FetchItem, ...]
    changed_since: int | None = None
    vanished: bool = False
    partial: PartialRange | None = None


def parse_fetch(tag: str, lexer: Lexer, *, uid: bool = False) -> c.Fetch:
    messages = lexer.sequence_set()
    lexer.space()
    wish = _read_wish(lexer)
    # RFC 7162 §3.2.6 and RFC 9394 §3.2.
    if wish.vanished and (wish.changed_since is None or not uid):
        raise GrammarError("VANISHED needs UID FETCH and CHANGEDSINCE")
    if wish.partial and not uid:
        raise GrammarError("PARTIAL needs UID FETCH")
    return c.Fetch(tag, uid, messages, wish.items, wish.changed_since, wish.vanished, wish.partial)


def _read_wish(lexer: Lexer) -> _FetchWish:
    """From memory where it can be: a mail program asks for the same few things all day long."""
    rest = lexer.line[lexer.position :]
    if len(rest) > MAX_REMEMBERED_BYTES or rest.endswith(b"}"):
        return _parse_wish(lexer)
    lexer.position = len(lexer.line)
    return _remembered_wish(rest)


MAX_REMEMBERED_BYTES = 400


@lru_cache(maxsize=1000)
def _remembered_wish(text: bytes) -> _FetchWish:
    lexer = Lexer([text])
    wish = _parse_wish(lexer)
    lexer.end()
    return wish


def _parse_wish(lexer: Lexer) -> _FetchWish:
    items = parse_fetch_items(lexer)
    changed_since: int | None = None
    vanished = False
    partial: PartialRange | None = None

    def modifier() -> None:
        nonlocal changed_since, vanished, partial
        word = lexer.label()
        if word == "VANISHED":
            vanished = True
            return
        lexer.space()
        if word == "CHANGEDSINCE":
            changed_since = lexer.nz_number(MAX_MODSEQ)
        elif word == "PARTIAL":
            partial = parse_partial_range(lexer)
        else:
            raise GrammarError("unknown modifier")

    if lexer.take(b" "):
        lexer.list_of(modifier)
    return _FetchWish(items, changed_since, vanished, partial)


def parse_store(tag: str, lexer: Lexer, *, uid: bool = False) -> c.Store:
    messages = lexer.sequence_set()
    lexer.space()
    unchanged_since: int | None = None
    if lexer.take(b"("):
        if lexer.label() != "UNCHANGEDSINCE":
            raise GrammarError("unknown modifier")
        lexer.space()
        unchanged_since = lexer.number(MAX_MODSEQ)
        lexer.expect(b")")
        lexer.space()
    word, dot, silent = lexer.label().partition(".")
    if word not in ("FLAGS", "+FLAGS", "-FLAGS") or (dot and silent != "SILENT"):
        raise GrammarError("expected FLAGS")
    lexer.space()
    flags = lexer.flag_list() if lexer.peek() == b"(" else _bare_flags(lexer)
    return c.Store(tag, uid, messages, FlagsChange(word), flags, bool(dot), unchanged_since)


def _bare_flags(lexer: Lexer) -> frozenset[str]:
    """RFC 9051 §9 store-att-flags allows them without brackets."""
    flags = {lexer.flag()}
    while not lexer.at_end():
        lexer.space()
        flags.add(lexer.flag())
    return frozenset(flags) - {""}


def _messages_and_mailbox(lexer: Lexer) -> tuple[SequenceSet, str]:
    messages = lexer.sequence_set()
    lexer.space()
    return messages, lexer.mailbox()


def parse_copy(tag: str, lexer: Lexer, *, uid: bool = False) -> c.Copy:
    return c.Copy(tag, uid, *_messages_and_mailbox(lexer))


def parse_move(tag: str, lexer: Lexer, *, uid: bool = False) -> c.Move:
    return c.Move(tag, uid, *_messages_and_mailbox(lexer))


def parse_search(tag: str, lexer: Lexer, *, uid: bool = False) -> c.Search:
    returns = _optional_return(lexer)
    charset = "UTF-8"
    if lexer.peek_label() == "CHARSET":
        lexer.label()
        lexer.space()
        charset = parse_charset(lexer)
        lexer.space()
    return c.Search(tag, uid, parse_search_program(lexer, charset), returns)


def _optional_return(lexer: Lexer) -> SearchReturn | None:
    if lexer.peek_label() != "RETURN":
        return None
    lexer.label()
    returns = parse_return(lexer)
    lexer.space()
    return returns


def parse_sort(tag: str, lexer: Lexer, *, uid: bool = False) -> c.Sort:
    returns = _optional_return(lexer)
    criteria = lexer.list_of(lambda: _sort_criterion(lexer))
    if len(criteria) > MAX_SORT_CRITERIA:
        raise GrammarError("too many sort keys")
    lexer.space()
    charset = parse_charset(lexer)
    lexer.space()
    return c.Sort(tag, uid, criteria, parse_search_program(lexer, charset), returns)


def _sort_criterion(lexer: Lexer) -> SortCriterion:
    word = lexer.label()
    reverse = word == "REVERSE"
    if reverse:
        lexer.space()
        word = lexer.label()
    if word not in SortKey.__members__:
        raise GrammarError("unknown sort key")
    return SortCriterion(SortKey[word], reverse)


def parse_thread(tag: str, lexer: Lexer, *, uid: bool = False) -> c.Thread:
    word = lexer.label()
    if word not in ThreadAlgorithm.__members__:
        raise GrammarError("unknown algorithm")
    lexer.space()
    charset = parse_charset(lexer)
    lexer.space()
    return c.Thread(tag, uid, ThreadAlgorithm[word], parse_search_program(lexer, charset))


def parse_cancel_update(tag: str, lexer: Lexer) -> c.CancelUpdate:
    tags = [lexer.text(lexer.string())]
    while not lexer.at_end():
        lexer.space()
        tags.append(lexer.text(lexer.string()))
    return c.CancelUpdate(tag, tuple(tags))
