# SPDX-License-Identifier: MIT
"""Django's side of logging in: the console accepts a name or a full address, as every protocol does."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.backends import BaseBackend
from django.http import HttpRequest

from mailserver.errors import MailError
from mailserver.users.authenticator import DatabaseAuthenticator
from mailserver.users.models import User
from mailserver.values import Client, Protocol

_authenticator = DatabaseAuthenticator()


class MailUserBackend(BaseBackend):
    """Administrators who may use the web, by their mail password."""

    def authenticate(
        self, request: HttpRequest | None, username: str | None = None, password: str | None = None, **_: Any
    ) -> User | None:
        """None for everybody else; security.log says why."""
        if username is None or password is None:
            return None
        try:
            found = _authenticator.check_password(username, password, _client(request))
        except MailError:
            return None
        return self.get_user(found.id)

    def get_user(self, user_id: int) -> User | None:
        """Asked on each request, so that somebody who is no longer allowed in is out at once."""
        user = User.objects.filter(pk=user_id, is_active=True, is_admin=True).first()
        return user if user and Protocol.WEB.value in user.allowed_protocols else None


def _client(request: HttpRequest | None) -> Client:
    address = request.META.get("REMOTE_ADDR", "") if request else ""
    encrypted = request.is_secure() if request else False
    return Client(Protocol.WEB, service_id=0, session=0, address=address, port=0, encrypted=encrypted)
