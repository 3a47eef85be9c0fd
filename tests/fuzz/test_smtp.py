# SPDX-License-Identifier: MIT
"""Properties of SMTP reception: any bytes get an answer, cuts never matter, what is written can be read back."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st

from mailserver.addressing.syntax import BadDomain, format_mailbox, parse_domain
from mailserver.config.catalog import ServiceKind
from mailserver.mime.headers import decode_field, header_section, summarise
from mailserver.values import Address, Protocol
from protocols.smtp.data import DataDecoder, Fault
from protocols.smtp.grammar import (
    MAIL_DSN_KEYWORDS,
    MAIL_KEYWORDS,
    RCPT_DSN_KEYWORDS,
    GrammarError,
    decode_xtext,
    parse_command,
    parse_mail_from,
    parse_mailbox,
    parse_rcpt_to,
)
from protocols.smtp.server import serve_smtp
from tests.support.fakes import MemoryStream, make_world

ALL_MAIL = MAIL_KEYWORDS | MAIL_DSN_KEYWORDS
# Text that looks enough like SMTP to get past the first check.
PATH_LIKE = st.text(st.sampled_from('<>@ab.,:;"\\[]123 =+%-_ü\udcff\x00\r\n\t'), max_size=40)
WIRE = st.lists(st.sampled_from([b"\r", b"\n", b"\r\n", b".", b"..", b"a", b"bc", b"\0", b"\xff"]), max_size=30).map(
    b"".join
)
LOCAL = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=64)
DOMAIN = st.from_regex(r"[a-z0-9]{1,10}(\.[a-z0-9]{1,10}){0,3}", fullmatch=True)


@given(st.binary(max_size=200))
def test_any_line_is_a_command_or_a_grammar_error(line: bytes) -> None:
    with contextlib.suppress(GrammarError):
        parse_command(line)


@given(PATH_LIKE)
def test_any_argument_parses_or_is_a_grammar_error(text: str) -> None:
    for argument in (text, f"FROM:{text}", f"FROM:<{text}>", f"FROM:<a@b> {text}", f"FROM:<a@b> SIZE={text}"):
        with contextlib.suppress(GrammarError):
            parse_mail_from(argument, ALL_MAIL)
    for argument in (text, f"TO:{text}", f"TO:<{text}>", f"TO:<a@b> NOTIFY={text}", f"TO:<a@b> ORCPT=utf-8;{text}"):
        with contextlib.suppress(GrammarError):
            parse_rcpt_to(argument, RCPT_DSN_KEYWORDS, smtputf8=True)


@given(LOCAL, DOMAIN)
def test_a_mailbox_that_is_written_is_read_back(local: str, domain: str) -> None:
    address = Address(local, domain)
    assert parse_mailbox(f"<{format_mailbox(address)}>") == address


@given(st.text(max_size=40))
def test_any_domain_is_normal_at_once_or_refused(text: str) -> None:
    try:
        domain = parse_domain(text)
    except BadDomain:
        return
    assert parse_domain(domain) == domain
    assert domain.isascii()
    assert domain == domain.lower()


@given(st.binary(max_size=100))
def test_xtext_is_read_back(data: bytes) -> None:
    xtext = "".join(chr(byte) if 33 <= byte <= 126 and byte not in b"+=" else f"+{byte:02X}" for byte in data)
    assert decode_xtext(xtext) == data


def reference(wire: bytes) -> tuple[bytes, Fault | None, bool]:
    """The message in the wire, its fault, and whether it came to an end: slow, and obviously right."""
    text = b"\r\n" + wire
    end = re.search(rb"(?:\r\n|\r|\n)\.(?:\r\n|\r(?=[^\n])|\n)", text)
    if end is None:
        return b"", None, False
    if end[0] != b"\r\n.\r\n":
        return b"", Fault.SMUGGLING, True
    lines = text[2 : end.start() + 2].split(b"\r\n")
    message = b"\r\n".join(line[1:] if line.startswith(b".") else line for line in lines)
    if b"\r" in message.replace(b"\r\n", b"") or b"\n" in message.replace(b"\r\n", b""):
        return message, Fault.BARE_NEWLINE, True
    return message, Fault.NUL if b"\0" in message else None, True


@given(WIRE, st.lists(st.integers(1, 7), min_size=1, max_size=20))
def test_data_is_what_the_reference_says_however_it_is_cut(wire: bytes, sizes: list[int]) -> None:
    message, fault, finished = reference(wire)
    decoder = DataDecoder()
    decoded, rest, turn = b"", wire, 0
    while rest and not decoder.finished:
        size = sizes[turn % len(sizes)]
        decoded += decoder.feed(rest[:size])
        rest, turn = rest[size:], turn + 1
    assert decoder.finished == finished
    if finished:
        assert decoder.fault == fault
        if fault is None:
            assert decoded == message
            assert decoder.rest + rest == wire[len(wire) - len(decoder.rest + rest) :]


@given(st.binary(max_size=400))
def test_any_header_is_summarised(data: bytes) -> None:
    summary = summarise(header_section(data))
    assert all(value.isprintable() for value in summary.fields.values())
    decode_field(data).encode("utf-8")


@given(st.sampled_from(["utf-8", "utf-7", "utf-16", "idna", "punycode", "hex", "undefined", "big5", "x"]), st.binary())
def test_any_encoded_word_is_decoded(charset: str, data: bytes) -> None:
    word = f"=?{charset}?q?{''.join(f'={byte:02X}' for byte in data)}?="
    decode_field(word.encode()).encode("utf-8")


SPOKEN = [
    b"EHLO x\r\n", b"HELO x\r\n", b"MAIL FROM:<a@b.example>\r\n", b"RCPT TO:<bob@example.test>\r\n", b"DATA\r\n",
    b"RSET\r\n", b"NOOP\r\n", b"AUTH PLAIN AGJvYgBzZWNyZXQ=\r\n", b"AUTH LOGIN\r\n", b"*\r\n", b"STARTTLS\r\n",
    b"\r\n.\r\n", b"text\r\n", b"HELP\r\n", b"VRFY bob\r\n", b"QUIT\r\n", b"\n", b"\r", b"\0",
]  # fmt: skip


async def converse(pieces: Iterable[bytes]) -> bytes:
    """What the server says to all this. It may only end by itself or because the client has gone."""
    world = make_world(ServiceKind.SMTP, Protocol.SMTP, require_encrypted_login=False)
    world.add_user("bob", "secret")
    stream = MemoryStream()
    task = asyncio.create_task(serve_smtp(world.connect(stream)))
    async with asyncio.timeout(10):
        for piece in (*pieces, b""):
            while not (task.done() or stream.waits_for_input):  # noqa: ASYNC110 - turns of the loop are waited for
                await asyncio.sleep(0)
            stream.data_received(piece)
        stream.eof_received()
        await task
    return bytes(stream.transport.written)


@given(st.lists(st.one_of(st.sampled_from(SPOKEN), st.binary(max_size=60)), max_size=25))
def test_any_conversation_is_answered_alike_however_it_is_cut(pieces: list[bytes]) -> None:
    wire = b"".join(pieces)
    said = asyncio.run(converse([wire]))
    again = asyncio.run(converse(wire[place : place + 1] for place in range(len(wire))))
    ref = re.compile(rb"as [0-9A-Z]{26}")
    assert ref.sub(b"", said) == ref.sub(b"", again)
    assert re.fullmatch(rb"(?:[2-5][0-9][0-9][ -][ -~]*\r\n)+", said)
