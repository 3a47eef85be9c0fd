# SPDX-License-Identifier: MIT
"""One session's hold on a maildrop: the lock, reading ahead, and what is written at the end.

RFC 1939 §4 (exclusive lock), §6 (UPDATE). Everything that the session asks of the store goes through here. The lock
is given back on every way out, also when the session is cancelled while the store is still giving it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from mailserver import clock
from mailserver.errors import Kind, MailError
from mailserver.journey.records import JourneyStep, JourneyStepRecord
from mailserver.store.interface import LockToken, MailStore, Removal, StoredContent, Unit
from mailserver.users.authentication import LoggedInUser
from mailserver.values import MEMORY_BODY_BYTES, ContentId, MailboxId, Uid
from protocols.net.offload import Offload
from protocols.pop3.maildrop import Maildrop

INBOX = "INBOX"
AHEAD_MESSAGES = 32
"""Read in one query when a client goes through its messages: one each gave 2,480/s, 32 gave 49,000/s."""
AHEAD_BYTES = 128 * 1024
"""And never more than this, in each of two batches: a thousand sessions stay within 256 MB at the worst."""
PAGE_MESSAGES = 10_000
"""Entries of a large maildrop are taken in pages, to hold few of them at once."""


@dataclass(frozen=True, slots=True)
class _Opened:
    token: LockToken
    mailbox: MailboxId
    maildrop: Maildrop


class MaildropAccess:
    """For one session. `open` may be tried again after it has failed."""

    def __init__(self, store: MailStore, offload: Offload, session: int) -> None:
        self._store = store
        self._offload = offload
        self._session = session
        self._opening: asyncio.Future[_Opened] | None = None
        self._opened: _Opened | None = None
        self._user: LoggedInUser | None = None
        self._ahead: dict[int, StoredContent] = {}
        self._coming: asyncio.Task[dict[int, StoredContent]] | None = None
        """The batch after `_ahead`: read while the client takes that, or it would wait for each batch."""
        self._last_read = 0
        self._fetched: dict[int, str] = {}

    @property
    def maildrop(self) -> Maildrop:
        assert self._opened is not None
        return self._opened.maildrop

    @property
    def is_open(self) -> bool:
        return self._opened is not None

    async def open(self, user: LoggedInUser) -> Maildrop:
        """Take the lock and list the Inbox. Raises IN_USE, NOT_FOUND, UNAVAILABLE."""
        self._opening = asyncio.ensure_future(self._offload(self._lock_and_list, user))
        try:
            self._opened = await asyncio.shield(self._opening)
        except MailError:
            self._opening = None
            raise
        self._user = user
        return self._opened.maildrop

    async def read(self, number: int) -> StoredContent:
        """A message that exists. Raises NOT_FOUND when its content has gone all the same, UNAVAILABLE."""
        in_order = number == self._last_read + 1
        if number not in self._ahead and self._coming is not None:
            coming, self._coming = self._coming, None
            self._ahead = await coming
        if number not in self._ahead:
            self._ahead = await self._read_batch(self._plan(number) if in_order else [number])
        self._last_read = number
        content = self._ahead.pop(number, None)
        if content is None:
            raise MailError(Kind.NOT_FOUND, f"content of message {number}")
        if in_order and self._coming is None and len(self._ahead) < AHEAD_MESSAGES // 2:
            self._begin_next_batch(max(self._ahead, default=number) + 1)
        return content

    def note_fetched(self, number: int, ref: str) -> None:
        """The whole message has been handed to the client."""
        self._fetched[number] = ref

    async def update(self, *, hold: bool, detail: str) -> None:
        """RFC 1939 §6: remove what is marked, all of it or nothing, and record it. Raises MailError."""
        assert self._opened is not None
        deleted = self.maildrop.deleted
        refs = await self._refs(deleted)
        uids = tuple(self.maildrop.uid(number) for number in deleted)
        removals = (Removal(self._opened.mailbox, uids, hold),) if uids else ()
        fetched, self._fetched = self._fetched, {}
        steps = self._steps(JourneyStep.FETCHED, fetched.values(), detail)
        steps += self._steps(JourneyStep.DELETED, refs, detail + (", held" if hold else ""))
        try:
            if removals or steps:
                await asyncio.shield(asyncio.wrap_future(self._store.submit(Unit(removals=removals, steps=steps))))
        except MailError:
            self._fetched = fetched
            raise

    async def release(self, detail: str) -> None:
        """Record what was fetched, and give the lock back; messages stay. Raises MailError after unlocking."""
        opened = await self._finish_opening()
        if opened is None:
            return
        self._opening = self._opened = None
        self._ahead.clear()
        if self._coming is not None:
            self._coming.cancel()
            self._coming = None
        try:
            await self._record_fetched(detail)
        finally:
            await self._offload(self._store.unlock_maildrop, opened.token)

    # ------------------------------------------------------------ inside

    def _lock_and_list(self, user: LoggedInUser) -> _Opened:
        token = self._store.lock_maildrop(user.id, self._session, exclusive=True)
        try:
            inbox = self._store.get_mailbox(user.id, INBOX)
            return _Opened(token, inbox.id, Maildrop(inbox.uid_validity, self._list(inbox.id)))
        except BaseException:  # whatever it was, the lock goes back
            self._store.unlock_maildrop(token)
            raise

    def _list(self, mailbox: MailboxId) -> Iterator[tuple[Uid, int, ContentId]]:
        after = 0
        while page := self._store.list_entries(mailbox, after, PAGE_MESSAGES):
            yield from ((entry.uid, entry.size, entry.content) for entry in page)
            after = page[-1].uid

    async def _finish_opening(self) -> _Opened | None:
        """What was opened, also by an `open` that was cancelled."""
        if self._opening is None:
            return None
        try:
            return await self._opening
        except MailError:
            return None

    def _begin_next_batch(self, number: int) -> None:
        """Unless it would begin with a large message, which may never be asked for."""
        if number <= self.maildrop.highest and self.maildrop.message_size(number) <= MEMORY_BODY_BYTES:
            self._coming = asyncio.create_task(self._read_next_batch(self._plan(number)))

    async def _read_next_batch(self, numbers: list[int]) -> dict[int, StoredContent]:
        """What cannot be read now is asked for again when the client wants it."""
        try:
            return await self._read_batch(numbers)
        except MailError:
            return {}

    async def _read_batch(self, numbers: list[int]) -> dict[int, StoredContent]:
        contents = {number: self.maildrop.content(number) for number in numbers}
        stored = await self._offload(self._store.read_contents, list(contents.values()))
        found = {content.id: content for content in stored}
        return {number: found[content] for number, content in contents.items() if content in found}

    def _plan(self, number: int) -> list[int]:
        """Which messages to read together, for a client that goes through them in order.

        Those with a body in a file stand alone: it may have to come from an object store first.
        """
        wanted = [] if self.maildrop.is_deleted(number) else [number]
        left = AHEAD_BYTES - self.maildrop.message_size(number)
        for following in range(number + 1, self.maildrop.highest + 1):
            size = self.maildrop.message_size(following)
            left -= size
            if left < 0 or size > MEMORY_BODY_BYTES or len(wanted) == AHEAD_MESSAGES:
                break
            if not self.maildrop.is_deleted(following):
                wanted.append(following)
        return wanted

    async def _refs(self, numbers: list[int]) -> list[str]:
        """The journey ids of these messages; contents are read for those that this session did not fetch."""
        unknown = [number for number in numbers if number not in self._fetched]
        refs = [self._fetched[number] for number in numbers if number in self._fetched]
        for start in range(0, len(unknown), AHEAD_MESSAGES):
            contents = [self.maildrop.content(number) for number in unknown[start : start + AHEAD_MESSAGES]]
            refs += [content.ref for content in await self._offload(self._store.read_contents, contents)]
        return refs

    async def _record_fetched(self, detail: str) -> None:
        steps = self._steps(JourneyStep.FETCHED, self._fetched.values(), detail)
        if steps:
            await asyncio.wrap_future(self._store.submit(Unit(steps=steps)))
        self._fetched.clear()

    def _steps(self, kind: JourneyStep, refs: Iterable[str], detail: str) -> tuple[JourneyStepRecord, ...]:
        recipient = self._user.address if self._user else ""
        return tuple(JourneyStepRecord(ref, clock.now(), kind, recipient, detail) for ref in refs)
