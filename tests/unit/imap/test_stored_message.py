# SPDX-License-Identifier: MIT
"""Sections of stored messages, in memory and in files, agree with the bytes that were stored."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from mailserver.mime.sections import Section, SectionText
from mailserver.mime.structure import parse_structure
from mailserver.store.interface import StoredContent
from mailserver.values import ContentId
from protocols.imap.fetch_items import Extent
from protocols.imap.stored_message import PIECE_BYTES, StoredMessage, Streamed, UnknownEncoding, needs_structure

HEAD = b"Received: by us\r\n"
PICTURE = bytes(range(256)) * 400
BODY = (
    b"From: a@b.test\r\nSubject: x\r\nContent-Type: multipart/mixed; boundary=cut\r\n\r\n"
    b"--cut\r\n\r\nshort\r\n"
    b"--cut\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    + base64.encodebytes(PICTURE).replace(b"\n", b"\r\n")
    + b"\r\n"
    b"--cut\r\nContent-Transfer-Encoding: x-own\r\n\r\nodd\r\n"
    b"--cut--\r\n"
)
WHOLE = HEAD + BODY
STRUCTURE = parse_structure(WHOLE)


@pytest.fixture(params=["memory", "file"])
def message(request: pytest.FixtureRequest, tmp_path: Path) -> StoredMessage:
    path = tmp_path / "body"
    path.write_bytes(BODY)
    in_file = request.param == "file"
    content = StoredContent(
        ContentId(1), "ref", HEAD, 0, len(WHOLE), None if in_file else BODY, path if in_file else None, {}
    )
    return StoredMessage(content, STRUCTURE)


def _bytes(found: bytes | Streamed | None) -> bytes | None:
    """All of it; a stream is as long as it says."""
    if not isinstance(found, Streamed):
        return found
    data = b"".join(found.pieces)
    assert len(data) == found.size
    return data


BODY_START = WHOLE.index(b"\r\n\r\n") + 4


@pytest.mark.parametrize(
    ("section", "wanted"),
    [
        (Section(), WHOLE),
        (Section(text=SectionText.HEADER), WHOLE[:BODY_START]),
        (Section(text=SectionText.TEXT), WHOLE[BODY_START:]),
        (Section(text=SectionText.FIELDS, fields=("subject", "received")), b"Received: by us\r\nSubject: x\r\n\r\n"),
        (Section((1,)), b"short"),
        (Section((1,), SectionText.MIME), b"\r\n"),
        (Section((9,)), None),
        (Section((1,), SectionText.HEADER), None),
    ],
)
def test_sections(message: StoredMessage, section: Section, wanted: bytes | None) -> None:
    assert _bytes(message.read_section(section)) == wanted


@pytest.mark.parametrize(("start", "size"), [(0, 5), (10, 30), (5, PIECE_BYTES * 2), (len(WHOLE) - 3, 10), (10**9, 1)])
def test_extents(message: StoredMessage, start: int, size: int) -> None:
    assert _bytes(message.read_section(Section(), Extent(start, size))) == WHOLE[start : start + size]
    assert _bytes(message.read_decoded((2,), Extent(start, size))) == PICTURE[start : start + size]


def test_decoding(message: StoredMessage) -> None:
    assert _bytes(message.read_decoded((1,))) == b"short"
    assert _bytes(message.read_decoded((2,))) == PICTURE
    assert message.decoded_size((2,)) == len(PICTURE)
    assert message.read_decoded((9,)) is None
    assert message.decoded_size((9,)) is None
    assert _bytes(message.read_decoded(())) == WHOLE
    with pytest.raises(UnknownEncoding):
        message.read_decoded((3,))


def test_a_file_that_became_shorter_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "body"
    path.write_bytes(BODY[:100])
    content = StoredContent(ContentId(1), "ref", HEAD, 0, len(WHOLE), None, path, {})
    with pytest.raises(OSError, match="shorter"):
        _bytes(StoredMessage(content, None).read_section(Section()))


@pytest.mark.parametrize(
    ("section", "in_memory", "in_file"),
    [
        (Section(), False, False),
        (Section(text=SectionText.HEADER), False, True),
        (Section(text=SectionText.TEXT), False, True),
        (Section((1,)), True, True),
    ],
)
def test_when_the_structure_is_needed(section: Section, in_memory: bool, in_file: bool) -> None:
    content = StoredContent(ContentId(1), "ref", b"", 0, 1, b"x", None, {})
    assert needs_structure(section, content) is in_memory
    content = StoredContent(ContentId(1), "ref", b"", 0, 1, None, Path("x"), {})
    assert needs_structure(section, content) is in_file
