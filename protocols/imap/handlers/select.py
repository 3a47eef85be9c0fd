# SPDX-License-Identifier: MIT
"""SELECT, EXAMINE, CLOSE and UNSELECT.

RFC 9051 §6.3.2, §6.3.3, §6.4.1, §6.4.2; RFC 3501 §6.3.1; RFC 7162 §3.1.2.1 (HIGHESTMODSEQ), §3.2.5 (QRESYNC);
RFC 8474 §4.2 (MAILBOXID); RFC 4314 §5.2 (READ-ONLY).
"""

from __future__ import annotations

from mailserver.config.catalog import FAKE_PARENTS
from mailserver.errors import Kind, MailError
from mailserver.store.folders import Folder
from mailserver.store.interface import Changes
from mailserver.store.values import Mailbox
from mailserver.values import PUBLIC, Flag, ModSeq, Uid
from protocols.imap import replies, untagged
from protocols.imap.arguments import Resync
from protocols.imap.commands import Close, Select, Unselect
from protocols.imap.handlers.expunge import remove_deleted
from protocols.imap.handlers.handler import Handlers
from protocols.imap.mailbox_index import NO_MAILBOX, EmptyIndex
from protocols.imap.object_ids import format_mailbox_id
from protocols.imap.replies import Completion, untagged_ok
from protocols.imap.selected import Selected
from protocols.imap.sequence import NumberSet
from protocols.imap.session import Session
from protocols.imap.tidings import format_flag_lists, format_flags_fetch

CHANGING_RIGHTS = frozenset("swite")
"""RFC 4314 §5.2: who has none of them gets READ-ONLY."""


async def _select(session: Session, command: Select) -> Completion:
    if command.resync is not None and not session.has_enabled("QRESYNC"):
        return replies.needs_qresync(command)
    if session.selected is not None:
        session.deselect()
        await session.send_untagged(untagged_ok(replies.CLOSED_BY_SELECT, replies.CLOSED_CODE))
    folder = await _find(session, command.mailbox)
    if command.condstore:
        session.enable({"CONDSTORE"})
    selected = await _open(session, folder, read_only=command.read_only or not folder.rights & CHANGING_RIGHTS)
    await _describe(session, selected, folder)
    if command.resync is not None:
        await _resync(session, selected, command.resync)
    code = replies.READ_ONLY_CODE if selected.read_only else replies.READ_WRITE_CODE
    return replies.completed(command, code)


async def _find(session: Session, name: str) -> Folder:
    try:
        return await session.open_mailbox(name, "r")
    except MailError as error:
        if error.kind is Kind.NOT_FOUND and await _is_bare_parent(session, name):
            return _bare_parent(name)
        raise


async def _open(session: Session, folder: Folder, *, read_only: bool) -> Selected:
    mailbox = folder.mailbox.id
    index = EmptyIndex() if mailbox == NO_MAILBOX else await session.indexes.open(mailbox, folder.mailbox.modseq)
    selected = session.selected = Selected(
        folder.mailbox,
        index,
        name=folder.shown_name,
        rights=folder.rights,
        read_only=read_only,
        is_listening=lambda: session.listening,
        wake=session.wake,
    )
    selected.view.uses_uids = session.uses_uids
    return selected


async def _describe(session: Session, selected: Selected, folder: Folder) -> None:
    """RFC 9051 §6.3.2: what a client must know of the mailbox before it can work in it."""
    mailbox, view = folder.mailbox, selected.view
    uid_next = max(mailbox.uid_next, view.largest_uid + 1)
    lines = [
        format_flag_lists(selected.told_keywords, selected.permanent_flags),
        untagged.exists(len(view)),
        untagged_ok(replies.UIDS_VALID, replies.uid_validity_code(mailbox.uid_validity)),
        untagged_ok(replies.NEXT_UID, replies.uid_next_code(uid_next)),
        untagged_ok(replies.HIGHEST, replies.highest_modseq_code(view.modseq)),
        untagged_ok(replies.MAILBOX_ID, replies.mailbox_id_code(format_mailbox_id(mailbox.id))),
    ]
    if session.rev2:
        lines.append(untagged.listed(untagged.ListedMailbox(selected.name), utf8=session.utf8))
    else:
        lines.insert(2, untagged.recent(view.recent_count))
        unseen = selected.index.first_without(Flag.SEEN)
        if unseen is not None:
            number = view.number_of(unseen)
            assert number is not None
            lines.append(untagged_ok(replies.FIRST_UNSEEN, replies.unseen_code(number)))
    await session.send_untagged(b"".join(lines))


# ---------------------------------------------------------------- QRESYNC


async def _resync(session: Session, selected: Selected, known: Resync) -> None:
    """RFC 7162 §3.2.5: what has changed since the client was last here; nothing if it knew another mailbox."""
    if known.uid_validity != selected.mailbox.uid_validity:
        return
    store = session.connection.store
    changes = await session.offload(store.get_changes, selected.index.mailbox, ModSeq(known.modseq))
    await tell_changes(session, selected, changes, _known_uids(known, selected))


def _known_uids(known: Resync, selected: Selected) -> NumberSet | None:
    """The UIDs that the client wants to hear about; None for all.

    The numbers and UIDs that it offers in pairs would only save it some of what it is told (RFC 7162 §3.2.5.2).
    """
    if known.known_uids is None:
        return None
    return known.known_uids.resolve(max(selected.mailbox.uid_next - 1, selected.view.largest_uid))


async def tell_changes(session: Session, selected: Selected, changes: Changes, wanted: NumberSet | None) -> None:
    """VANISHED (EARLIER), then the flags of what has changed; `wanted` limits both (RFC 7162 §3.2.6)."""
    gone = NumberSet.from_numbers(uid for uid in changes.vanished if uid not in selected.index)
    await session.send_untagged(untagged.vanished(gone if wanted is None else gone.intersection(wanted), earlier=True))
    manner = session.manner(with_uid=True)
    for entry in changes.changed:
        number = selected.view.number_of(entry.uid)
        if number is None or (wanted is not None and entry.uid not in wanted):
            continue
        recent = selected.view.is_recent(entry.uid)
        line = format_flags_fetch(number, entry.uid, entry.modseq, entry.flags, recent, manner)
        await session.send_untagged(line)
        selected.view.note_known(entry.uid, entry.modseq)


# ---------------------------------------------------------------- folders that are only parents


async def _is_bare_parent(session: Session, name: str) -> bool:
    """Spec services 2.2: the levels above shared folders need not be folders."""
    fake = session.connection.service.get(FAKE_PARENTS)
    return fake and name.startswith("#") and await session.offload(session.folders().is_parent, name)


def _bare_parent(name: str) -> Folder:
    """An empty folder that cannot be changed, for old programs that fail otherwise."""
    mailbox = Mailbox(NO_MAILBOX, PUBLIC, name, None, uid_validity=1, uid_next=Uid(1), modseq=ModSeq(1))
    return Folder(mailbox, PUBLIC, frozenset("lr"), name)


# ---------------------------------------------------------------- the end


async def _close(session: Session, command: Close) -> Completion:
    r"""Removes what is marked \Deleted, without a word, where the client may (RFC 9051 §6.4.1)."""
    selected = session.current
    try:
        if selected.may("e"):
            await remove_deleted(session, selected)
    finally:
        session.deselect()
    return replies.completed(command)


async def _unselect(session: Session, command: Unselect) -> Completion:
    session.deselect()
    return replies.completed(command)


HANDLERS: Handlers = {Select: _select, Close: _close, Unselect: _unselect}
