# SPDX-License-Identifier: MIT
"""OAuth2 accounts on screen: what is typed in, where the browser is sent, and whom the answer is taken from."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import pytest
from django.test import Client

from mailserver.connectors import oauth, sealing
from mailserver.connectors.models import Collector, OAuthAccount, OAuthSignIn
from mailserver.connectors.oauth_messages import DeviceCode, Tokens
from mailserver.users.models import User
from mailserver.work.models import WorkItem
from tests.service.console.forms import messages_of

pytestmark = [pytest.mark.django_db, pytest.mark.database]
LIST, ADD = "/admin/connectors/oauthaccount/", "/admin/connectors/oauthaccount/add/"
CALLBACK = "/admin/oauth/callback/"
TYPED = {
    "name": "Office",
    "provider": "microsoft",
    "username": "office@example.com",
    "client_id": "4711",
    "new_secret": "s3cret",
    "authorize_url": "",
    "token_url": "",
    "device_url": "",
    "scopes": "",
}


@pytest.fixture
def account(browser: Client) -> OAuthAccount:
    assert browser.post(ADD, TYPED).status_code == 302
    return OAuthAccount.objects.get()


def test_the_secret_goes_in_and_never_comes_out(browser: Client, account: OAuthAccount) -> None:
    assert sealing.unseal(account.client_secret, sealing.OAUTH_CLIENT) == "s3cret"
    page = f"{LIST}{account.pk}/change/"
    assert b"s3cret" not in browser.get(page).content
    assert browser.post(page, {**TYPED, "new_secret": "", "scopes": "a b"}).status_code == 302
    account.refresh_from_db()
    assert account.scopes == "a b"
    assert sealing.unseal(account.client_secret, sealing.OAUTH_CLIENT) == "s3cret"


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("name", "", "required"),
        ("client_id", "", "required"),
        ("token_url", "http://example.com/token", "https://"),
        ("authorize_url", "", "is needed here"),
        ("device_url", "http://example.com/device", "https://"),
    ],
)
def test_what_is_wrong_is_said_where_it_is(browser: Client, field: str, value: str, words: str) -> None:
    typed = {
        **TYPED,
        "provider": "other",
        "authorize_url": "https://example.com/authorize",
        "token_url": "https://example.com/token",
        field: value,
    }
    response = browser.post(ADD, typed)
    assert words in " ".join(response.context["adminform"].form.errors[field])
    assert not OAuthAccount.objects.exists()


def test_an_account_in_use_stays(browser: Client, account: OAuthAccount) -> None:
    Collector.objects.create(name="Provider", oauth=account)
    response = browser.post(f"{LIST}{account.pk}/delete/", {"post": "yes"}, follow=True)
    assert "used by Provider" in messages_of(response)
    Collector.objects.all().delete()
    assert browser.post(f"{LIST}{account.pk}/delete/", {"post": "yes"}).status_code == 302
    assert not OAuthAccount.objects.exists()


def _go(browser: Client, account: OAuthAccount) -> dict[str, str]:
    response = browser.post(f"/admin/oauth/{account.pk}/browser/")
    assert response.status_code == 302
    target = urlsplit(response["Location"])
    assert target.hostname == "login.microsoftonline.com"
    return {name: values[0] for name, values in parse_qs(target.query).items()}


def test_to_the_provider_and_back(browser: Client, account: OAuthAccount) -> None:
    sent = _go(browser, account)
    assert sent["redirect_uri"] == f"http://testserver{CALLBACK}"
    assert sent["login_hint"] == "office@example.com"
    assert sent["code_challenge_method"] == "S256"
    assert "offline_access" in sent["scope"]
    response = browser.get(CALLBACK, {"state": sent["state"], "code": "abc"}, follow=True)
    assert "The provider is being asked" in response.content.decode()
    assert WorkItem.objects.get(kind=oauth.SIGN_IN).payload == {"sign_in": OAuthSignIn.objects.get().pk}
    assert b"abc" not in bytes(OAuthSignIn.objects.get().code or b"")
    again = browser.get(CALLBACK, {"state": sent["state"], "code": "abc"}, follow=True)
    assert "Begin again" in messages_of(again)
    assert WorkItem.objects.filter(kind=oauth.SIGN_IN).count() == 1


def test_an_answer_that_another_browser_brings(administrator: User, browser: Client, account: OAuthAccount) -> None:
    """Somebody else's mailbox must not slip in: RFC 6749 §10.12."""
    sent = _go(browser, account)
    other = Client()
    other.force_login(administrator)
    response = other.get(CALLBACK, {"state": sent["state"], "code": "abc"}, follow=True)
    assert "Begin again" in messages_of(response)
    assert not WorkItem.objects.filter(kind=oauth.SIGN_IN).exists()
    for state in ("", "invented", "ümläut"):
        browser.get(CALLBACK, {"state": state, "code": "abc"})
    assert not WorkItem.objects.filter(kind=oauth.SIGN_IN).exists()


def test_nobody_else_gets_there(anna: User, account: OAuthAccount) -> None:
    client = Client()
    client.force_login(anna)
    for page in (f"/admin/oauth/{account.pk}/", f"/admin/oauth/{account.pk}/live/", CALLBACK):
        assert client.get(page)["Location"].startswith("/admin/login/")
    for page in (f"/admin/oauth/{account.pk}/browser/", f"/admin/oauth/{account.pk}/device/"):
        assert client.post(page)["Location"].startswith("/admin/login/")
    assert not OAuthSignIn.objects.exists()


def test_only_a_button_begins(browser: Client, account: OAuthAccount) -> None:
    for way in ("browser", "device"):
        assert browser.get(f"/admin/oauth/{account.pk}/{way}/").status_code == 405


def test_declined(browser: Client, account: OAuthAccount) -> None:
    sent = _go(browser, account)
    response = browser.get(CALLBACK, {"state": sent["state"], "error": "access_denied"}, follow=True)
    assert "It failed. Somebody declined" in response.content.decode()


def test_the_code_to_type_in_is_shown(browser: Client, account: OAuthAccount) -> None:
    assert browser.post(f"/admin/oauth/{account.pk}/device/").status_code == 302
    sign_in = OAuthSignIn.objects.get()
    live = f"/admin/oauth/{account.pk}/live/"
    assert "The provider is being asked" in browser.get(live).content.decode()
    code = DeviceCode("secret", "WDJB-MJHT", "https://example.com/device", 900, 5)
    oauth.record_device_code(sign_in.pk, code)
    shown = browser.get(live).content.decode()
    assert "WDJB-MJHT" in shown
    assert "https://example.com/device" in shown
    oauth.record_signed_in(sign_in.pk, Tokens("access", 3600, "refresh"))
    assert "It worked" in browser.get(live).content.decode()
    assert "Signed in" in browser.get(LIST).content.decode()


def test_google_has_no_codes(browser: Client, account: OAuthAccount) -> None:
    OAuthAccount.objects.update(provider="google")
    assert "does not offer it" in browser.get(f"/admin/oauth/{account.pk}/").content.decode()
    response = browser.post(f"/admin/oauth/{account.pk}/device/", follow=True)
    assert "no sign-in by code" in messages_of(response)


def test_an_account_that_is_gone(browser: Client) -> None:
    assert "not there any more" in messages_of(browser.get("/admin/oauth/99/", follow=True))
    for way in ("browser", "device"):
        assert browser.post(f"/admin/oauth/99/{way}/", follow=True).status_code == 200
