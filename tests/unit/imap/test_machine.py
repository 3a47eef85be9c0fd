# SPDX-License-Identifier: MIT
"""What may be said when: states, literals, messages that stream, AUTHENTICATE, IDLE, changes of layer."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from mailserver.errors import ProtocolViolation
from protocols.imap import commands as c
from protocols.imap import replies
from protocols.imap.append import Offer
from protocols.imap.events import (
    CommandReceived,
    Event,
    IdleEnded,
    LiteralAnnounced,
    MessageEnded,
    MessageOffered,
    MessagePiece,
    SaslResponse,
    Signal,
)
from protocols.imap.grammar import BARE, PARSERS
from protocols.imap.limits import STRANGER, USER
from protocols.imap.machine import ALLOWED, Machine, State


def machine(state: State = State.SELECTED, **options: bool) -> Machine:
    made = Machine(**options)
    made.state = state
    return made


def next_command(talk: Machine) -> c.Command:
    event = talk.next_event()
    assert isinstance(event, CommandReceived), event
    return event.command


def finish(talk: Machine, status: replies.Status = replies.Status.OK) -> bytes:
    """End the command that is waiting."""
    assert talk._command
    return talk.send(replies.Completion(talk._command.tag, status, "done"))


def violation(talk: Machine) -> ProtocolViolation:
    with pytest.raises(ProtocolViolation) as caught:
        skip_to_the_end(talk)
    return caught.value


def skip_to_the_end(talk: Machine) -> None:
    while talk.next_event() is not Signal.NEED_DATA:
        pass


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
    assert len(talk._buffer) == 0
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


# ---------------------------------------------------------------- messages


def events(talk: Machine) -> list[Event]:
    """All of them, giving leave for every literal; pieces of one message joined."""
    found: list[Event] = []
    while True:
        event = talk.next_event()
        if event in (Signal.NEED_DATA, Signal.PAUSED):
            return found
        if isinstance(event, MessageOffered | LiteralAnnounced):
            talk.send(replies.Proceed())
        if isinstance(event, MessagePiece) and found and isinstance(found[-1], MessagePiece):
            found[-1] = MessagePiece(found[-1].data + event.data)
        else:
            found.append(event)


def test_a_message_streams_through() -> None:
    talk = machine()
    talk.receive(b'a APPEND {3}\r\nx y (\\Seen) "01-Feb-2024 00:00:00 +0000" {1000000}\r\n')
    offered = events(talk)[-1]
    assert isinstance(offered, MessageOffered)
    assert (offered.offer.mailbox, offered.offer.size, offered.synchronising) == ("x y", 1_000_000, True)
    assert offered.offer.message.flags == {"\\Seen"}
    for _ in range(1000):
        talk.receive(b"m" * 1000)
        piece = talk.next_event()
        assert isinstance(piece, MessagePiece)
        assert len(piece.data) == 1000
        assert not talk._buffer
    assert isinstance(talk.next_event(), MessageEnded)
    talk.receive(b"\r\n")
    command = next_command(talk)
    assert isinstance(command, c.Append)
    assert command.messages[0].parts == (c.TextPart(1_000_000),)


def test_multiappend() -> None:
    talk = machine()
    talk.receive(b"a APPEND x {2+}\r\nab (\\Draft) {0+}\r\n ~{3+}\r\n\0de\r\n")
    found = events(talk)
    assert [event.offer.index for event in found if isinstance(event, MessageOffered)] == [0, 1, 2]
    assert [event.data for event in found if isinstance(event, MessagePiece)] == [b"ab", b"\0de"]
    command = found[-1]
    assert isinstance(command, CommandReceived)
    assert command.command == c.Append(
        "a",
        "x",
        (
            c.NewMessage(parts=(c.TextPart(2),)),
            c.NewMessage(frozenset({"\\Draft"}), parts=(c.TextPart(0),)),
            c.NewMessage(parts=(c.TextPart(3),), binary=True),
        ),
    )


def test_catenate() -> None:
    talk = machine()
    talk.receive(b'a APPEND x CATENATE (URL "/a;UID=1" TEXT {2+}\r\nab URL {3+}\r\nurl text {1+}\r\nc)\r\n')
    found = events(talk)
    assert [event.data for event in found if isinstance(event, MessagePiece)] == [b"ab", b"c"]
    parts = (c.UrlPart("/a;UID=1"), c.TextPart(2), c.UrlPart("url"), c.TextPart(1))
    assert found[-1] == CommandReceived(c.Append("a", "x", (c.NewMessage(parts=parts, catenated=True),)))


def test_utf8_append_and_replace() -> None:
    talk = machine()
    talk.receive(b"a UID REPLACE 7 x UTF8 (~{2+}\r\nab)\r\n")
    found = events(talk)
    message = c.NewMessage(parts=(c.TextPart(2),), utf8=True, binary=True)
    assert found[-1] == CommandReceived(c.Replace("a", True, 7, "x", message))
    offered = found[0]
    assert isinstance(offered, MessageOffered)
    assert (offered.offer.replaces, offered.offer.uid) == (7, True)


def test_replace_takes_one_message() -> None:
    talk = machine()
    talk.receive(b"a REPLACE 7 x {2+}\r\nab {2+}\r\ncd\r\nb NOOP\r\n")
    with pytest.raises(ProtocolViolation, match="Unexpected"):
        events(talk)
    assert next_command(talk) == c.Noop("b")


@pytest.mark.parametrize("mark", [b"{5}", b"{5+}"])
def test_an_offer_can_be_refused(mark: bytes) -> None:
    """A waiting client keeps its message; from the other it is passed over."""
    talk = machine()
    talk.receive(b"a APPEND x " + mark + b"\r\n")
    assert isinstance(talk.next_event(), MessageOffered)
    refusal = replies.Completion("a", replies.Status.NO, "no such mailbox", b"TRYCREATE")
    assert talk.send(refusal) == b"a NO [TRYCREATE] no such mailbox\r\n"
    if b"+" in mark:
        talk.receive(b"hello {3+}\r\nabc\r\n")
    talk.receive(b"b NOOP\r\n")
    assert next_command(talk) == c.Noop("b")


def test_too_much_that_was_refused_ends_the_connection() -> None:
    talk = machine()
    talk.receive(b"a APPEND x {%d+}\r\n" % (USER.passed_over_bytes + 1))
    assert isinstance(talk.next_event(), MessageOffered)
    with pytest.raises(ProtocolViolation) as caught:
        talk.send(replies.Completion("a", replies.Status.NO, "too big", b"TOOBIG"))
    assert not caught.value.may_continue


def test_rubbish_after_a_message_ends_the_append() -> None:
    talk = machine()
    talk.receive(b"a APPEND x {2+}\r\nabrubbish\r\nb NOOP\r\n")
    with pytest.raises(ProtocolViolation):
        events(talk)
    assert next_command(talk) == c.Noop("b")


def test_an_offer_says_all_that_is_known() -> None:
    talk = machine()
    talk.receive(b"a APPEND inbox {7}\r\n")
    offered = talk.next_event()
    assert offered == MessageOffered(Offer("a", "INBOX", c.NewMessage(), 7, 0), synchronising=True)


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
