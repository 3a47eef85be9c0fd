# SPDX-License-Identifier: MIT
"""Servers that take only 7 bits: what they get, and what comes back instead."""

from __future__ import annotations

import email
from collections.abc import Iterator
from email.header import decode_header, make_header
from pathlib import Path

import pytest

from tests.support.queueing import make_queued
from tests.support.remote_smtp import RemoteSmtp
from tests.support.sending import SendingOffice, open_office, replies, statuses

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]

SEVEN_BIT = ("PIPELINING", "SIZE 1000")
GRUESSE = "Subject: Grüße\r\n\r\nGrüße aus Köln\r\n".encode()
SIGNED = (
    b"Content-Type: multipart/signed; boundary=b\r\n\r\n--b\r\n\r\nGr\xc3\xbc\xc3\x9fe\r\n--b\r\n\r\nsig\r\n--b--\r\n"
)


@pytest.fixture
def office(tmp_path: Path) -> Iterator[SendingOffice]:
    with open_office(tmp_path) as opened:
        yield opened


def test_a_server_without_8bitmime_gets_seven_bits(office: SendingOffice) -> None:
    (id_,) = make_queued("a@r.example", data=GRUESSE, eight_bit=True)
    with RemoteSmtp(SEVEN_BIT) as server:
        office.send(office.relay(server.port))
    taken = server.messages[0]
    assert taken.data.isascii()
    assert taken.mail == f"MAIL FROM:<alice@example.test> SIZE={len(taken.data)}"
    read = email.message_from_bytes(taken.data)
    assert read.get_payload(decode=True) == "Grüße aus Köln\r\n".encode()
    assert str(make_header(decode_header(read["Subject"]))) == "Grüße"
    assert statuses([id_]) == ["sent"]


def test_its_size_limit_is_asked_of_what_is_sent(office: SendingOffice) -> None:
    data = b"Subject: x\r\n\r\n" + "ü".encode() * 400
    ids = [
        *make_queued("a@r.example", data=data, eight_bit=True),
        *make_queued("b@r.example", data=b"A: b\r\n\r\n" + b"u" * 900),
    ]
    with RemoteSmtp(SEVEN_BIT) as server:
        office.send(office.relay(server.port))
    assert statuses(ids) == ["failed", "sent"]
    assert replies(ids)[0].startswith("552 5.3.4 ")


def test_what_cannot_be_converted_comes_back(office: SendingOffice) -> None:
    ids = [*make_queued("a@r.example", data=SIGNED, eight_bit=True), *make_queued("b@r.example")]
    with RemoteSmtp(SEVEN_BIT) as server:
        office.send(office.relay(server.port))
    assert statuses(ids) == ["failed", "sent"]
    assert replies(ids)[0].startswith("554 5.6.3 ")
    assert "signed" in replies(ids)[0]


def test_a_signed_message_goes_as_it_is_where_8_bits_are_taken(office: SendingOffice) -> None:
    make_queued("a@r.example", data=SIGNED, eight_bit=True)
    with RemoteSmtp() as server:
        office.send(office.relay(server.port))
    assert server.messages[0].data == SIGNED
