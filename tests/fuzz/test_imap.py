# SPDX-License-Identifier: MIT
"""Three properties of the IMAP4 machine (house style section 8), a bound on its memory, and MIME's that go with it."""

from __future__ import annotations

import contextlib
import json
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from mailserver.errors import ProtocolViolation
from mailserver.mime.envelope import MessageEnvelope, make_envelope
from mailserver.mime.sections import Section, SectionText, find_section, select_fields
from mailserver.mime.structure import Part, parse_structure
from mailserver.mime.threads import base_subject
from mailserver.mime.transfer import decode_body
from protocols.imap import commands as c
from protocols.imap import replies
from protocols.imap.events import (
    CommandReceived,
    IdleEnded,
    LiteralAnnounced,
    MessageEnded,
    MessageOffered,
    MessagePiece,
    SaslResponse,
    Signal,
)
from protocols.imap.fetch_data import format_body_structure_item, format_envelope_item
from protocols.imap.fetch_items import BodySection, Extent, format_fetch_item, format_section, parse_fetch_item
from protocols.imap.grammar import BARE, PARSERS, parse_command
from protocols.imap.lexer import GrammarError, Lexer
from protocols.imap.limits import USER
from protocols.imap.machine import Machine, State
from protocols.imap.mailbox_names import matches_pattern
from protocols.imap.mutf7 import decode_mutf7, encode_mutf7
from protocols.imap.sequence import (
    STAR,
    NumberSet,
    SequenceSet,
    format_number_set,
    format_sequence_set,
    parse_sequence_set,
)
from protocols.imap.wire import format_astring, format_mailbox, format_string

WORDS = [
    *(name.encode() for name in (*PARSERS, *BARE)), b"APPEND", b"REPLACE 1", b"UID REPLACE 2", b"a", b"b ", b" ",
    b"  ", b"(", b")", b'"', b"\\", b"*", b"%", b"1:*", b"$", b"1", b"{3}\r\n", b"{3+}\r\n", b"~{2}\r\n", b"{0}\r\n",
    b"{70000+}\r\n", b"{99999999999}\r\n", b"\r\n", b"\n", b"\r", b"INBOX", b"&AOQ-", b"&", b"(\\Seen)",
    b'"01-Feb-2024 00:00:00 +0000"', b"CATENATE (", b"TEXT ", b"URL x", b"UTF8 (", b"FLAGS", b"BODY[",
    b"HEADER.FIELDS (", b"]", b"<0.5>", b"RETURN (", b"PARTIAL -1:-5", b"OR ", b"NOT ", b"CHARSET ", b"utf-8",
    b"QRESYNC (1 2", b"DONE\r\n", b"AGEAYg==\r\n", b"*\r\n", b"\x00", b"\xff", b"abc", b"NIL",
]  # fmt: skip
talk = st.lists(st.sampled_from(WORDS) | st.binary(max_size=8), max_size=40).map(b"".join)
lines = st.lists(st.sampled_from(WORDS[:-12]), max_size=12).map(lambda words: b"t " + b" ".join(words) + b"\r\n")
SENTENCES = [
    b"t LOGIN {3+}\r\nbob {1}\r\nx\r\n", b"t AUTHENTICATE PLAIN\r\nAGEAYg==\r\n", b"t AUTHENTICATE PLAIN\r\n*\r\n",
    b"t AUTHENTICATE PLAIN AGEAYg==\r\n", b"t SELECT INBOX\r\n", b"t EXAMINE {5}\r\nINBOX (CONDSTORE)\r\n",
    b"t IDLE\r\nDONE\r\n", b"t APPEND x {5}\r\nhello\r\n",
    b"t APPEND x (\\Seen) {5+}\r\nhello {0+}\r\n ~{2}\r\n\r\n\r\n", b"t NOOP\r\n",
    b"t APPEND {1}\r\nx CATENATE (TEXT {3+}\r\nabc URL {2+}\r\n/a TEXT {1}\r\n))\r\n",
    b"t APPEND x UTF8 (~{3}\r\na\nb)\r\n", b"t UID REPLACE 7 x {3+}\r\nabc\r\n",
    b"t FETCH 1:* (FLAGS BODY[HEADER.FIELDS ({4+}\r\nFrom)])\r\n", b"t UNSELECT\r\n",
    b"t SEARCH CHARSET UTF-8 OR TEXT {2+}\r\n\xc3\xa4 SUBJECT {1}\r\nx\r\n", b"t STORE 1 +FLAGS (\\Deleted)\r\n",
    b"t UNAUTHENTICATE\r\n", b"t LOGOUT\r\n", b"t STARTTLS\r\n", b"t COMPRESS DEFLATE\r\n",
    b"t FOO {12+}\r\nt NOOP\r\nrest {1+}\r\nx\r\n", b"t APPEND x {5+}\r\nhello rubbish {4+}\r\nmore\r\n",
    b"t UID SEARCH RETURN (SAVE) ALL\r\n", b"t ENABLE IMAP4rev2\r\n",
]  # fmt: skip
sensible = st.lists(st.sampled_from(SENTENCES) | st.sampled_from(SENTENCES) | st.sampled_from(WORDS), max_size=8)
conversations = talk | st.lists(lines, max_size=6).map(b"".join) | sensible.map(b"".join) | sensible.map(b"".join)
states = st.sampled_from([State.NOT_AUTHENTICATED, State.AUTHENTICATED, State.SELECTED])
FAKE = st.sampled_from(list(replies.Status))


def play(pieces: list[bytes], state: State, answers: list[replies.Status], refuse: bool) -> list[object]:
    """Everything that happens, with a fixed way of answering; pieces of a message joined."""
    machine = Machine()
    machine.state = state
    found: list[object] = []
    waiting = list(pieces)
    while True:
        try:
            event = machine.next_event()
        except ProtocolViolation as violation:
            found.append((violation.reply, violation.may_continue))
            if not violation.may_continue:
                return found
            continue
        if event is Signal.CLOSED:
            return found
        if event in (Signal.NEED_DATA, Signal.PAUSED):
            assert event is Signal.NEED_DATA, "everything is answered at once"
            if not waiting:
                return found
            machine.receive(waiting.pop(0))
            assert len(machine._incoming) <= USER.line_bytes + max(map(len, pieces))
            continue
        if isinstance(event, MessagePiece) and found and isinstance(found[-1], MessagePiece):
            found[-1] = MessagePiece(found[-1].data + event.data)
        else:
            found.append(event)
        try:
            answer(machine, event, answers, refuse)
        except ProtocolViolation as violation:
            return [*found, violation.reply]


def answer(machine: Machine, event: object, answers: list[replies.Status], refuse: bool) -> None:
    if isinstance(event, LiteralAnnounced):
        machine.send(replies.Proceed())
    elif isinstance(event, MessageOffered):
        refusal = replies.Completion(event.offer.tag, replies.Status.NO, "no")
        machine.send(refusal if refuse else replies.Proceed())
    elif isinstance(event, CommandReceived) and isinstance(event.command, c.Idle | c.Authenticate):
        machine.send(replies.Continuation())
    elif isinstance(event, CommandReceived | SaslResponse | IdleEnded):
        machine.send(replies.Completion("t", answers[0], "done"))
        if machine._mode.name == "SWITCHING":
            machine.layer_changed()
    else:
        assert isinstance(event, MessagePiece | MessageEnded)


def cut(data: bytes, places: list[int]) -> list[bytes]:
    ends = sorted({min(place, len(data)) for place in places})
    return [data[start:end] for start, end in zip([0, *ends], [*ends, len(data)], strict=True)]


@given(conversations, states, st.lists(FAKE, min_size=1, max_size=1), st.booleans())
def test_any_bytes_end_in_events_or_violations(
    data: bytes, state: State, answers: list[replies.Status], refuse: bool
) -> None:
    for happened in play([data], state, answers, refuse):
        if isinstance(happened, tuple):
            reply, _ = happened
            assert reply.endswith(b"\r\n")
            assert reply.count(b"\r\n") == 1
            assert reply.split(b" ")[1] in (b"BAD", b"NO", b"BYE")


def is_switch(event: object) -> bool:
    return isinstance(event, CommandReceived) and isinstance(event.command, c.StartTls | c.Compress)


@given(
    conversations,
    states,
    st.lists(FAKE, min_size=1, max_size=1),
    st.booleans(),
    st.lists(st.integers(0, 400), max_size=8),
)
def test_how_the_bytes_are_cut_never_matters(
    data: bytes, state: State, answers: list[replies.Status], refuse: bool, places: list[int]
) -> None:
    """Up to a change of layer, where it must matter: bytes that came before it are refused."""
    whole = play([data], state, answers, refuse)
    for pieces in (cut(data, places), [data[at : at + 1] for at in range(len(data))] or [b""]):
        apart = play(pieces, state, answers, refuse)
        if any(map(is_switch, whole)):
            end = next(place for place, event in enumerate(whole) if is_switch(event))
            assert apart[:end] == whole[:end]
        else:
            assert apart == whole


@given(lines)
def test_the_parser_gives_commands_or_grammar_errors(line: bytes) -> None:
    pieces = line.rstrip(b"\r\n").split(b"\r\n")
    with contextlib.suppress(GrammarError):
        assert parse_command(pieces).tag == "t"


# ---------------------------------------------------------------- what is written is read back

names = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
numbers = st.integers(1, STAR)
number_sets = st.lists(st.integers(1, 2000), max_size=50).map(NumberSet.from_numbers)


@given(names)
def test_modified_utf7_both_ways(name: str) -> None:
    wire = encode_mutf7(name)
    assert wire.isascii()
    assert decode_mutf7(wire) == name


@given(st.binary(max_size=20) | st.from_regex(rb"[a&A-Z+,/-]{0,12}", fullmatch=True))
def test_modified_utf7_has_one_form_for_each_name(wire: bytes) -> None:
    try:
        name = decode_mutf7(wire)
    except ValueError:
        return
    assert encode_mutf7(name) == wire


@given(st.lists(st.tuples(numbers, numbers), min_size=1, max_size=20).map(tuple))
def test_sequence_sets_both_ways(ranges: tuple[tuple[int, int], ...]) -> None:
    wanted = SequenceSet(ranges)
    assert parse_sequence_set(format_sequence_set(wanted)) == wanted


@given(number_sets, number_sets)
def test_number_sets_are_sets(left: NumberSet, right: NumberSet) -> None:
    one, two = set(left), set(right)
    assert set(left.union(right)) == one | two
    assert set(left.intersection(right)) == one & two
    assert set(left.difference(right)) == one - two
    assert len(left) == len(one)
    if left:
        assert parse_sequence_set(format_number_set(left)).resolve(9999) == left


@given(st.binary(max_size=30).map(lambda value: value.replace(b"\x00", b"")), st.booleans())
def test_strings_both_ways(value: bytes, utf8: bool) -> None:
    assert Lexer(split_literal(format_string(value, utf8=utf8))).string() == value


@given(names.map(lambda name: name.replace("\x00", "")), st.booleans())
def test_mailbox_names_and_astrings_both_ways(name: str, utf8: bool) -> None:
    lexer = Lexer(split_literal(format_mailbox(name, utf8=utf8)), utf8=utf8)
    assert lexer.mailbox().upper() == name.upper() if name.upper().startswith("INBOX") else lexer.mailbox() == name
    assert Lexer(split_literal(format_astring(name, utf8=utf8))).astring_text() == name


def split_literal(wire: bytes) -> list[bytes]:
    """As the machine would hand it over."""
    if not wire.startswith(b"{"):
        return [wire]
    mark, _, literal = wire.partition(b"\r\n")
    return [mark, literal, b""]


field_names = st.from_regex(r"[!-9;-~]{1,10}", fullmatch=True)
sections = st.builds(
    Section,
    st.lists(st.integers(1, 99), max_size=4).map(tuple),
    st.sampled_from([SectionText.WHOLE, SectionText.HEADER, SectionText.TEXT]),
) | st.builds(
    Section,
    st.lists(st.integers(1, 99), max_size=4).map(tuple),
    st.sampled_from([SectionText.FIELDS, SectionText.FIELDS_NOT]),
    st.lists(field_names, min_size=1, max_size=4).map(tuple),
)


@given(sections, st.booleans(), st.none() | st.tuples(st.integers(0, 10**12), st.integers(1, 10**12)))
def test_sections_both_ways(section: Section, peek: bool, extent: tuple[int, int] | None) -> None:
    label = f"BODY[{format_section(section)}]" + (f"<{extent[0]}>" if extent else "")
    item = BodySection(section, label, peek, Extent(*extent) if extent else None)
    assert parse_fetch_item(Lexer([format_fetch_item(item).encode()])) == item


@given(names, st.lists(st.sampled_from(["*", "%", "a", "/", "I"]), max_size=12).map("".join))
def test_star_matches_everything_and_percent_no_level(name: str, pattern: str) -> None:
    assert matches_pattern(name, "*")
    assert matches_pattern(name, "%") == ("/" not in name)
    assert matches_pattern(name, pattern + "*") or not matches_pattern(name, pattern)


# ---------------------------------------------------------------- MIME

MIME_WORDS = [
    b"\r\n", b"\n", b"\r\n\r\n", b"--x", b"--y", b"--x--\r\n", b"--", b"Content-Type: ",
    b"multipart/mixed; boundary=x\r\n", b'multipart/digest; boundary="y"\r\n', b"message/rfc822\r\n",
    b"text/plain; charset=x\r\n", b"Subject: ", b"From: ", b"a@b", b"<", b">", b'"', b"(", b"\\", b";", b":", b",",
    b"Content-Disposition: ", b" ", b"\t", b"\x00", b"\xff", b"hello", b"Content-Transfer-Encoding: base64\r\n",
    b"To: g: a@b;\r\n",
]  # fmt: skip
messages = st.lists(st.sampled_from(MIME_WORDS) | st.binary(max_size=6), max_size=60).map(b"".join)


@given(messages)
def test_any_message_has_a_structure_within_its_bytes(message: bytes) -> None:
    root = parse_structure(message)
    assert (root.start, root.end) == (0, len(message))
    check_bounds(root)
    assert Part.from_json(json.loads(json.dumps(root.to_json())), root.envelope) == root
    assert root.envelope
    assert MessageEnvelope.from_json(root.envelope.to_json()) == root.envelope
    assert format_body_structure_item(root).startswith(b"BODYSTRUCTURE (")
    assert format_envelope_item(root.envelope, utf8=True).startswith(b"ENVELOPE (")
    assert parse_structure(memoryview(message)) == root


def check_bounds(part: Part) -> None:
    assert part.start <= part.body_start <= part.end
    previous = part.body_start
    for child in part.children:
        assert previous <= child.start
        previous = child.end
        check_bounds(child)
    assert previous <= part.end


@given(messages, st.lists(st.integers(0, 3), max_size=4), st.sampled_from(list(SectionText)))
def test_any_section_lies_within_the_message(message: bytes, part: list[int], text: SectionText) -> None:
    span = find_section(parse_structure(message), Section(tuple(part), text))
    assert span is None or 0 <= span.start <= span.end <= len(message)


@given(messages, st.lists(field_names, max_size=3).map(tuple))
def test_chosen_fields_and_the_others_are_the_whole_header(header: bytes, chosen: tuple[str, ...]) -> None:
    named, others = (select_fields(header, chosen, leave_out=leave) for leave in (False, True))
    assert sorted(filled_lines(named) + filled_lines(others)) == sorted(filled_lines(header))
    assert named.endswith(b"\r\n")
    assert select_fields(named, chosen, leave_out=False) == named


def filled_lines(header: bytes) -> list[bytes]:
    return [line.rstrip(b"\r") for line in header.split(b"\n") if line.rstrip(b"\r")]


@given(st.sampled_from(["base64", "quoted-printable"]), messages, st.lists(st.integers(0, 300), max_size=6))
def test_decoding_does_not_mind_how_it_is_cut(encoding: str, body: bytes, places: list[int]) -> None:
    assert b"".join(decode_body(encoding, cut(body, places))) == b"".join(decode_body(encoding, [body]))


@given(
    st.text(max_size=60)
    | st.lists(st.sampled_from(["Re", ":", "[", "]", "(fwd)", "fwd", " ", "a"]), max_size=20).map("".join)
)
def test_a_base_subject_is_its_own_base_subject(subject: str) -> None:
    base = base_subject(subject)
    assert base_subject(base.text) == replace(base, is_reply=False)


@given(
    st.dictionaries(
        st.sampled_from(["from", "to", "sender", "subject"]), st.text(st.characters(max_codepoint=255), max_size=40)
    )
)
def test_any_header_has_an_envelope(fields: dict[str, str]) -> None:
    envelope = make_envelope(fields)
    assert MessageEnvelope.from_json(json.loads(json.dumps(envelope.to_json()))) == envelope
