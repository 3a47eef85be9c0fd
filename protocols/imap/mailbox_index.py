# SPDX-License-Identifier: MIT
"""What this process knows of a mailbox that somebody has selected, shared by all its sessions.

Every entry by UID, with flags, mod-sequence, size, dates and content, and no body. It is loaded at the first SELECT
and kept right by notices; the store's mod-sequences are the truth, so that a notice which is lost is made good by the
next look (RFC 7162 §3.1). What each client has been told is in `view.py`.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable, Sequence
from typing import Protocol

from mailserver.errors import Kind, MailError
from mailserver.store.interface import Alteration, Changes, Entry, EntryTable, FlagsTest, MailStore
from mailserver.values import Flag, MailboxId, ModSeq
from protocols.net.offload import Offload

log = logging.getLogger("pillarbox.imap")

PAGE_ENTRIES = 10_000
"""A large mailbox is read in pages, so that others get their turn at the threads."""
FRESH_SECONDS = 1.0
"""For so long what was right when the store was last asked is taken for right, if no notice says otherwise
(docs/decisions/imap-freshness.md)."""
NO_MAILBOX = MailboxId(0)


class IndexListener(Protocol):
    """A session that has the mailbox selected."""

    @property
    def wants_news(self) -> bool:
        """The client is listening (IDLE, NOTIFY): changes are fetched as soon as there are any."""
        ...

    def take(self, changes: Changes) -> None:
        """Something has changed. Called on the event loop, in order; see `MailboxIndex.subscribe` for the first."""
        ...

    def mailbox_gone(self) -> None:
        """The mailbox has been deleted; nothing more will come."""
        ...


class MailboxIndex:
    """Lives on the event loop, and changes only during `await refresh()` or between two events."""

    def __init__(self, mailbox: MailboxId, store: MailStore, offload: Offload) -> None:
        self.mailbox = mailbox
        self.gone = False
        self.stale = True
        """Something may have changed: call `refresh()` before relying on it."""
        self.keywords: set[str] = set()
        """Every flag that some message has or had since this was loaded, system flags aside."""
        self.recent_from = 0
        """Messages from this UID on have been shown to no session as new (RFC 3501 §2.3.2); 0 until somebody looked."""
        self._store = store
        self._offload = offload
        self._table = EntryTable()
        self._modseq = ModSeq(0)
        self._flag_sets: set[frozenset[str]] = set()
        self._first_without: dict[Flag, int | None] = {}
        """Known until something changes."""
        self._listeners: list[IndexListener] = []
        self._loading: asyncio.Task[None] | None = None
        self._looking: asyncio.Task[None] | None = None
        self._asked = 0
        self._answered = 0
        self._behind = False
        self._right_at = 0.0

    # ------------------------------------------------------------ asking

    def __len__(self) -> int:
        return len(self._table)

    @property
    def modseq(self) -> ModSeq:
        """Up to where changes have been taken in."""
        return self._modseq

    @property
    def uids(self) -> Sequence[int]:
        """All UIDs in order, to be read only."""
        return self._table.uids

    @property
    def contents(self) -> Sequence[int]:
        """What each of them is, in the same order, to be read only."""
        return self._table.contents

    def __contains__(self, uid: int) -> bool:
        return uid in self._table

    def get(self, uid: int) -> Entry | None:
        """None for a message that is gone."""
        return self._table.get(uid)

    def entries(self, uids: Sequence[int], holds: FlagsTest | None = None) -> list[Entry]:
        """In the order asked, only those whose flags are so; those that are gone are left out."""
        return self._table.pick(uids, holds)

    def changed_since(self, modseq: int) -> list[Entry]:
        """Entries with a higher mod-sequence, in UID order."""
        return self._table.changed_since(modseq)

    def first_without(self, flag: Flag) -> int | None:
        """The lowest UID without this flag."""
        if flag not in self._first_without:
            self._first_without[flag] = self._table.first_where(lambda flags: flag not in flags)
        return self._first_without[flag]

    def uids_without(self, flag: Flag, from_uid: int) -> list[int]:
        """All without this flag, from this UID on."""
        return self._table.uids_where(lambda flags: flag not in flags, from_uid)

    @property
    def has_listeners(self) -> bool:
        return bool(self._listeners)

    # ------------------------------------------------------------ keeping right

    async def load(self) -> None:
        """Read it all, once. Raises NOT_FOUND, UNAVAILABLE."""
        if self._modseq:
            return
        if self._loading is None:
            self._loading = asyncio.create_task(self._load())
        try:
            await asyncio.shield(self._loading)
        finally:
            if self._loading is not None and self._loading.done():
                self._loading = None

    async def refresh(self) -> None:
        """Take in everything that was committed before this call. Raises NOT_FOUND once the mailbox is gone."""
        self._asked += 1
        mine = self._asked
        while self._answered < mine:
            await asyncio.shield(self._start_look())

    def take_written(self, alteration: Alteration) -> None:
        """This process has committed something: taken in as it is, if nobody else has written in between."""
        if alteration.changes.modseq <= self._modseq:
            return
        if self._modseq and alteration.since <= self._modseq:
            self._right_at = time.monotonic()
            self._apply(alteration.changes)
        else:
            self._behind = True
            self.notice()

    async def look_again(self) -> None:
        """Refresh, unless it was right a moment ago and nobody has said that it is not any more."""
        if self.stale or time.monotonic() - self._right_at > FRESH_SECONDS:
            await self.refresh()

    async def catch_up(self) -> None:
        """Know what this process has committed before this call. Raises NOT_FOUND, UNAVAILABLE."""
        if self._behind:
            await self.refresh()

    def notice(self) -> None:
        """Something may have changed: looked at now for those who listen, otherwise when somebody asks."""
        self.stale = True
        if any(listener.wants_news for listener in self._listeners):
            self.look_soon()

    def look_soon(self) -> None:
        """Refresh, without anybody waiting for it."""
        self._asked += 1
        self._start_look()

    def subscribe(self, listener: IndexListener) -> None:
        """From now on the listener gets what changes after `modseq`."""
        self._listeners.append(listener)

    def unsubscribe(self, listener: IndexListener) -> None:
        if listener in self._listeners:
            self._listeners.remove(listener)

    # ------------------------------------------------------------ inside

    async def _load(self) -> None:
        """The mod-sequence first: what changes while the pages are read is then told by the next look."""
        mailbox = await self._offload(self._store.get_mailbox_by_id, self.mailbox)
        after = 0
        while page := await self._offload(self._store.read_table, self.mailbox, after, PAGE_ENTRIES):
            self._table.extend(page)
            self._note_keywords(page.flags)
            after = page.uids[-1]
        self._modseq = mailbox.modseq

    def _start_look(self) -> asyncio.Task[None]:
        """The look under way, or a new one. One that began before somebody asked may miss what he asks for."""
        if self._looking is None:
            self._looking = asyncio.create_task(self._look())
            self._looking.add_done_callback(_note_failure)
        return self._looking

    async def _look(self) -> None:
        answering = self._asked
        began = time.monotonic()
        self.stale = self._behind = False
        try:
            changes = await self._offload(self._store.get_changes, self.mailbox, self._modseq)
        except MailError as error:
            self._looking = None
            self.stale = self._behind = True
            if error.kind is Kind.NOT_FOUND:
                self._lose()
            raise
        self._looking = None
        self._answered = answering
        self._right_at = began
        self._apply(changes)
        if self._asked > answering:
            self._start_look()

    def _apply(self, changes: Changes) -> None:
        """A look may bring less than what has been taken in since it began; that is passed over."""
        gone = [uid for uid in changes.vanished if uid in self._table]
        changed = [entry for entry in changes.changed if self._is_news(entry)]
        self._modseq = max(self._modseq, changes.modseq)
        if not changed and not gone:
            return
        self._first_without.clear()
        self._table.remove(gone)
        for entry in changed:
            self._table.put(entry)
        self._note_keywords(entry.flags for entry in changed)
        news = Changes(tuple(changed), changes.vanished, self._modseq)
        for listener in list(self._listeners):
            listener.take(news)

    def _is_news(self, entry: Entry) -> bool:
        """Everything up to the index's mod-sequence is in it: what is not there has gone."""
        known = self._table.get(entry.uid)
        return entry.modseq > (self._modseq if known is None else known.modseq)

    def _note_keywords(self, flag_sets: Iterable[frozenset[str]]) -> None:
        """Few combinations of flags ever occur, so most entries cost one look into a set."""
        for flags in set(flag_sets) - self._flag_sets:
            self._flag_sets.add(flags)
            self.keywords.update(flag for flag in flags if not flag.startswith("\\"))

    def _lose(self) -> None:
        self.gone = True
        for listener in list(self._listeners):
            listener.mailbox_gone()


class EmptyIndex(MailboxIndex):
    """Of a folder that there is not: nothing is in it, and nothing ever happens."""

    def __init__(self) -> None:
        """Needs no store, for it never asks."""
        super().__init__(NO_MAILBOX, None, None)  # type: ignore[arg-type]
        self._modseq = ModSeq(1)
        self.stale = False

    async def refresh(self) -> None: ...

    async def look_again(self) -> None: ...

    def notice(self) -> None: ...


def _note_failure(task: asyncio.Task[None]) -> None:
    """Perhaps nobody waits for it; then the next command meets the same trouble and answers it."""
    if not task.cancelled() and (error := task.exception()) is not None:
        if not isinstance(error, MailError):
            raise error
        log.info("a mailbox could not be looked at: %s", error)
