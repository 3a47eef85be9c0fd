# SPDX-License-Identifier: MIT
"""METADATA's words: entry names, options, and values.

RFC 5464 §3.2, §4.2, §4.3 and §5. Pure.
"""

from __future__ import annotations

import re

from protocols.imap.arguments import MetadataOptions
from protocols.imap.commands import GetMetadata, SetMetadata
from protocols.imap.lexer import GrammarError, Lexer

MAX_ENTRIES = 100
"""Entries in one command; mail programs ask for two or three."""

# entry: starts with /private/ or /shared/, slashes neither doubled nor at the end, no wildcards (RFC 5464 §3.2)
_ENTRY = re.compile(r"/(?:private|shared)(?:/[^/*%\x00-\x1f\x7f-\U0010ffff]+)+")
_DEPTHS = {"0": 0, "1": 1, "INFINITY": None}


def parse_entry(lexer: Lexer) -> str:
    """An entry name in lower case: names compare without case (RFC 5464 §3.2)."""
    name = lexer.astring_text().lower()
    if not _ENTRY.fullmatch(name):
        raise GrammarError("bad entry name")
    return name


def parse_entries(lexer: Lexer) -> tuple[str, ...]:
    """One entry, or a list of them."""
    entries = lexer.list_of(lambda: parse_entry(lexer)) if lexer.peek() == b"(" else (parse_entry(lexer),)
    if len(entries) > MAX_ENTRIES:
        raise GrammarError("too many entries", code="METADATA TOOMANY", no=True)
    return entries


def parse_metadata_options(lexer: Lexer) -> MetadataOptions:
    """RFC 5464 §5 getmetadata-options."""
    max_size: int | None = None
    depth: int | None = 0

    def option() -> None:
        nonlocal max_size, depth
        word = lexer.label()
        lexer.space()
        if word == "MAXSIZE":
            max_size = lexer.number()
        elif word == "DEPTH" and lexer.peek_label() in _DEPTHS:
            depth = _DEPTHS[lexer.label()]
        else:
            raise GrammarError("unknown option")

    lexer.list_of(option)
    return MetadataOptions(max_size, depth)


def parse_get_metadata(tag: str, lexer: Lexer) -> GetMetadata:
    """RFC 5464 §5 getmetadata.

    Quirk: the options are taken before or after the mailbox, since the examples of RFC 5464 §4.2 have them after it
    and Roundcube follows the examples.
    """
    options = MetadataOptions()
    if lexer.peek() == b"(":
        options = parse_metadata_options(lexer)
        lexer.space()
    mailbox = lexer.mailbox()
    lexer.space()
    if lexer.peek() == b"(" and _starts_with_option(lexer):
        options = parse_metadata_options(lexer)
        lexer.space()
    return GetMetadata(tag, mailbox, parse_entries(lexer), options)


def _starts_with_option(lexer: Lexer) -> bool:
    return lexer.line[lexer.position + 1 : lexer.position + 2] not in (b"/", b'"', b"{")


def parse_set_metadata(tag: str, lexer: Lexer) -> SetMetadata:
    mailbox = lexer.mailbox()
    lexer.space()

    def entry_value() -> tuple[str, bytes | None]:
        name = parse_entry(lexer)
        lexer.space()
        return name, None if lexer.nil() else lexer.string_or_literal8()

    entries = lexer.list_of(entry_value)
    if len(entries) > MAX_ENTRIES:
        raise GrammarError("too many entries", code="METADATA TOOMANY", no=True)
    return SetMetadata(tag, mailbox, entries)
