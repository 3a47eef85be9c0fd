# SPDX-License-Identifier: MIT
"""The mailbox indexes of one process: made at the first SELECT, kept a while after the last.

Joins them to the notices, and looks slowly by itself in case one is lost.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Protocol

from mailserver import notices
from mailserver.errors import MailError
from mailserver.store.interface import MailStore
from mailserver.values import MailboxId
from protocols.imap.mailbox_index import MailboxIndex
from protocols.net.offload import Offload

KEPT_ENTRIES = 500_000
"""Messages in indexes that nobody uses just now, in all: about 60 bytes each, and the next SELECT reads nothing."""
POLL_SECONDS = 60.0
"""How often mailboxes with a listening client are looked at although no notice came."""


class NoticeSource(Protocol):
    """Tells when a topic may have changed; `protocols.net.notices.Notices` is one."""

    def subscribe(self, topic: str, on_change: Callable[[], None]) -> Callable[[], None]:
        """What is returned ends the subscription."""
        ...


class MailboxIndexes:
    """One per process. Use it on the event loop only."""

    def __init__(self, store: MailStore, offload: Offload, heard: NoticeSource) -> None:
        self.notices = heard
        self._store = store
        self._offload = offload
        self._indexes: OrderedDict[MailboxId, MailboxIndex] = OrderedDict()
        self._endings: dict[MailboxId, Callable[[], None]] = {}
        self._poll: asyncio.TimerHandle | None = None

    async def open(self, mailbox: MailboxId) -> MailboxIndex:
        """Up to date as of this call. Raises NOT_FOUND, UNAVAILABLE. Subscribe to it before the next await."""
        index = self._indexes.get(mailbox)
        if index is None:
            index = self._indexes[mailbox] = MailboxIndex(mailbox, self._store, self._offload)
            self._endings[mailbox] = self.notices.subscribe(notices.mailbox_topic(mailbox), index.notice)
        self._indexes.move_to_end(mailbox)
        try:
            await index.load()
            await index.refresh()
        except MailError:
            if not index.has_listeners:
                self._forget(mailbox, index)
            raise
        self._keep_polling()
        return index

    def find(self, mailbox: MailboxId) -> MailboxIndex | None:
        """The index, if this process has one; it may be stale."""
        return self._indexes.get(mailbox)

    def written(self, mailboxes: Iterable[MailboxId]) -> None:
        """This process has just changed them: no need to wait for the notice."""
        for mailbox in mailboxes:
            if (index := self._indexes.get(mailbox)) is not None:
                index.notice()

    def release(self, index: MailboxIndex) -> None:
        """A session has unsubscribed; drops what has been unused for longest."""
        if index.gone and not index.has_listeners:
            self._forget(index.mailbox, index)
        unused = [(mailbox, kept) for mailbox, kept in self._indexes.items() if not kept.has_listeners]
        entries = sum(len(kept) for _, kept in unused)
        for mailbox, kept in unused:
            if entries <= KEPT_ENTRIES:
                break
            entries -= len(kept)
            self._forget(mailbox, kept)

    def close(self) -> None:
        """Stop listening to notices."""
        if self._poll is not None:
            self._poll.cancel()
        for end in self._endings.values():
            end()
        self._endings.clear()
        self._indexes.clear()

    def _forget(self, mailbox: MailboxId, index: MailboxIndex) -> None:
        if self._indexes.get(mailbox) is index:
            del self._indexes[mailbox]
            self._endings.pop(mailbox)()

    def _keep_polling(self) -> None:
        if self._poll is None:
            self._poll = asyncio.get_running_loop().call_later(POLL_SECONDS, self._look_around)

    def _look_around(self) -> None:
        self._poll = None
        for index in self._indexes.values():
            index.notice()
        if any(index.has_listeners for index in self._indexes.values()):
            self._keep_polling()
