# SPDX-License-Identifier: MIT
"""The page on which somebody signs in to the provider of an OAuth2 account; the accounts are in `oauth_accounts.py`.

Nothing here speaks to the provider: the browser goes there and comes back with a code, the worker does the rest.
"""

from __future__ import annotations

import hmac
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.views.decorators.http import require_POST

from admin_ui.pages import Page, tell_refusal
from mailserver.connectors import oauth
from mailserver.connectors.models import OAuthAccount
from mailserver.errors import InvalidInput, MailError

STATES = "oauth_states"
"""In the session: the states that this browser was sent out with, and their accounts."""
MAX_STATES = 10
REFRESH_SECONDS = 2


def describe_state(account: OAuthAccount) -> tuple[str, str]:
    """A tone and a word or two."""
    if account.last_error:
        return "wait", "Needs attention"
    return ("ok", "Signed in") if account.refresh_token else ("off", "Not signed in")


def sign_in_page(request: HttpRequest, account: int) -> Page | HttpResponse:
    """How it stands, and the two ways to sign in."""
    row = OAuthAccount.objects.filter(pk=account).first()
    if row is None:
        return _to_the_list(request)
    context = {**_picture(row), "callback": _callback(request), "refresh_seconds": REFRESH_SECONDS}
    return Page("console/oauth_sign_in.html", f"Sign in: {row.name}", context)


def sign_in_fragment(request: HttpRequest, account: int) -> HttpResponse:
    """The part of the page that changes by itself."""
    row = OAuthAccount.objects.filter(pk=account).first()
    context = _picture(row) if row is not None else {}
    return TemplateResponse(request, "console/oauth_sign_in_live.html", context)


@require_POST
def begin_in_browser(request: HttpRequest, account: int) -> HttpResponse:
    """Off to the provider."""
    try:
        url, state = oauth.begin_in_browser(account, _callback(request))
    except (InvalidInput, MailError) as error:
        tell_refusal(request, error)
        return _to_the_page(account)
    states = dict(request.session.get(STATES, {}))
    states[state] = account
    request.session[STATES] = dict(list(states.items())[-MAX_STATES:])
    return HttpResponseRedirect(url)


@require_POST
def begin_on_device(request: HttpRequest, account: int) -> HttpResponse:
    """Ask for a code to type in elsewhere; the page shows it as soon as it is there."""
    try:
        oauth.begin_on_device(account)
    except (InvalidInput, MailError) as error:
        tell_refusal(request, error)
    return _to_the_page(account)


def callback(request: HttpRequest) -> HttpResponse:
    """Back from the provider. Only with a state that this very browser was sent out with (RFC 6749 §10.12)."""
    given = request.GET.get("state", "")
    states: dict[str, int] = dict(request.session.get(STATES, {}))
    known = next((state for state in states if hmac.compare_digest(state.encode(), given.encode())), None)
    if known is None:
        messages.error(request, "This browser has not been asked to sign in, or has been back already. Begin again.")
        return HttpResponseRedirect(reverse("admin:connectors_oauthaccount_changelist"))
    account = states.pop(known)
    request.session[STATES] = states
    try:
        oauth.receive_code(
            known,
            request.GET.get("code", ""),
            request.GET.get("error", ""),
            request.GET.get("error_description", ""),
        )
    except MailError:
        messages.error(request, "It took too long. Begin again.")
    return _to_the_page(account)


def _picture(row: OAuthAccount) -> dict[str, Any]:
    tone, text = describe_state(row)
    return {
        "account": row,
        "tone": tone,
        "state": text,
        "sign_in": oauth.find_sign_in(row.pk),
        "has_device": oauth.can_use_device(row.pk),
    }


def _callback(request: HttpRequest) -> str:
    return request.build_absolute_uri(reverse("admin:oauth-callback"))


def _to_the_page(account: int) -> HttpResponse:
    return HttpResponseRedirect(reverse("admin:oauth-sign-in", args=[account]))


def _to_the_list(request: HttpRequest) -> HttpResponse:
    messages.error(request, "This account is not there any more.")
    return HttpResponseRedirect(reverse("admin:connectors_oauthaccount_changelist"))
