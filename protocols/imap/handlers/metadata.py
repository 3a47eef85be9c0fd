# SPDX-License-Identifier: MIT
"""GETMETADATA and SETMETADATA.

RFC 5464. Entries under /private belong to one user, those under /shared to everybody who may see the mailbox; the
server's shared ones are the administrators' to write.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mailserver.errors import Kind, MailError
from mailserver.store.folder_data import MAX_ANNOTATION_BYTES
from mailserver.store.names import is_private
from mailserver.values import MailboxId
from protocols.imap import commands as c
from protocols.imap import replies, untagged
from protocols.imap.arguments import MetadataOptions
from protocols.imap.handlers.handler import Handlers
from protocols.imap.replies import Completion
from protocols.imap.session import Session

Entries = list[tuple[str, bytes | None]]


async def get_metadata(session: Session, command: c.GetMetadata) -> Completion:
    name, mailbox = await _open(session, command.mailbox, "r")
    found = await session.offload(session.connection.store.read_annotations, session.owner.id, [mailbox])
    entries, long_entry = select_entries(found[mailbox], command.entries, command.options)
    if entries:
        await session.send_untagged(untagged.metadata(name, entries, utf8=session.utf8))
    return replies.completed(command, replies.metadata_long_entries_code(long_entry) if long_entry else b"")


def select_entries(values: Mapping[str, bytes], asked: Sequence[str], options: MetadataOptions) -> tuple[Entries, int]:
    """The entries asked for, with None for those that are not set, and the size of the largest that was left out.

    RFC 5464 §4.2.1 (MAXSIZE) and §4.2.2 (DEPTH). What is found below an entry must be set to be shown.
    """
    wanted: dict[str, None] = {}
    for entry in asked:
        wanted[entry] = None
        wanted |= dict.fromkeys(name for name in sorted(values) if _is_within(name, entry, options.depth))
    if options.depth != 0:
        wanted = {name: None for name in wanted if name in values}
    limit = MAX_ANNOTATION_BYTES if options.max_size is None else options.max_size
    sizes = {name: len(values[name]) for name in wanted if name in values}
    entries: Entries = [(name, values.get(name)) for name in wanted if sizes.get(name, 0) <= limit]
    return entries, max((size for size in sizes.values() if size > limit), default=0)


def _is_within(name: str, entry: str, depth: int | None) -> bool:
    if not name.startswith(entry + "/"):
        return False
    return depth is None or name.count("/") - entry.count("/") <= depth


async def set_metadata(session: Session, command: c.SetMetadata) -> Completion:
    shared = any(not is_private(entry) for entry, _ in command.entries)
    _, mailbox = await _open(session, command.mailbox, "rw" if shared else "r")
    if mailbox is None and shared and not _is_admin(session):
        raise MailError(Kind.FORBIDDEN, f"user {session.owner.id} may not annotate the server")
    try:
        await session.offload(
            session.connection.store.set_annotations, session.owner.id, mailbox, dict(command.entries)
        )
    except MailError as error:
        if error.kind is Kind.TOO_BIG:
            return replies.annotation_too_big(command, MAX_ANNOTATION_BYTES)
        if error.kind is Kind.LIMIT_REACHED:
            return replies.too_many_annotations(command)
        raise
    return replies.completed(command)


async def _open(session: Session, name: str, rights: str) -> tuple[str, MailboxId | None]:
    """RFC 5464 §3.3 says which rights; the empty name is the server."""
    if not name:
        return "", None
    opened = await session.open_mailbox(name, "l" + rights)
    return opened.shown_name, opened.mailbox.id


def _is_admin(session: Session) -> bool:
    user = session.snapshot().directory.users.get(session.owner.id)
    return user is not None and user.admin


HANDLERS: Handlers = {c.GetMetadata: get_metadata, c.SetMetadata: set_metadata}
