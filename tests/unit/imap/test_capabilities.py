# SPDX-License-Identifier: MIT
"""CAPABILITY lists what works: every command has a handler, every word belongs to something that is there."""

from __future__ import annotations

import pytest

from mailserver.errors import Kind, MailError
from mailserver.values import Client, Protocol
from protocols.imap import commands
from protocols.imap.capabilities import AFTER_LOGIN, ENABLEABLE, Standing, list_capabilities
from protocols.imap.commands import Command
from protocols.imap.handlers.table import HANDLERS
from protocols.imap.logins import Logins

USER = Standing(logged_in=True, append_limit=1000)


def test_every_command_has_a_handler() -> None:
    """APPEND and REPLACE go by `Intake`."""
    classes = {kind for kind in vars(commands).values() if isinstance(kind, type) and issubclass(kind, Command)}
    assert classes - {Command, commands.Append, commands.Replace} == set(HANDLERS)


def test_before_login() -> None:
    words = list_capabilities(Standing(mechanisms=("PLAIN",), starttls=True, plain_login=False))
    assert words[:2] == ("IMAP4rev1", "IMAP4rev2")
    assert {"SASL-IR", "STARTTLS", "LOGINDISABLED", "AUTH=PLAIN", "LITERAL+"} <= set(words)
    assert "SORT" not in words


def test_after_login() -> None:
    words = list_capabilities(USER)
    assert {*AFTER_LOGIN, "APPENDLIMIT=1000", "COMPRESS=DEFLATE"} <= set(words)
    assert not {"STARTTLS", "SASL-IR", "AUTH=PLAIN"} & set(words)
    assert len(words) == len(set(words))
    assert {word.upper() for word in words} >= ENABLEABLE


def test_what_is_switched_off_or_in_use_is_left_out() -> None:
    words = list_capabilities(Standing(logged_in=True, idle=False, compress=False))
    assert "IDLE" not in words
    assert "COMPRESS=DEFLATE" not in words
    assert "APPENDLIMIT" in words


def test_hidden_words() -> None:
    words = list_capabilities(USER, {"QRESYNC", "LITERAL+", "IMAP4REV1", "APPENDLIMIT=1000"})
    assert not {"QRESYNC", "LITERAL+", "APPENDLIMIT=1000"} & set(words)
    assert "IMAP4rev1" in words


def test_logins_from_an_address_are_counted() -> None:
    logins = Logins()
    far, near = (Client(Protocol.IMAP4, 1, 1, address, 1) for address in ("192.0.2.1", "127.0.0.1"))
    logins.enter(far, 1)
    with pytest.raises(MailError) as raised:
        logins.enter(far, 1)
    assert raised.value.kind is Kind.LIMIT_REACHED
    logins.enter(near, 1)
    logins.enter(near, 1)
    logins.leave(far)
    logins.enter(far, 1)
