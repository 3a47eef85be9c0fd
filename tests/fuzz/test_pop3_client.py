# SPDX-License-Identifier: MIT
"""The POP3 client's machine: any bytes end in events or a violation, however they are cut; texts come back whole."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from mailserver.connectors.download_rules import split_targets
from mailserver.connectors.routing import route
from mailserver.connectors.values import Routing
from mailserver.errors import ProtocolViolation
from mailserver.pipeline.collected_text import TextCollector
from mailserver.store.spool import SpoolWriter
from protocols.pop3 import client_grammar as grammar
from protocols.pop3.bodies import DotStuffer
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
from protocols.pop3.commands import Capa, Command, Dele, List, Retr, Stat, Top, Uidl
from tests.support.collectors import make_office

FRAGMENTS = st.sampled_from(
    [b"+OK", b"-ERR", b"+ ", b" ", b"\r\n", b"\n", b"\r", b".", b"..", b"text", b"1 2", b"\0", b"<a@b>"]
)
WIRE = st.lists(FRAGMENTS | st.binary(max_size=8), max_size=40).map(b"".join)
CUTS = st.lists(st.integers(1, 30), min_size=1, max_size=15)
COMMANDS: st.SearchStrategy[list[Command]] = st.lists(
    st.sampled_from([Retr(1), Retr(2), Top(1, 0), List(), List(1), Uidl(), Stat(), Dele(1), Capa()]), max_size=6
)
TEXTS = st.lists(
    st.sampled_from([b".", b"..", b"a", b"\r\n", b"\r\n.\r\n", b"\n", b"\r", b"word"]) | st.binary(max_size=5),
    max_size=20,
).map(b"".join)
OFFICE = make_office()


def play(commands: list[Command], wire: bytes, cuts: list[int]) -> tuple[list[Event], bool]:
    """Everything that comes of these bytes, and whether they broke the rules; neighbouring pieces joined."""
    machine = Pop3ClientMachine()
    machine.receive(b"+OK\r\n")
    machine.next_event()
    machine.state = State.TRANSACTION
    for command in commands:
        machine.send(command)
    found: list[Event] = []
    place = turn = 0
    try:
        while place < len(wire):
            size = cuts[turn % len(cuts)]
            machine.receive(wire[place : place + size])
            place, turn = place + size, turn + 1
            while (event := machine.next_event()) is not NEED_DATA:
                assert isinstance(event, Greeting | Replied | Challenge | Piece | End)
                if isinstance(event, Piece) and found and isinstance(found[-1], Piece):
                    found[-1] = Piece(found[-1].data + event.data)
                else:
                    found.append(event)
    except ProtocolViolation:
        assert machine.state is State.CLOSED
        return found, True
    return found, False


@given(COMMANDS, WIRE, CUTS)
def test_cuts_never_matter(commands: list[Command], wire: bytes, cuts: list[int]) -> None:
    assert play(commands, wire, cuts) == play(commands, wire, [max(1, len(wire))])


@given(TEXTS, CUTS)
def test_what_our_server_stuffs_our_client_reads(text: bytes, cuts: list[int]) -> None:
    stuffer = DotStuffer()
    wire = b"+OK\r\n" + stuffer.feed(text) + stuffer.finish() + b"-ERR\r\n"
    found, broken = play([Retr(1), Dele(1)], wire, cuts)
    read = b"".join(event.data for event in found if isinstance(event, Piece))
    assert not broken
    assert read == (text if not text or text.endswith(b"\r\n") else text + b"\r\n")
    assert found[-1] == Replied(Dele(1), grammar.Status(False))


@given(st.binary(max_size=200) | WIRE)
def test_lines_never_surprise(data: bytes) -> None:
    for parse in (grammar.parse_sizes, grammar.parse_unique_ids, grammar.parse_capabilities, grammar.find_stamp):
        parse(data)
    for strict in (grammar.parse_status, grammar.parse_challenge):
        try:
            strict(data)
        except grammar.NotAStatus:
            continue


@given(TEXTS, CUTS)
@example(b"\r\r.", [1])
def test_collected_text_is_fit_to_be_stored(text: bytes, cuts: list[int]) -> None:
    """Whatever the cuts: every line ends in CRLF, there is no NUL, and nothing else is lost."""
    bodies = []
    for sizes in (cuts, [max(1, len(text))]):
        with SpoolWriter(None) as spool:  # type: ignore[arg-type]
            collector = TextCollector(spool)
            place = turn = 0
            while place < len(text):
                collector.feed(text[place : place + sizes[turn % len(sizes)]])
                place, turn = place + sizes[turn % len(sizes)], turn + 1
            found = collector.finish()
            assert found.body.data is not None
            bodies.append(found.body.data)
    assert bodies[0] == bodies[1]
    assert b"\0" not in bodies[0]
    assert bodies[0].replace(b"\r\n", b"").count(b"\r") == bodies[0].replace(b"\r\n", b"").count(b"\n") == 0
    kept = [line for line in text.replace(b"\0", b"").replace(b"\r", b"\n").split(b"\n") if line]
    assert [line for line in bodies[0].split(b"\r\n") if line] == kept


HEADERS = st.lists(
    st.sampled_from(
        [
            b"To: ",
            b"Cc: ",
            b"Received: ",
            b"Subject: ",
            b"bob@example.test",
            b"<",
            b">",
            b'"',
            b"(",
            b"=?utf-8?q?",
            b"?=",
            b",",
            b";",
            b" for ",
            b"\r\n",
            b"\r\n\t",
            b"[bob]",
        ]
    )
    | st.binary(max_size=6),
    max_size=25,
).map(b"".join)


@given(HEADERS, st.sampled_from(["headers", "one-address", "subject", "single"]), st.text(max_size=12))
def test_routing_never_fails(header: bytes, method: str, typed: str) -> None:
    routing = Routing(method, typed, f"example.test;{typed}", f"X-To: {typed}\n{typed}", shared_address=typed)
    found = route(header, routing, OFFICE)
    assert bool(found.deliveries) != bool(found.problem)
    split_targets(typed)
