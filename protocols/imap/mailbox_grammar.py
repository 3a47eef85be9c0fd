# SPDX-License-Identifier: MIT
"""The arguments of commands about mailboxes: opening, naming, listing, watching.

RFC 9051 §6.3, RFC 3501 §6.3.9 (LSUB), RFC 5258 and RFC 5819 (LIST), RFC 6154 (special use), RFC 7162 §3.2.5
(QRESYNC), RFC 5465 (NOTIFY), RFC 8440 and RFC 9590 (more from LIST). Pure.
"""

from __future__ import annotations

import re

from protocols.imap import commands as c
from protocols.imap.arguments import ListReturn, ListSelection, MetadataOptions, Resync, StatusItem
from protocols.imap.lexer import MAX_MODSEQ, GrammarError, Lexer
from protocols.imap.metadata import parse_entries, parse_metadata_options
from protocols.imap.notify import parse_event_groups
from protocols.imap.sequence import STAR, SequenceSet

_USE_ATTRIBUTE = re.compile(rb"\\[A-Za-z]+")


def parse_select(tag: str, lexer: Lexer) -> c.Select:
    return _select_or_examine(tag, lexer, read_only=False)


def parse_examine(tag: str, lexer: Lexer) -> c.Select:
    return _select_or_examine(tag, lexer, read_only=True)


def _select_or_examine(tag: str, lexer: Lexer, *, read_only: bool) -> c.Select:
    mailbox = lexer.mailbox()
    condstore = False
    resync: Resync | None = None

    def parameter() -> None:
        nonlocal condstore, resync
        word = lexer.label()
        if word == "CONDSTORE":
            condstore = True
        elif word == "QRESYNC" and resync is None:
            lexer.space()
            resync = _parse_resync(lexer)
        else:
            raise GrammarError("unknown parameter")

    if lexer.take(b" "):
        lexer.list_of(parameter)
    return c.Select(tag, mailbox, read_only, condstore, resync)


def _parse_resync(lexer: Lexer) -> Resync:
    """RFC 7162 §7 select-param for QRESYNC."""
    lexer.expect(b"(")
    uid_validity = lexer.nz_number()
    lexer.space()
    modseq = lexer.nz_number(MAX_MODSEQ)
    known: SequenceSet | None = None
    match: tuple[SequenceSet, SequenceSet] | None = None
    if lexer.take(b" ") and lexer.peek() != b"(":
        known = lexer.sequence_set()
        if lexer.take(b" "):
            match = _parse_sequence_match(lexer)
    elif lexer.peek() == b"(":
        match = _parse_sequence_match(lexer)
    lexer.expect(b")")
    if any(part.saved or STAR in sum(part.ranges, ()) for part in (known, *(match or ())) if part):
        raise GrammarError("the numbers that the client knows must be written out")
    return Resync(uid_validity, modseq, known, match)


def _parse_sequence_match(lexer: Lexer) -> tuple[SequenceSet, SequenceSet]:
    lexer.expect(b"(")
    numbers = lexer.sequence_set()
    lexer.space()
    uids = lexer.sequence_set()
    lexer.expect(b")")
    return numbers, uids


def parse_create(tag: str, lexer: Lexer) -> c.Create:
    # RFC 9051 §6.3.4: a delimiter at the end says that more will be created below; the name is without it.
    mailbox = lexer.mailbox()
    mailbox = mailbox[:-1] if mailbox.endswith("/") else mailbox
    if not lexer.take(b" "):
        return c.Create(tag, mailbox)
    lexer.expect(b"(")
    if lexer.label() != "USE":
        raise GrammarError("unknown parameter")
    lexer.space()

    def attribute() -> str:
        found = lexer.match(_USE_ATTRIBUTE)
        if not found:
            raise GrammarError("expected an attribute")
        return "\\" + found[0][1:].decode("ascii").capitalize()

    uses = lexer.list_of(attribute, may_be_empty=True)
    lexer.expect(b")")
    return c.Create(tag, mailbox, uses)


def parse_rename(tag: str, lexer: Lexer) -> c.Rename:
    source = lexer.mailbox()
    lexer.space()
    return c.Rename(tag, source, lexer.mailbox())


def parse_lsub(tag: str, lexer: Lexer) -> c.Lsub:
    reference = lexer.mailbox()
    lexer.space()
    return c.Lsub(tag, reference, lexer.list_mailbox())


def parse_list(tag: str, lexer: Lexer) -> c.List:
    """RFC 9051 §9 list."""
    extended = False
    selection: tuple[ListSelection, ...] = ()
    if lexer.peek() == b"(":
        extended = True
        selection = lexer.list_of(lambda: _list_selection(lexer), may_be_empty=True)
        lexer.space()
    _check_selection(frozenset(selection))
    reference = lexer.mailbox()
    lexer.space()
    if lexer.peek() == b"(":
        extended = True
        patterns = lexer.list_of(lexer.list_mailbox)
    else:
        patterns = (lexer.list_mailbox(),)
    returns = ListReturn()
    if lexer.take(b" "):
        extended = True
        if lexer.label() != "RETURN":
            raise GrammarError("expected RETURN")
        lexer.space()
        returns = _list_return(lexer)
    return c.List(tag, reference, patterns, frozenset(selection), returns, extended)


def _list_selection(lexer: Lexer) -> ListSelection:
    try:
        return ListSelection(lexer.label())
    except ValueError as error:
        raise GrammarError("unknown selection option") from error


def _check_selection(selection: frozenset[ListSelection]) -> None:
    """RFC 5258 §3.1: RECURSIVEMATCH only with an option that selects."""
    if ListSelection.RECURSIVEMATCH in selection and not selection & {
        ListSelection.SUBSCRIBED,
        ListSelection.SPECIAL_USE,
    }:
        raise GrammarError("RECURSIVEMATCH needs another selection option")


def _list_return(lexer: Lexer) -> ListReturn:
    words: set[str] = set()
    status: tuple[StatusItem, ...] = ()
    metadata: tuple[str, ...] = ()
    options = MetadataOptions()

    def option() -> None:
        nonlocal status, metadata, options
        word = lexer.label()
        if word == "STATUS":
            lexer.space()
            status = _status_items(lexer)
        elif word == "METADATA":
            lexer.space()
            options, metadata = _list_metadata(lexer)
        elif word in ("SUBSCRIBED", "CHILDREN", "SPECIAL-USE", "MYRIGHTS"):
            words.add(word)
        else:
            raise GrammarError("unknown return option")

    lexer.list_of(option, may_be_empty=True)
    return ListReturn(
        subscribed="SUBSCRIBED" in words,
        children="CHILDREN" in words,
        special_use="SPECIAL-USE" in words,
        my_rights="MYRIGHTS" in words,
        status=status,
        metadata=metadata,
        metadata_options=options,
    )


def _list_metadata(lexer: Lexer) -> tuple[MetadataOptions, tuple[str, ...]]:
    """RFC 9590 §5: entries in a list, options before them as in GETMETADATA."""
    options = MetadataOptions()
    if lexer.peek() == b"(" and lexer.line[lexer.position + 1 : lexer.position + 2].isalpha():
        options = parse_metadata_options(lexer)
        lexer.space()
    return options, parse_entries(lexer)


def parse_status(tag: str, lexer: Lexer) -> c.Status:
    mailbox = lexer.mailbox()
    lexer.space()
    return c.Status(tag, mailbox, _status_items(lexer))


def _status_items(lexer: Lexer) -> tuple[StatusItem, ...]:
    def item() -> StatusItem:
        try:
            return StatusItem(lexer.label())
        except ValueError as error:
            raise GrammarError("unknown status item") from error

    return tuple(dict.fromkeys(lexer.list_of(item)))


def parse_notify(tag: str, lexer: Lexer) -> c.Notify:
    word = lexer.label()
    if word == "NONE":
        return c.Notify(tag)
    if word != "SET":
        raise GrammarError("expected SET or NONE")
    lexer.space()
    status = lexer.peek_label() == "STATUS"
    if status:
        lexer.label()
        lexer.space()
    return c.Notify(tag, parse_event_groups(lexer), status)
