# SPDX-License-Identifier: MIT
"""Mailboxes that want a token instead of a password: signing in, and keeping what came of it.

RFC 6749, RFC 7636, RFC 8628; the requests themselves are made and read by `oauth_messages.py` and sent by
`workers.oauth`. Tokens are sealed. Only the console calls `begin_*` and `receive_code`, only the worker the rest:
what goes to the provider goes by a work row, so the console never waits for somebody else's server.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.db import transaction

from mailserver import clock
from mailserver.connectors import oauth_messages as messages
from mailserver.connectors import sealing
from mailserver.connectors.models import OAuthAccount, OAuthSignIn
from mailserver.connectors.oauth_messages import Application, DeviceCode, Endpoints, FormPost, OAuthRefused, Tokens
from mailserver.errors import InvalidInput, Kind, MailError
from mailserver.work import services as work

SIGN_IN = "oauth-sign-in"
"""The kind of work row that asks for the next step of a sign-in."""
SIGN_IN_SECONDS = 1800
"""How long somebody may take to sign in at the provider, with finding the telephone for the second factor."""
KEEP_DAYS = 7
EARLY_SECONDS = 120
"""A token is renewed so long before it expires: a long collection begins with one that lasts a while."""

State = OAuthSignIn.State
Way = OAuthSignIn.Way


@dataclass(frozen=True, slots=True)
class SignIn:
    """A sign-in for displays."""

    id: int
    account: int
    way: str
    state: str
    text: str
    user_code: str
    verification_url: str
    expires: datetime


@dataclass(frozen=True, slots=True)
class Step:
    """What the worker has to ask the provider for a sign-in, and of which kind the answer will be."""

    account: int
    request: FormPost
    answer_is_code: bool = False
    """A device code (RFC 8628 §3.2), not tokens."""
    asked_again: bool = False
    """One question of many, until the code is typed in or has expired: one that gets no answer ends nothing."""


@dataclass(frozen=True, slots=True)
class TokenState:
    """The token at hand, empty when there is none that lasts, and how to get another, None when nobody signed in."""

    access_token: str = field(repr=False)
    refresh: FormPost | None
    name: str


# ---------------------------------------------------------------- signing in: the console's part


def begin_in_browser(account_id: int, redirect_uri: str) -> tuple[str, str]:
    """Where to send the browser, and the state that it will come back with. Raises InvalidInput, NOT_FOUND.

    The caller remembers the state in the browser's session: an answer that comes by another browser is not ours
    (RFC 6749 §10.12).
    """
    account = _get_account(account_id)
    state, verifier = secrets.token_urlsafe(32), messages.make_verifier()
    try:
        url = messages.authorization_url(
            _endpoints(account), account.client_id, redirect_uri, state, verifier, account.username
        )
    except OAuthRefused as refused:
        raise InvalidInput({"": [str(refused)]}) from None
    now = clock.now()
    with transaction.atomic():
        _forget_old(now)
        OAuthSignIn.objects.create(
            account=account,
            way=Way.BROWSER,
            state=State.PERSON,
            created=now,
            expires=now + timedelta(seconds=SIGN_IN_SECONDS),
            state_digest=_digest(state),
            redirect_uri=redirect_uri,
            secret=sealing.seal(verifier, sealing.OAUTH_REFRESH),
        )
    return url, state


def receive_code(state: str, code: str, error: str = "", description: str = "") -> int:
    """The browser is back with a code, or with the provider's refusal; gives the sign-in's number.

    Each state is good once. Raises NOT_FOUND for one that is not, or no more.
    """
    now = clock.now()
    with transaction.atomic():
        row = (
            OAuthSignIn.objects.select_for_update()
            .filter(state_digest=_digest(state), way=Way.BROWSER, state=State.PERSON, expires__gt=now)
            .first()
        )
        if row is None:
            raise MailError(Kind.NOT_FOUND, "no sign-in waits for this answer")
        if error or not code:
            _end(row, State.FAILED, messages.describe_error(error or "no code", description))
        else:
            row.state = State.WORKER
            row.code = sealing.seal(code, sealing.OAUTH_REFRESH)
            row.save(update_fields=["state", "code"])
            work.request(SIGN_IN, {"sign_in": row.pk})
    return row.pk


def begin_on_device(account_id: int) -> int:
    """For servers that no browser can come back to: a code to type in. Raises InvalidInput, NOT_FOUND."""
    account = _get_account(account_id)
    if not _endpoints(account).device:
        raise InvalidInput({"": ["This provider has no sign-in by code for mailboxes. Sign in in this browser."]})
    now = clock.now()
    with transaction.atomic():
        _forget_old(now)
        row = OAuthSignIn.objects.create(
            account=account,
            way=Way.DEVICE,
            state=State.WORKER,
            created=now,
            expires=now + timedelta(seconds=SIGN_IN_SECONDS),
        )
        work.request(SIGN_IN, {"sign_in": row.pk})
    return row.pk


def can_use_device(account_id: int) -> bool:
    """Whether the provider has a sign-in by code."""
    return bool(_endpoints(_get_account(account_id)).device)


def find_sign_in(account_id: int) -> SignIn | None:
    """The latest of this account, for the page that shows how it goes on."""
    row = OAuthSignIn.objects.filter(account_id=account_id).first()
    if row is None:
        return None
    state, text = row.state, row.text
    if state in (State.PERSON, State.WORKER) and row.expires <= clock.now():
        state, text = State.FAILED, messages.describe_error("expired_token")
    return SignIn(row.pk, account_id, row.way, state, text, row.user_code, row.verification_url, row.expires)


# ---------------------------------------------------------------- signing in: the worker's part


def next_step(sign_in_id: int) -> Step | None:
    """What to ask the provider now; None when there is nothing (any more)."""
    row = OAuthSignIn.objects.select_related("account").filter(pk=sign_in_id, expires__gt=clock.now()).first()
    if row is None or row.state in (State.DONE, State.FAILED):
        return None
    endpoints, application = _endpoints(row.account), _application(row.account)
    secret = sealing.unseal(row.secret, sealing.OAUTH_REFRESH)
    if row.way == Way.BROWSER:
        code = sealing.unseal(row.code, sealing.OAUTH_REFRESH)
        if row.state != State.WORKER or not code:
            return None
        request = messages.code_request(endpoints, application, code, row.redirect_uri, secret)
        return Step(row.account_id, request)
    if not secret:
        return Step(row.account_id, messages.device_request(endpoints, application), answer_is_code=True)
    return Step(row.account_id, messages.device_token_request(endpoints, application, secret), asked_again=True)


def record_device_code(sign_in_id: int, code: DeviceCode) -> None:
    """The person can type it in now; the provider is asked from time to time whether that has happened."""
    now = clock.now()
    with transaction.atomic():
        OAuthSignIn.objects.filter(pk=sign_in_id, state=State.WORKER).update(
            state=State.PERSON,
            secret=sealing.seal(code.device_code, sealing.OAUTH_REFRESH),
            user_code=code.user_code,
            verification_url=code.verification_url,
            interval_seconds=code.interval_seconds,
            expires=now + timedelta(seconds=code.lifetime_seconds),
        )
        _ask_again(sign_in_id, code.interval_seconds)


def record_not_yet(sign_in_id: int, *, slower: bool = False) -> None:
    """RFC 8628 §3.5: nobody has typed it in so far."""
    with transaction.atomic():
        row = OAuthSignIn.objects.select_for_update().filter(pk=sign_in_id, state=State.PERSON).first()
        if row is None:
            return
        if slower:
            row.interval_seconds += messages.SLOW_DOWN_SECONDS
            row.save(update_fields=["interval_seconds"])
        _ask_again(sign_in_id, row.interval_seconds)


def record_signed_in(sign_in_id: int, tokens: Tokens) -> None:
    """The permission is ours. Without a refresh token it would last an hour, so that is a failure."""
    with transaction.atomic():
        row = OAuthSignIn.objects.select_for_update().select_related("account").filter(pk=sign_in_id).first()
        if row is None:
            return
        if not tokens.refresh_token:
            text = "The provider gave no permission that lasts (no refresh token). Check the scopes."
            _end(row, State.FAILED, text)
            return
        store_tokens(row.account_id, tokens)
        _end(row, State.DONE, "")


def record_sign_in_failed(sign_in_id: int, text: str) -> None:
    """It is over; the text says why."""
    with transaction.atomic():
        row = OAuthSignIn.objects.select_for_update().filter(pk=sign_in_id).exclude(state=State.DONE).first()
        if row is not None:
            _end(row, State.FAILED, text)


# ---------------------------------------------------------------- tokens


def read_tokens(account_id: int) -> TokenState:
    """Raises NOT_FOUND for an account that is gone."""
    account = _get_account(account_id)
    usable = account.expires is not None and account.expires > clock.now() + timedelta(seconds=EARLY_SECONDS)
    access = sealing.unseal(account.access_token, sealing.OAUTH_ACCESS) if usable else ""
    refresh_token = sealing.unseal(account.refresh_token, sealing.OAUTH_REFRESH)
    refresh = None
    if refresh_token:
        refresh = messages.refresh_request(_endpoints(account), _application(account), refresh_token)
    return TokenState(access, refresh, account.name)


def store_tokens(account_id: int, tokens: Tokens) -> None:
    """A provider that gives no new refresh token means that the old one stays good (RFC 6749 §6)."""
    values: dict[str, object] = {
        "access_token": sealing.seal(tokens.access_token, sealing.OAUTH_ACCESS),
        "expires": clock.now() + timedelta(seconds=tokens.lifetime_seconds),
        "last_error": "",
    }
    if tokens.refresh_token:
        values["refresh_token"] = sealing.seal(tokens.refresh_token, sealing.OAUTH_REFRESH)
    OAuthAccount.objects.filter(pk=account_id).update(**values)


def record_refresh_failed(account_id: int, text: str) -> None:
    """For the console; the next attempt to use the account tries again."""
    OAuthAccount.objects.filter(pk=account_id).update(last_error=text)


# ---------------------------------------------------------------- inside


def _get_account(account_id: int) -> OAuthAccount:
    account = OAuthAccount.objects.filter(pk=account_id).first()
    if account is None:
        raise MailError(Kind.NOT_FOUND, f"no OAuth2 account {account_id}")
    return account


def _endpoints(account: OAuthAccount) -> Endpoints:
    return messages.choose_endpoints(
        account.provider,
        authorize=account.authorize_url,
        token=account.token_url,
        device=account.device_url,
        scopes=account.scopes,
    )


def _application(account: OAuthAccount) -> Application:
    return Application(account.client_id, sealing.unseal(account.client_secret, sealing.OAUTH_CLIENT))


def _end(row: OAuthSignIn, state: OAuthSignIn.State, text: str) -> None:
    """What was secret of it goes at once."""
    row.state, row.text = state, text
    row.secret = row.code = None
    row.state_digest = ""
    row.save(update_fields=["state", "text", "secret", "code", "state_digest"])


def _ask_again(sign_in_id: int, seconds: int) -> None:
    payload: Mapping[str, object] = {"sign_in": sign_in_id}
    work.request(SIGN_IN, payload, clock.now() + timedelta(seconds=seconds))


def _forget_old(now: datetime) -> None:
    OAuthSignIn.objects.filter(created__lt=now - timedelta(days=KEEP_DAYS)).delete()


def _digest(state: str) -> str:
    return hashlib.sha256(state.encode()).hexdigest()
