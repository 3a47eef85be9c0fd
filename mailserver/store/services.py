# SPDX-License-Identifier: MIT
"""What other areas ask of the store beside messages: a new user's mailboxes, the end of a user's mail, totals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from django.db import transaction
from django.db.models import Sum

from mailserver.errors import InvalidInput
from mailserver.store import folder_rows, mailboxes
from mailserver.store.folder_data import AccessEntry
from mailserver.store.interface import Mailbox as MailboxValue
from mailserver.store.models import Mailbox
from mailserver.store.names import SEPARATOR, normal_name
from mailserver.values import PUBLIC, SPECIAL_MAILBOXES, MailboxId, UserId


@dataclass(frozen=True, slots=True)
class Totals:
    """Messages and their bytes; one that several mailboxes have counts in each."""

    messages: int = 0
    unseen: int = 0
    size: int = 0


@transaction.atomic
def create_special_mailboxes(user: UserId) -> list[MailboxValue]:
    """The folders that every user has, Inbox first, subscribed; those that are there already stay.

    Part of creating a user.
    """
    existing = {mailbox.name: mailbox for mailbox in mailboxes.list_mailboxes(user)}
    missing = {name: use for name, use in SPECIAL_MAILBOXES if name not in existing}
    if missing:
        existing |= {mailbox.name: mailbox for mailbox in mailboxes.create_mailboxes(user, missing)}
        folder_rows.subscribe(user, missing)
    return [existing[name] for name, _ in SPECIAL_MAILBOXES]


@transaction.atomic
def delete_user_mail(user: UserId) -> None:
    """All mailboxes of a user who is about to be deleted, with their entries, held ones too.

    Contents that nobody else has are collected later by housekeeping.
    """
    rows = Mailbox.objects.select_for_update().filter(user_id=user).order_by("id")
    Mailbox.objects.filter(id__in=[row.pk for row in rows]).delete()


def find_or_make_folder(user: UserId, name: str) -> tuple[MailboxValue, bool]:
    """The folder, PUBLIC's too, and whether it is new; levels above it that are missing are made. Raises FORBIDDEN."""
    name = normal_name(name)
    existing = {mailbox.name: mailbox for mailbox in mailboxes.list_mailboxes(user)}
    found = existing.get(name)
    if found is not None:
        return found, False
    levels = name.split(SEPARATOR)
    for depth in range(1, len(levels) + 1):
        level = SEPARATOR.join(levels[:depth])
        found = existing.get(level) or mailboxes.create_mailbox(user, level)
    assert found is not None
    return found, True


def list_public_folders() -> list[tuple[MailboxValue, tuple[AccessEntry, ...]]]:
    """By name, each with its access list."""
    return _with_access(mailboxes.list_mailboxes(PUBLIC))


def list_shared_folders() -> list[tuple[MailboxValue, tuple[AccessEntry, ...]]]:
    """Users' folders with an access list, by owner and name."""
    rows = Mailbox.objects.filter(access__isnull=False).exclude(user=None).distinct().order_by("user", "name")
    return _with_access([mailboxes.mailbox_value(row) for row in rows])


def _with_access(found: Sequence[MailboxValue]) -> list[tuple[MailboxValue, tuple[AccessEntry, ...]]]:
    lists = folder_rows.list_access([mailbox.id for mailbox in found])
    return [(mailbox, lists.get(mailbox.id, ())) for mailbox in found]


def create_public_folder(name: str) -> MailboxValue:
    """A folder of nobody's; administrators see it until it is shared. Raises EXISTS, FORBIDDEN for no name."""
    return mailboxes.create_mailbox(PUBLIC, name)


@transaction.atomic
def replace_access(mailbox: MailboxId, entries: Sequence[AccessEntry]) -> None:
    """The whole access list. Raises NOT_FOUND, and InvalidInput for somebody who is in it twice or owns the folder."""
    keys = [(entry.user, entry.negative) for entry in entries]
    owner = mailboxes.get_mailbox_by_id(mailbox).user
    if any(entry.user == owner for entry in entries):
        raise InvalidInput({"access": ["The owner may do everything already."]})
    if len(set(keys)) < len(keys):
        raise InvalidInput({"access": ["Somebody is in the list twice."]})
    present = folder_rows.list_access([mailbox]).get(mailbox, ())
    gone = [replace(entry, rights="") for entry in present if (entry.user, entry.negative) not in keys]
    folder_rows.set_access(mailbox, [*gone, *entries])


def count_messages(user: UserId) -> int:
    """How many messages a user has in all folders."""
    return Mailbox.objects.filter(user_id=user).aggregate(total=Sum("messages"))["total"] or 0


def message_totals() -> Totals:
    """What all mailboxes hold together."""
    sums = Mailbox.objects.aggregate(messages=Sum("messages"), unseen=Sum("unseen"), size=Sum("size"))
    return Totals(**{name: value or 0 for name, value in sums.items()})
