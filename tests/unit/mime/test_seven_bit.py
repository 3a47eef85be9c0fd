# SPDX-License-Identifier: MIT
"""Messages for servers that take only 7 bits: what is encoded, what stays, and what cannot be done."""

from __future__ import annotations

import email
import email.policy
import time
from encodings.aliases import aliases

import pytest

from mailserver.mime import seven_bit
from mailserver.mime.headers import decode_field
from mailserver.mime.seven_bit import CannotConvert, make_seven_bit
from mailserver.mime.seven_bit_header import make_ascii
from mailserver.mime.structure import MAX_DEPTH
from mailserver.mime.transfer import decode_body


def crlf(text: str) -> bytes:
    return text.replace("\n", "\r\n").encode()


def test_plain_text_without_any_mime() -> None:
    assert make_seven_bit(crlf("To: a@b.test\n\nGrüße \n-- \n--x\nplain=\n")) == crlf(
        "To: a@b.test\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: quoted-printable\n"
        "MIME-Version: 1.0\n\nGr=C3=BC=C3=9Fe=20\n=2D-=20\n=2D-x\nplain=3D\n"
    )


@pytest.mark.parametrize(
    ("header", "charset"), [("", "unknown-8bit"), ("Content-Type: text/plain\n", ""), ("content-type: text/html\n", "")]
)
def test_only_text_that_has_no_type_is_given_a_charset(header: str, charset: str) -> None:
    converted = make_seven_bit(crlf(f"{header}\n") + b"Gr\xfc\xdfe")
    assert converted.count(b"charset=") == bool(charset)
    assert f"charset={charset}".encode() in converted or not charset


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
Content-Type: text/plain; charset=utf-8
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
        (crlf("Content-Type: message/external-body; access-type=x\n\nSubject: ü"), "external-body"),
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


def test_a_parameter_that_is_too_long_for_a_line_comes_in_pieces() -> None:
    name = "Ж" * 600
    field = make_ascii(f'Content-Disposition: attachment; size=1;\r\n filename="{name}\r\n .txt"; x=y\r\n'.encode(), "")
    assert field.startswith(b"Content-Disposition: attachment; size=1;\r\n filename*0*=utf-8''%D0%96")
    assert max(map(len, field.splitlines())) < 998
    part = email.message_from_bytes(field + b"\r\n", policy=email.policy.SMTP)
    assert (part.get_filename(), part["Content-Disposition"].params["x"]) == (f"{name} .txt", "y")


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


@pytest.mark.parametrize("charset", sorted({*aliases.values(), "unicode_escape", "raw_unicode_escape"}))
def test_whatever_charset_a_message_names(charset: str) -> None:
    field = b'Content-Type: text/plain; charset=%s; name="\\\\ud800\\ud800 \xff+2AA-"\r\n' % charset.encode()
    assert make_seven_bit(field + b"Subject: \\ud800\\n \xff\r\n\r\nx").isascii()


@pytest.mark.parametrize(
    "text",
    [
        b"ab\r\n" * 60,
        b"\xff" * 400,
        b"a" * 56 + b"\r\n" + b"b" * 300,
        b"a" * 113 + b" \r\n\r\nb",
        b"--" * 100,
        b"a" * 113 + b"\r" + b"\n" * 80,
        b"a" * 57,
        b"a" * 57 + b"\r\n",
    ],
)
def test_parts_are_encoded_block_by_block(text: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seven_bit, "BLOCK_BYTES", 57)
    for kind, encoding in (("text/plain", "quoted-printable"), ("image/png", "base64")):
        message = crlf(f"Content-Type: {kind}; x=ü\n\n") + text + b"\xfc"
        body = make_seven_bit(message).partition(b"\r\n\r\n")[2]
        assert b"".join(decode_body(encoding, [body])) == text + b"\xfc"
        assert all(len(line) <= 76 and not line.startswith(b"--") for line in body.split(b"\r\n"))


@pytest.mark.parametrize(
    ("body", "stays"), [(b"a" * 998 + b"\r\n", True), (b"a" * 999 + b"\r\n", False), (b"\r\n" + b"a" * 1001, False)]
)
def test_lines_that_are_too_long_are_encoded_as_well(body: bytes, stays: bool) -> None:
    assert make_seven_bit(crlf("Subject: ü\n\n") + body).endswith(body) is stays


def test_a_long_line_is_no_reason_to_return_what_is_damaged() -> None:
    body = b"a" * 2000
    assert make_seven_bit(crlf("Subject: ü\nContent-Type: multipart/mixed; boundary=b\n\n") + body).endswith(body)


@pytest.mark.parametrize("beginning", ["X-Long: {}", 'To: "{}', "To: ({}", "To: <{}", "Content-Type: text/plain; a={}"])
@pytest.mark.parametrize("repeated", ["a", '\\"', "\\(", "(", "<", ' "', ";a="])
def test_fields_that_do_not_end_in_reasonable_time(beginning: str, repeated: str) -> None:
    field = f"{beginning.format(repeated * 300_000)} ü\r\n".encode()
    started = time.monotonic()
    make_ascii(field, "")
    assert time.monotonic() - started < 10


def test_a_large_message_in_reasonable_time() -> None:
    message = b"\r\n" + "Grüße an alle, die es hören wollen.\r\n".encode() * 100_000
    started = time.monotonic()
    assert make_seven_bit(message).isascii()
    assert time.monotonic() - started < 10


def test_a_large_attachment_that_is_in_order_costs_next_to_nothing() -> None:
    """The search for long lines looks at few places: it may hold up everything else in the process."""
    attachment = b"QUJD" * 19 + b"\r\n"
    message = crlf("Content-Type: multipart/mixed; boundary=b\n\n--b\n\nü\n--b\nContent-Transfer-Encoding: base64\n\n")
    started = time.monotonic()
    assert make_seven_bit(message + attachment * 400_000).endswith(attachment * 1000)
    assert time.monotonic() - started < 2
