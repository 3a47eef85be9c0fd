# SPDX-License-Identifier: MIT
"""Reports, read back with the standard library: three parts, every field, and the remote's exact words."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from email.message import EmailMessage, Message
from email.policy import default

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailserver.outqueue.explanations import explain
from mailserver.outqueue.outcome import Action
from mailserver.outqueue.report import Original, Report, ReportedOne, compose, decode_xtext, needs_utf8
from mailserver.values import Address

NOW = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
HEADER = b"From: anna@office.example\r\nSubject: Prices\r\nMessage-ID: <1@office.example>\r\n"
NOBODY = ReportedOne(
    Address("bob", "far.example"),
    original_recipient="rfc822;bob+2Bx@far.example",
    reply="550-5.1.1 <bob@far.example>: no such user\n550 5.1.1 Ask postmaster@far.example",
    status="5.1.1",
    server="mx.far.example",
    remote=True,
    tried=NOW - timedelta(minutes=1),
)
ORIGINAL = Original(
    ref="01ORIGINAL",
    sender=Address("anna", "office.example"),
    subject="Prices",
    message_id="<1@office.example>",
    queued=NOW - timedelta(hours=4),
    header=HEADER,
    envelope_id="QQ+3D17",
)
REPORT = Report("01REPORT", Action.FAILED, ORIGINAL, (NOBODY,), "mail.office.example", "office.example", NOW)


def write(report: Report = REPORT, whole: Iterable[bytes] | None = None) -> EmailMessage:
    data = b"".join(compose(report, whole))
    assert data.count(b"\n") == data.count(b"\r\n") == data.count(b"\r")
    assert all(len(line) <= 998 for line in data.split(b"\r\n"))
    parsed = message_from_bytes(data, policy=default)
    assert isinstance(parsed, EmailMessage)
    assert not [part.defects for part in parsed.walk() if part.defects]
    return parsed


def parts(message: EmailMessage) -> tuple[str, list[Message], EmailMessage]:
    """The text, the groups of fields, and the third part."""
    text, status, original = message.iter_parts()
    groups = status.get_payload()
    assert isinstance(groups, list)
    return text.get_content(), groups, original  # type: ignore[return-value]


def test_header() -> None:
    message = write()
    assert message.get_content_type() == "multipart/report"
    assert message.get_param("report-type") == "delivery-status"
    assert message["From"].addresses[0].addr_spec == "postmaster@office.example"
    assert message["To"].addresses[0].addr_spec == "anna@office.example"
    assert message["Subject"] == "Not delivered: Prices"
    assert message["Auto-Submitted"] == "auto-replied"
    assert message["In-Reply-To"] == message["References"] == "<1@office.example>"
    assert message["Message-ID"] == "<01REPORT@office.example>"
    assert message["Date"].datetime == NOW


def test_words_for_people() -> None:
    text, _, _ = parts(write())
    assert "Your message could not be delivered to this recipient." in text
    assert "<bob@far.example>" in text
    assert "There is no such address." in text
    assert "The server mx.far.example said:" in text
    for line in NOBODY.reply.splitlines():
        assert line in text
    assert "Your message: Prices" in text
    assert "Sent: 02 Mar 2026, 05:30 (UTC)" in text
    text, _, _ = parts(write(replace(REPORT, zone="Asia/Tokyo")))
    assert "Sent: 02 Mar 2026, 14:30 (Asia/Tokyo)" in text
    assert "01ORIGINAL" in text


def test_fields_for_programs() -> None:
    _, (about, one), _ = parts(write())
    assert dict(about.items()) == {
        "Original-Envelope-Id": "QQ=17",
        "Reporting-MTA": "dns; mail.office.example",
        "Arrival-Date": "Mon, 02 Mar 2026 05:30:00 +0000",
    }
    assert one["Original-Recipient"] == "rfc822; bob+x@far.example"
    assert one["Final-Recipient"] == "rfc822; bob@far.example"
    assert (one["Action"], one["Status"]) == ("failed", "5.1.1")
    assert one["Remote-MTA"] == "dns; mx.far.example"
    assert "".join(one["Diagnostic-Code"].splitlines()) == "smtp; " + NOBODY.reply.replace("\n", " ")
    assert one["Last-Attempt-Date"] == "Mon, 02 Mar 2026 09:29:00 +0000"
    assert one["Final-Log-ID"] == "01ORIGINAL"
    assert one["Will-Retry-Until"] is None


def test_header_comes_back() -> None:
    _, _, original = parts(write())
    assert original.get_content_type() == "text/rfc822-headers"
    assert original.get_payload(decode=True) == HEADER


@pytest.mark.parametrize("ending", [b"", b"\r\n"])
def test_whole_message_comes_back(ending: bytes) -> None:
    message = HEADER + b"\r\nHello" + ending
    _, _, original = parts(write(whole=[message[:20], b"", message[20:]]))
    assert original.get_content_type() == "message/rfc822"
    (returned,) = original.iter_parts()
    assert returned["Subject"] == "Prices"
    assert returned.get_payload().rstrip() == "Hello"  # type: ignore[union-attr]


def test_given_up() -> None:
    one = replace(NOBODY, reply="451 4.4.1 mx.far.example does not answer", status="4.4.1", remote=False, given_up=True)
    text, (_, fields), _ = parts(write(replace(REPORT, recipients=(one,))))
    assert "For 4 hours it could not be passed on." in text
    assert "What happened:" in text
    assert (fields["Status"], fields["Remote-MTA"]) == ("5.4.1", None)
    assert fields["Diagnostic-Code"] == "X-Pillarbox; 451 4.4.1 mx.far.example does not answer"
    _, (_, fields), _ = parts(write(replace(REPORT, recipients=(replace(one, status=""),))))
    assert fields["Status"] == "5.4.7"


def test_delay() -> None:
    one = replace(NOBODY, reply="450 Busy", status="")
    expires = NOW + timedelta(hours=68)
    message = write(replace(REPORT, action=Action.DELAYED, recipients=(one,), expires=expires))
    text, (_, fields), _ = parts(message)
    assert message["Subject"] == "Delayed: Prices"
    assert "for another 68 hours at most" in text
    assert (fields["Action"], fields["Status"]) == ("delayed", "4.0.0")
    assert fields["Will-Retry-Until"] == "Thu, 05 Mar 2026 05:30:00 +0000"


def test_success() -> None:
    one = replace(NOBODY, reply="250 2.6.0 Queued", status="2.6.0")
    message = write(replace(REPORT, action=Action.RELAYED, recipients=(one,)))
    text, (_, fields), _ = parts(message)
    assert "passed on for this recipient to a server that cannot tell" in text
    assert (fields["Action"], fields["Status"]) == ("relayed", "2.6.0")


def test_several_recipients() -> None:
    other = ReportedOne(Address("odd name", "far.example"), reply="An administrator deleted it.", status="5.0.0")
    text, groups, _ = parts(write(replace(REPORT, recipients=(NOBODY, other))))
    assert "these 2 recipients" in text
    assert [group["Final-Recipient"] for group in groups[1:]] == [
        "rfc822; bob@far.example",
        'rfc822; "odd name"@far.example',
    ]


def test_addresses_and_headers_beyond_ascii() -> None:
    header = "Subject: Grüße\r\n".encode()
    original = replace(
        ORIGINAL, sender=Address("bjørn", "office.example"), subject="Grüße", header=header, smtputf8=True
    )
    one = replace(
        NOBODY, address=Address("søren", "far.example"), reply="550 Üngültig", status="", original_recipient=""
    )
    report = replace(REPORT, original=original, recipients=(one,))
    assert needs_utf8(report)
    assert not needs_utf8(REPORT)
    message = write(report)
    head = b"".join(compose(report)).decode().partition("\r\n\r\n")[0]
    assert "To: bjørn@office.example\r\n" in head
    assert "Subject: Not delivered: Grüße\r\n" in head
    text, (_, fields), third = parts(message)
    assert "<søren@far.example>" in text
    assert "550 Üngültig" in text
    assert fields["Final-Recipient"] == r"utf-8; s\x{F8}ren@far.example"
    assert fields["Diagnostic-Code"] == r"smtp; 550 \xdcng\xfcltig"
    assert (third.get_content_type(), third["Content-Transfer-Encoding"]) == ("message/global-headers", "8bit")


def test_message_without_subject_or_header() -> None:
    message = write(replace(REPORT, original=replace(ORIGINAL, subject="", message_id="nonsense", header=b"")))
    assert message["Subject"] == "Not delivered: (no subject)"
    assert message["In-Reply-To"] is None


@pytest.mark.parametrize(("text", "plain"), [("a+2Bb", "a+b"), ("+", "+"), ("+G1", "+G1"), ("+0D+0Ax", "x"), ("", "")])
def test_xtext(text: str, plain: str) -> None:
    assert decode_xtext(text) == plain


def test_every_explanation_is_a_sentence() -> None:
    assert explain("5.1.1").startswith("There is no such address")
    assert explain("5.7.99") == explain("5.7.0") != ""
    assert explain("5.0.0") == explain("") == explain("5") == ""


ANY = st.text(max_size=60)
REPLIES = st.lists(st.text(max_size=1200), max_size=4).map("\n".join)


@given(ANY, REPLIES, ANY, ANY, st.sampled_from(Action), st.binary(max_size=50))
def test_nothing_that_a_peer_says_spoils_the_report(
    subject: str, reply: str, envelope_id: str, server: str, action: Action, extra: bytes
) -> None:
    """No line of theirs becomes a field of ours, and everything can be read back."""
    header = b"Subject: x\r\nX-Odd: " + extra.translate(None, b"\r\n") + b"\r\n"
    original = replace(ORIGINAL, subject=subject, envelope_id=envelope_id, header=header, eight_bit=True)
    one = replace(NOBODY, reply=reply, server=server, original_recipient=f"rfc822;{envelope_id}")
    data = b"".join(compose(replace(REPORT, action=action, original=original, recipients=(one, one))))
    parsed = message_from_bytes(data, policy=default)
    assert isinstance(parsed, EmailMessage)
    text, status, third = parsed.iter_parts()
    assert text.get_content_type() == "text/plain"
    groups = status.get_payload()
    assert isinstance(groups, list)
    assert [group["Action"] for group in groups] == [None, action.value, action.value]
    allowed = {"original-envelope-id", "reporting-mta", "arrival-date"}
    assert {name.lower() for name in groups[0]} <= allowed
    assert third.get_content_type() == "text/rfc822-headers"
    assert set(parsed.keys()) == {
        "From", "To", "Subject", "Date", "Message-ID", "Auto-Submitted", "In-Reply-To", "References", "MIME-Version",
        "Content-Type",
    }  # fmt: skip
