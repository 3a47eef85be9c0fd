# SPDX-License-Identifier: MIT
"""Reads APPEND and REPLACE while they arrive, for their messages must not be kept.

RFC 9051 §6.3.12, MULTIAPPEND (RFC 3502), CATENATE (RFC 4469), BINARY (RFC 3516 §4.4), UTF8 (RFC 6855 §4) and REPLACE
(RFC 8508). `read_append()` is a generator that stops before each literal: it yields `SMALL` for one that is an
argument, to be added to the lexer, and an `Offer` for one that is a message, to be handed on piece by piece. Either
way it goes on with the line that follows, so nothing is read twice. Pure.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Generator
from dataclasses import dataclass, replace

from protocols.imap.arguments import NewMessage, TextPart, UrlPart
from protocols.imap.commands import Append, Replace
from protocols.imap.lexer import GrammarError, Lexer

MAX_MESSAGES = 1000
"""Messages in one APPEND. All of them wait in the spool until the last has come (RFC 3502 §6.3.11)."""

MAX_PARTS = 1000
"""Parts in one CATENATE."""


class Small(enum.Enum):
    """The literal that comes next is an argument."""

    SMALL = enum.auto()


@dataclass(frozen=True, slots=True)
class Offer:
    """The literal that comes next is (a part of) the message described; `index` counts the messages from 0."""

    tag: str
    mailbox: str
    message: NewMessage
    size: int
    index: int
    replaces: int | None = None
    """For REPLACE, the number or UID that will go."""
    uid: bool = False


Step = Small | Offer
Reading = Generator[Step, None, Append | Replace]


def read_append(tag: str, name: str, lexer: Lexer) -> Reading:
    """`name` is APPEND, REPLACE or UID REPLACE; the lexer stands after it."""
    lexer.space()
    replaces: int | None = None
    if name != "APPEND":
        # RFC 8508 §3.1: seq-number or uniqueid, and REPLACE takes one message only.
        replaces = lexer.nz_number()
        lexer.space()
    yield from _small(lexer)
    mailbox = lexer.mailbox()
    messages: list[NewMessage] = []
    while not lexer.at_end() and len(messages) < (MAX_MESSAGES if replaces is None else 1):
        lexer.space()
        offer = Offer(tag, mailbox, _read_options(lexer), 0, len(messages), replaces, name.startswith("UID"))
        messages.append((yield from _read_data(lexer, offer)))
    lexer.end()
    if not messages:
        raise GrammarError("expected a message")
    if replaces is None:
        return Append(tag, mailbox, tuple(messages))
    return Replace(tag, name.startswith("UID"), replaces, mailbox, messages[0])


def _small(lexer: Lexer) -> Generator[Step, None, None]:
    """Wait for the literal that comes next, if one does."""
    if lexer.awaited_literal():
        yield Small.SMALL


def _read_options(lexer: Lexer) -> NewMessage:
    """RFC 9051 §9 append-opts."""
    flags: frozenset[str] = frozenset()
    if lexer.peek() == b"(":
        flags = lexer.flag_list()
        lexer.space()
    if lexer.peek() != b'"':
        return NewMessage(flags)
    internal_date = lexer.date_time()
    lexer.space()
    return NewMessage(flags, internal_date)


def _read_data(lexer: Lexer, offer: Offer) -> Generator[Step, None, NewMessage]:
    """RFC 9051 §9 append-data, with the forms of CATENATE and UTF8."""
    word = lexer.peek_label()
    if word == "CATENATE":
        lexer.label()
        lexer.space()
        return (yield from _read_catenation(lexer, offer))
    if word == "UTF8":
        lexer.label()
        lexer.expect(b" (")
        message = yield from _read_message(lexer, offer, replace(offer.message, utf8=True))
        lexer.expect(b")")
        return message
    return (yield from _read_message(lexer, offer, offer.message))


def _read_message(lexer: Lexer, offer: Offer, message: NewMessage) -> Generator[Step, None, NewMessage]:
    size, binary = _literal_size(lexer)
    if message.utf8 and not binary:
        raise GrammarError("UTF8 takes a literal8")
    message = replace(message, binary=binary)
    yield replace(offer, message=message, size=size)
    lexer.pass_literal()
    return replace(message, parts=(TextPart(size),))


def _literal_size(lexer: Lexer) -> tuple[int, bool]:
    mark = lexer.awaited_literal()
    if not mark:
        raise GrammarError("expected a literal")
    return int(mark[2]), bool(mark[1])


_TEXT = re.compile(rb"TEXT ", re.IGNORECASE)


def _read_catenation(lexer: Lexer, offer: Offer) -> Generator[Step, None, NewMessage]:
    """RFC 4469 §5: "(" cat-part *(SP cat-part) ")"."""
    message = replace(offer.message, catenated=True)
    lexer.expect(b"(")
    while len(message.parts) < MAX_PARTS:
        part: TextPart | UrlPart
        if lexer.match(_TEXT):
            size, binary = _literal_size(lexer)
            message = replace(message, binary=message.binary or binary)
            yield replace(offer, message=message, size=size)
            lexer.pass_literal()
            part = TextPart(size)
        elif lexer.label() == "URL":
            lexer.space()
            yield from _small(lexer)
            part = UrlPart(lexer.astring_text())
        else:
            raise GrammarError("expected TEXT or URL")
        message = replace(message, parts=(*message.parts, part))
        if lexer.take(b")"):
            return message
        lexer.space()
    raise GrammarError("too many parts")
