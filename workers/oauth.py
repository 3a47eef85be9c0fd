# SPDX-License-Identifier: MIT
"""Asking authorisation servers: for the next step of a sign-in, and for a fresh token when one is to be used.

Blocks: tasks call it in their own thread, coroutines through `tools.offload`. What the answers mean and where they
are kept is in `mailserver.connectors`.
"""

from __future__ import annotations

import time
from collections.abc import Mapping

from mailserver.connectors import oauth
from mailserver.connectors.oauth_messages import FormPost, OAuthRefused, read_device_code
from mailserver.connectors.oauth_messages import read_tokens as read_token_answer
from mailserver.connectors.values import Credentials
from mailserver.errors import Kind, MailError
from mailserver.leases import services as leases
from protocols.net.https import Unreachable, post_form
from protocols.net.offload import Offload
from protocols.sasl.client import GetToken

LEASE_SECONDS = 60
"""Longer than a request may take. Two refreshes at once are harmful: providers that replace refresh tokens take the
second use of an old one for theft, and revoke everything (RFC 9700 §4.14.2)."""
PAUSE_SECONDS = 0.2

PENDING = "authorization_pending"
SLOW_DOWN = "slow_down"


class NoToken(Exception):
    """The account cannot be used at the moment; the text is a sentence for the administrator."""


def fetch_access_token(account_id: int, refused: str = "") -> str:
    """A token that is good for a while. Raises NoToken, and MailError(NOT_FOUND).

    `refused` is a token that the server has just not liked: it is not given again, however long it should last.
    """
    owner = leases.make_owner()
    name = f"oauth:{account_id}"
    waited = 0.0
    while True:
        state = _read_tokens(account_id)
        if state.access_token and state.access_token != refused:
            return state.access_token
        if state.refresh is None:
            raise NoToken(f"Nobody has signed in for the OAuth2 account {state.name} yet.")
        if leases.acquire(name, owner, LEASE_SECONDS):
            break
        if waited > LEASE_SECONDS:
            raise NoToken(f"The OAuth2 account {state.name} is being renewed by somebody else all the time.")
        time.sleep(PAUSE_SECONDS)
        waited += PAUSE_SECONDS
    try:
        return _refresh(account_id, refused)
    finally:
        leases.release(name, owner)


def token_source(credentials: Credentials, offload: Offload) -> GetToken | None:
    """The same for clients that ask for a token when they need one; None where logging in takes none."""
    account = credentials.oauth
    if account is None:
        return None

    async def get_token(refused: str) -> str:
        return await offload(fetch_access_token, account, refused)

    return get_token


def _read_tokens(account_id: int) -> oauth.TokenState:
    try:
        return oauth.read_tokens(account_id)
    except MailError as error:
        if error.kind is not Kind.INTERNAL:
            raise
        text = "The tokens of an OAuth2 account were stored with another key file and cannot be read. Sign in again."
        raise NoToken(text) from error


def _refresh(account_id: int, refused: str) -> str:
    """Under the lease, with what is stored now: somebody else may just have done it."""
    state = oauth.read_tokens(account_id)
    if state.access_token and state.access_token != refused:
        return state.access_token
    assert state.refresh is not None
    try:
        tokens = read_token_answer(*_post(state.refresh))
    except (OAuthRefused, Unreachable) as error:
        text = f"The token of the OAuth2 account {state.name} could not be renewed. {error}"
        oauth.record_refresh_failed(account_id, text)
        raise NoToken(text) from error
    oauth.store_tokens(account_id, tokens)
    return tokens.access_token


def advance_sign_in(payload: Mapping[str, object]) -> None:
    """A work row: one step of a sign-in. Running twice does no harm: a code that was used is refused, and the state
    that it led to stays."""
    sign_in = int(str(payload["sign_in"]))
    step = oauth.next_step(sign_in)
    if step is None:
        return
    try:
        status, body = _post(step.request)
        if step.answer_is_code:
            oauth.record_device_code(sign_in, read_device_code(status, body))
        else:
            oauth.record_signed_in(sign_in, read_token_answer(status, body))
    except OAuthRefused as refused:
        if refused.error in (PENDING, SLOW_DOWN):
            oauth.record_not_yet(sign_in, slower=refused.error == SLOW_DOWN)
        else:
            oauth.record_sign_in_failed(sign_in, str(refused))
    except Unreachable as error:
        if step.asked_again:
            oauth.record_not_yet(sign_in, slower=True)  # RFC 8628 §3.5
        else:
            oauth.record_sign_in_failed(sign_in, f"{error}.")


def _post(request: FormPost) -> tuple[int, bytes]:
    return post_form(request.url, request.body)
