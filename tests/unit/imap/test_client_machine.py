# SPDX-License-Identifier: MIT
"""What a server may say when, messages that come in pieces, and servers that say too much."""

from __future__ import annotations

import pytest

from mailserver.errors import ProtocolViolation
from protocols.imap import client_grammar as g
from protocols.imap import client_machine
from protocols.imap.client_grammar import Condition, Continuation, Exists, FetchedItems
from protocols.imap.client_machine import NEED_DATA, BodyBegins, BodyPiece, ClientMachine, Event

GREETING = b"* OK [CAPABILITY IMAP4rev1 IDLE] hello\r\n"


def greeted() -> ClientMachine:
    machine = ClientMachine()
    machine.receive(GREETING)
    assert isinstance(machine.next_event(), Condition)
    return machine


def events(machine: ClientMachine, data: bytes) -> list[Event]:
    machine.receive(data)
    found = []
    while (event := machine.next_event()) is not NEED_DATA:
        found.append(event)
    return found


def test_capabilities_are_kept_and_forgotten() -> None:
    machine = greeted()
    assert machine.capabilities == {"IMAP4REV1", "IDLE"}
    machine.forget_capabilities()
    assert machine.capabilities is None
    events(machine, b"* CAPABILITY IMAP4rev2\r\n")
    assert machine.capabilities == {"IMAP4REV2"}


def test_a_message_comes_in_pieces() -> None:
    machine = greeted()
    tag, data = machine.send(g.uid_fetch([5], "(UID BODY.PEEK[])"))
    assert data == b"a1 UID FETCH 5 (UID BODY.PEEK[])\r\n"
    assert events(machine, b"* 1 FETCH (BODY[] {11}\r\nSubj") == [BodyBegins(11), BodyPiece(b"Subj")]
    assert events(machine, b"ect: ") == [BodyPiece(b"ect: ")]
    assert events(machine, b"x\n UID 5)\r\n* 2 EX") == [BodyPiece(b"x\n"), FetchedItems(1, 5, body=True)]
    assert events(machine, b"ISTS\r\na1 OK\r\n") == [Exists(2), Condition(tag, "OK")]


def test_an_empty_message() -> None:
    found = events(greeted(), b"* 1 FETCH (UID 5 BODY[] {0}\r\n)\r\n")
    assert found == [BodyBegins(0), BodyPiece(b""), FetchedItems(1, 5, body=True)]


def test_a_message_that_looks_like_the_protocol() -> None:
    text = b"* BYE\r\na1 OK {5}\r\n* 1 FETCH (BODY[] {3}\r\n"
    found = events(greeted(), b"* 1 FETCH (UID 5 BODY[] {%d}\r\n%s)\r\n" % (len(text), text))
    assert found == [BodyBegins(len(text)), BodyPiece(text), FetchedItems(1, 5, body=True)]


def test_small_literals_are_gathered() -> None:
    machine = greeted()
    assert events(machine, b"* 1 FETCH (UID 5 BODY[HEADER]<0> {6}\r\nA: ") == []
    assert events(machine, b"b\r\n)\r\n") == [FetchedItems(1, 5, header=b"A: b\r\n")]


def test_arguments_that_must_wait() -> None:
    machine = greeted()
    tag, data = machine.send(g.login("ü", 'p"w'))
    assert data == b"a1 LOGIN {2}\r\n"
    assert events(machine, b"+ ok\r\n") == [Continuation(b"ok")]
    assert machine.go_on() == "ü".encode() + b' "p\\"w"\r\n'
    assert machine.go_on() is None
    assert events(machine, b"a1 OK in\r\n") == [Condition(tag, "OK", text="in")]


def test_a_literal_that_is_refused() -> None:
    machine = greeted()
    tag, _ = machine.send(g.login("ü", "ü"))
    assert events(machine, b"a1 BAD no literals\r\n") == [Condition(tag, "BAD", text="no literals")]
    assert machine.go_on() is None
    machine.send(g.command("LOGOUT"))


def test_many_commands_at_once() -> None:
    machine = greeted()
    tags = [machine.send(g.command("NOOP"))[0] for _ in range(3)]
    found = events(machine, b"a1 OK\r\na3 OK\r\na2 NO\r\n")
    assert [event.tag for event in found if isinstance(event, Condition)] == [tags[0], tags[2], tags[1]]


@pytest.mark.parametrize(
    "greeting",
    [b"+OK POP3 ready\r\n", b"220 smtp.example.test ESMTP\r\n", b"* NO\r\n", b"a1 OK\r\n", b"* 5 EXISTS\r\n", b"\r\n"],
)
def test_servers_of_another_kind(greeting: bytes) -> None:
    machine = ClientMachine()
    machine.receive(greeting)
    with pytest.raises(ProtocolViolation):
        machine.next_event()


@pytest.mark.parametrize(
    "said",
    [
        b"a1 OK done\r\n",  # nobody asked
        b"+ go on\r\n",
        b"* 1 FETCH (BODY[] {3}\r\nabc BODY[] {3}\r\n",
        b"* 1 FETCH (BODY[] {9999999999999}\r\n",
        b"* 1 FETCH (BODY[HEADER] {9999999}\r\n",
        b"* 1 FETCH (UID x)\r\n",
        b"x" * (client_machine.MAX_LINE_BYTES + 1),
    ],
)
def test_what_may_not_be_said(said: bytes) -> None:
    with pytest.raises(ProtocolViolation):
        events(greeted(), said)


def test_a_response_that_never_ends_is_cut_off() -> None:
    machine = greeted()
    endless = (b"* X {100000}\r\n" if number == 0 else b" {100000}\r\n" for number in range(1000))
    with pytest.raises(ProtocolViolation):
        events(machine, b"".join(mark + b"y" * 100_000 for mark in endless))


def test_bytes_that_wait_are_seen() -> None:
    machine = greeted()
    assert not machine.has_bytes
    machine.send(g.command("STARTTLS"))
    machine.receive(b"a1 OK\r\n* OK injected\r\n")
    machine.next_event()
    assert machine.has_bytes
