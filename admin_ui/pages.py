# SPDX-License-Identifier: MIT
"""A page of the console as a value: what a view answers, before the site has put its frame around it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse

from mailserver.errors import InvalidInput, Kind, MailError


@dataclass(frozen=True, slots=True)
class Page:
    """A template below `console/`, its title, and what it shows."""

    template: str
    title: str
    context: Mapping[str, Any] = field(default_factory=dict)


PageView = Callable[..., Page | HttpResponse]

EXPLANATIONS: dict[Kind, str] = {
    Kind.NOT_FOUND: "It is not there any more. Somebody else may have deleted it.",
    Kind.EXISTS: "There is already one of this name.",
    Kind.FORBIDDEN: "This is not allowed.",
    Kind.BAD_CREDENTIALS: "The name or the password is wrong.",
    Kind.OVER_QUOTA: "The mailbox is full.",
    Kind.TOO_BIG: "It is too large.",
    Kind.LIMIT_REACHED: "A limit has been reached. Try again later.",
    Kind.IN_USE: "Somebody is using it at the moment. Try again later.",
    Kind.UNAVAILABLE: "The database cannot be reached at the moment. Nothing was changed; try again in a minute.",
    Kind.STORAGE_FULL: "The disk is full. Make room on it, then try again.",
    Kind.INTERNAL: "Something went wrong inside the server. The log file errors.log says what.",
}
"""What each failure of the domain means to the person in front of the screen."""


def explain(error: InvalidInput | MailError) -> list[str]:
    """The failure as sentences."""
    if isinstance(error, MailError):
        return [EXPLANATIONS[error.kind]]
    return [text for texts in error.messages.values() for text in texts]


def tell_refusal(request: HttpRequest, error: InvalidInput | MailError) -> None:
    """Show the failure at the top of the next page."""
    for sentence in explain(error):
        messages.error(request, sentence)
