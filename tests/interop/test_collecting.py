# SPDX-License-Identifier: MIT
"""Collecting from Dovecot: what is fetched is filed once, byte for byte, and gone at the provider only then."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mailserver.connectors.values import (
    Credentials,
    Encryption,
    LoginMethod,
    Outcome,
    RemoteServer,
    Routing,
)
from tests.support.catch_all import ROUTING, fill
from tests.support.collecting import CollectingOffice, make_message, open_office
from tests.support.dovecot import PASSWORD, Dovecot

pytestmark = [pytest.mark.interop, pytest.mark.django_db(transaction=True)]


@pytest.fixture(scope="module")
def dovecot() -> Iterator[Dovecot]:
    with Dovecot() as running:
        yield running


@pytest.fixture
def office(tmp_path: Path) -> Iterator[CollectingOffice]:
    with open_office(tmp_path) as opened:
        yield opened


def login(user: str, method: LoginMethod = LoginMethod.AUTOMATIC) -> Credentials:
    return Credentials(method, user, PASSWORD)


@pytest.mark.parametrize(
    ("user", "method", "encryption"),
    [
        ("plain", LoginMethod.PLAIN, Encryption.NONE),
        ("auto", LoginMethod.AUTOMATIC, Encryption.OPPORTUNISTIC),
        ("loginmethod", LoginMethod.LOGIN, Encryption.STARTTLS),
        ("cram", LoginMethod.CRAM_MD5, Encryption.NONE),
        ("tls", LoginMethod.AUTOMATIC, Encryption.TLS),
    ],
)
def test_everything_comes_once(
    dovecot: Dovecot, office: CollectingOffice, user: str, method: LoginMethod, encryption: Encryption
) -> None:
    originals = [make_message(number, size=100_000 if number == 3 else 300) for number in range(1, 30)]
    dovecot.deliver(user, *originals)
    port = dovecot.pop3s_port if encryption is Encryption.TLS else dovecot.pop3_port
    server = RemoteServer("127.0.0.1", port, encryption)
    collector = office.collector(port, credentials=login(user, method), server=server)
    result = office.collect(collector)
    assert (result.outcome, result.text, office.log.notes) == (Outcome.OK, "", [])
    assert office.log.done == 29
    assert dovecot.count(user) == 0
    filed = sorted(office.messages("alice"), key=lambda data: int(data.partition(b"Subject: Message ")[2].split()[0]))
    assert [strip_trace(data) for data in filed] == [strip_trace(original) for original in originals]
    assert all(data.startswith(b"Return-Path: <sender@elsewhere.test>\r\nReceived: from 127.0.0.1") for data in filed)
    assert PASSWORD not in "\n".join(office.log.lines)
    assert office.collect(collector).outcome is Outcome.OK
    assert len(office.messages("alice")) == 29


def strip_trace(data: bytes) -> bytes:
    """Without what this server adds, and without the Return-Path that it moves."""
    return data[data.index(b"Received: from elsewhere.test") :]


def test_left_on_the_server(dovecot: Dovecot, office: CollectingOffice, still_clock: Any) -> None:
    dovecot.deliver("leave", make_message(1), make_message(2))
    collector = office.collector(dovecot.pop3_port, credentials=login("leave"), leave_on_server_days=3)
    office.collect(collector)
    assert (len(office.messages("alice")), dovecot.count("leave")) == (2, 2)
    still_clock.advance(days=2)
    dovecot.deliver("leave", make_message(3))
    office.collect(collector)
    assert (len(office.messages("alice")), dovecot.count("leave")) == (3, 3)
    still_clock.advance(days=1)
    office.collect(collector)
    assert (len(office.messages("alice")), dovecot.count("leave")) == (3, 1)


def test_wrong_password(dovecot: Dovecot, office: CollectingOffice) -> None:
    dovecot.deliver("wrong", make_message(1))
    collector = office.collector(dovecot.pop3_port, credentials=Credentials(LoginMethod.PLAIN, "wrong", "nonsense"))
    result = office.collect(collector)
    assert result.outcome is Outcome.FAILED
    assert result.text.startswith("The login was refused: [AUTH] ")
    assert dovecot.count("wrong") == 1


def test_certificate_that_nobody_vouches_for(dovecot: Dovecot, office: CollectingOffice) -> None:
    server = RemoteServer("127.0.0.1", dovecot.pop3s_port, Encryption.TLS, verify_certificate=True)
    result = office.collect(office.collector(dovecot.pop3s_port, credentials=login("tls"), server=server))
    assert result.outcome is Outcome.FAILED
    assert result.text.startswith("The certificate of 127.0.0.1 port")


def test_sizes_are_asked_for_only_where_needed(dovecot: Dovecot, office: CollectingOffice) -> None:
    from mailserver.config.catalog import FASTEST_POP3
    from mailserver.config.services import set_settings

    set_settings({FASTEST_POP3.name: True})
    dovecot.deliver("sizes", make_message(1), make_message(2, size=5000))
    collector = office.collector(dovecot.pop3_port, Routing(target="bob"), credentials=login("sizes"), max_kilobytes=2)
    office.collect(collector)
    assert "C: LIST" not in office.log.lines
    assert office.subjects("bob")[1:] == ["Message 1"]
    assert dovecot.count("sizes") == 1


def test_catch_all_mailbox_of_three_thousand(dovecot: Dovecot, office: CollectingOffice) -> None:
    """Every kind of header of the table, routed to the right users; each user gets each message once."""
    expected: dict[str, list[str]] = {user: [] for user in office.users}
    messages = []
    for subject, gets, message in fill(3000):
        messages.append(message)
        for user in gets:
            expected[user].append(subject)
    dovecot.deliver("catchall", *messages)
    collector = office.collector(dovecot.pop3_port, ROUTING, credentials=login("catchall"))
    assert office.collect(collector).outcome is Outcome.OK
    assert {user: sorted(office.subjects(user)) for user in office.users} == {
        user: sorted(subjects) for user, subjects in expected.items()
    }
    assert dovecot.count("catchall") == 0
