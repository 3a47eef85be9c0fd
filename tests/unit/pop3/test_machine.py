# SPDX-License-Identifier: MIT
"""What the POP3 machine allows when, and what it does with too much."""

from __future__ import annotations

import pytest

from mailserver.errors import ProtocolViolation
from protocols.pop3 import replies
from protocols.pop3.commands import Auth, Noop, Quit, Retr, SaslResponse, Stat, Stls, User
from protocols.pop3.machine import (
    AFTER_FAILURE,
    AFTER_SUCCESS,
    ALLOWED,
    MAX_AUTH_LINE_BYTES,
    MAX_LINE_BYTES,
    NEED_DATA,
    PAUSED,
    Pop3Machine,
    State,
)
from protocols.pop3.replies import END, Piece


def _greeted(*, tls_required: bool = False) -> Pop3Machine:
    machine = Pop3Machine(tls_required=tls_required)
    machine.send(replies.greeting("mail.example.test", b""))
    return machine


def _logged_in() -> Pop3Machine:
    machine = _greeted()
    machine.receive(b"USER alice\r\nPASS x\r\n")
    machine.next_event()
    machine.send(replies.name_accepted())
    machine.next_event()
    machine.send(replies.logged_in(0, 0))
    return machine


def test_every_state_has_its_row() -> None:
    assert set(ALLOWED) == set(State)
    assert set(AFTER_SUCCESS.values()) | set(AFTER_FAILURE.values()) <= set(State)


def test_nothing_before_the_greeting() -> None:
    machine = Pop3Machine()
    machine.receive(b"QUIT\r\n")
    assert machine.next_event() is PAUSED
    machine.send(replies.greeting("mail.example.test", b""))
    assert machine.next_event() == Quit()


def test_pauses_until_the_reply_is_sent() -> None:
    machine = _logged_in()
    machine.receive(b"NOOP\r\nSTAT\r\nRETR")
    assert machine.next_event() == Noop()
    assert machine.next_event() is PAUSED
    machine.send(replies.nothing_done())
    assert machine.next_event() == Stat()
    machine.send(replies.status(0, 0))
    assert machine.next_event() is NEED_DATA
    machine.receive(b" 1\r\n")
    assert machine.next_event() == Retr(1)


def test_a_body_is_one_reply() -> None:
    machine = _logged_in()
    machine.receive(b"RETR 1\r\nNOOP\r\n")
    machine.next_event()
    sent = machine.send(replies.message_follows(5))
    assert machine.in_body
    assert machine.next_event() is PAUSED
    sent += machine.send(Piece(b"a\r\n")) + machine.send(Piece(b".")) + machine.send(Piece(b"b")) + machine.send(END)
    assert sent == b"+OK 5 octets\r\na\r\n..b\r\n.\r\n"
    assert not machine.in_body
    assert machine.next_event() == Noop()


def test_failed_login_leads_back() -> None:
    machine = _greeted()
    machine.receive(b"USER alice\r\nPASS x\r\nSTAT\r\n")
    machine.next_event()
    machine.send(replies.name_accepted())
    machine.next_event()
    machine.send(replies.unknown_command())
    assert machine.state is State.AUTHORIZATION
    with pytest.raises(ProtocolViolation, match="STAT") as caught:
        machine.next_event()
    assert caught.value.may_continue


def test_lines_of_an_exchange_are_responses() -> None:
    machine = _greeted()
    machine.receive(b"AUTH PLAIN\r\nUVVJVA==\r\n")
    assert machine.next_event() == Auth("PLAIN")
    machine.send(replies.challenge(b""))
    assert machine.next_event() == SaslResponse(b"QUIT")
    machine.send(replies.malformed_exchange())
    assert machine.state is State.AUTHORIZATION


@pytest.mark.parametrize("tail", [b"USER alice\r\n", b"\0", b"\x16\x03\x01"])
def test_bytes_behind_stls_end_the_connection(tail: bytes) -> None:
    machine = _greeted()
    machine.receive(b"STLS\r\n" + tail)
    assert machine.next_event() == Stls()
    with pytest.raises(ProtocolViolation) as caught:
        machine.send(replies.begin_tls())
    assert caught.value.reply == replies.bytes_before_tls().line
    assert not caught.value.may_continue
    assert machine.state is State.CLOSED


def test_bytes_after_stls_was_accepted_end_the_connection() -> None:
    machine = _greeted()
    machine.receive(b"STLS\r\n")
    machine.next_event()
    machine.send(replies.begin_tls())
    machine.receive(b"USER alice\r\n")
    with pytest.raises(ProtocolViolation):
        machine.next_event()


def test_stls_refused_changes_nothing() -> None:
    machine = _greeted()
    machine.receive(b"STLS\r\nUSER alice\r\n")
    machine.next_event()
    machine.send(replies.tls_not_possible())
    assert machine.next_event() == User("alice")


def test_tls_forgets_the_name() -> None:
    machine = _greeted()
    machine.receive(b"USER alice\r\n")
    machine.next_event()
    machine.send(replies.name_accepted())
    machine.receive(b"STLS\r\n")
    machine.next_event()
    machine.send(replies.begin_tls())
    machine.tls_started()
    assert machine.state is State.AUTHORIZATION


@pytest.mark.parametrize("size", [MAX_LINE_BYTES, MAX_LINE_BYTES + 1])
def test_line_limit(size: int) -> None:
    machine = _greeted()
    machine.receive(b"USER " + b"a" * (size - 7) + b"\r\n")
    if size <= MAX_LINE_BYTES:
        assert machine.next_event() == User("a" * (size - 7))
    else:
        with pytest.raises(ProtocolViolation) as caught:
            machine.next_event()
        assert caught.value.reply == replies.line_too_long().line
        assert machine.next_event() is NEED_DATA


def test_auth_lines_may_be_longer() -> None:
    machine = _greeted()
    machine.receive(b"auth X " + b"A" * (MAX_AUTH_LINE_BYTES - 12) + b"\r\n")
    assert isinstance(machine.next_event(), Auth)


def test_memory_stays_bounded_by_one_read() -> None:
    """A line of 10 MB is one error, and none of it is kept."""
    machine = _greeted()
    violations = 0
    for _ in range(160):
        machine.receive(b"x" * 65536)
        try:
            assert machine.next_event() is NEED_DATA
        except ProtocolViolation:
            violations += 1
        assert len(machine._buffer) <= 65536
    machine.receive(b"\r\nQUIT\r\n")
    assert machine.next_event() == Quit()
    assert violations == 1


def test_closed_is_closed() -> None:
    machine = _greeted()
    machine.receive(b"QUIT\r\n")
    machine.next_event()
    machine.send(replies.good_bye())
    machine.receive(b"NOOP\r\n")
    assert machine.next_event() is PAUSED
    assert machine.state is State.CLOSED
