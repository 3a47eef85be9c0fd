# SPDX-License-Identifier: MIT
"""SETACL, DELETEACL, GETACL, LISTRIGHTS, MYRIGHTS.

RFC 4314, with RIGHTS=texk. Who may do what is decided in `mailserver.store.folders`.
"""

from __future__ import annotations

from collections.abc import Iterable

from mailserver.errors import Kind, MailError
from mailserver.store.rights import ALL_RIGHTS, sort_rights
from protocols.imap import commands as c
from protocols.imap import replies, untagged
from protocols.imap.arguments import RightsChange
from protocols.imap.handlers.handler import Handlers
from protocols.imap.replies import Completion
from protocols.imap.session import Session


def format_rights(rights: Iterable[str]) -> str:
    """In order, with the two of RFC 2086 that older clients look for (RFC 4314 §2.1.1)."""
    letters = sort_rights(rights)
    return letters + ("c" if "k" in letters else "") + ("d" if set("xte") & set(letters) else "")


async def set_acl(session: Session, command: c.SetAcl) -> Completion:
    folders = session.folders()
    change = {
        RightsChange.REPLACE: folders.set_access,
        RightsChange.ADD: folders.add_access,
        RightsChange.REMOVE: folders.remove_access,
    }[command.change]
    await session.open_mailbox(command.mailbox, "a")
    try:
        await session.change_folders(change, command.mailbox, command.identifier, command.rights)
    except MailError as error:
        return _refuse_identifier(command, error)
    return replies.completed(command)


async def delete_acl(session: Session, command: c.DeleteAcl) -> Completion:
    await session.open_mailbox(command.mailbox, "a")
    try:
        await session.change_folders(session.folders().set_access, command.mailbox, command.identifier, "")
    except MailError as error:
        return _refuse_identifier(command, error)
    return replies.completed(command)


def _refuse_identifier(command: c.Command, error: MailError) -> Completion:
    """The folder was there a moment ago: what is not found is the user."""
    if error.kind is Kind.NOT_FOUND:
        return replies.no_such_user(command)
    if error.kind is Kind.FORBIDDEN:
        return replies.owner_keeps_rights(command)
    raise error


async def get_acl(session: Session, command: c.GetAcl) -> Completion:
    opened = await session.open_mailbox(command.mailbox, "a")
    lines = await session.offload(session.folders().list_access, command.mailbox)
    entries = [(line.identifier, format_rights(line.rights)) for line in lines]
    await session.send_untagged(untagged.acl(opened.shown_name, entries, utf8=session.utf8))
    return replies.completed(command)


async def list_rights(session: Session, command: c.ListRights) -> Completion:
    """Each right can be had alone; the owner has all of them, always."""
    opened = await session.open_mailbox(command.mailbox, "a")
    required = await session.offload(session.folders().required_rights, command.mailbox, command.identifier)
    optional = [right for right in ALL_RIGHTS if right not in required]
    answer = untagged.list_rights(
        opened.shown_name, command.identifier, format_rights(required), optional, utf8=session.utf8
    )
    await session.send_untagged(answer)
    return replies.completed(command)


async def my_rights(session: Session, command: c.MyRights) -> Completion:
    """RFC 4314 §4: whoever has any right may know which."""
    folder = await session.offload(session.folders().find, command.mailbox)
    answer = untagged.my_rights(folder.shown_name, format_rights(folder.rights), utf8=session.utf8)
    await session.send_untagged(answer)
    return replies.completed(command)


HANDLERS: Handlers = {
    c.SetAcl: set_acl,
    c.DeleteAcl: delete_acl,
    c.GetAcl: get_acl,
    c.ListRights: list_rights,
    c.MyRights: my_rights,
}
