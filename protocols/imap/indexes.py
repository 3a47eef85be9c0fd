# SPDX-License-Identifier: MIT
"""The mailbox indexes of one process: made at the first SELECT, kept a while after the last; pictures beside them.

Joins them to the notices, and looks slowly by itself in case one is lost.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

from mailserver import notices
from mailserver.errors import MailError
from mailserver.store.interface import Alteration, MailStore
from mailserver.store.remembered import Remembered
from mailserver.values import MailboxId
from protocols.imap.mailbox_index import MailboxIndex
from protocols.imap.notice_source import NoticeSource
from protocols.imap.pictures import FolderPictures
from protocols.net.offload import Offload

KEPT_ENTRIES = 500_000
"""Messages in indexes that nobody uses just now, in all: about 60 bytes each, and the next SELECT reads nothing."""
POLL_SECONDS = 60.0
"""How often mailboxes with a listening client are looked at although no notice came."""


REMEMBERED_BYTES = 64 * 1024 * 1024
"""Small messages and parts of answers: some thousands, as much as twenty people leaf through in an hour."""


class MailboxIndexes:
    """One per process. Use it on the event loop only."""

    def __init__(self, store: MailStore, offload: Offload, heard: NoticeSource) -> None:
        self.notices = heard
        self.pictures = FolderPictures(store, offload, heard)
        """Of folders, which this process's commits are told to as well."""
        self.remembered: Remembered[Any] = Remembered(REMEMBERED_BYTES)
        """Of contents, whoever has them."""
        self._store = store
        self._offload = offload
        self._indexes: OrderedDict[MailboxId, MailboxIndex] = OrderedDict()
        self._endings: dict[MailboxId, Callable[[], None]] = {}
        self._poll: asyncio.TimerHandle | None = None
        loop = asyncio.get_running_loop()

        def written(alterations: Sequence[Alteration]) -> None:
            with contextlib.suppress(RuntimeError):  # the loop was closed first
                loop.call_soon_threadsafe(self.take_written, alterations)

        store.watch(written)

    async def open(self, mailbox: MailboxId, modseq: int = 0) -> MailboxIndex:
        """Up to date, which it also is if it knows `modseq` and nobody has said that there is more.

        Raises NOT_FOUND, UNAVAILABLE. Subscribe to it before the next await.
        """
        index = self._indexes.get(mailbox)
        if index is None:
            index = self._indexes[mailbox] = MailboxIndex(mailbox, self._store, self._offload)
            topic = notices.mailbox_topic(mailbox)
            self._endings[mailbox] = self.notices.subscribe(topic, index.notice, lambda: index.modseq)
        self._indexes.move_to_end(mailbox)
        try:
            await index.load()
            if index.stale or not 0 < modseq <= index.modseq:
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
        self.pictures.close()

    def take_written(self, alterations: Sequence[Alteration]) -> None:
        """This process has written these."""
        self.pictures.take_written(alterations)
        for alteration in alterations:
            if (index := self._indexes.get(alteration.mailbox)) is not None:
                index.take_written(alteration)

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
