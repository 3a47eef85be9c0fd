# SPDX-License-Identifier: MIT
"""Signing in to a provider and using what came of it, against an authorisation server of the tests' own."""

from __future__ import annotations

import threading
import urllib.request
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import parse_qs, urlsplit

import pytest
from django.db import connection

from mailserver.connectors import oauth, sealing
from mailserver.connectors.models import OAuthAccount, OAuthSignIn
from mailserver.errors import InvalidInput, MailError
from mailserver.work.models import WorkItem
from tests.support.certificates import client_context, make_certificate
from tests.support.oauth_server import CLIENT_ID, CLIENT_SECRET, OAuthServer, running_oauth_server
from tests.support.still_clock import StillClock
from workers.oauth import NoToken, fetch_access_token
from workers.work import do_due

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]

CALLBACK = "https://mail.example.test/admin/oauth/callback/"


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[OAuthServer]:
    trusted = tmp_path / "ca.pem"
    trusted.write_text(make_certificate()[0])
    monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
    with running_oauth_server() as running:
        yield running


@pytest.fixture
def account(server: OAuthServer) -> OAuthAccount:
    return OAuthAccount.objects.create(
        name="Office",
        provider="microsoft",
        username=server.mailbox,
        client_id=CLIENT_ID,
        client_secret=sealing.seal(CLIENT_SECRET, sealing.OAUTH_CLIENT),
        authorize_url=server.url("authorize"),
        token_url=server.url("token"),
        device_url=server.url("device"),
    )


class _StayHere(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *args: object, **kwargs: object) -> None:
        return None


def _browse(url: str) -> dict[str, str]:
    """What the provider sends the browser back with."""
    opener = urllib.request.build_opener(urllib.request.HTTPSHandler(context=client_context()), _StayHere)
    with pytest.raises(HTTPError) as answer:
        opener.open(url, timeout=10)
    with answer.value as redirect:
        assert redirect.code == 302
        back = urlsplit(redirect.headers["Location"])
    assert back.geturl().startswith(CALLBACK)
    return {name: values[0] for name, values in parse_qs(back.query).items()}


def _sign_in(account: OAuthAccount) -> None:
    url, state = oauth.begin_in_browser(account.pk, CALLBACK)
    back = _browse(url)
    assert back["state"] == state
    oauth.receive_code(back["state"], back["code"])
    do_due()


def _state(account: OAuthAccount) -> tuple[str, str]:
    found = oauth.find_sign_in(account.pk)
    assert found is not None
    return found.state, found.text


def test_in_the_browser(account: OAuthAccount, server: OAuthServer) -> None:
    assert oauth.find_sign_in(account.pk) is None
    _sign_in(account)
    assert _state(account) == ("done", "")
    token = fetch_access_token(account.pk)
    assert server.is_good(token)
    assert [path for path, _ in server.requests] == ["/token"], "what is at hand is not fetched again"
    row = OAuthSignIn.objects.get()
    assert row.secret is None
    assert row.code is None


def test_what_is_stored_is_sealed(account: OAuthAccount, server: OAuthServer) -> None:
    _sign_in(account)
    token = fetch_access_token(account.pk)
    account.refresh_from_db()
    stored = bytes(account.access_token or b"") + bytes(account.refresh_token or b"")
    assert len(stored) > 60
    for secret in (token, *server.refresh):
        assert secret.encode() not in stored


def test_a_state_is_good_once_and_not_for_ever(account: OAuthAccount, still_clock: StillClock) -> None:
    _, state = oauth.begin_in_browser(account.pk, CALLBACK)
    oauth.receive_code(state, "a code")
    with pytest.raises(MailError):
        oauth.receive_code(state, "another")
    _, state = oauth.begin_in_browser(account.pk, CALLBACK)
    still_clock.advance(seconds=oauth.SIGN_IN_SECONDS + 1)
    with pytest.raises(MailError):
        oauth.receive_code(state, "late")
    with pytest.raises(MailError):
        oauth.receive_code("", "a code")
    with pytest.raises(MailError):
        oauth.receive_code("invented", "a code")
    assert _state(account)[0] == "failed"


def test_the_person_declines(account: OAuthAccount) -> None:
    _, state = oauth.begin_in_browser(account.pk, CALLBACK)
    oauth.receive_code(state, "", "access_denied", "The user said no")
    kind, text = _state(account)
    assert kind == "failed"
    assert "declined" in text
    assert "The user said no" in text
    assert not WorkItem.objects.exists()


def test_a_code_of_somebody_else_is_refused(account: OAuthAccount, server: OAuthServer) -> None:
    """PKCE: the code was made for another verifier."""
    url, _ = oauth.begin_in_browser(account.pk, CALLBACK)
    stolen = _browse(url)["code"]
    _, state = oauth.begin_in_browser(account.pk, CALLBACK)
    oauth.receive_code(state, stolen)
    do_due()
    assert _state(account)[0] == "failed"
    assert "wrong verifier" in _state(account)[1]
    with pytest.raises(NoToken, match="Nobody has signed in"):
        fetch_access_token(account.pk)


def test_a_permission_that_does_not_last_is_none(account: OAuthAccount, server: OAuthServer) -> None:
    server.gives_refresh = False
    _sign_in(account)
    assert _state(account)[0] == "failed"
    assert "refresh token" in _state(account)[1]


def test_with_a_code_on_another_device(account: OAuthAccount, server: OAuthServer, still_clock: StillClock) -> None:
    server.slow_down = 1
    oauth.begin_on_device(account.pk)
    do_due()
    found = oauth.find_sign_in(account.pk)
    assert found is not None
    assert (found.state, found.user_code) == ("person", "WDJB-MJHT")
    assert found.verification_url == "https://example.test/device"
    for wait in (1, 6, 6):  # slow_down adds five seconds
        still_clock.advance(seconds=wait - 0.5)
        do_due()
        still_clock.advance(seconds=0.5)
        do_due()
    assert len([path for path, _ in server.requests if path == "/token"]) == 3
    assert _state(account)[0] == "person"
    server.device_typed = True
    still_clock.advance(seconds=6)
    do_due()
    assert _state(account) == ("done", "")
    assert not WorkItem.objects.exists()


def test_a_question_about_the_code_that_gets_no_answer(
    account: OAuthAccount, server: OAuthServer, still_clock: StillClock
) -> None:
    oauth.begin_on_device(account.pk)
    do_due()
    OAuthAccount.objects.update(token_url="https://127.0.0.1:1/token")
    still_clock.advance(seconds=1)
    do_due()
    assert _state(account) == ("person", "")
    OAuthAccount.objects.update(token_url=server.url("token"))
    server.device_typed = True
    still_clock.advance(seconds=5)
    do_due()
    assert _state(account)[0] == "person", "after no answer it is asked less often"
    still_clock.advance(seconds=1)
    do_due()
    assert _state(account) == ("done", "")


def test_a_code_that_is_declined_or_forgotten(
    account: OAuthAccount, server: OAuthServer, still_clock: StillClock
) -> None:
    oauth.begin_on_device(account.pk)
    do_due()
    server.device_denied = True
    still_clock.advance(seconds=1)
    do_due()
    assert _state(account)[0] == "failed"
    oauth.begin_on_device(account.pk)
    do_due()
    still_clock.advance(seconds=901)
    asked = len(server.requests)
    do_due()
    assert len(server.requests) == asked
    assert _state(account)[0] == "failed"
    assert "in time" in _state(account)[1]
    assert not WorkItem.objects.exists()


def test_google_has_no_code_for_mailboxes(account: OAuthAccount) -> None:
    OAuthAccount.objects.update(provider="google", device_url="")
    with pytest.raises(InvalidInput):
        oauth.begin_on_device(account.pk)


def test_renewed_before_it_expires(account: OAuthAccount, server: OAuthServer, still_clock: StillClock) -> None:
    _sign_in(account)
    first = fetch_access_token(account.pk)
    still_clock.advance(seconds=3600 - oauth.EARLY_SECONDS - 1)
    assert fetch_access_token(account.pk) == first
    still_clock.advance(seconds=2)
    second = fetch_access_token(account.pk)
    assert second != first
    assert server.is_good(second)
    still_clock.advance(hours=1)
    assert fetch_access_token(account.pk) not in (first, second), "the replaced refresh token was kept"


def test_a_provider_that_keeps_the_refresh_token(
    account: OAuthAccount, server: OAuthServer, still_clock: StillClock
) -> None:
    server.replaces_refresh = False
    _sign_in(account)
    for _ in range(3):
        still_clock.advance(hours=2)
        assert server.is_good(fetch_access_token(account.pk))


def test_a_token_that_the_mail_server_refuses(account: OAuthAccount, server: OAuthServer) -> None:
    _sign_in(account)
    first = fetch_access_token(account.pk)
    server.revoke_access()
    second = fetch_access_token(account.pk, refused=first)
    assert second != first
    assert fetch_access_token(account.pk, refused=first) == second


def test_many_at_once_renew_once(account: OAuthAccount, server: OAuthServer) -> None:
    """A provider that replaces refresh tokens takes the second use of an old one for theft."""
    _sign_in(account)
    first = fetch_access_token(account.pk)
    server.arrived.clear()
    server.may_answer.clear()
    found: list[str] = []

    def fetch() -> None:
        try:
            found.append(fetch_access_token(account.pk, refused=first))
        finally:
            connection.close()

    threads = [threading.Thread(target=fetch) for _ in range(5)]
    for thread in threads:
        thread.start()
    assert server.arrived.wait(30)
    server.may_answer.set()
    for thread in threads:
        thread.join()
    assert len(found) == 5
    assert len(set(found)) == 1
    assert server.is_good(found[0])
    assert len([form for _, form in server.requests if form["grant_type"] == "refresh_token"]) == 1


@pytest.mark.parametrize(
    ("status", "body", "text"),
    [
        (
            400,
            b'{"error":"invalid_grant","error_description":"expired"}',
            "Sign in again. It says: invalid_grant: expired",
        ),
        (503, b"<html>busy</html>", "cannot be read (HTTP 503)"),
        (302, b"{}", "HTTP 302"),
        (200, b"[]", "cannot be read"),
        (200, b'{"token_type":"Bearer"}', "without a token"),
        (200, b'{"access_token":7}', "without a token"),
        (200, b'{"error":["a"]}', "refused"),
    ],
)
def test_refusals_are_told_and_leave_the_permission(
    account: OAuthAccount, server: OAuthServer, still_clock: StillClock, status: int, body: bytes, text: str
) -> None:
    _sign_in(account)
    still_clock.advance(hours=1)
    server.answer_next = (status, body)
    with pytest.raises(NoToken) as failure:
        fetch_access_token(account.pk)
    assert text in str(failure.value)
    account.refresh_from_db()
    assert account.last_error == str(failure.value)
    assert server.is_good(fetch_access_token(account.pk)), "the next attempt succeeds"
    account.refresh_from_db()
    assert account.last_error == ""


def test_nobody_there(account: OAuthAccount, still_clock: StillClock) -> None:
    _sign_in(account)
    still_clock.advance(hours=1)
    OAuthAccount.objects.update(token_url="https://127.0.0.1:1/token")
    with pytest.raises(NoToken, match="cannot be reached"):
        fetch_access_token(account.pk)
    OAuthAccount.objects.update(token_url="http://127.0.0.1:1/token")
    with pytest.raises(NoToken, match="https"):
        fetch_access_token(account.pk)


def test_a_certificate_that_nobody_vouches_for(
    account: OAuthAccount, server: OAuthServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, state = oauth.begin_in_browser(account.pk, CALLBACK)
    oauth.receive_code(state, "a code")
    monkeypatch.delenv("SSL_CERT_FILE")
    do_due()
    assert _state(account)[0] == "failed"
    assert "certificate" in _state(account)[1].lower()
    assert server.requests == []


def test_old_sign_ins_are_forgotten(account: OAuthAccount, still_clock: StillClock) -> None:
    oauth.begin_in_browser(account.pk, CALLBACK)
    still_clock.moment += timedelta(days=oauth.KEEP_DAYS, seconds=1)
    oauth.begin_in_browser(account.pk, CALLBACK)
    assert OAuthSignIn.objects.count() == 1
