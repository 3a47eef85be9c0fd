# SPDX-License-Identifier: MIT
"""Mailboxes as rows: listed, made, renamed and deleted.

RFC 9051 §6.3.4 (CREATE), §6.3.5 (DELETE), §6.3.6 (RENAME), §2.3.1.1 (UIDVALIDITY).

UIDVALIDITY is the time in seconds, or one more than the name had before when that is greater: a name that is given up
is remembered. So it never repeats for a name, not even within a second, nor after a restore of an older database.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from django.contrib.auth import get_user_model
from django.db import IntegrityError, transaction

from mailserver import clock, notices
from mailserver.errors import Kind, MailError
from mailserver.store import interface, statements
from mailserver.store.batch import Prepared, write_batch
from mailserver.store.interface import Copying, Unit
from mailserver.store.models import Entry, FormerName, Mailbox
from mailserver.store.names import INBOX, is_below, normal_name, renamed, show_order
from mailserver.values import PUBLIC, MailboxId, ModSeq, SpecialUse, Uid, UserId


def list_mailboxes(user: UserId) -> list[interface.Mailbox]:
    """All of a user's, Inbox first, then by name."""
    return sorted(
        map(mailbox_value, Mailbox.objects.filter(user=owner_key(user))), key=lambda mailbox: show_order(mailbox.name)
    )


def get_mailbox(user: UserId, name: str) -> interface.Mailbox:
    """Raises NOT_FOUND."""
    name = normal_name(name)
    if user == PUBLIC:
        return _get(statements.MAILBOX_OF_NOBODY.read(name), name)
    return _get(statements.MAILBOX_OF_USER.read(user, name), name)


def get_mailbox_by_id(mailbox: MailboxId) -> interface.Mailbox:
    """Raises NOT_FOUND."""
    return _get(statements.MAILBOX_BY_ID.read(mailbox), mailbox)


def create_mailbox(user: UserId, name: str, special_use: SpecialUse | None = None) -> interface.Mailbox:
    """Raises EXISTS, NOT_FOUND for a user that is gone, FORBIDDEN for a name that cannot be."""
    return create_mailboxes(user, {name: special_use})[0]


def create_mailboxes(user: UserId, wanted: Mapping[str, SpecialUse | None]) -> list[interface.Mailbox]:
    """Several at once, or none; raises what `create_mailbox` raises."""
    uses = {normal_name(name): use for name, use in wanted.items()}
    try:
        with transaction.atomic():
            validities = _next_uid_validities(user, uses)
            rows = Mailbox.objects.bulk_create(
                Mailbox(user_id=owner_key(user), name=name, special_use=use or "", uid_validity=validities[name])
                for name, use in uses.items()
            )
            if user != PUBLIC and not get_user_model().objects.filter(pk=user).exists():
                raise MailError(Kind.NOT_FOUND, f"user {user}")
            publish_folders_on_commit(user)
    except IntegrityError as error:
        raise MailError(Kind.EXISTS, ", ".join(uses)) from error
    return [mailbox_value(row) for row in rows]


@transaction.atomic
def rename_mailbox(mailbox: MailboxId, name: str) -> interface.Mailbox:
    """With everything below it; the Inbox gives its messages to a new mailbox and stays.

    Raises NOT_FOUND, EXISTS, and FORBIDDEN for a name that cannot be.
    """
    name = normal_name(name)
    mine = _lock_all_of_owner(mailbox)
    old = next(row for row in mine if row.pk == mailbox)
    if old.name == INBOX:
        return _move_inbox(old, name)
    if is_below(name, old.name):
        raise MailError(Kind.FORBIDDEN, "a mailbox cannot go below itself")
    moving = [row for row in mine if row.name == old.name or is_below(row.name, old.name)]
    names = [renamed(row.name, old.name, name) for row in moving]
    staying = {row.name for row in mine if row not in moving}
    if name == old.name or not staying.isdisjoint(names):
        raise MailError(Kind.EXISTS, name)
    for row, new in zip(moving, names, strict=True):
        _rename_one(row, new)
    _publish_on_commit(row.pk for row in moving)
    publish_folders_on_commit(_owner(old))
    return mailbox_value(old)


@transaction.atomic
def delete_mailbox(mailbox: MailboxId) -> None:
    """With its entries; raises NOT_FOUND, and FORBIDDEN for the Inbox."""
    row = Mailbox.objects.select_for_update().filter(id=mailbox).first()
    if row is None:
        raise _not_found(mailbox)
    if row.name == INBOX:
        raise MailError(Kind.FORBIDDEN, "the Inbox stays")
    _remember_name(row)
    row.delete()
    _publish_on_commit([mailbox])
    publish_folders_on_commit(_owner(row))


def owner_key(user: UserId) -> int | None:
    """The user as the column has it: public folders are nobody's."""
    return user or None


def mailbox_value(row: Mailbox) -> interface.Mailbox:
    return interface.Mailbox(
        id=MailboxId(row.pk),
        user=_owner(row),
        name=row.name,
        special_use=SpecialUse(row.special_use) if row.special_use else None,
        uid_validity=row.uid_validity,
        uid_next=Uid(row.uid_next),
        modseq=ModSeq(row.modseq),
    )


def _owner(row: Mailbox) -> UserId:
    return UserId(row.user_id or PUBLIC)


def mailbox_of_row(row: Sequence[Any]) -> interface.Mailbox:
    """The same, of a row of `statements.py`."""
    id_, user, name, use, uid_validity, uid_next, modseq = row
    special_use = SpecialUse(use) if use else None
    return interface.Mailbox(id_, user or PUBLIC, name, special_use, uid_validity, uid_next, modseq)


def _get(rows: Sequence[Sequence[Any]], wanted: object) -> interface.Mailbox:
    if not rows:
        raise _not_found(wanted)
    return mailbox_of_row(rows[0])


def _not_found(mailbox: object) -> MailError:
    return MailError(Kind.NOT_FOUND, f"mailbox {mailbox!r}")


def _lock_all_of_owner(mailbox: MailboxId) -> list[Mailbox]:
    """Every mailbox of the user who has this one, shallow names first; locked in the order in which writers lock."""
    owner = Mailbox.objects.filter(id=mailbox).values_list("user_id", flat=True)
    rows = list(Mailbox.objects.select_for_update().filter(user=owner[0]).order_by("id")) if owner else []
    if mailbox not in {row.pk for row in rows}:
        raise _not_found(mailbox)
    return sorted(rows, key=lambda row: row.name)


def _rename_one(row: Mailbox, name: str) -> None:
    _remember_name(row)
    row.uid_validity = _uid_validity_under(row, name)
    row.name = name
    row.save(update_fields=("name", "uid_validity"))


def _uid_validity_under(row: Mailbox, name: str) -> int:
    """Its own, unless a mailbox that had the name before got as far."""
    owner = _owner(row)
    former = _former_uid_validity(owner, name)
    return row.uid_validity if row.uid_validity > former else _next_uid_validity(owner, name)


def _next_uid_validity(user: UserId, name: str) -> int:
    return _next_uid_validities(user, [name])[name]


def _next_uid_validities(user: UserId, names: Collection[str]) -> dict[str, int]:
    """Higher than any that a mailbox of this name had (RFC 9051 §2.3.1.1)."""
    rows = FormerName.objects.filter(user=owner_key(user), name__in=names)
    former = dict(rows.values_list("name", "uid_validity"))
    now = int(clock.now().timestamp())
    return {name: max(now, former.get(name, 0) + 1) for name in names}


def _former_uid_validity(user: UserId, name: str) -> int:
    values = FormerName.objects.filter(user=owner_key(user), name=name).values_list("uid_validity", flat=True)
    return values.first() or 0


def _remember_name(row: Mailbox) -> None:
    key: dict[str, Any] = {"user_id": row.user_id, "name": row.name}
    FormerName.objects.update_or_create(**key, defaults={"uid_validity": row.uid_validity})


def _move_inbox(inbox: Mailbox, name: str) -> interface.Mailbox:
    """Its children keep their names (RFC 9051 §6.3.6)."""
    target = create_mailbox(_owner(inbox), name)
    visible = Entry.objects.filter(mailbox=inbox, held=False).order_by("uid").values_list("uid", flat=True)
    copying = Copying(MailboxId(inbox.pk), tuple(map(Uid, visible)), target.id, move=True)
    write_batch([Prepared(Unit(copies=(copying,)), ())])
    _publish_on_commit([inbox.pk, target.id])
    return get_mailbox_by_id(target.id)


def publish_folders_on_commit(*users: UserId) -> None:
    """What is known of these users' folders has changed."""
    topics = [notices.folders_topic(user) for user in users]
    transaction.on_commit(lambda: notices.publish(topics))


def _publish_on_commit(mailboxes: Iterable[int]) -> None:
    topics = [notices.mailbox_topic(mailbox) for mailbox in mailboxes]
    transaction.on_commit(lambda: notices.publish(topics))
