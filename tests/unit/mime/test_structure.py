# SPDX-License-Identifier: MIT
"""Structures of well-formed and of broken messages, and the bytes that sections name."""

from __future__ import annotations

import email
import email.message
import email.policy
import json
import mmap
import random
import time
from collections.abc import Iterator
from email.message import EmailMessage
from pathlib import Path

import pytest

from mailserver.mime.sections import Section, SectionText, find_part, find_section, select_fields
from mailserver.mime.structure import MAX_DEPTH, MAX_PARTS, Part, parse_structure


def crlf(text: str) -> bytes:
    return text.replace("\n", "\r\n").encode("latin-1")


def shape(part: Part) -> object:
    """Types, nested."""
    name = f"{part.type}/{part.subtype}"
    return (name, *map(shape, part.children)) if part.children else name


def body(message: bytes, part: Part) -> bytes:
    return message[part.body_start : part.end]


# ---------------------------------------------------------------- damage


MIXED = "Content-Type: multipart/mixed; boundary=x\n\n"
ALTERNATIVE = "Content-Type: multipart/alternative; boundary="


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("", "text/plain"),
        ("\n", "text/plain"),
        ("no header at all", "text/plain"),
        (": x\n\nbody", "text/plain"),
        ("Content-Type:\n\n", "text/plain"),
        ("Content-Type: nonsense\n\n", "text/plain"),
        ("Content-Type: /\n\n", "text/plain"),
        ("Content-Type: text/\n\n", "text/plain"),
        ("Content-Type: TEXT / HTML ; (c) charset=x\n\n", "text/html"),
        ("Content-Type: multipart/mixed\n\n--x\n\na\n--x--", "text/plain"),
        ("Content-Type: multipart/mixed; boundary=\n\n--\n\na\n----", "text/plain"),
        (MIXED + "nothing here", "text/plain"),
        (MIXED + "--x--", "text/plain"),
        (MIXED + "--x", ("multipart/mixed", "text/plain")),
        (MIXED + "--x\n", ("multipart/mixed", "text/plain")),
        (MIXED + "--x\n--x--", ("multipart/mixed", "text/plain")),
        (MIXED + "--xy\n--x\n\na\n--x y\n--x  \n\nb", ("multipart/mixed", "text/plain", "text/plain")),
        ("Content-Type: multipart/mixed; boundary=x\n--x\n\na\n--x--", "text/plain"),
        (
            "Content-Type: multipart/digest; boundary=x\n\n--x\n\nSubject: a\n\n--x\nContent-Type: text/html\n\n--x--",
            ("multipart/digest", ("message/rfc822", "text/plain"), "text/html"),
        ),
        # The inner final delimiter is missing: the outer one ends both.
        (
            MIXED + "--x\n" + ALTERNATIVE + "y\n\n--y\n\na\n--x\n\nb\n--x--",
            ("multipart/mixed", ("multipart/alternative", "text/plain"), "text/plain"),
        ),
        # A boundary that another one begins with.
        (
            MIXED + "--x\n" + ALTERNATIVE + "xx\n\n--xx\n\na\n--xx--\n--x--",
            ("multipart/mixed", ("multipart/alternative", "text/plain")),
        ),
        # Both have the same boundary: the inner one has it first.
        (
            MIXED + "--x\n" + ALTERNATIVE + "x\n\n--x\n\na\n--x--\n--x\n\nb\n--x--",
            ("multipart/mixed", ("multipart/alternative", "text/plain"), "text/plain"),
        ),
        ("Content-Type: message/rfc822\n\nSubject: a\n\nb", ("message/rfc822", "text/plain")),
        ("Content-Type: message/rfc822\n\n", ("message/rfc822", "text/plain")),
        ("Content-Type: message/global\n\nSubject: a\n\nb", ("message/global", "text/plain")),
        (
            "Content-Type: message/rfc822\nContent-Transfer-Encoding: base64\n\nU3ViamVjdDogYQ==",
            "application/octet-stream",
        ),
        ("Content-Type: message/delivery-status\n\nx: y", "message/delivery-status"),
        (MIXED + "--x\nContent-Type: message/rfc822\n--x--", ("multipart/mixed", "text/plain")),
        (
            MIXED + "--x\nContent-Type: message/rfc822\n\nSubject: a\n--x--",
            ("multipart/mixed", ("message/rfc822", "text/plain")),
        ),
        (
            'Content-Type: multipart/mixed;\n boundary="a b\\"c"\n\n--a b"c\n\n\n--a b"c--',
            ("multipart/mixed", "text/plain"),
        ),
    ],
)
@pytest.mark.parametrize("ending", ["\r\n", "\n"])
def test_damaged_and_odd_messages(message: str, expected: object, ending: str) -> None:
    raw = message.replace("\n", ending).encode("latin-1")
    assert shape(parse_structure(raw)) == expected


def test_parts_are_where_they_are() -> None:
    message = crlf(
        "Subject: all\nContent-Type: multipart/mixed; boundary=x\n\npreamble\n--x\n\nfirst\n\n--x \n"
        "Content-Type: text/html; charset=UTF-8; Name*0=a; name*1=b\nContent-ID: <i>\nContent-Description: d (d)\n"
        "Content-Transfer-Encoding: Quoted-Printable\nContent-MD5: m\nContent-Language: de, en (x)\n"
        "Content-Location: l\n"
        'Content-Disposition: ATTACHMENT; filename="f \\" \xe9"\n\nsecond\n--x--\nepilogue'
    )
    root = parse_structure(message)
    first, second = root.children
    assert body(message, first) == b"first\r\n"
    assert body(message, second) == b"second"
    assert (first.lines, second.lines, first.size) == (1, 1, 7)
    assert (first.parameters, first.encoding) == ((("charset", "us-ascii"),), "7bit")
    assert second.parameters == (("charset", "UTF-8"), ("name*0", "a"), ("name*1", "b"))
    assert (second.id, second.description, second.encoding, second.md5) == ("<i>", "d (d)", "quoted-printable", "m")
    assert (second.language, second.location) == (("de", "en"), "l")
    assert second.disposition
    assert (second.disposition.value, second.disposition.find("filename")) == ("attachment", 'f " \xe9')
    assert root.envelope
    assert root.envelope.subject == "all"
    assert message[second.start :].startswith(b"Content-Type: text/html")


def test_what_is_stored_is_read_back() -> None:
    message = crlf(
        "From: \xe9 <a@b>\nContent-Type: multipart/mixed; boundary=x\n\n--x\nContent-Language: de\n"
        "Content-Disposition: inline; a=b\n\na\n--x\nContent-Type: message/rfc822\n\nSubject: \xff\x00\n"
        "Sender: c@d\n\nb\n--x--"
    )
    root = parse_structure(message)
    stored = json.dumps(root.to_json())
    assert "\\u0000" not in stored
    assert Part.from_json(json.loads(stored), root.envelope) == root
    assert len(stored) < 400


def test_a_message_in_a_file_is_read_in_place(tmp_path: Path) -> None:
    path = tmp_path / "message"
    path.write_bytes(NESTED)
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        assert parse_structure(mapped) == parse_structure(NESTED)


# ---------------------------------------------------------------- limits


def test_ten_thousand_parts() -> None:
    message = crlf("Content-Type: multipart/mixed; boundary=x\n\n") + b"--x\r\n\r\nhi\r\n" * 10_000 + b"--x--"
    root = parse_structure(message)
    assert len(root.children) == 10_000
    assert body(message, root.children[9_999]) == b"hi"
    assert len(json.dumps(root.to_json())) < 2_000_000


def test_more_parts_than_the_limit_are_not_shown() -> None:
    message = crlf("Content-Type: multipart/mixed; boundary=x\n\n") + b"--x\r\n\r\n\r\n" * (MAX_PARTS + 10)
    root = parse_structure(message)
    assert len(root.children) == MAX_PARTS - 1
    assert root.end == len(message)


def depth_of(part: Part) -> int:
    deepest, level = 0, [part]
    while level:
        deepest, level = deepest + 1, [child for each in level for child in each.children]
    return deepest


@pytest.mark.parametrize("kind", ["multipart", "message", "multipart, one boundary"])
def test_nesting_ends_somewhere(kind: str) -> None:
    if kind == "message":
        message = b"Content-Type: message/rfc822\r\n\r\n" * 3000 + b"end"
    else:
        names = [b"b%d" % (0 if "one" in kind else number) for number in range(3000)]
        message = b"\r\n".join(
            b"Content-Type: multipart/mixed; boundary=%s\r\n\r\n--%s" % (name, name) for name in names
        )
    root = parse_structure(message)
    assert MAX_DEPTH <= depth_of(root) <= MAX_DEPTH + 1
    assert Part.from_json(root.to_json(), root.envelope) == root


@pytest.mark.parametrize(
    "message",
    [
        crlf("Content-Type: multipart/mixed; boundary=x\n\n") + b"--x\r\nno blank line\r\n" * 10_000,
        crlf("Content-Type: multipart/mixed; boundary=x\n\n") + b"--y\n" * 500_000,
        b"Subject: " + b"(" * 2_000_000 + b"\r\n\r\n",
        b"Content-Type: " + b"(" * 1_000_000 + b"\r\n\r\n",
        b"Content-Type: text/plain" + b"; a" * 500_000 + b"\r\n\r\n",
        b'Content-Type: text/plain; a="' + b"\\" * 1_000_000 + b"\r\n\r\n",
        b"To: " + b'"' * 300_001 + b"\r\n\r\n",
        b"To: " + b"<" * 300_000 + b"\r\n\r\n",
        b"To: " + b"a@b," * 200_000 + b"\r\n\r\n",
        b"To: a@b\r\n" * 20_000 + b"\r\n",
        b"X: y\r\n" * 200_000 + b"\r\n",
        b"\n" * 2_000_000,
        b"Content-Type: message/rfc822\r\n\r\n" * 99 + b"\r\n" * 2_000_000,
        b"Content-Type: multipart/mixed; boundary=" + b"x" * 1_000_000 + b"\r\n\r\n--" + b"x" * 1_000_000,
    ],
    ids=range(14),
)
def test_no_message_takes_long(message: bytes) -> None:
    began = time.process_time()
    parse_structure(message)
    assert time.process_time() - began < 4


# ---------------------------------------------------------------- against Python's own parser


def random_message(dice: random.Random, depth: int) -> EmailMessage:
    message = EmailMessage(policy=email.policy.SMTP)
    message["Subject"] = f"number {dice.randrange(1000)}"
    kind = dice.choice(["text", "html", "binary", "mixed", "message"]) if depth else "text"
    if kind in ("text", "html"):
        message.set_content("line\n" * dice.randrange(5), subtype="plain" if kind == "text" else "html")
    elif kind == "binary":
        message.set_content(dice.randbytes(200), "image", "png", filename="a b.png")
    elif kind == "message":
        message.set_content(random_message(dice, depth - 1))
    else:
        message.make_mixed()
        for _ in range(dice.randrange(1, 4)):
            message.attach(random_message(dice, depth - 1))
    return message


def python_shape(message: email.message.Message) -> object:
    payload = message.get_payload()
    children = [python_shape(part) for part in payload] if isinstance(payload, list) else []
    return (message.get_content_type(), *children) if children else message.get_content_type()


def leaves(part: Part) -> Iterator[Part]:
    if not part.children:
        yield part
    for child in part.children:
        yield from leaves(child)


def test_well_formed_messages_look_as_they_do_to_python() -> None:
    dice = random.Random(11)
    for _ in range(150):
        raw = random_message(dice, 4).as_bytes()
        root = parse_structure(raw)
        message = email.message_from_bytes(raw, policy=email.policy.SMTP)
        assert shape(root) == python_shape(message)
        theirs = [part for part in message.walk() if not part.is_multipart()]
        for part, their in zip(leaves(root), theirs, strict=True):
            payload = their.get_payload()
            assert isinstance(payload, str)
            assert body(raw, part).replace(b"\r\n", b"\n") == payload.replace("\r\n", "\n").encode()


# ---------------------------------------------------------------- sections (RFC 9051 §6.4.5.1)

NESTED = crlf(
    "Subject: top\nContent-Type: multipart/mixed; boundary=x\n\n--x\n\none\n--x\nContent-Type: message/rfc822\nA: b\n\n"
    "Subject: inner\nContent-Type: multipart/mixed; boundary=y\n\n--y\nC: d\n\ninner one\n"
    "--y\n\ninner two\n--y--\n--x\n"
    "Content-Type: message/rfc822\n\nSubject: plain\n\ntext\n--x--\n"
)


@pytest.mark.parametrize(
    ("part", "text", "expected"),
    [
        ((), SectionText.HEADER, b"Subject: top\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\n"),
        ((1,), SectionText.WHOLE, b"one"),
        ((1,), SectionText.MIME, b"\r\n"),
        ((1,), SectionText.HEADER, None),
        ((1,), SectionText.TEXT, None),
        ((1, 1), SectionText.WHOLE, None),
        ((2,), SectionText.MIME, b"Content-Type: message/rfc822\r\nA: b\r\n\r\n"),
        ((2,), SectionText.HEADER, b"Subject: inner\r\nContent-Type: multipart/mixed; boundary=y\r\n\r\n"),
        ((2, 1), SectionText.WHOLE, b"inner one"),
        ((2, 1), SectionText.MIME, b"C: d\r\n\r\n"),
        ((2, 2), SectionText.WHOLE, b"inner two"),
        ((2, 3), SectionText.WHOLE, None),
        ((3,), SectionText.TEXT, b"text"),
        ((3,), SectionText.HEADER, b"Subject: plain\r\n\r\n"),
        ((3, 1), SectionText.WHOLE, b"text"),
        ((3, 1), SectionText.MIME, b"Subject: plain\r\n\r\n"),
        ((3, 1, 1), SectionText.WHOLE, None),
        ((3, 2), SectionText.WHOLE, None),
        ((4,), SectionText.WHOLE, None),
        ((0,), SectionText.WHOLE, None),
    ],
)
def test_sections(part: tuple[int, ...], text: SectionText, expected: bytes | None) -> None:
    span = find_section(parse_structure(NESTED), Section(part, text))
    assert (NESTED[span.start : span.end] if span else None) == expected


def test_whole_message_and_text() -> None:
    root = parse_structure(NESTED)
    whole = find_section(root, Section())
    text = find_section(root, Section(text=SectionText.TEXT))
    assert whole
    assert text
    assert (whole.start, whole.size) == (0, len(NESTED))
    assert NESTED[text.start : text.end].startswith(b"--x\r\n")
    assert find_section(root, Section(text=SectionText.MIME)) is None


def test_a_message_that_is_not_multipart_is_its_own_part_one() -> None:
    message = crlf("Subject: a\n\nbody")
    root = parse_structure(message)
    assert find_part(root, (1,)) is root
    assert find_part(root, (1, 1)) is None
    assert find_part(root, (2,)) is None


def test_a_message_that_is_a_message() -> None:
    message = crlf("Content-Type: message/rfc822\n\nSubject: a\n\nbody")
    root = parse_structure(message)
    assert find_part(root, (1,)) is root
    assert find_part(root, (1, 1)) is root.children[0]


HEADER = b"From: a\r\nX-Fold: b\r\n c\r\nnonsense\r\nfrom : d\r\nTo:\r\n\r\n"


@pytest.mark.parametrize(
    ("names", "leave_out", "expected"),
    [
        (("FROM",), False, b"From: a\r\nfrom : d\r\n\r\n"),
        (("x-fold", "to"), False, b"X-Fold: b\r\n c\r\nTo:\r\n\r\n"),
        (("From", "X-Fold"), True, b"nonsense\r\nTo:\r\n\r\n"),
        (("absent",), False, b"\r\n"),
        (("nonsense", "fro"), False, b"\r\n"),
    ],
)
def test_chosen_fields(names: tuple[str, ...], leave_out: bool, expected: bytes) -> None:
    assert select_fields(HEADER, names, leave_out=leave_out) == expected
