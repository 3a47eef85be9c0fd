# SPDX-License-Identifier: MIT
"""STATUS, and the same figures for LIST and NOTIFY.

RFC 9051 §6.3.11, RFC 3501 §6.3.10, RFC 7162 §3.1.7, RFC 7889 §3.2, RFC 8474 §4.3, RFC 9208 §4.1.4. The figures come
from the counters of the mailboxes, as a picture has them; only DELETED-STORAGE looks at messages, if there are any.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mailserver.config.catalog import FAKE_PARENTS, MAX_APPEND_BYTES
from mailserver.errors import Kind, MailError
from mailserver.store.interface import MailboxCounts, MailStore
from mailserver.store.picture import FolderPicture
from mailserver.store.values import Mailbox
from mailserver.values import Flag, MailboxId
from protocols.imap import commands as c
from protocols.imap import replies, untagged
from protocols.imap.arguments import StatusItem
from protocols.imap.folder_tree import is_fake_parent
from protocols.imap.handlers.handler import Handlers
from protocols.imap.object_ids import format_mailbox_id
from protocols.imap.replies import Completion
from protocols.imap.session import Session

Figures = Mapping[StatusItem, int | str | None]

FAKE_UID_VALIDITY = 1
"""Of a folder that does not exist (spec services 2.2); it never has messages."""


async def status(session: Session, command: c.Status) -> Completion:
    """RFC 4314 §4: needs `r`."""
    try:
        opened, picture = await session.open_counted(command.mailbox, "r")
    except MailError as error:
        if error.kind is not Kind.NOT_FOUND or not await is_faked(session, command.mailbox):
            raise
        name, figures = command.mailbox, _fake_figures(command.items, append_limit(session))
    else:
        name = opened.shown_name
        source = (session.connection.store, picture, [opened.mailbox], command.items, append_limit(session))
        found = await session.offload(read_figures, *source) if blocks(command.items) else read_figures(*source)
        figures = found[opened.mailbox.id]
    await session.send_untagged(untagged.status(name, figures, utf8=session.utf8))
    return replies.completed(command)


async def is_faked(session: Session, name: str) -> bool:
    """Whether the name has no folder, but is to be treated as an empty one (spec services 2.2)."""
    if not session.connection.service.get(FAKE_PARENTS) or not is_fake_parent(name):
        return False
    return await session.offload(session.folders().is_parent, name)


def append_limit(session: Session) -> int | None:
    """RFC 7889 §3.2: None when there is no limit."""
    return session.connection.service.get(MAX_APPEND_BYTES) or None


def blocks(items: Sequence[StatusItem]) -> bool:
    """Whether `read_figures` has to ask the store for these."""
    return StatusItem.DELETED_STORAGE in items


def read_figures(
    store: MailStore,
    picture: FolderPicture,
    mailboxes: Sequence[Mailbox],
    items: Sequence[StatusItem],
    limit: int | None,
) -> dict[MailboxId, Figures]:
    """The figures of several mailboxes of the picture."""
    counts = picture.count([mailbox.id for mailbox in mailboxes])
    return {mailbox.id: _figures(store, mailbox, counts[mailbox.id], items, limit) for mailbox in mailboxes}


def _figures(
    store: MailStore, mailbox: Mailbox, counts: MailboxCounts, items: Sequence[StatusItem], limit: int | None
) -> Figures:
    known: dict[StatusItem, int | str | None] = {
        StatusItem.MESSAGES: counts.messages,
        # RFC 3501 §2.3.2: what no session is known to have shown counts as recent.
        StatusItem.RECENT: counts.unseen,
        StatusItem.UIDNEXT: mailbox.uid_next,
        StatusItem.UIDVALIDITY: mailbox.uid_validity,
        StatusItem.UNSEEN: counts.unseen,
        StatusItem.DELETED: counts.deleted,
        StatusItem.SIZE: counts.size,
        StatusItem.HIGHESTMODSEQ: max(mailbox.modseq, 1),
        StatusItem.APPENDLIMIT: limit,
        StatusItem.MAILBOXID: format_mailbox_id(mailbox.id),
    }
    if StatusItem.DELETED_STORAGE in items:
        known[StatusItem.DELETED_STORAGE] = _deleted_size(store, mailbox.id) if counts.deleted else 0
    return {item: known[item] for item in items}


def _deleted_size(store: MailStore, mailbox: MailboxId) -> int:
    return sum(entry.size for entry in store.list_entries(mailbox) if Flag.DELETED in entry.flags)


def _fake_figures(items: Sequence[StatusItem], limit: int | None) -> Figures:
    known: dict[StatusItem, int | str | None] = {
        StatusItem.UIDNEXT: 1,
        StatusItem.UIDVALIDITY: FAKE_UID_VALIDITY,
        StatusItem.HIGHESTMODSEQ: 1,
        StatusItem.APPENDLIMIT: limit,
        StatusItem.MAILBOXID: format_mailbox_id(MailboxId(0)),
    }
    return {item: known.get(item, 0) for item in items}


HANDLERS: Handlers = {c.Status: status}
