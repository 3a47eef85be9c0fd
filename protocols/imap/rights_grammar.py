# SPDX-License-Identifier: MIT
"""The arguments of commands about quota and rights.

RFC 9208 §4.1 (QUOTA), RFC 4314 §3 (ACL). Pure.
"""

from __future__ import annotations

import re

from protocols.imap import commands as c
from protocols.imap.arguments import RightsChange
from protocols.imap.lexer import MAX_MODSEQ, GrammarError, Lexer

# rights, with the sign of a change in front (RFC 4314 §3.1)
_RIGHTS = re.compile(r"[+\-]?([a-z0-9]*)")
_RIGHTS_LETTERS = set("lrswipkxtecda")


def parse_get_quota(tag: str, lexer: Lexer) -> c.GetQuota:
    return c.GetQuota(tag, lexer.astring_text())


def parse_set_quota(tag: str, lexer: Lexer) -> c.SetQuota:
    root = lexer.astring_text()
    lexer.space()

    def limit() -> tuple[str, int]:
        name = lexer.label()
        lexer.space()
        return name, lexer.number(MAX_MODSEQ)

    return c.SetQuota(tag, root, lexer.list_of(limit, may_be_empty=True))


def parse_set_acl(tag: str, lexer: Lexer) -> c.SetAcl:
    mailbox, identifier = _mailbox_and_identifier(lexer)
    lexer.space()
    text = lexer.astring_text()
    match = _RIGHTS.fullmatch(text)
    if not match or not set(match[1]) <= _RIGHTS_LETTERS:
        # RFC 4314 §3.1: rights that are not known are an error, never passed over.
        raise GrammarError("unknown rights")
    change = RightsChange(text[0]) if text[:1] in ("+", "-") else RightsChange.REPLACE
    return c.SetAcl(tag, mailbox, identifier, change, match[1])


def _mailbox_and_identifier(lexer: Lexer) -> tuple[str, str]:
    mailbox = lexer.mailbox()
    lexer.space()
    identifier = lexer.astring_text()
    if not identifier:
        raise GrammarError("expected an identifier")
    return mailbox, identifier


def parse_delete_acl(tag: str, lexer: Lexer) -> c.DeleteAcl:
    return c.DeleteAcl(tag, *_mailbox_and_identifier(lexer))


def parse_list_rights(tag: str, lexer: Lexer) -> c.ListRights:
    return c.ListRights(tag, *_mailbox_and_identifier(lexer))
