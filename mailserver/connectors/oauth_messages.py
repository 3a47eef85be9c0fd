# SPDX-License-Identifier: MIT
"""What is said to an authorisation server, what its answers mean, and where those of the large providers are.

RFC 6749 §4.1, §6; RFC 7636 (PKCE); RFC 8628 (device codes). Over oauthlib's request builders. No tables, no sockets:
who sends these is in `workers.oauth`, who keeps what came of it in `oauth.py`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from oauthlib.common import urlencode
from oauthlib.oauth2 import DeviceClient, OAuth2Error, WebApplicationClient

DEFAULT_LIFETIME_SECONDS = 3600
"""Of an access token when the answer does not say (RFC 6749 §5.1); what the large providers give."""
DEFAULT_INTERVAL_SECONDS = 5
"""RFC 8628 §3.2."""
SLOW_DOWN_SECONDS = 5
"""RFC 8628 §3.5: so much longer after each `slow_down`."""
LONGEST_DEVICE_SECONDS = 1800
"""Nobody types a code in later than that."""


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Where an authorisation server answers, and what is asked of it. `device` is empty where it has no such thing."""

    authorize: str
    token: str
    device: str
    scopes: str
    extra: Mapping[str, str] = field(default_factory=dict)
    """For the authorisation request."""


_MICROSOFT = "https://login.microsoftonline.com/common/oauth2/v2.0"

PRESETS: Mapping[str, Endpoints] = {
    "microsoft": Endpoints(
        f"{_MICROSOFT}/authorize",
        f"{_MICROSOFT}/token",
        f"{_MICROSOFT}/devicecode",
        "https://outlook.office.com/IMAP.AccessAsUser.All https://outlook.office.com/POP.AccessAsUser.All"
        " https://outlook.office.com/SMTP.Send offline_access",
    ),
    # Google gives refresh tokens only when both are asked for, and its device flow has no permission for mail.
    "google": Endpoints(
        "https://accounts.google.com/o/oauth2/v2/auth",
        "https://oauth2.googleapis.com/token",
        "",
        "https://mail.google.com/",
        {"access_type": "offline", "prompt": "consent"},
    ),
    "other": Endpoints("", "", "", ""),
}
"""By the value of an account's provider."""


@dataclass(frozen=True, slots=True)
class Application:
    """How this installation is known to the provider; a public application has no secret."""

    client_id: str
    client_secret: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class FormPost:
    """A request to send: a form, already encoded, as the body of a POST."""

    url: str
    body: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Tokens:
    """RFC 6749 §5.1. `refresh_token` is empty when the old one stays good."""

    access_token: str = field(repr=False)
    lifetime_seconds: int
    refresh_token: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class DeviceCode:
    """RFC 8628 §3.2: what the person types in, and where."""

    device_code: str = field(repr=False)
    user_code: str
    verification_url: str
    lifetime_seconds: int
    interval_seconds: int


class OAuthRefused(Exception):
    """The authorisation server said no, or said something that is no answer. The text is a sentence for people."""

    def __init__(self, text: str, error: str = "") -> None:
        super().__init__(text)
        self.error = error
        """RFC 6749 §5.2's code, such as `invalid_grant`; empty when there was none."""


def choose_endpoints(provider: str, **own: str) -> Endpoints:
    """The provider's, except where the account has its own (`authorize`, `token`, `device`, `scopes`)."""
    preset = PRESETS[provider]
    return Endpoints(
        own.get("authorize") or preset.authorize,
        own.get("token") or preset.token,
        own.get("device") or preset.device,
        own.get("scopes") or preset.scopes,
        preset.extra,
    )


def make_verifier() -> str:
    """RFC 7636 §4.1: the secret that only whoever began the exchange knows."""
    return str(WebApplicationClient("").create_code_verifier(64))


def authorization_url(
    endpoints: Endpoints, client_id: str, redirect_uri: str, state: str, verifier: str, mailbox: str
) -> str:
    """Where the browser is sent (RFC 6749 §4.1.1, RFC 7636 §4.3). Raises OAuthRefused for an address that is not
    https."""
    client = WebApplicationClient(client_id)
    try:
        return str(
            client.prepare_request_uri(
                endpoints.authorize,
                redirect_uri=redirect_uri,
                scope=endpoints.scopes,
                state=state,
                code_challenge=client.create_code_challenge(verifier, "S256"),
                code_challenge_method="S256",
                login_hint=mailbox,
                **endpoints.extra,
            )
        )
    except (OAuth2Error, ValueError):
        raise OAuthRefused("The provider's authorisation address must begin with https://.") from None


def code_request(
    endpoints: Endpoints, application: Application, code: str, redirect_uri: str, verifier: str
) -> FormPost:
    """RFC 6749 §4.1.3, RFC 7636 §4.5."""
    body = WebApplicationClient(application.client_id).prepare_request_body(
        code=code, redirect_uri=redirect_uri, code_verifier=verifier, **_secret(application)
    )
    return FormPost(endpoints.token, body)


def refresh_request(endpoints: Endpoints, application: Application, refresh_token: str) -> FormPost:
    """RFC 6749 §6. The scopes stay those that were granted."""
    body = WebApplicationClient(application.client_id).prepare_refresh_body(
        refresh_token=refresh_token, client_id=application.client_id, **_secret(application)
    )
    return FormPost(endpoints.token, body)


def device_request(endpoints: Endpoints, application: Application) -> FormPost:
    """RFC 8628 §3.1."""
    fields = {"client_id": application.client_id, "scope": endpoints.scopes, **_secret(application)}
    return FormPost(endpoints.device, urlencode(list(fields.items())))


def device_token_request(endpoints: Endpoints, application: Application, device_code: str) -> FormPost:
    """RFC 8628 §3.4."""
    body = DeviceClient(application.client_id).prepare_request_body(
        device_code, include_client_id=True, **_secret(application)
    )
    return FormPost(endpoints.token, body)


def read_tokens(status: int, body: bytes) -> Tokens:
    """RFC 6749 §5; raises OAuthRefused."""
    answer = _read_answer(status, body)
    access = answer.get("access_token")
    if not isinstance(access, str) or not access:
        raise OAuthRefused(f"The provider answered without a token (HTTP {status}).")
    refresh = answer.get("refresh_token")
    return Tokens(
        access,
        _seconds(answer.get("expires_in"), DEFAULT_LIFETIME_SECONDS),
        refresh if isinstance(refresh, str) else "",
    )


def read_device_code(status: int, body: bytes) -> DeviceCode:
    """RFC 8628 §3.2; raises OAuthRefused."""
    answer = _read_answer(status, body)
    code, user_code = answer.get("device_code"), answer.get("user_code")
    url = answer.get("verification_uri") or answer.get("verification_url")
    if not (isinstance(code, str) and isinstance(user_code, str) and isinstance(url, str)) or not code:
        raise OAuthRefused(f"The provider answered without a code (HTTP {status}).")
    if not url.startswith("https://"):
        raise OAuthRefused("The provider named an address that is not safe to open.")
    return DeviceCode(
        code,
        user_code[:100],
        url[:500],
        min(_seconds(answer.get("expires_in"), 900), LONGEST_DEVICE_SECONDS),
        min(_seconds(answer.get("interval"), DEFAULT_INTERVAL_SECONDS), 60),
    )


def describe_error(error: str, description: str = "") -> str:
    """RFC 6749 §4.1.2.1 and §5.2's codes, RFC 8628 §3.5's, in words; the provider's own words stand behind."""
    sentence = _SENTENCES.get(error, "The provider refused.")
    words = " ".join(f"{error}: {description}".strip(": ").split())[:300]
    return f"{sentence} It says: {words}" if words else sentence


_SENTENCES = {
    "access_denied": "Somebody declined, or the provider does not allow this application to use the mailbox.",
    "invalid_client": "The provider does not know this application: client id or client secret are wrong.",
    "unauthorized_client": "The provider does not allow this application to sign in this way.",
    "invalid_grant": "The permission is no longer good. Sign in again.",
    "invalid_scope": "The provider does not know a permission that is asked for (scopes).",
    "expired_token": "Nobody typed the code in in time. Begin again.",
    "interaction_required": "The provider wants somebody to sign in again.",
    "server_error": "The provider has trouble of its own. Try again later.",
    "temporarily_unavailable": "The provider is busy. Try again later.",
}


def _read_answer(status: int, body: bytes) -> dict[str, Any]:
    try:
        answer = json.loads(body)
    except ValueError:
        raise OAuthRefused(f"The provider's answer cannot be read (HTTP {status}).") from None
    if not isinstance(answer, dict):
        raise OAuthRefused(f"The provider's answer cannot be read (HTTP {status}).")
    error = answer.get("error")
    if error or status != 200:
        code = error if isinstance(error, str) else ""
        raise OAuthRefused(describe_error(code or f"HTTP {status}", str(answer.get("error_description") or "")), code)
    return answer


def _seconds(value: object, default: int) -> int:
    """Some servers write numbers as text."""
    try:
        seconds = int(str(value))
    except ValueError:
        return default
    return seconds if 0 < seconds < 10**8 else default


def _secret(application: Application) -> dict[str, str]:
    return {"client_secret": application.client_secret} if application.client_secret else {}
