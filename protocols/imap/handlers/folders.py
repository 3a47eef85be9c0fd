# SPDX-License-Identifier: MIT
"""CREATE, DELETE, RENAME, SUBSCRIBE, UNSUBSCRIBE, NAMESPACE.

RFC 9051 §6.3.4 to §6.3.8 and §6.3.10, RFC 6154 §3 (CREATE-SPECIAL-USE), RFC 8474 §4.2, spec services 2.4.
"""

from __future__ import annotations

from mailserver.errors import Kind, MailError
from mailserver.store.folders import MAX_DEPTH, PUBLIC_PREFIX, USERS_PREFIX
from mailserver.store.names import INBOX, SEPARATOR, is_below
from mailserver.values import SpecialUse
from protocols.imap import commands as c
from protocols.imap import replies, untagged
from protocols.imap.folder_tree import USE_ATTRIBUTES
from protocols.imap.handlers.handler import Handlers
from protocols.imap.machine import State
from protocols.imap.mailbox_names import find_fault
from protocols.imap.object_ids import format_mailbox_id
from protocols.imap.replies import Completion
from protocols.imap.session import Session
from protocols.imap.untagged import NamespaceEntry

_USES = {attribute: use for use, attribute in USE_ATTRIBUTES.items()}


async def create(session: Session, command: c.Create) -> Completion:
    if fault := find_new_name_fault(command.mailbox):
        return replies.cannot_be_named(command, fault)
    use = _find_use(command)
    if command.special_use and use is None:
        return replies.use_not_offered(command)
    folder = await session.change_folders(session.folders().create, command.mailbox, use)
    return replies.completed(command, replies.mailbox_id_code(format_mailbox_id(folder.mailbox.id)))


def _find_use(command: c.Create) -> SpecialUse | None:
    """A folder has one use, and only one's own have any: `\\All` and `\\Flagged` would be searches."""
    if len(command.special_use) != 1 or command.mailbox.startswith("#"):
        return None
    return _USES.get(command.special_use[0])


def find_new_name_fault(name: str) -> str:
    """Why a folder cannot be created under this name, whoever wants it; empty when it can."""
    in_namespace = name.startswith((USERS_PREFIX, PUBLIC_PREFIX))
    if name.startswith("#") and not in_namespace:
        return "names with # in front are those of shared folders"
    if name.count(SEPARATOR) >= MAX_DEPTH + (2 if in_namespace else 0):
        return "too many levels"
    return find_fault(name)


async def delete(session: Session, command: c.Delete) -> Completion:
    if command.mailbox == INBOX:
        return replies.cannot_be_done(command, "The Inbox stays")
    folders = session.folders()
    try:
        folder = await session.offload(folders.find, command.mailbox)
        await session.change_folders(folders.delete, command.mailbox)
    except MailError as error:
        if error.kind is Kind.NOT_FOUND and await session.offload(folders.is_parent, command.mailbox):
            return replies.only_a_parent(command)
        raise
    if session.selected is not None and session.selected.mailbox.id == folder.mailbox.id:
        await _leave_selected(session)
    return replies.completed(command)


async def _leave_selected(session: Session) -> None:
    """Who deletes the folder that he has selected is not thrown out, as others are."""
    session.deselect()
    session.machine.state = State.AUTHENTICATED
    await session.send_untagged(replies.untagged_ok(replies.CLOSED_BY_SELECT, replies.CLOSED_CODE))


async def rename(session: Session, command: c.Rename) -> Completion:
    if fault := find_new_name_fault(command.target):
        return replies.cannot_be_named(command, fault)
    if is_below(command.target, command.source) and command.source != INBOX:
        return replies.cannot_be_done(command, "A folder cannot go below itself")
    await session.change_folders(session.folders().rename, command.source, command.target)
    return replies.completed(command)


async def subscribe(session: Session, command: c.Subscribe) -> Completion:
    return await _set_subscribed(session, command, command.mailbox, True)


async def unsubscribe(session: Session, command: c.Unsubscribe) -> Completion:
    return await _set_subscribed(session, command, command.mailbox, False)


async def _set_subscribed(session: Session, command: c.Command, mailbox: str, subscribed: bool) -> Completion:
    """The folder need not exist; a name that none can have is an error (RFC 9051 §6.3.7)."""
    name = mailbox.removesuffix(SEPARATOR)
    try:
        await session.change_folders(session.folders().set_subscribed, name, subscribed)
    except MailError as error:
        if error.kind is Kind.FORBIDDEN:
            return replies.cannot_be_named(command, "not a name of a folder")
        raise
    return replies.completed(command)


async def namespace(session: Session, command: c.Namespace) -> Completion:
    own, others, shared = (NamespaceEntry(prefix) for prefix in ("", USERS_PREFIX, PUBLIC_PREFIX))
    await session.send_untagged(untagged.namespace([own], [others], [shared], utf8=session.utf8))
    return replies.completed(command)


HANDLERS: Handlers = {
    c.Create: create,
    c.Delete: delete,
    c.Rename: rename,
    c.Subscribe: subscribe,
    c.Unsubscribe: unsubscribe,
    c.Namespace: namespace,
}
