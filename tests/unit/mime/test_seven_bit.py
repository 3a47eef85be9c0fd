# SPDX-License-Identifier: MIT
"""Messages for servers that take only 7 bits: what is encoded, what stays, and what cannot be done."""

from __future__ import annotations

import email
import email.policy
import time

import pytest

from mailserver.mime.headers import decode_field
from mailserver.mime.seven_bit import CannotConvert, make_seven_bit
from mailserver.mime.seven_bit_header import make_ascii
from mailserver.mime.structure import MAX_DEPTH


def crlf(text: str) -> bytes:
    return text.replace("\n", "\r\n").encode()


def test_plain_text_without_any_mime() -> None:
    assert make_seven_bit(crlf("To: a@b.test\n\nGrüße \n-- \n--x\nplain=\n")) == crlf(
        "To: a@b.test\nContent-Transfer-Encoding: quoted-printable\nMIME-Version: 1.0\n\n"
        "Gr=C3=BC=C3=9Fe=20\n=2D-=20\n=2D-x\nplain=3D\n"
    )


MIXED = """\
MIME-Version: 1.0
Content-Transfer-Encoding: 8bit
Content-Type: multipart/mixed; boundary=b

Vorspann für alle
--b
Content-Type: text/plain; charset=utf-8
CONTENT-transfer-encoding:
 8bit
X-Kept: yes

Grüße
--b
Content-Transfer-Encoding: 8bit

plain
--b
Content-Type: application/pdf

%PDF ü
--b
Content-Type: message/rfc822

Subject: inside

für dich
--b--
"""
MIXED_IN_SEVEN_BITS = """\
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary=b
Content-Transfer-Encoding: 7bit

Vorspann f??r alle
--b
Content-Type: text/plain; charset=utf-8
X-Kept: yes
Content-Transfer-Encoding: quoted-printable

Gr=C3=BC=C3=9Fe
--b
Content-Transfer-Encoding: 7bit

plain
--b
Content-Type: application/pdf
Content-Transfer-Encoding: base64

JVBERiDDvA==

--b
Content-Type: message/rfc822

Subject: inside
Content-Transfer-Encoding: quoted-printable
MIME-Version: 1.0

f=C3=BCr dich
--b--
"""


def test_only_what_needs_it_is_touched() -> None:
    assert make_seven_bit(crlf(MIXED)) == crlf(MIXED_IN_SEVEN_BITS)


def test_another_reader_finds_the_same() -> None:
    made = email.message.EmailMessage(policy=email.policy.SMTP.clone(cte_type="8bit"))
    made.set_content("Grüße\n\n-- \nJörg\n", cte="8bit")
    made.add_alternative("<p>Grüße</p>\n" * 100, subtype="html", cte="8bit")
    made.add_attachment(bytes(range(256)), "image", "png", filename="grün.png")
    message = made.as_bytes()
    before, after = (
        [part for part in email.message_from_bytes(data, policy=email.policy.SMTP).walk() if not part.is_multipart()]
        for data in (message, make_seven_bit(message))
    )
    assert [part.get_payload(decode=True) for part in after] == [part.get_payload(decode=True) for part in before]
    assert after[-1].get_filename() == "grün.png"


@pytest.mark.parametrize(
    ("encoding", "body", "converted"),
    [
        ("quoted-printable", "a=3D ü", "a=3D =C3=BC"),
        ("base64", "Z\u00fcm9v", "foo"),
    ],
)
def test_eight_bits_in_an_encoding_that_has_none(encoding: str, body: str, converted: str) -> None:
    message = make_seven_bit(f"Content-Transfer-Encoding: {encoding}\r\n\r\n{body}".encode())
    assert message.endswith(f"\r\n\r\n{converted}".encode())


def signed(text: str) -> bytes:
    return crlf(f"Content-Type: multipart/signed; boundary=s\n\n--s\n\n{text}\n--s\n\nsignature\n--s--\n")


@pytest.mark.parametrize(
    ("message", "why"),
    [
        (signed("Grüße"), "signed"),
        (crlf("Content-Type: multipart/mixed; boundary=b\n\n--b\n") + signed("Grüße") + crlf("\n--b--\n"), "signed"),
        (crlf("Content-Type: message/partial; id=1\n\nGrüße"), "piece"),
        (crlf("Content-Transfer-Encoding: x-uuencode\n\nGrüße"), "x-uuencode"),
        (crlf("Content-Type: multipart/mixed; boundary=ü\n\n--ü\n\nGrüße\n--ü--"), "boundary"),
        (crlf("Content-Type: multipart/mixed; boundary=b\n\nGrüße"), "damaged"),
        (crlf("Content-Type: message/rfc822\n\n" * (MAX_DEPTH + 5) + "\nGrüße"), "nested"),
        (crlf("Content-Type: multipart/mixed; boundary=b\n\n" + "--b\n\nü\n" * 25_000), "too many"),
    ],
)
def test_what_cannot_be_converted(message: bytes, why: str) -> None:
    with pytest.raises(CannotConvert, match=why):
        make_seven_bit(message)


def test_a_signed_part_in_order_stays_byte_for_byte() -> None:
    part = signed("plain \nContent-Transfer-Encoding: 8bit")
    message = crlf("Content-Type: multipart/mixed; boundary=b\n\n--b\n") + part + crlf("\n--b\n\nü\n--b--\n")
    assert part in make_seven_bit(message)


@pytest.mark.parametrize(
    ("field", "converted"),
    [
        ("Subject: plain", "Subject: plain"),
        ("Subject: say Grüße aus Köln now", "Subject: say =?utf-8?b?R3LDvMOfZSBhdXMgS8O2bG4=?= now"),
        ("Subject: one\r\n fold ü\r\n two", "Subject: one\r\n fold =?utf-8?b?w7w=?=\r\n two"),
        ("X-Note:ü", "X-Note:=?utf-8?b?w7w=?="),
        ("From: Jörg Ö <a@b.test>", "From: =?utf-8?b?SsO2cmcgw5Y=?= <a@b.test>"),
        ('From: "Ö \\"x\\""<a@b.test>', "From: =?utf-8?b?w5YgIngi?= <a@b.test>"),
        ("Cc: x <a@b.test>,\r\n ü <c@d.test>", "Cc: x <a@b.test>,\r\n =?utf-8?b?w7w=?= <c@d.test>"),
        ("Cc: Büro: a@b.test (für x);", "Cc: =?utf-8?b?QsO8cm8=?=: a@b.test (=?utf-8?b?ZsO8ciB4?=);"),
        ("Content-Type: text/plain; name=ü", "Content-Type: text/plain;\r\n name*=utf-8''%C3%BC"),
    ],
)
def test_fields(field: str, converted: str) -> None:
    for end in ("\r\n", ""):
        assert make_ascii((field + end).encode(), "") == (converted + end).encode("ascii")
    assert make_ascii(field.encode("latin-1"), "") == converted.encode("ascii")


@pytest.mark.parametrize(
    "field", ["To: jörg@x.test", 'To: "jörg"@x.test', "To: <jörg@x.test>", "Received: from ü", "Nämé: x", "no field ü"]
)
def test_fields_without_a_form_in_ascii_stay(field: str) -> None:
    assert make_ascii(field.encode(), "") == field.encode()


@pytest.mark.parametrize(
    ("charset", "text"),
    [("windows-1251", "Привет"), ("koi8-r", "Привет"), ("utf-16", "Ðò"), ("no-such", "Ðò"), ("a\0b", "Ðò")],
)
def test_the_charset_of_the_text_is_that_of_the_header(charset: str, text: str) -> None:
    raw = text.encode(charset if charset in ("windows-1251", "koi8-r") else "latin-1")
    message = b"Subject: " + raw + b"\r\nContent-Type: text/plain; charset=" + charset.encode() + b"\r\n\r\nx\r\n"
    subject = make_seven_bit(message).partition(b"\r\n")[0].removeprefix(b"Subject: ")
    assert decode_field(subject) == text


def test_a_large_message_in_reasonable_time() -> None:
    message = b"\r\n" + "Grüße an alle, die es hören wollen.\r\n".encode() * 100_000
    started = time.monotonic()
    assert make_seven_bit(message).isascii()
    assert time.monotonic() - started < 10
