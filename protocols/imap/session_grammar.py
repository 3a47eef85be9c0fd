# SPDX-License-Identifier: MIT
"""The arguments of commands about the session itself: who the client is, logging in, what is switched on.

RFC 9051 §6.2 and §6.3.1, RFC 2971 (ID), RFC 4959 (SASL-IR), RFC 5161 (ENABLE), RFC 4978 (COMPRESS). Pure.
"""

from __future__ import annotations

import binascii

from protocols.imap import commands as c
from protocols.imap.lexer import GrammarError, Lexer

MAX_ID_PARAMETERS = 30
MAX_ID_BYTES = 1024
"""RFC 2971 §3.3: at most 30 pairs, names of 30 octets and values of 1024."""


def parse_id(tag: str, lexer: Lexer) -> c.Id:
    if lexer.nil():
        return c.Id(tag, None)

    def pair() -> tuple[str, str | None]:
        name = lexer.text(lexer.string())
        lexer.space()
        value = lexer.nstring()
        if len(name) > MAX_ID_BYTES or len(value or b"") > MAX_ID_BYTES:
            raise GrammarError("too long")
        return name, None if value is None else value.decode("utf-8", "replace")

    pairs = lexer.list_of(pair, may_be_empty=True)
    if len(pairs) > MAX_ID_PARAMETERS:
        raise GrammarError("too many parameters")
    return c.Id(tag, pairs)


def parse_authenticate(tag: str, lexer: Lexer) -> c.Authenticate:
    mechanism = lexer.atom().upper()
    if lexer.at_end():
        return c.Authenticate(tag, mechanism)
    lexer.space()
    if lexer.at_end():
        raise GrammarError("expected a response, = for an empty one")
    encoded = lexer.line[lexer.position :]
    lexer.position = len(lexer.line)
    # RFC 4959 §3: "=" is the empty response.
    return c.Authenticate(tag, mechanism, b"" if encoded == b"=" else parse_base64(encoded))


def parse_base64(encoded: bytes) -> bytes:
    """RFC 9051 §9 base64, nothing but it."""
    try:
        return binascii.a2b_base64(encoded, strict_mode=True)
    except binascii.Error as error:
        raise GrammarError("not base64") from error


def parse_login(tag: str, lexer: Lexer) -> c.Login:
    user = lexer.astring_text()
    lexer.space()
    return c.Login(tag, user, lexer.astring_text())


def parse_enable(tag: str, lexer: Lexer) -> c.Enable:
    names = [lexer.atom().upper()]
    while not lexer.at_end():
        lexer.space()
        names.append(lexer.atom().upper())
    return c.Enable(tag, tuple(names))


def parse_compress(tag: str, lexer: Lexer) -> c.Compress:
    return c.Compress(tag, lexer.atom().upper())
