# SPDX-License-Identifier: MIT
"""Every failure has a reply, and no reply line is too long or says what it must not."""

from __future__ import annotations

import pytest

from mailserver.errors import Kind
from protocols.pop3 import replies


@pytest.mark.parametrize("kind", Kind)
def test_every_failure_has_a_reply(kind: Kind) -> None:
    reply = replies.failure(kind)
    assert reply.line.startswith(b"-ERR ")
    assert reply.line.endswith(b"\r\n")
    assert not reply.ok


@pytest.mark.parametrize(
    "kind", [Kind.UNAVAILABLE, Kind.INTERNAL, Kind.STORAGE_FULL, Kind.OVER_QUOTA, Kind.LIMIT_REACHED]
)
def test_our_own_troubles_are_temporary(kind: Kind) -> None:
    assert b"[SYS/TEMP]" in replies.failure(kind).line


def test_locked_says_what_the_specification_says() -> None:
    assert replies.failure(Kind.IN_USE).line == b"-ERR [IN-USE] Mailbox Locked\r\n"


def test_long_names_do_not_make_long_replies() -> None:
    """RFC 1939 §3: 512 octets at most, whatever the client sent in a line of 255."""
    assert len(replies.unknown_language("x" * 250).line) <= 512
    assert len(replies.bad_arguments("X" * 250).line) <= 512
    assert len(replies.greeting("m" * 255, b"<" + b"1" * 60 + b"@" + b"m" * 120 + b">").line) <= 512


def test_refusals_for_the_listener_are_whole_lines() -> None:
    for line in (replies.too_many(), replies.too_many_from_address(), replies.not_allowed()):
        assert line.startswith(b"-ERR [SYS/")
        assert line.count(b"\r\n") == 1
