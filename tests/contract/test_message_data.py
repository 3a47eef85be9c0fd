# SPDX-License-Identifier: MIT
"""What every store promises about the insides of messages: envelopes, structures, first words, text search.

RFC 9051 §7.5.2 (ENVELOPE, BODYSTRUCTURE) and §6.4.4 (TEXT, BODY), RFC 8970 (PREVIEW).
"""

from __future__ import annotations

from pathlib import Path

import pytest

from mailserver.mime.structure import parse_structure
from mailserver.store.interface import Filing, NewContent, NewEntry, Unit
from mailserver.values import ContentId
from tests.contract.world import World
from tests.support.filings import make_body, make_spooled

pytestmark = pytest.mark.usefixtures("still_clock", "data_folder")
GONE = ContentId(10**9)

PLAIN = (
    b"From: Anna <anna@example.test>\r\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\n\r\nHello  world,\r\nsecond line\r\n"
)
QUOTED = (
    b"Subject: two\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"
    b"--b\r\nContent-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"
    b"<p>Stra=C3=9Fe und <b>Ger=C3=\r\n=A4t</b></p>\r\n"
    b"--b\r\nContent-Type: application/pdf; name=offer.pdf\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    b"SGVsbG8=\r\n--b--\r\n"
)


def file(world: World, *messages: bytes, head: bytes = b"") -> list[ContentId]:
    """The contents of these messages, now in the Inbox."""
    filings = [
        Filing(NewContent(f"{number:026}", make_body(data), head), (NewEntry(world.inbox),))
        for number, data in enumerate(messages)
    ]
    return list(world.do(Unit(filings=tuple(filings))).contents)


def test_envelope_structure_and_preview_are_those_of_the_bytes(world: World) -> None:
    head = b"Return-Path: <a@b>\r\n"
    contents = file(world, PLAIN, QUOTED, head=head)
    for _ in ("made", "kept"):
        stored = world.store.read_structures([*contents, GONE])
        assert list(stored) == contents
        for content, data in zip(contents, (PLAIN, QUOTED), strict=True):
            assert stored[content].structure == parse_structure(head + data)
            assert stored[content].envelope == stored[content].structure.envelope
        envelopes = world.store.read_envelopes([*contents, GONE])
        assert envelopes == {content: stored[content].envelope for content in contents}
        previews = world.store.read_previews([*contents, GONE])
        assert previews == {contents[0]: "Hello world, second line", contents[1]: "Straße und Gerät"}


@pytest.mark.parametrize("head", [b"", b"Received: by here\r\n"])
def test_a_large_message_has_them_too(world: World, tmp_path: Path, head: bytes) -> None:
    data = PLAIN + b"line\r\n" * 20_000
    content = NewContent("x" * 26, make_spooled(data, tmp_path / "spool"), head)
    (made,) = world.do(Unit(filings=(Filing(content, (NewEntry(world.inbox),)),))).contents
    assert world.store.read_structures([made])[made].structure == parse_structure(head + data)
    assert world.store.read_previews([made])[made].startswith("Hello world")
    assert world.store.search_text([made], "line\r\nline", body_only=True) == {made}


@pytest.mark.parametrize(
    ("text", "body_only", "expected"),
    [
        ("hello", True, {0}),
        ("HELLO  WORLD,\r\nSecond", True, {0}),
        ("hello world", True, set()),
        ("lo", True, {0}),
        ("", True, {0, 1}),
        ("grüße", True, set()),
        ("GRÜßE", False, {0}),
        ("subject: two", False, {1}),
        ("straße UND", True, {1}),
        ("gerät", True, {1}),
        ("ä", True, {1}),
        ("<b>", True, set()),
        ("offer.pdf", False, {1}),
        ("offer.pdf", True, set()),
        ('"quoted" OR', False, set()),
        ("nowhere to be found", False, set()),
    ],
)
def test_a_search_finds_exactly_what_contains_the_text(
    world: World, text: str, body_only: bool, expected: set[int]
) -> None:
    contents = file(world, PLAIN, QUOTED)
    for _ in ("read", "indexed"):
        found = world.store.search_text([*contents, GONE], text, body_only=body_only)
        assert found - {GONE} == {contents[number] for number in expected}


def test_a_search_looks_only_into_what_was_asked_for(world: World) -> None:
    contents = file(world, PLAIN, PLAIN, PLAIN)
    assert world.store.search_text(contents, "hello", body_only=True) == set(contents)
    assert world.store.search_text(contents[1:2], "hello", body_only=True) == {contents[1]}
    assert world.store.search_text([], "hello", body_only=True) == set()


@pytest.mark.parametrize("text", ["grüße", "anna@", "STRASSE", "offer.pdf", "of", "nowhere to be found", ""])
def test_what_contains_the_text_stays_when_it_is_narrowed_down(world: World, text: str) -> None:
    contents = file(world, PLAIN, QUOTED)
    for _ in ("unknown", "known"):
        narrowed = world.store.narrow_text(contents, text)
        assert world.store.search_text(contents, text, body_only=False) <= narrowed <= set(contents)
    assert world.store.narrow_text([], text) == set()
