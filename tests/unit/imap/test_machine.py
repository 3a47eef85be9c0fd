# SPDX-License-Identifier: MIT
"""What may be said when: states, literals, messages that stream, AUTHENTICATE, IDLE, changes of layer."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from mailserver.errors import ProtocolViolation
from protocols.imap import commands as c
from protocols.imap import replies
from protocols.imap.events import (
    IdleEnded,
    LiteralAnnounced,
    SaslResponse,
    Signal,
)
from protocols.imap.grammar import BARE, PARSERS
from protocols.imap.limits import STRANGER, USER
from protocols.imap.machine import ALLOWED, Machine, State
from tests.unit.imap.talking import finish, machine, next_command, violation

# ---------------------------------------------------------------- states


def test_the_table_knows_every_command() -> None:
    everything = frozenset().union(*ALLOWED.values())
    assert everything == {*PARSERS, *BARE, "APPEND", "REPLACE", "UID REPLACE"}


@pytest.mark.parametrize(
    ("state", "line"),
    [
        (State.NOT_AUTHENTICATED, b"a SELECT INBOX"),
        (State.NOT_AUTHENTICATED, b"a APPEND INBOX {5}"),
        (State.NOT_AUTHENTICATED, b"a FETCH 1 FLAGS"),
        (State.AUTHENTICATED, b"a LOGIN a b"),
        (State.AUTHENTICATED, b"a STARTTLS"),
        (State.AUTHENTICATED, b"a FETCH 1 FLAGS"),
        (State.AUTHENTICATED, b"a CLOSE"),
        (State.SELECTED, b"a AUTHENTICATE PLAIN"),
    ],
)
def test_a_command_in_the_wrong_state_is_bad(state: State, line: bytes) -> None:
    talk = machine(state)
    talk.receive(line + b"\r\nb NOOP\r\n")
    assert violation(talk).reply.startswith(b"a BAD ")
    assert next_command(talk) == c.Noop("b")


@pytest.mark.parametrize(
    ("before", "line", "status", "after"),
    [
        (State.NOT_AUTHENTICATED, b"a LOGIN a b", "OK", State.AUTHENTICATED),
        (State.NOT_AUTHENTICATED, b"a LOGIN a b", "NO", State.NOT_AUTHENTICATED),
        (State.NOT_AUTHENTICATED, b"a AUTHENTICATE PLAIN =", "OK", State.AUTHENTICATED),
        (State.AUTHENTICATED, b"a SELECT x", "OK", State.SELECTED),
        (State.AUTHENTICATED, b"a EXAMINE x", "OK", State.SELECTED),
        (State.SELECTED, b"a SELECT x", "NO", State.AUTHENTICATED),
        (State.SELECTED, b"a SELECT x", "BAD", State.SELECTED),
        (State.SELECTED, b"a CLOSE", "OK", State.AUTHENTICATED),
        (State.SELECTED, b"a UNSELECT", "OK", State.AUTHENTICATED),
        (State.SELECTED, b"a UNAUTHENTICATE", "OK", State.NOT_AUTHENTICATED),
        (State.SELECTED, b"a LOGOUT", "OK", State.LOGOUT),
        (State.SELECTED, b"a NOOP", "OK", State.SELECTED),
    ],
)
def test_commands_change_the_state(before: State, line: bytes, status: str, after: State) -> None:
    talk = machine(before)
    talk.receive(line + b"\r\n")
    next_command(talk)
    finish(talk, replies.Status(status))
    assert talk.state is after


def test_after_unauthenticate_nothing_is_enabled() -> None:
    talk = machine()
    talk.utf8 = talk.uid_only = True
    talk.receive(b"a UNAUTHENTICATE\r\n")
    next_command(talk)
    finish(talk)
    assert (talk.utf8, talk.uid_only) == (False, False)


def test_logout_says_good_bye_before_its_ok() -> None:
    talk = machine()
    talk.receive(b"a LOGOUT\r\n")
    next_command(talk)
    assert talk.send(replies.LOGOUT) == b"* BYE Pillarbox IMAP4 server signing off\r\n"
    assert finish(talk) == b"a OK done\r\n"
    assert talk.next_event() is Signal.CLOSED


def test_after_logout_nothing_is_read() -> None:
    talk = machine()
    talk.receive(b"a LOGOUT\r\nb NOOP\r\n")
    next_command(talk)
    finish(talk)
    talk.receive(b"c NOOP\r\n")
    assert talk.next_event() is Signal.CLOSED


def test_it_pauses_after_each_command() -> None:
    talk = machine()
    talk.receive(b"a NOOP\r\nb CHECK\r\n")
    assert next_command(talk) == c.Noop("a")
    assert talk.next_event() is Signal.PAUSED
    assert finish(talk) == b"a OK done\r\n"
    assert next_command(talk) == c.Check("b")
    finish(talk)
    assert talk.next_event() is Signal.NEED_DATA


def test_a_bare_lf_ends_a_line_for_people_with_netcat() -> None:
    talk = machine()
    talk.receive(b"a NOOP\n")
    assert next_command(talk) == c.Noop("a")


# ---------------------------------------------------------------- bad lines


@pytest.mark.parametrize(
    ("line", "reply"),
    [
        (b"", b"* BAD "),
        (b"\x00\x01\xff", b"* BAD "),
        (b"GET / HTTP/1.1", b"GET BAD "),
        (b"a NO\x00OP", b"a BAD "),
        (b"a NOOP\rb NOOP", b"a BAD "),
        (b"a FOO", b"a BAD "),
        (b"a SEARCH CHARSET klingon ALL", b"a NO [BADCHARSET "),
        (b"a SEARCH " + b"(" * 200 + b"ALL" + b")" * 200, b"a NO [LIMIT] "),
        (b"a SELECT &bad", b"a BAD "),
        (b"a NOOP {3}", b"a BAD "),
        (b"a SELECT {99999999}", b"a BAD [TOOBIG] "),
        (b"a SELECT {" + b"9" * 40 + b"}", b"a BAD "),
        (b"a APPEND x (\\Foo) {3}", b"a BAD "),
        (b"a APPEND x", b"a BAD "),
        (b"a APPEND x {3", b"a BAD "),
        (b"a APPEND x UTF8 ({3}", b"a BAD "),
        (b"a APPEND x CATENATE ()", b"a BAD "),
        (b"a REPLACE 0 x {3}", b"a BAD "),
    ],
)
def test_a_bad_line_is_answered_and_the_next_one_is_read(line: bytes, reply: bytes) -> None:
    talk = machine()
    talk.receive(line + b"\r\nb NOOP\r\n")
    caught = violation(talk)
    assert caught.reply.startswith(reply)
    assert caught.reply.endswith(b"\r\n")
    assert caught.may_continue
    assert next_command(talk) == c.Noop("b")


@pytest.mark.parametrize("state", [State.NOT_AUTHENTICATED, State.SELECTED])
def test_an_endless_line_is_refused_and_costs_no_memory(state: State) -> None:
    talk = machine(state)
    limit = (STRANGER if state is State.NOT_AUTHENTICATED else USER).line_bytes
    talk.receive(b"tag NOOP " + b"x" * limit)
    assert violation(talk).reply.startswith(b"tag BAD [TOOBIG] ")
    talk.receive(b"x" * 10_000)
    assert talk.next_event() is Signal.NEED_DATA
    assert len(talk._incoming) == 0
    talk.receive(b"x\r\nb NOOP\r\n")
    assert next_command(talk) == c.Noop("b")


def test_a_line_that_never_ends_ends_the_connection() -> None:
    talk = machine(State.NOT_AUTHENTICATED)
    talk.receive(b"a " + b"x" * STRANGER.line_bytes)
    assert violation(talk).may_continue
    talk.receive(b"x" * STRANGER.passed_over_bytes)
    caught = violation(talk)
    assert caught.reply.startswith(b"* BYE [TOOBIG] ")
    assert not caught.may_continue
    assert talk.next_event() is Signal.CLOSED


def test_an_overlong_line_may_end_in_a_literal_that_is_passed_over_as_well() -> None:
    talk = machine()
    talk.receive(b"a SELECT " + b"x" * USER.line_bytes + b" {6+}\r\nb NOOP rest\r\nc NOOP\r\n")
    assert violation(talk).reply.startswith(b"a BAD ")
    assert next_command(talk) == c.Noop("c")


# ---------------------------------------------------------------- literals


def test_a_literal_waits_for_leave() -> None:
    talk = machine()
    talk.receive(b"a SELECT {5}\r\n")
    assert isinstance(talk.next_event(), LiteralAnnounced)
    assert talk.next_event() is Signal.PAUSED
    assert talk.send(replies.Proceed()) == b"+ OK\r\n"
    assert talk.next_event() is Signal.NEED_DATA
    talk.receive(b"in")
    assert talk.next_event() is Signal.NEED_DATA
    talk.receive(b"box\r\n")
    assert next_command(talk) == c.Select("a", "INBOX")


def test_a_literal_plus_does_not_wait() -> None:
    talk = machine(State.NOT_AUTHENTICATED)
    talk.receive(b"a LOGIN {3+}\r\nb b {0+}\r\n\r\n")
    assert next_command(talk) == c.Login("a", "b b", "")


def test_literal_minus_allows_4096_octets_without_waiting() -> None:
    talk = machine(literal_minus=True)
    talk.receive(b"a SEARCH TEXT {4096+}\r\n" + b"x" * 4096 + b"\r\n")
    assert isinstance(next_command(talk), c.Search)
    finish(talk)
    talk.receive(b"b SEARCH TEXT {4097+}\r\n" + b"x" * 4097 + b"\r\nc NOOP\r\n")
    assert violation(talk).reply.startswith(b"b BAD [TOOBIG] ")
    assert next_command(talk) == c.Noop("c")
    finish(talk)
    talk.receive(b"d APPEND x {4097+}\r\n" + b"x" * 4097 + b"\r\ne NOOP\r\n")
    assert violation(talk).reply.startswith(b"d BAD [TOOBIG] ")
    assert next_command(talk) == c.Noop("e")


def test_what_follows_a_refused_command_is_passed_over() -> None:
    """Every literal that the client sends without waiting, and the lines between them."""
    talk = machine()
    talk.receive(b"a FOO {8+}\r\nb NOOP\r\n x {4+}\r\nc \r\n\r\nd NOOP\r\n")
    assert violation(talk).reply.startswith(b"a BAD ")
    assert next_command(talk) == c.Noop("d")


def test_after_a_refused_command_a_waiting_client_sends_no_literal() -> None:
    talk = machine()
    talk.receive(b"a FOO {8+}\r\nb NOOP\r\n {4}\r\nd NOOP\r\n")
    assert violation(talk).reply.startswith(b"a BAD ")
    assert next_command(talk) == c.Noop("d")


def test_a_stranger_with_a_huge_literal_is_disconnected() -> None:
    talk = machine(State.NOT_AUTHENTICATED)
    talk.receive(b"a APPEND x {1000000000+}\r\n")
    caught = violation(talk)
    assert (caught.reply[:5], caught.may_continue) == (b"* BYE", False)


@pytest.mark.parametrize(
    "line",
    [
        b"a SEARCH " + b"TEXT {1+}\r\nx " * (USER.literals + 1) + b"\r\n",
        b"a SEARCH TEXT {%d}\r\n" % (USER.literal_bytes + 1),
        b"".join(b"%s {200000+}\r\n%s" % (b"a SEARCH TEXT" if not n else b" TEXT", b"x" * 200_000) for n in range(6))
        + b"\r\n",
    ],
    ids=["too many", "too big", "too much"],
)
def test_the_literals_of_a_command_are_bounded(line: bytes) -> None:
    talk = machine()
    talk.receive(line)
    assert violation(talk).reply.startswith(b"a BAD [TOOBIG] ")
    assert talk._assembly is None


# ---------------------------------------------------------------- AUTHENTICATE and IDLE


def test_an_exchange() -> None:
    talk = machine(State.NOT_AUTHENTICATED)
    talk.receive(b"a AUTHENTICATE PLAIN\r\n")
    next_command(talk)
    assert talk.send(replies.Continuation(b"")) == b"+ \r\n"
    talk.receive(b"AGEAYg==\r\n")
    assert talk.next_event() == SaslResponse(b"\0a\0b")
    talk.send(replies.Continuation(b"Zm9v"))
    talk.receive(b"*\r\n")
    assert talk.next_event() == SaslResponse(None)
    finish(talk, replies.Status.BAD)
    assert talk.state is State.NOT_AUTHENTICATED


@pytest.mark.parametrize("line", [b"!!!", b"AAA", b"A=AA", b"x" * 13000])
def test_a_response_that_is_not_base64_ends_the_exchange(line: bytes) -> None:
    talk = machine(State.NOT_AUTHENTICATED)
    talk.receive(b"a AUTHENTICATE PLAIN\r\n")
    next_command(talk)
    talk.send(replies.Continuation())
    talk.receive(line + b"\r\nb NOOP\r\n")
    assert violation(talk).reply.startswith(b"a BAD ")
    assert next_command(talk) == c.Noop("b")


def test_idle() -> None:
    talk = machine()
    talk.receive(b"a IDLE\r\n")
    next_command(talk)
    assert talk.send(replies.IDLING) == b"+ idling\r\n"
    assert talk.next_event() is Signal.NEED_DATA
    talk.receive(b"done\r\nb NOOP\r\n")
    assert talk.next_event() == IdleEnded()
    assert talk.next_event() is Signal.PAUSED
    finish(talk)
    assert next_command(talk) == c.Noop("b")


def test_anything_but_done_ends_idle_badly() -> None:
    talk = machine()
    talk.receive(b"a IDLE\r\n")
    next_command(talk)
    talk.send(replies.IDLING)
    talk.receive(b"b NOOP\r\nc NOOP\r\n")
    assert violation(talk).reply.startswith(b"a BAD ")
    assert next_command(talk) == c.Noop("c")


# ---------------------------------------------------------------- changes of layer


@pytest.mark.parametrize(
    ("state", "line"), [(State.NOT_AUTHENTICATED, b"a STARTTLS\r\n"), (State.SELECTED, b"a COMPRESS DEFLATE\r\n")]
)
def test_a_change_of_layer(state: State, line: bytes) -> None:
    talk = machine(state)
    talk.receive(line)
    next_command(talk)
    finish(talk)
    assert talk.next_event() is Signal.PAUSED
    talk.layer_changed()
    talk.receive(b"b NOOP\r\n")
    assert next_command(talk) == c.Noop("b")


def inject_before(talk: Machine) -> None:
    talk.receive(b"a STARTTLS\r\nb LOGIN evil x\r\n")
    next_command(talk)
    finish(talk)


def inject_between(talk: Machine) -> None:
    talk.receive(b"a STARTTLS\r\n")
    next_command(talk)
    finish(talk)
    talk.receive(b"b LOGIN evil x\r\n")
    talk.layer_changed()


def inject_and_ask(talk: Machine) -> None:
    talk.receive(b"a STARTTLS\r\n")
    next_command(talk)
    finish(talk)
    talk.receive(b"b LOGIN evil x\r\n")
    talk.next_event()


@pytest.mark.parametrize("inject", [inject_before, inject_between, inject_and_ask])
def test_bytes_before_tls_end_the_connection(inject: Callable[[Machine], None]) -> None:
    talk = machine(State.NOT_AUTHENTICATED)
    with pytest.raises(ProtocolViolation) as caught:
        inject(talk)
    assert not caught.value.may_continue
    assert talk.next_event() is Signal.CLOSED


# ---------------------------------------------------------------- UIDONLY, UTF-8, good-bye


@pytest.mark.parametrize(
    ("line", "allowed"),
    [
        (b"FETCH 1 FLAGS", False),
        (b"UID FETCH 1 FLAGS", True),
        (b"STORE 1 FLAGS ()", False),
        (b"COPY 1 x", False),
        (b"MOVE 1 x", False),
        (b"SEARCH ALL", False),
        (b"UID SEARCH ALL", True),
        (b"UID SEARCH $", True),
        (b"UID SEARCH NOT (OR SEEN 1:3)", False),
        (b"UID SORT (DATE) UTF-8 5", False),
        (b"UID THREAD REFS UTF-8 ALL", True),
        (b"THREAD REFS UTF-8 ALL", False),
        (b"SELECT x (QRESYNC (1 2 3 (1 2)))", False),
        (b"SELECT x (QRESYNC (1 2 3))", True),
        (b"EXPUNGE", True),
    ],
)
def test_uid_only(line: bytes, allowed: bool) -> None:
    talk = machine()
    talk.uid_only = True
    talk.receive(b"a " + line + b"\r\n")
    if allowed:
        next_command(talk)
    else:
        assert violation(talk).reply.startswith(b"a BAD [UIDREQUIRED] ")


def test_names_are_utf8_once_that_is_enabled() -> None:
    talk = machine()
    talk.receive(b"a SELECT &AOQ-\r\n")
    assert next_command(talk) == c.Select("a", "ä")
    finish(talk)
    talk.utf8 = True
    talk.receive('b SELECT "Ä"\r\n'.encode())
    assert next_command(talk) == c.Select("b", "Ä")


def test_bye_closes() -> None:
    talk = machine()
    talk.receive(b"a NOOP\r\n")
    assert talk.send(replies.SHUTTING_DOWN) == b"* BYE [UNAVAILABLE] The server is shutting down\r\n"
    assert talk.next_event() is Signal.CLOSED
