# SPDX-License-Identifier: MIT
"""POP3's three properties (house style section 8), and those of what it sends and of the SASL machines."""

from __future__ import annotations

import base64
import poplib
import string

from hypothesis import given
from hypothesis import strategies as st

from mailserver.errors import ProtocolViolation
from mailserver.mime.downgrade import downgrade_header
from mailserver.users.scram import derive_scram_verifier
from protocols.pop3 import replies
from protocols.pop3.bodies import BlankEndStripper, DotStuffer, TopCut, downgrade
from protocols.pop3.commands import (
    Apop,
    Auth,
    Capa,
    Command,
    Dele,
    Lang,
    List,
    ListMechanisms,
    Noop,
    Pass,
    Quit,
    Retr,
    Rset,
    SaslCancel,
    SaslResponse,
    Stat,
    Stls,
    Top,
    Uidl,
    User,
    Utf8,
)
from protocols.pop3.grammar import format_command, format_for_log, parse_command, parse_response
from protocols.pop3.machine import Event, NeedData, Paused, Pop3Machine, State
from protocols.pop3.replies import END, Piece
from protocols.sasl.mechanisms import FindVerifier, MalformedResponse, offered, start_mechanism

VERBS = st.sampled_from(
    b"USER PASS APOP AUTH STLS CAPA STAT LIST UIDL RETR TOP DELE NOOP RSET QUIT UTF8 LANG XYZZY".split()
)
ARGUMENTS = st.sampled_from([b"", b" 1", b" 1 2", b" alice", b" PLAIN", b" PLAIN AGEAYg==", b" x" * 140, b" \0", b" *"])
LINE_ENDS = st.sampled_from([b"\r\n", b"\r\n", b"\r\n", b"\n", b"\r", b""])
LIKELY_LINES = st.tuples(VERBS, ARGUMENTS, LINE_ENDS).map(b"".join)
CONVERSATIONS = st.lists(LIKELY_LINES | st.binary(max_size=30) | st.just(b"*\r\n"), max_size=25).map(b"".join)
CUTS = st.lists(st.integers(1, 50), min_size=1, max_size=20)

NUMBERS = st.integers(0, 9_999_999_999)
NAMES = st.text(st.characters(codec="utf-8", exclude_characters="\0\r\n"), min_size=1).filter(lambda text: text.strip())
COMMANDS: st.SearchStrategy[Command] = st.one_of(
    st.sampled_from([ListMechanisms(), Stls(), Capa(), Stat(), List(), Uidl(), Noop(), Rset(), Quit(), Utf8(), Lang()]),
    NAMES.map(lambda text: User(text.strip(" ") or "x")),
    NAMES.map(Pass),
    st.builds(
        Apop, NAMES.map(lambda text: text.strip(" ") or "x"), st.text("0123456789abcdef", min_size=32, max_size=32)
    ),
    st.builds(Auth, st.text(string.ascii_uppercase + "-_", min_size=1, max_size=20), st.none() | st.binary()),
    st.builds(List, NUMBERS),
    st.builds(Uidl, NUMBERS),
    st.builds(Retr, NUMBERS),
    st.builds(Dele, NUMBERS),
    st.builds(Top, NUMBERS, NUMBERS),
    st.builds(Lang, st.text(string.ascii_letters + "-", min_size=1, max_size=20)),
)


def _pieces(data: bytes, sizes: list[int]) -> list[bytes]:
    pieces = []
    while data:
        size = sizes[len(pieces) % len(sizes)]
        pieces.append(data[:size])
        data = data[size:]
    return pieces


def _answer(machine: Pop3Machine, command: Command) -> bytes:
    """Reply as a session might: yes to most things, and every third message does not exist."""
    match command:
        case Auth():
            return machine.send(replies.challenge(b"x"))
        case SaslResponse(data):
            return machine.send(replies.logged_in(0, 0) if len(data) % 2 else replies.malformed_exchange())
        case SaslCancel():
            return machine.send(replies.cancelled())
        case Retr(number) if number % 3:
            parts = (replies.message_follows(3), Piece(b"."), Piece(b"a\r\n"), END)
            return b"".join(machine.send(part) for part in parts)
        case Quit():
            return machine.send(replies.good_bye())
        case Stls():
            return machine.send(replies.tls_not_possible())
        case _:
            return machine.send(replies.nothing_done())


def _converse(pieces: list[bytes]) -> tuple[list[Event | str], bytes, State]:
    """All events and replies of a conversation; violations as texts."""
    machine = Pop3Machine()
    events: list[Event | str] = []
    sent = machine.send(replies.greeting("mail.example.test", b""))
    for piece in pieces:
        machine.receive(piece)
        while True:
            try:
                event = machine.next_event()
            except ProtocolViolation as violation:
                events.append(violation.reply.decode())
                continue
            if isinstance(event, NeedData | Paused):
                break
            events.append(event)
            sent += _answer(machine, event)
    return events, sent, machine.state


@given(CONVERSATIONS | st.binary(max_size=2000), CUTS)
def test_any_bytes_end_in_events_however_they_are_cut(data: bytes, sizes: list[int]) -> None:
    assert _converse(_pieces(data, sizes)) == _converse([data])


@given(st.binary(max_size=300), st.integers(200, 13000))
def test_long_lines_are_one_error_however_they_are_cut(start: bytes, size: int) -> None:
    data = start + b"A" * size + b"\r\nNOOP\r\n"
    assert _converse(_pieces(data, [997])) == _converse([data])


@given(COMMANDS)
def test_commands_read_back_as_written(command: Command) -> None:
    line = format_command(command)
    assert line.endswith(b"\r\n")
    assert line.count(b"\n") == 1
    assert parse_command(line[:-2]) == command


@given(st.binary())
def test_responses_read_back_as_written(data: bytes) -> None:
    response = SaslResponse(data)
    assert parse_response(format_command(response)[:-2]) == response


@given(COMMANDS)
def test_the_transcript_is_one_line(command: Command) -> None:
    assert b"\n" not in format_for_log(command)


MESSAGES = st.lists(
    st.sampled_from([b"\r\n", b".", b"\n", b"\r", b"a", b".\r\n", b"Subject: x", b"\r\n\r\n"]), max_size=30
)


@given(MESSAGES.map(b"".join), CUTS)
def test_stuffed_messages_come_back(message: bytes, sizes: list[int]) -> None:
    """As Python's own client reads them: nothing ends too early, no line is lost."""

    class Reader(poplib.POP3):
        def __init__(self, data: bytes) -> None:
            self._lines = data.split(b"\n")
            self._debugging = 0

        def _getline(self) -> tuple[bytes, int]:  # type: ignore[override]
            line = self._lines.pop(0)
            return line.removesuffix(b"\r"), len(line)

    stuffer = DotStuffer()
    stuffed = b"".join(map(stuffer.feed, _pieces(message, sizes))) + stuffer.finish()
    reader = Reader(b"+OK\r\n" + stuffed)
    lines = reader._getlongresp()[1]
    sent = message if message.endswith(b"\r\n") or not message else message + b"\r\n"
    assert lines == [line.removesuffix(b"\r") for line in sent.split(b"\n")[:-1]]


@given(MESSAGES.map(b"".join), st.integers(0, 5), CUTS)
def test_cuts_never_matter(message: bytes, lines: int, sizes: list[int]) -> None:
    def top(pieces: list[bytes]) -> bytes:
        cut = TopCut(lines)
        return b"".join(map(cut.feed, pieces))

    def stripped(pieces: list[bytes]) -> bytes:
        stripper = BlankEndStripper()
        return b"".join(map(stripper.feed, pieces)) + stripper.finish()

    pieces = _pieces(message, sizes)
    assert top(pieces) == top([message])
    assert message.startswith(top(pieces))
    assert stripped(pieces) == stripped([message])


FIELD_NAMES = st.sampled_from(
    ["From", "To", "Resent-Cc", "Subject", "Comments", "Content-Type", "Content-Disposition", "X-Note", "é"]
)
FIELD_VALUES = st.text(st.characters(codec="utf-8", exclude_characters="\n"), max_size=60) | st.sampled_from(
    ['"ü" <a@b>', "ü@ü, , <>", 'a: "', "ü (c", 'text/plain; name="ü', "x; é*=é", "=?utf-8?q?x?= ü", "ü\n y: z"]
)
HEADERS = st.lists(st.tuples(FIELD_NAMES, FIELD_VALUES), max_size=5).map(
    lambda fields: "".join(f"{name}: {value}\r\n" for name, value in fields) + "\r\n"
)


@given(HEADERS, CUTS)
def test_surrogates_are_ascii_and_end_where_they_should(header: str, sizes: list[int]) -> None:
    data = header.encode()
    surrogate = downgrade_header(data)
    assert surrogate.isascii()
    assert surrogate.endswith(b"\r\n")
    assert b"\r\n\r\n" not in surrogate[:-4].rstrip(b"\r\n")
    longer, pieces = downgrade(iter(_pieces(data + b"body\r\n", sizes)))
    assert b"".join(pieces).endswith(b"body\r\n")
    assert isinstance(longer, int)


@given(st.binary(max_size=400))
def test_downgrading_any_bytes(data: bytes) -> None:
    downgrade_header(data)


VERIFIER = derive_scram_verifier("pencil", b"salt", 4096)
EVERYTHING = offered(service_offers_cram=True, plain_allowed=True)


@given(st.sampled_from(EVERYTHING), st.none() | st.binary(), st.lists(st.binary(max_size=100), max_size=3))
def test_mechanisms_take_any_bytes(name: str, initial: bytes | None, responses: list[bytes]) -> None:
    mechanism = start_mechanism(name, "mail.example.test")
    try:
        step = mechanism.start(initial)
        for response in responses:
            if isinstance(step, FindVerifier):
                step.then(VERIFIER)
            step = mechanism.respond(response)
    except MalformedResponse:
        pass


@given(st.text(max_size=30), st.binary(max_size=60))
def test_scram_takes_any_bytes(name: str, tail: bytes) -> None:
    mechanism = start_mechanism("SCRAM-SHA-256", "mail.example.test")
    try:
        step = mechanism.start(b"n,,n=" + name.encode("utf-8", "surrogatepass") + b",r=abc")
        if isinstance(step, FindVerifier):
            step.then(VERIFIER)
            mechanism.respond(b"c=biws,r=" + tail + b",p=" + base64.b64encode(tail))
    except MalformedResponse:
        pass
