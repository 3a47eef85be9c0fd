# SPDX-License-Identifier: MIT
"""Finding users: for whoever needs a row, and for the snapshot."""

from __future__ import annotations

from collections.abc import Iterable

from django.db.models import FilteredRelation, Q

from mailserver.addressing.services import find_domain
from mailserver.config import snapshot
from mailserver.errors import Kind, MailError
from mailserver.users.models import User, all_protocols
from mailserver.values import Address, MailboxId, Protocol, SpecialUse, UserId

KNOWN_PROTOCOLS = frozenset(all_protocols())
QUOTA_MEGABYTE = 1_048_576
"""Spec users 1.6."""


def get_user(user_id: int) -> User:
    """Raises MailError(NOT_FOUND)."""
    user = User.objects.filter(pk=user_id).first()
    if user is None:
        raise MailError(Kind.NOT_FOUND, f"no user {user_id}")
    return user


def login_filter(login: str) -> Q:
    """Users who log in so: by full address, or by name (the one created first wins, design section 3)."""
    text = login.strip().lower()
    if not text.isprintable():
        return Q(pk__in=())  # no database takes a NUL, or half of a surrogate pair
    name, at, domain = text.rpartition("@")
    if not at or domain.isascii():
        return Q(address=text) if at else Q(name=text)
    found = find_domain(domain)
    return Q(name=name, domain=found.pk if found else None)


def find_user(login: str) -> User | None:
    """By full address, or by name: then the one who was created first."""
    return User.objects.filter(login_filter(login)).order_by("pk").first()


def list_users() -> list[User]:
    """Everybody, in the order of creation."""
    return list(User.objects.order_by("pk"))


def has_users() -> bool:
    return User.objects.exists()


def existing_user_ids(user_ids: Iterable[int]) -> frozenset[int]:
    """Those of the ids that are users."""
    return frozenset(User.objects.filter(pk__in=list(user_ids)).values_list("pk", flat=True))


def directory_users() -> list[snapshot.User]:
    """Everybody as the daemons know them, in the order of creation, in one query.

    Raises MailError(INTERNAL) for a user without an Inbox: no function here leaves one.
    """
    inbox = FilteredRelation("mailboxes", condition=Q(mailboxes__special_use=SpecialUse.INBOX.value))
    rows = User.objects.annotate(inbox=inbox).order_by("pk")
    columns = ("id", "name", "domain__name", "inbox__id", "is_active", "is_admin", "allowed_protocols")
    sending = ("max_outgoing_bytes", "may_send_out", "quota_megabytes", "full_name")
    queueing = ("send_priority", "hold_sent_seconds")
    return [_directory_user(*row) for row in rows.values_list(*columns, *sending, *queueing)]


def _directory_user(
    user_id: int,
    name: str,
    domain: str,
    inbox: int | None,
    active: bool,
    admin: bool,
    protocols: Iterable[str],
    max_outgoing_bytes: int,
    may_send_out: bool,
    quota_megabytes: int,
    full_name: str,
    send_priority: int,
    hold_sent_seconds: int,
) -> snapshot.User:
    if inbox is None:
        raise MailError(Kind.INTERNAL, f"the user {name}@{domain} has no Inbox")
    return snapshot.User(
        id=UserId(user_id),
        name=name,
        address=Address(name, domain),
        inbox=MailboxId(inbox),
        active=active,
        admin=admin,
        protocols=frozenset(Protocol(text) for text in protocols if text in KNOWN_PROTOCOLS),
        max_outgoing_bytes=max_outgoing_bytes,
        may_send_out=may_send_out,
        quota_bytes=quota_megabytes * QUOTA_MEGABYTE,
        full_name=full_name,
        send_priority=send_priority,
        hold_sent_seconds=hold_sent_seconds,
    )
