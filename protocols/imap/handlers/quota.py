# SPDX-License-Identifier: MIT
"""GETQUOTA, GETQUOTAROOT, SETQUOTA.

RFC 9208, spec services 2.4 item 5: the quota is shown and never enforced, and the administrator sets it. All folders of
a user share one quota root; those of others, and users without a quota, have none.
"""

from __future__ import annotations

from protocols.imap import commands as c
from protocols.imap import replies, untagged
from protocols.imap.handlers.handler import Handlers
from protocols.imap.replies import Completion
from protocols.imap.session import Session

ROOT = ""
"""The name of the one quota root that a user sees, as large providers have it."""
STORAGE_UNIT_BYTES = 1024
"""RFC 9208 §5.1."""
MAX_MESSAGES = 4_294_967_295
"""RFC 9208 §5.2 wants a limit beside the count of messages; this is as many as there are UIDs (RFC 9051 §2.3.1.1)."""


async def get_quota(session: Session, command: c.GetQuota) -> Completion:
    limit = _limit_bytes(session)
    if command.root != ROOT or not limit:
        return replies.no_such_quota_root(command)
    await _send_quota(session, limit)
    return replies.completed(command)


async def get_quota_root(session: Session, command: c.GetQuotaRoot) -> Completion:
    """RFC 9208 §4.1.2."""
    opened = await session.open_mailbox(command.mailbox, "r")
    limit = _limit_bytes(session) if opened.owner == session.owner.id else 0
    await session.send_untagged(untagged.quota_root(opened.shown_name, [ROOT] if limit else [], utf8=session.utf8))
    if limit:
        await _send_quota(session, limit)
    return replies.completed(command)


async def set_quota(session: Session, command: c.SetQuota) -> Completion:
    return replies.quota_is_fixed(command)


def _limit_bytes(session: Session) -> int:
    """0 without a quota."""
    user = session.snapshot().directory.users.get(session.owner.id)
    return user.quota_bytes if user is not None else 0


async def _send_quota(session: Session, limit: int) -> None:
    usage = await session.offload(session.connection.store.get_usage, session.owner.id)
    storage = ("STORAGE", -(-usage.size // STORAGE_UNIT_BYTES), limit // STORAGE_UNIT_BYTES)
    await session.send_untagged(untagged.quota(ROOT, [storage, ("MESSAGE", usage.messages, MAX_MESSAGES)]))


HANDLERS: Handlers = {c.GetQuota: get_quota, c.GetQuotaRoot: get_quota_root, c.SetQuota: set_quota}
