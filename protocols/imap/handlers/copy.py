# SPDX-License-Identifier: MIT
"""COPY and MOVE, by number and by UID.

RFC 9051 §6.4.7, §6.4.8; RFC 4315 §3 (COPYUID); RFC 4314 §4 (rights). Either is one unit: all messages, or none.
"""

from __future__ import annotations

from collections.abc import Sequence

from mailserver.config.catalog import KEEP_META_ON_COPY
from mailserver.errors import MailError
from mailserver.store.folders import Folder
from mailserver.store.interface import Copying, CopyResult, Unit
from mailserver.store.rights import FLAG_RIGHTS
from mailserver.values import Uid
from protocols.imap import replies
from protocols.imap.commands import Copy, Move
from protocols.imap.handlers.handler import Handlers
from protocols.imap.replies import Completion, untagged_ok
from protocols.imap.session import Session


async def _copy(session: Session, command: Copy) -> Completion:
    uids, refusal = _resolve(session, command)
    if refusal is not None:
        return refusal
    try:
        target = await session.open_mailbox(command.mailbox, "i")
    except MailError as error:
        return replies.failed(command, error, target=True)
    copied = await _carry_over(session, uids, target, move=False)
    return replies.completed(command, _code(copied))


async def _move(session: Session, command: Move) -> Completion:
    """RFC 9051 §6.4.8: COPYUID first and untagged, then the expunges, then OK."""
    selected = session.current
    if selected.read_only:
        return replies.read_only(command)
    uids, refusal = _resolve(session, command)
    if refusal is not None:
        return refusal
    if not selected.may("te"):
        return replies.not_permitted(command)
    try:
        target = await session.open_mailbox(command.mailbox, "i")
    except MailError as error:
        return replies.failed(command, error, target=True)
    copied = await _carry_over(session, uids, target, move=True)
    if copied is not None and copied.source_uids:
        await session.send_untagged(untagged_ok(replies.COPIED, _code(copied)))
    await session.send_updates(may_expunge=True)
    if session.has_enabled("QRESYNC"):
        return replies.completed(command, replies.highest_modseq_code(selected.view.told_modseq))
    return replies.completed(command)


def _resolve(session: Session, command: Copy | Move) -> tuple[Sequence[int], Completion | None]:
    """The messages, or why not. One that is gone stops a command by number (RFC 2180 §4.4), and no other."""
    selected = session.current
    uids = selected.resolve(command.messages, uid=command.uid, saved=session.saved_result)
    if uids is None:
        return (), replies.no_such_message(command)
    there = [uid for uid in uids if uid in selected.index]
    if not command.uid and len(there) < len(uids):
        return (), replies.some_expunged(command)
    return there, None


async def _carry_over(session: Session, uids: Sequence[int], target: Folder, *, move: bool) -> CopyResult | None:
    """None when there was nothing to do."""
    if not uids:
        return None
    source = session.current.index.mailbox
    keep = session.connection.service.get(KEEP_META_ON_COPY)
    rights = FLAG_RIGHTS & target.rights
    copying = Copying(source, tuple(map(Uid, uids)), target.mailbox.id, move, keep, rights)
    result = await session.submit(Unit(copies=(copying,)))
    return result.copied[0]


def _code(copied: CopyResult | None) -> bytes:
    """RFC 4315 §3; nothing where nothing was copied."""
    if copied is None or not copied.source_uids:
        return b""
    return replies.copy_uid_code(copied.uid_validity, copied.source_uids, copied.target_uids)


HANDLERS: Handlers = {Copy: _copy, Move: _move}
