# SPDX-License-Identifier: MIT
"""Properties of the IMAP4 client's machine (house style section 8): any bytes end in events or a ProtocolViolation, and
how they are cut never matters."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from mailserver.errors import ProtocolViolation
from protocols.imap import client_grammar as g
from protocols.imap.client_machine import NEED_DATA, BodyPiece, ClientMachine, Event

WORDS = [
    b"* ", b"a1 ", b"+ ", b"OK", b"NO ", b"BYE", b"[UIDVALIDITY 5] ", b"[CAPABILITY X] ", b"]", b"FETCH (",
    b"1 FETCH (", b"UID 5 ", b"RFC822.SIZE 3 ", b"FLAGS (\\Seen) ", b"BODY[] {4}\r\n", b"BODY[] {0}\r\n", b"BODY[] NIL",
    b"BODY[HEADER] {3}\r\n", b"BODY[] {99999999999999}\r\n", b"{2}\r\n", b"{9999999}\r\n", b'"a b"', b'"', b"\\",
    b"(", b")", b"\r\n", b"\n", b"\r", b"abcd", b"EXISTS\r\n", b"3 EXPUNGE\r\n", b"SEARCH 1 2",
    b'LIST () "/" x\r\n', b"CAPABILITY Y\r\n", b"\x00", b"\xff", b" ", b"7 ",
]  # fmt: skip
RESPONSES = [
    b"* 1 FETCH (UID 5 BODY[] {4}\r\nabcd)\r\n", b"* 1 FETCH (BODY[] {0}\r\n UID 5)\r\n", b"* 2 EXISTS\r\n",
    b"* 1 FETCH (UID 5 BODY[HEADER] {3}\r\na\r\n FLAGS ())\r\n", b"* OK [UIDVALIDITY 5] x\r\n", b"a1 OK done\r\n",
    b'* LIST (\\X) "/" {3}\r\na b\r\n', b"* SEARCH 1 2\r\n", b"* BYE x\r\n", b"+ x\r\n", b"* 9 EXPUNGE\r\n",
]  # fmt: skip
noise = st.lists(st.sampled_from(WORDS) | st.binary(max_size=8), max_size=30).map(b"".join)
sense = st.lists(st.sampled_from(RESPONSES) | st.sampled_from(WORDS), max_size=12).map(b"".join)
talk = noise | sense
cuts = st.lists(st.integers(0, 400), max_size=12)


def _play(data: bytes, at: list[int]) -> list[Event | str]:
    """Events, neighbouring pieces of a message joined; the last is the violation, if there was one."""
    machine = ClientMachine()
    machine.receive(b"* OK hello\r\n")
    machine.next_event()
    machine.send(g.command("IDLE", continues=True))
    found: list[Event | str] = []
    edges = sorted({0, len(data), *(place for place in at if place < len(data))})
    for start, end in pairwise(edges):
        machine.receive(data[start:end])
        try:
            while (event := machine.next_event()) is not NEED_DATA:
                if isinstance(event, BodyPiece) and found and isinstance(found[-1], BodyPiece):
                    found[-1] = BodyPiece(found[-1].data + event.data)
                else:
                    found.append(event)
        except ProtocolViolation as violation:
            found.append(violation.note)
            break
    return found


@given(talk)
def test_any_bytes_end_in_events_or_a_violation(data: bytes) -> None:
    _play(data, [])


@given(talk, cuts)
def test_how_bytes_are_cut_never_matters(data: bytes, at: list[int]) -> None:
    assert _play(data, at) == _play(data, [])


@given(talk)
def test_byte_by_byte(data: bytes) -> None:
    assert _play(data, list(range(len(data)))) == _play(data, [])


@given(st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), max_size=30))
def test_strings_come_back(text: str) -> None:
    value = text.encode()
    written = g.format_string(value)
    if isinstance(written, g.Literal):
        assert written.value == value
        return
    response = g.parse_response([b"* 1 FETCH (BODY[] %s)" % written])
    assert isinstance(response, g.FetchedItems)
    assert response.text == value
