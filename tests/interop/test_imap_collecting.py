# SPDX-License-Identifier: MIT
"""Collecting from Dovecot by IMAP4: with and without TLS, by every log-in, from folders, with tokens, and its IDLE."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mailserver.connectors import oauth, sealing
from mailserver.connectors.models import OAuthAccount
from mailserver.connectors.oauth_messages import read_tokens
from mailserver.connectors.values import (
    CollectMethod,
    CollectorSettings,
    Credentials,
    Encryption,
    LoginMethod,
    Outcome,
    RemoteServer,
)
from protocols.imap.client import ImapClient
from tests.support.certificates import make_certificate
from tests.support.collecting import CollectingOffice, make_message, open_office
from tests.support.dovecot import PASSWORD, Dovecot
from tests.support.oauth_server import CLIENT_ID, CLIENT_SECRET, OAuthServer, running_oauth_server

pytestmark = [pytest.mark.interop, pytest.mark.django_db(transaction=True)]


@pytest.fixture(scope="module")
def provider() -> Iterator[OAuthServer]:
    with running_oauth_server() as running:
        yield running


@pytest.fixture(scope="module")
def dovecot(provider: OAuthServer) -> Iterator[Dovecot]:
    with Dovecot(provider.introspection_url) as running:
        yield running


@pytest.fixture
def office(tmp_path: Path) -> Iterator[CollectingOffice]:
    with open_office(tmp_path) as opened:
        yield opened


def collector(
    office: CollectingOffice,
    dovecot: Dovecot,
    user: str,
    login: LoginMethod = LoginMethod.AUTOMATIC,
    encryption: Encryption = Encryption.NONE,
    **changes: Any,
) -> CollectorSettings:
    port = dovecot.imaps_port if encryption is Encryption.TLS else dovecot.imap_port
    if changes.get("method") is CollectMethod.POP3:
        port = dovecot.pop3s_port
    values: dict[str, Any] = {
        "method": CollectMethod.IMAP,
        "credentials": Credentials(login, user, PASSWORD),
        "server": RemoteServer("127.0.0.1", port, encryption),
        **changes,
    }
    return office.collector(port, **values)


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
    originals = [make_message(number, size=300_000 if number % 50 == 3 else 300) for number in range(1, 251)]
    dovecot.deliver(user, *originals)
    settings = collector(office, dovecot, user, method, encryption)
    result = office.collect(settings)
    assert (result.outcome, result.text, office.log.notes) == (Outcome.OK, "", [])
    assert office.log.done == 250
    assert dovecot.count(user) == 0
    filed = sorted(office.messages("alice"), key=lambda data: int(data.partition(b"Subject: Message ")[2].split()[0]))
    assert [_strip_trace(data) for data in filed] == [_strip_trace(original) for original in originals]
    assert PASSWORD not in "\n".join(office.log.lines)
    assert office.collect(settings).outcome is Outcome.OK
    assert len(office.messages("alice")) == 250


def _strip_trace(data: bytes) -> bytes:
    """Without what this server adds, and without the Return-Path that it moves."""
    return data[data.index(b"Received: from elsewhere.test") :]


def test_folders_and_moving(dovecot: Dovecot, office: CollectingOffice) -> None:
    dovecot.deliver("folders", make_message(1))
    dovecot.deliver("folders", make_message(2), make_message(3), folder="Entw&APw-rfe")
    settings = collector(
        office, dovecot, "folders", folders=("INBOX", "Entwürfe"), after="move", move_to="Collected/2026"
    )
    assert office.collect(settings).outcome is Outcome.OK
    assert sorted(office.subjects("alice")) == ["Message 1", "Message 2", "Message 3"]
    assert (dovecot.count("folders"), dovecot.count("folders", "Entw&APw-rfe")) == (0, 0)
    assert dovecot.count("folders", "Collected.2026") == 3
    missing = office.collect(collector(office, dovecot, "folders", folders=("Nowhere",)))
    assert missing.outcome is Outcome.FAILED
    assert "Entwürfe" in missing.text


def test_left_there_and_numbered_anew(dovecot: Dovecot, office: CollectingOffice) -> None:
    dovecot.deliver("renumbered", make_message(1), make_message(2))
    settings = collector(office, dovecot, "renumbered", after="keep", detect_duplicates=False)
    assert office.collect(settings).outcome is Outcome.OK
    (dovecot.folder / "mail" / "renumbered" / "dovecot-uidlist").unlink()
    for index in (dovecot.folder / "mail" / "renumbered").glob("dovecot.index*"):
        index.unlink()
    dovecot.deliver("renumbered", make_message(3))
    result = office.collect(settings)
    assert result.outcome is Outcome.OK
    assert office.subjects("alice") == ["Message 1", "Message 2", "Message 3"]
    assert dovecot.count("renumbered") == 3


@pytest.mark.parametrize("way", [CollectMethod.IMAP, CollectMethod.POP3])
@pytest.mark.parametrize("method", [LoginMethod.XOAUTH2, LoginMethod.OAUTHBEARER])
def test_with_tokens(
    dovecot: Dovecot,
    provider: OAuthServer,
    office: CollectingOffice,
    method: LoginMethod,
    way: CollectMethod,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A token that the server does not like any more is renewed, and the run goes on."""
    trusted = tmp_path / "ca.pem"
    trusted.write_text(make_certificate()[0])
    monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
    provider.mailbox = user = f"{method.value}-{way.value}"
    account = OAuthAccount.objects.create(
        name="Office",
        username=user,
        client_id=CLIENT_ID,
        client_secret=sealing.seal(CLIENT_SECRET, sealing.OAUTH_CLIENT),
        token_url=provider.url("token"),
    )
    provider.refresh.add(f"given-{user}")
    answer = json.dumps({"access_token": "stale", "refresh_token": f"given-{user}"})
    oauth.store_tokens(account.pk, read_tokens(200, answer.encode()))
    dovecot.deliver(user, make_message(1))
    credentials = Credentials(method, user, oauth=account.pk)
    settings = collector(office, dovecot, user, method, Encryption.TLS, credentials=credentials, method=way)
    result = office.collect(settings)
    assert result.outcome is Outcome.OK, result.text
    assert office.subjects("alice") == ["Message 1"]
    provider.refresh.clear()
    provider.revoke_access()
    result = office.collect(settings)
    assert result.outcome is Outcome.FAILED
    assert "Sign in again" in result.text


async def test_it_tells_of_news(dovecot: Dovecot) -> None:
    dovecot.deliver("idle", make_message(1))
    client = await ImapClient.connect(RemoteServer("127.0.0.1", dovecot.imap_port), lambda line: None)
    await client.login(Credentials(LoginMethod.AUTOMATIC, "idle", PASSWORD))
    assert (await client.select("INBOX")).exists == 1
    waiting = asyncio.create_task(client.wait_for_news())
    await asyncio.to_thread(dovecot.deliver, "idle", make_message(2))
    async with asyncio.timeout(60):
        assert await waiting
    await client.logout()
