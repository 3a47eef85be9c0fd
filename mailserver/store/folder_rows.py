# SPDX-License-Identifier: MIT
"""Subscriptions, access lists and annotations as rows: what `folder_data.py` promises, over the ORM."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from django.contrib.auth import get_user_model
from django.db import IntegrityError, transaction
from django.db.models import Q, Sum

from mailserver.errors import Kind, MailError
from mailserver.store import statements
from mailserver.store.chunks import in_chunks
from mailserver.store.folder_data import (
    MAX_ANNOTATION_BYTES,
    MAX_ANNOTATIONS,
    MAX_SUBSCRIPTIONS,
    AccessEntry,
    Granted,
    Usage,
)
from mailserver.store.interface import MailboxCounts
from mailserver.store.mailboxes import mailbox_of_row, mailbox_value, owner_key, publish_folders_on_commit
from mailserver.store.models import Annotation, Mailbox, MailboxAccess, Subscription
from mailserver.store.names import check_subscription, is_private
from mailserver.store.picture import FolderPicture
from mailserver.store.values import Mailbox as MailboxValue
from mailserver.values import PUBLIC, MailboxId, UserId


def list_subscriptions(user: UserId) -> frozenset[str]:
    return frozenset(Subscription.objects.filter(user=user).values_list("name", flat=True))


def set_subscribed(user: UserId, name: str, subscribed: bool) -> None:
    check_subscription(name)
    mine = Subscription.objects.filter(user=user)
    with transaction.atomic():
        if not subscribed:
            mine.filter(name=name).delete()
        elif not mine.filter(name=name).exists():
            if mine.count() >= MAX_SUBSCRIPTIONS:
                raise MailError(Kind.LIMIT_REACHED, f"user {user} has {MAX_SUBSCRIPTIONS} subscriptions")
            _insert(Subscription(user_id=user, name=name), f"user {user}")
        publish_folders_on_commit(user)


def subscribe(user: UserId, names: Iterable[str]) -> None:
    """To the folders that a user begins with."""
    rows = [Subscription(user_id=user, name=name) for name in names]
    Subscription.objects.bulk_create(rows, ignore_conflicts=True)
    publish_folders_on_commit(user)


def get_usage(user: UserId) -> Usage:
    rows = Mailbox.objects.filter(user=owner_key(user))
    sums = rows.aggregate(messages=Sum("messages"), size=Sum("size"))
    return Usage(sums["messages"] or 0, sums["size"] or 0)


# ---------------------------------------------------------------- access lists


def list_access(mailboxes: Sequence[MailboxId]) -> dict[MailboxId, tuple[AccessEntry, ...]]:
    columns = MailboxAccess.objects.values_list("mailbox_id", "user_id", "rights", "negative")
    return _gather_access(row for chunk in in_chunks(mailboxes) for row in columns.filter(mailbox__in=chunk))


def _gather_access(rows: Iterable[tuple[Any, ...]]) -> dict[MailboxId, tuple[AccessEntry, ...]]:
    found: dict[MailboxId, list[AccessEntry]] = {}
    for mailbox, user, rights, negative in rows:
        entry = AccessEntry(None if user is None else UserId(user), rights, negative)
        found.setdefault(MailboxId(mailbox), []).append(entry)
    return {mailbox: tuple(sorted(entries, key=_list_order)) for mailbox, entries in found.items()}


def _list_order(entry: AccessEntry) -> tuple[int, bool]:
    return entry.user or 0, entry.negative


def set_access(mailbox: MailboxId, entries: Sequence[AccessEntry]) -> None:
    with transaction.atomic():
        row = Mailbox.objects.select_for_update(no_key=True).filter(pk=mailbox).first()
        if row is None:
            raise MailError(Kind.NOT_FOUND, f"mailbox {mailbox} is gone")
        for entry in entries:
            MailboxAccess.objects.filter(mailbox=mailbox, user=entry.user, negative=entry.negative).delete()
            if entry.rights:
                _insert(
                    MailboxAccess(mailbox_id=mailbox, user_id=entry.user, rights=entry.rights, negative=entry.negative),
                    f"user {entry.user}",
                )
        touched = {UserId(row.user_id or PUBLIC), *(entry.user for entry in entries if entry.user is not None)}
        publish_folders_on_commit(*sorted(touched))


def list_granted(user: UserId) -> list[Granted]:
    concerned = MailboxAccess.objects.filter(Q(user=user) | Q(user=None)).values("mailbox")
    rows = Mailbox.objects.filter(pk__in=concerned).exclude(user=user)
    values = [mailbox_value(row) for row in rows]
    lists = list_access([value.id for value in values])
    return [Granted(value, lists[value.id]) for value in values if value.id in lists]


# ---------------------------------------------------------------- pictures


def read_picture(user: UserId, *, public: bool) -> FolderPicture:
    """Few people have folders of others, so it is three queries as a rule: whose lists concern the user, his own
    mailboxes, his subscriptions."""
    concerned = list({mailbox for (mailbox,) in statements.CONCERNED.read(user)})
    rows = {row[0]: row for row in statements.PICTURED.read_among(concerned) if row[1] != user}
    access = _gather_access(statements.ACCESS.read_among(list(rows)))
    if public:
        rows |= {row[0]: row for row in statements.PICTURED_OF_NOBODY.read()}
    rows |= {row[0]: row for row in statements.PICTURED_OF_USER.read(user)}
    subscriptions = frozenset([name for (name,) in statements.SUBSCRIPTIONS.read(user)])
    return FolderPicture(user, map(_pictured, rows.values()), access, subscriptions)


def _pictured(row: tuple[Any, ...]) -> tuple[MailboxValue, MailboxCounts]:
    return mailbox_of_row(row[:7]), MailboxCounts(*row[7:])


# ---------------------------------------------------------------- annotations


def read_annotations(user: UserId, mailboxes: Sequence[MailboxId | None]) -> dict[MailboxId | None, dict[str, bytes]]:
    found: dict[MailboxId | None, dict[str, bytes]] = {mailbox: {} for mailbox in mailboxes}
    rows = Annotation.objects.filter(Q(user=user) | Q(user=None)).values_list("mailbox_id", "name", "value")
    for chunk in in_chunks([mailbox for mailbox in mailboxes if mailbox is not None]):
        for mailbox, name, value in rows.filter(mailbox__in=chunk):
            found[MailboxId(mailbox)][name] = bytes(value)
    if None in found:
        found[None] = {name: bytes(value) for _, name, value in rows.filter(mailbox=None)}
    return found


def set_annotations(user: UserId, mailbox: MailboxId | None, values: Mapping[str, bytes | None]) -> None:
    for name, value in values.items():
        if value is not None and len(value) > MAX_ANNOTATION_BYTES:
            raise MailError(Kind.TOO_BIG, f"annotation {name} of {len(value)} bytes")
    with transaction.atomic():
        owner = _lock_annotated(mailbox)
        for name, value in values.items():
            holder = user if is_private(name) else None
            Annotation.objects.filter(mailbox=mailbox, user=holder, name=name).delete()
            if value is not None:
                _insert(Annotation(mailbox_id=mailbox, user_id=holder, name=name, value=value), f"user {user}")
        if Annotation.objects.filter(mailbox=mailbox).count() > MAX_ANNOTATIONS and any(
            value is not None for value in values.values()
        ):
            raise MailError(Kind.LIMIT_REACHED, f"mailbox {mailbox} has {MAX_ANNOTATIONS} annotations")
        publish_folders_on_commit(owner)


def _lock_annotated(mailbox: MailboxId | None) -> UserId:
    """One at a time changes the annotations of a mailbox; gives its owner, PUBLIC for the server's."""
    if mailbox is None:
        return PUBLIC
    row = Mailbox.objects.select_for_update(no_key=True).filter(pk=mailbox).first()
    if row is None:
        raise MailError(Kind.NOT_FOUND, f"mailbox {mailbox} is gone")
    return UserId(row.user_id or PUBLIC)


def _insert(row: Subscription | MailboxAccess | Annotation, about: str) -> None:
    """A row whose user or mailbox has just gone raises NOT_FOUND; SQLite would tell only at the commit."""
    user = row.user_id
    try:
        with transaction.atomic():
            row.save(force_insert=True)
    except IntegrityError as error:
        raise MailError(Kind.NOT_FOUND, about) from error
    if user is not None and not _user_exists(user):
        raise MailError(Kind.NOT_FOUND, about)


def _user_exists(user: int) -> bool:
    return get_user_model().objects.filter(pk=user).exists()
