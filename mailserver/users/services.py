# SPDX-License-Identifier: MIT
"""Creating, changing and removing users; everything that the console, the commands and the import file do to them.

Each function is one transaction. What a person typed wrong raises InvalidInput, by field, in plain words.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction

from mailserver.addressing.services import default_domain, find_domain
from mailserver.config.catalog import MAIN_ADMINISTRATOR, MIN_PASSWORD_LENGTH
from mailserver.config.revision import touch_revision
from mailserver.config.stored import get_setting
from mailserver.errors import InvalidInput, Kind, MailError
from mailserver.store.services import count_messages, create_special_mailboxes, delete_user_mail
from mailserver.users.authenticator import DatabaseAuthenticator
from mailserver.users.finding import (
    KNOWN_PROTOCOLS,
    directory_users,
    existing_user_ids,
    find_user,
    get_user,
    has_users,
    list_users,
)
from mailserver.users.models import NAME_PATTERN, User
from mailserver.users.passwords import (
    NO_PASSWORD,
    Secrets,
    check_strength,
    make_secrets,
    open_recoverable,
    restore_secrets,
)
from mailserver.users.welcome import order_welcome, send_welcome
from mailserver.values import Protocol, UserId

__all__ = [
    "NO_PASSWORD",
    "DatabaseAuthenticator",
    "Secrets",
    "User",
    "check_password_strength",
    "create_user",
    "delete_user",
    "directory_users",
    "existing_user_ids",
    "find_user",
    "get_user",
    "has_users",
    "list_users",
    "make_secrets",
    "open_recoverable",
    "order_welcome",
    "restore_secrets",
    "send_welcome",
    "set_password",
    "update_user",
]

CHANGEABLE = frozenset(
    {
        "full_name",
        "comments",
        "is_active",
        "is_admin",
        "allowed_protocols",
        "max_outgoing_bytes",
        "may_send_out",
        "quota_megabytes",
        "keep_recoverable",
        "send_priority",
        "hold_sent_seconds",
    }
)
"""A name is not among them: it is in every correspondent's address book (spec users 1.1, item 4)."""


def create_user(
    name: str,
    password: str | Secrets,
    *,
    domain: str | None = None,
    send_welcome: bool = False,
    **fields: Any,
) -> User:
    """A new user with the special mailboxes. `fields` are those of CHANGEABLE; `domain` None is the default one.

    `Secrets` instead of a password come from another installation's export; nothing can be checked of them.
    """
    user = User(name=name.strip().lower())
    problems = _choose_address(user, domain) | _set_fields(user, fields)
    if isinstance(password, str):
        problems |= _problems_of(lambda: _check_strength(user, password))
    if problems:
        raise InvalidInput(problems)
    secrets = password if isinstance(password, Secrets) else _make_secrets(user, password)
    _keep_secrets(user, secrets)
    with transaction.atomic():
        _save(user)
        create_special_mailboxes(UserId(user.pk))
        if send_welcome:
            order_welcome(UserId(user.pk))
        touch_revision()
    return user


def update_user(user_id: int, **fields: Any) -> User:
    """Change some of CHANGEABLE. The last administrator who can log in stays one."""
    with transaction.atomic():
        user = _lock_user(user_id)
        problems = _set_fields(user, fields)
        if problems:
            raise InvalidInput(problems)
        if not user.keep_recoverable:
            user.recoverable_secret = None
        if not _may_administer(user):
            _require_another_administrator(user, "is_admin")
        _save(user)
        touch_revision()
    return user


def set_password(user_id: int, password: str | Secrets) -> None:
    """A new password, if it is strong enough. A recoverable form of it is kept only where that is switched on."""
    user = get_user(user_id)
    if isinstance(password, str):
        _check_strength(user, password)
        password = _make_secrets(user, password)
    with transaction.atomic():
        user = _lock_user(user_id)
        _keep_secrets(user, password)
        user.save(update_fields=["password", "scram_verifier", "recoverable_secret"])


def delete_user(user_id: int, *, force: bool = False) -> None:
    """Remove the user and the mailboxes. With messages in them only by `force`: they are gone for good."""
    with transaction.atomic():
        user = _lock_user(user_id)
        _require_another_administrator(user, "")
        if find_user(get_setting(MAIN_ADMINISTRATOR)) == user:
            raise InvalidInput(
                {"": [f"{user.address} is the main administrator. Choose another one in Settings first."]}
            )
        _require_no_rule_of_ones_own(user)
        count = count_messages(UserId(user.pk))
        if count and not force:
            messages = "a message" if count == 1 else f"{count} messages"
            raise InvalidInput({"": [f"{user.address} still has {messages}, which would be deleted too."]})
        delete_user_mail(UserId(user.pk))
        user.delete()
        touch_revision()


def check_password_strength(password: str, *, name: str, address: str) -> None:
    """Raises InvalidInput for a password that a new or existing user of this name may not have."""
    minimum = get_setting(MIN_PASSWORD_LENGTH)
    check_strength(password, name=name, address=address, minimum_length=minimum)


def _choose_address(user: User, domain: str | None) -> dict[str, list[str]]:
    """Set domain and address, also from a name typed as a full address."""
    if domain is None and "@" in user.name:
        user.name, _, domain = user.name.rpartition("@")
    if not re.match(NAME_PATTERN, user.name):
        return {"name": ["Use 1 to 32 letters, digits, dots, dashes or underscores."]}
    found = find_domain(domain or default_domain())
    if found is None:
        return {"domain": [f"{domain} is not a local domain. Add it first." if domain else "Add a domain first."]}
    user.domain = found
    user.address = f"{user.name}@{found.name}"
    return {}


def _set_fields(user: User, fields: Mapping[str, Any]) -> dict[str, list[str]]:
    unknown = sorted(set(fields) - CHANGEABLE)
    if unknown:
        return {field: ["There is no such field, or it cannot be changed."] for field in unknown}
    for field, value in fields.items():
        setattr(user, field, sorted(value) if field == "allowed_protocols" else value)
    wrong = sorted(set(user.allowed_protocols) - KNOWN_PROTOCOLS)
    if wrong:
        return {
            "allowed_protocols": [
                f"There is no protocol {', '.join(wrong)}; there are {', '.join(sorted(KNOWN_PROTOCOLS))}."
            ]
        }
    try:
        user.clean_fields(exclude={"name", "domain", "address", "password"})
    except ValidationError as error:
        return error.message_dict
    return {}


def _save(user: User) -> None:
    if User.objects.filter(name=user.name, domain=user.domain_id).exclude(pk=user.pk).exists():
        raise InvalidInput({"name": [f"There is already a user {user.address}."]})
    user.save()


def _check_strength(user: User, password: str) -> None:
    check_password_strength(password, name=user.name, address=user.address)


def _make_secrets(user: User, password: str) -> Secrets:
    return make_secrets(password, keep_recoverable=user.keep_recoverable)


def _keep_secrets(user: User, secrets: Secrets) -> None:
    user.password = secrets.password_hash
    user.scram_verifier = secrets.scram_verifier
    user.recoverable_secret = secrets.recoverable if user.keep_recoverable else None


def _lock_user(user_id: int) -> User:
    """The user's row, kept still until the transaction ends; raises MailError(NOT_FOUND)."""
    user = User.objects.select_for_update(of=("self",)).filter(pk=user_id).first()
    if user is None:
        raise MailError(Kind.NOT_FOUND, f"no user {user_id}")
    return user


def _may_administer(user: User) -> bool:
    return user.is_active and user.is_admin and Protocol.WEB.value in user.allowed_protocols


def _require_another_administrator(user: User, field: str) -> None:
    """Raises InvalidInput when nobody else could open the console. Administrators are locked in one order."""
    others = User.objects.select_for_update().filter(is_admin=True, is_active=True).exclude(pk=user.pk).order_by("pk")
    was_administrator = User.objects.filter(pk=user.pk, is_admin=True, is_active=True).exists()
    if was_administrator and not any(_may_administer(other) for other in others):
        raise InvalidInput({field: [f"{user.address} is the last administrator. Make somebody else one first."]})


def _require_no_rule_of_ones_own(user: User) -> None:
    """An access rule that names nobody any more would admit everybody."""
    for rule in user.accessrule_set.all():
        if rule.users.count() == 1:
            place = f"of {rule.service.name}" if rule.service else "for all services"
            text = f"An access rule {place} admits only {user.address}. Change it or remove it first."
            raise InvalidInput({"": [text]})


def _problems_of(check: Any) -> dict[str, list[str]]:
    try:
        check()
    except InvalidInput as error:
        return error.messages
    return {}
