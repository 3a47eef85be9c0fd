# SPDX-License-Identifier: MIT
"""The client's side of POP3: what servers say, whole and in pieces, and what they should not say."""

from __future__ import annotations

import pytest

from mailserver.errors import ProtocolViolation
from protocols.pop3 import client_grammar as grammar
from protocols.pop3.client_machine import (
    NEED_DATA,
    Challenge,
    End,
    Event,
    Greeting,
    Piece,
    Pop3ClientMachine,
    Replied,
    State,
)
from protocols.pop3.commands import Auth, Capa, Command, Dele, List, Noop, Pass, Quit, Retr, SaslResponse, Stls, User


def greeted(*commands: Command, state: State = State.TRANSACTION) -> Pop3ClientMachine:
    """A machine in this state that has sent these commands."""
    machine = Pop3ClientMachine()
    machine.receive(b"+OK hello <1.2@x>\r\n")
    assert machine.next_event() == Greeting(grammar.Status(True, "hello <1.2@x>"), "<1.2@x>")
    machine.state = state
    for command in commands:
        machine.send(command)
    return machine


def events(machine: Pop3ClientMachine, data: bytes, cut: int = 0) -> list[Event]:
    """What comes of these bytes, given whole or in pieces of this size; neighbouring pieces of text are joined."""
    found: list[Event] = []
    for start in range(0, len(data), cut or len(data)):
        machine.receive(data[start : start + (cut or len(data))])
        while (event := machine.next_event()) is not NEED_DATA:
            if isinstance(event, Piece) and found and isinstance(found[-1], Piece):
                found[-1] = Piece(found[-1].data + event.data)
            else:
                found.append(event)
    return found


TEXTS = [
    (b".\r\n", b""),
    (b"one\r\n.\r\n", b"one\r\n"),
    (b"..\r\n...\r\n..x\r\n.\r\n", b".\r\n..\r\n.x\r\n"),
    (b"a\r\n..b\r\n.\r\n", b"a\r\n.b\r\n"),
    (b"a\r\n.forgotten\r\n.\r\n", b"a\r\n.forgotten\r\n"),
    (b"bare\n..dot\r\n.\r\n", b"bare\n.dot\r\n"),
    (b"bare\n.\nno end\r\n.\r\n", b"bare\n.\nno end\r\n"),
    (b"cr\r.\r\n\r\n.\r\n", b"cr\r.\r\n\r\n"),
    (b"x" * 5000 + b"\r\n.\r\n", b"x" * 5000 + b"\r\n"),
]


@pytest.mark.parametrize("cut", [0, 1, 2, 3, 7])
@pytest.mark.parametrize(("wire", "text"), TEXTS)
def test_texts_come_without_their_dots(wire: bytes, text: bytes, cut: int) -> None:
    machine = greeted(Retr(1), Dele(1))
    found = events(machine, b"+OK 5 octets\r\n" + wire + b"+OK gone\r\n", cut)
    assert found[0] == Replied(Retr(1), grammar.Status(True, "5 octets"), opens_body=True)
    assert b"".join(event.data for event in found if isinstance(event, Piece)) == text
    assert found[-2:] == [End(Retr(1)), Replied(Dele(1), grammar.Status(True, "gone"))]
    assert machine.waiting == 0


def test_refusals_have_no_text() -> None:
    found = events(greeted(Retr(1), Retr(2)), b"-ERR no such message\r\n+OK\r\nx\r\n.\r\n")
    assert found == [
        Replied(Retr(1), grammar.Status(False, "no such message")),
        Replied(Retr(2), grammar.Status(True), opens_body=True),
        Piece(b"x\r\n"),
        End(Retr(2)),
    ]


def test_login_and_tls() -> None:
    machine = greeted(Stls(), state=State.AUTHORIZATION)
    assert events(machine, b"+OK go\r\n") == [Replied(Stls(), grammar.Status(True, "go"))]
    assert machine.state is State.TLS
    machine.tls_started()
    machine.send(User("a"))
    events(machine, b"+OK\r\n")
    assert machine.send(Pass("b c")) == b"PASS b c\r\n"
    assert events(machine, b"-ERR [AUTH] no\r\n") == [Replied(Pass("b c"), grammar.Status(False, "[AUTH] no", "AUTH"))]
    assert machine.state is State.AUTHORIZATION


def test_sasl() -> None:
    machine = greeted(Auth("CRAM-MD5"), state=State.AUTHORIZATION)
    assert events(machine, b"+ PDFAeD4=\r\n") == [Challenge(b"<1@x>")]
    assert machine.state is State.SASL
    assert machine.send(SaslResponse(b"me 1")) == b"bWUgMQ==\r\n"
    assert events(machine, b"+OK in\r\n") == [Replied(Auth("CRAM-MD5"), grammar.Status(True, "in"))]
    assert machine.state is State.TRANSACTION


@pytest.mark.parametrize(
    ("commands", "wire"),
    [
        ([], b"+OK nobody asked\r\n"),
        ([Noop()], b"hello\r\n"),
        ([Noop()], b"\r\n"),
        ([Noop()], b"+OKAY\r\n"),
        ([Noop()], b"x" * 3000),
        ([Noop()], b"+OK " + b"x" * 3000 + b"\r\n"),
        ([Retr(1), Retr(2)], b"+OK\r\nfirst half\r\n.\r\nsecond half\r\n.\r\n"),
        ([Auth("PLAIN")], b"+ not base64!\r\n"),
    ],
)
def test_nonsense_is_a_violation(commands: list[Command], wire: bytes) -> None:
    logging_in = any(isinstance(command, Auth) for command in commands)
    machine = greeted(*commands, state=State.AUTHORIZATION if logging_in else State.TRANSACTION)
    with pytest.raises(ProtocolViolation):
        events(machine, wire)
    assert machine.state is State.CLOSED


def test_what_comes_before_tls_ends_the_session() -> None:
    machine = greeted(Stls(), state=State.AUTHORIZATION)
    with pytest.raises(ProtocolViolation):
        events(machine, b"+OK go\r\n+OK injected\r\n")


def test_greeting_that_refuses() -> None:
    machine = Pop3ClientMachine()
    assert events(machine, b"-ERR [SYS/TEMP] later\r\n") == [
        Greeting(grammar.Status(False, "[SYS/TEMP] later", "SYS/TEMP"))
    ]
    assert machine.state is State.CLOSED


def test_only_what_is_allowed_is_sent() -> None:
    with pytest.raises(AssertionError):
        greeted(state=State.AUTHORIZATION).send(Retr(1))
    with pytest.raises(AssertionError):
        greeted().send(User("a"))
    machine = greeted(Quit())
    events(machine, b"-ERR not everything\r\n")
    assert machine.state is State.CLOSED


def test_listings() -> None:
    assert grammar.parse_sizes(b"1 120\r\n2 200 more\r\n1 7\r\nnonsense\r\n3\r\n") == {1: 120, 2: 200}
    ids = grammar.parse_unique_ids(b"1 abc\r\n2 with blank \r\n3 \xff\r\n4\r\n")
    assert ids == {1: "abc", 2: "with blank", 3: "\xff"}
    assert grammar.parse_capabilities(b"TOP\r\nsasl PLAIN LOGIN\r\n\r\n") == {"TOP": "", "SASL": "PLAIN LOGIN"}
    assert grammar.parse_count("2 320") == (2, 320)
    with pytest.raises(grammar.NotAStatus):
        grammar.parse_count("many")
    assert grammar.find_stamp(b"+OK ready <1896.697170952@dbc.mtview.ca.us>") == "<1896.697170952@dbc.mtview.ca.us>"
    assert grammar.find_stamp(b"+OK ready") == ""


def test_a_listing_is_a_text_and_a_single_answer_is_not() -> None:
    found = events(greeted(List(2), List(), Capa()), b"+OK 2 200\r\n+OK\r\n1 1\r\n.\r\n-ERR what\r\n")
    assert [type(event) for event in found] == [Replied, Replied, Piece, End, Replied]
