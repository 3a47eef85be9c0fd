# SPDX-License-Identifier: MIT
"""What this process knows of a mailbox that somebody has selected, shared by all its sessions.

One `MailboxIndex` per mailbox and process: every entry by UID, with flags, mod-sequence, size, dates and content, and
no body. It is loaded at the first SELECT and kept right by notices; the store's change numbers are the truth, so a
notice that is lost is made good by the next refresh (RFC 7162 §3.1). What each client has been told is in `view.py`.
"""

from __future__ import annotations

import asyncio
import logging
from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from mailserver import notices
from mailserver.errors import Kind, MailError
from mailserver.store.interface import Changes, Entry, MailStore
from mailserver.values import MailboxId, ModSeq
from protocols.net.offload import Offload

log = logging.getLogger("pillarbox.imap")

KEPT_INDEXES = 64
"""Mailboxes that nobody has selected any more and whose index is kept for the next SELECT; 100,000 messages cost 10 MB."""
KEPT_ENTRIES = 500_000
"""And never more entries than this in all of them."""
POLL_SECONDS = 60.0
"""How old an index may be before it is looked at again although no notice came."""


class NoticeSource(Protocol):
    """Tells when a topic may have changed; `protocols.net.notices.Notices` is one."""

    def subscribe(self, topic: str, on_change: Callable[[], None]) -> Callable[[], None]:
        """What is returned ends the subscription."""
        ...


class IndexListener(Protocol):
    """A session that has the mailbox selected."""

    @property
    def wants_news(self) -> bool:
        """The client is listening (IDLE, NOTIFY): changes are fetched as soon as there are any."""
        ...

    def take(self, changes: Changes) -> None:
        """Something has changed. Called on the event loop, in order, and never twice for the same change."""
        ...

    def mailbox_gone(self) -> None:
        """The mailbox has been deleted."""
        ...


class MailboxIndex:
    """Use it on the event loop only. Between two awaits it does not change."""

    def __init__(self, mailbox: MailboxId, store: MailStore, offload: Offload) -> None:
        self.mailbox = mailbox
        self._store = store
        self._offload = offload
        self._entries: dict[int, Entry] = {}
        self._uids = array("Q")
        self._modseq = ModSeq(0)
        self._listeners: list[IndexListener] = []
        self._refreshing: asyncio.Task[None] | None = None
        self._asked_again = False
        self._looked_at = 0.0
        self.stale = True
        """A notice has come, or this is too old: ask `refresh()` before relying on it."""
        self.gone = False

    # ------------------------------------------------------------ asking

    def __len__(self) -> int:
        return len(self._uids)

    @property
    def modseq(self) -> ModSeq:
        """Up to where changes have been taken in: HIGHESTMODSEQ as far as this process knows."""
        return self._modseq

    @property
    def uids(self) -> Sequence[int]:
        """All UIDs in order, to be read only."""
        return self._uids

    def get(self, uid: int) -> Entry | None:
        """None for a message that is gone."""
        return self._entries.get(uid)

    def entries(self, uids: Iterable[int]) -> list[Entry]:
        """In the order asked; those that are gone are left out."""
        get = self._entries.get
        return [entry for uid in uids if (entry := get(uid)) is not None]
