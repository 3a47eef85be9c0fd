# SPDX-License-Identifier: MIT
"""One IMAP4 client, from the greeting to the end: who it is, what it has enabled, and what it is told.

RFC 9051 §3, §5.2, §7; spec services 2.2, 2.4. What each command does stands in `handlers/`, one file for each family;
here is what they share. Knows neither sockets nor syntax.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from mailserver.config.catalog import MAX_LOGINS_PER_ADDRESS, MAX_LOGINS_PER_USER
from mailserver.config.snapshot import Snapshot
from mailserver.errors import MailError
from mailserver.store.folders import Folder, Folders, ShownFolders
from mailserver.store.interface import LockToken, Unit, UnitResult
from mailserver.store.picture import FolderPicture
from mailserver.users.authentication import LoggedInUser
from protocols.imap import replies
from protocols.imap.commands import Authenticate
from protocols.imap.indexes import MailboxIndexes
from protocols.imap.logins import Logins
from protocols.imap.machine import Machine
from protocols.imap.notice_source import NoticeSource
from protocols.imap.outlet import Outlet
from protocols.imap.replies import Bye
from protocols.imap.selected import Selected
from protocols.imap.sequence import NumberSet
from protocols.imap.tidings import Manner, format_flag_lists, format_updates
from protocols.net.connection import Connection
from protocols.sasl.login import Login

log = logging.getLogger("pillarbox.imap")

T = TypeVar("T")

PROGRESS_SECONDS = 10.0
"""How long a command works before the client is told how far it is (RFC 9585 §4 asks for 10 to 15 seconds)."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """An AUTHENTICATE between its challenges."""

    command: Authenticate
    login: Login


class Session:
    """Handed to every handler. One command runs at a time; only `wake()` may be called from elsewhere."""

    def __init__(
        self, connection: Connection, indexes: MailboxIndexes, logins: Logins, outlet: Outlet, machine: Machine
    ) -> None:
        self.connection = connection
        self.client = connection.client
        """As it is now: TLS may have begun since the connection was accepted."""
        self.indexes = indexes
        self.machine = machine
        self.user: LoggedInUser | None = None
        self.client_id: dict[str, str] = {}
        """What the client has said of itself (RFC 2971), keys in lower case."""
        self.enabled: set[str] = set()
        """IMAP4REV2, CONDSTORE, QRESYNC, UTF8=ACCEPT, UIDONLY, in capitals (RFC 5161)."""
        self.selected: Selected | None = None
        self.saved_result = NumberSet()
        """`$`, as UIDs (RFC 5182 §2.1); empty after each SELECT."""
        self.idling = False
        self.pushing = False
        """NOTIFY is on: the client is told between commands too (RFC 5465 §3.1)."""
        self.expunges_at_once = False
        """And of expunges as well, which move the numbers of messages (RFC 5465 §6.1.1)."""
        self.news: list[Callable[[], Awaitable[None]]] = []
        """Asked at the end of each command and, while the client listens, after `wake()`: each says what it has by
        `send_untagged()`. For NOTIFY."""
        self.on_reset: list[Callable[[], None]] = []
        """Called when the session ends, or its user logs out by UNAUTHENTICATE: subscriptions to notices end here."""
        self.exchange: Exchange | None = None
        """The AUTHENTICATE that is going on."""
        self.failed_logins = 0
        self.farewell: Bye | None = None
        """Said after the present command's end; then the connection is closed."""
        self._logins = logins
        self._outlet = outlet
        self._locking: asyncio.Future[LockToken] | None = None
        self._quiet_until = 0.0

    # ------------------------------------------------------------ asking

    @property
    def owner(self) -> LoggedInUser:
        """The user, for commands that need a login."""
        assert self.user is not None
        return self.user

    @property
    def utf8(self) -> bool:
        """Mailbox names and headers go out in UTF-8 (RFC 6855 §3, RFC 9051 §5.1)."""
        return self.machine.utf8

    def has_enabled(self, capability: str) -> bool:
        return capability in self.enabled

    @property
    def knows_modseq(self) -> bool:
        """The client is told mod-sequences (RFC 7162 §3.1)."""
        return "CONDSTORE" in self.enabled

    @property
    def compressed(self) -> bool:
        """RFC 4978."""
        return self._outlet.layer is not None

    @property
    def uid_only(self) -> bool:
        """RFC 9586."""
        return "UIDONLY" in self.enabled

    @property
    def rev2(self) -> bool:
        """RFC 9051's answers instead of RFC 3501's: no RECENT, ESEARCH for SEARCH, LIST after SELECT."""
        return "IMAP4REV2" in self.enabled

    @property
    def current(self) -> Selected:
        """The selected mailbox, for commands that need one."""
        assert self.selected is not None
        return self.selected

    @property
    def notices(self) -> NoticeSource:
        """For topics other than the selected mailbox; call `wake()` when the client should hear of it."""
        return self.indexes.notices

    def snapshot(self) -> Snapshot:
        """The present settings; ask once per command."""
        return self.connection.snapshot()

    def folders(self) -> Folders:
        """This user's folders, for one command. Its methods block: call them by `offload`, those that change something
        by `change_folders`."""
        return Folders(self.connection.store, self.snapshot().directory, self.owner.id)

    async def change_folders(self, function: Callable[..., T], *arguments: Any) -> T:
        """Run something that changes folders, subscriptions or rights; whoever looks afterwards sees it."""
        try:
            return await self.offload(function, *arguments)
        finally:
            self.indexes.pictures.forget_all()

    async def look_at_folders(self, *, fresh: bool = False) -> tuple[ShownFolders, FolderPicture]:
        """This user's folders as they are, or were a moment ago if somebody else has changed them, and their counts."""
        directory, user = self.snapshot().directory, self.owner.id
        known = directory.users.get(user)
        public = known is not None and known.admin
        pictures = self.indexes.pictures
        picture = None if fresh else pictures.find(user, public=public)
        if picture is None:
            picture = await pictures.read(user, public=public)
        return ShownFolders(picture, directory, user), picture

    async def open_mailbox(self, name: str, needed_rights: str = "") -> Folder:
        """Raises NOT_FOUND, also for what the user may not even look up; FORBIDDEN."""
        return (await self.open_counted(name, needed_rights))[0]

    async def open_counted(self, name: str, needed_rights: str = "") -> tuple[Folder, FolderPicture]:
        """The same, and the picture that has its counts. Nobody is refused because of what was true a moment ago."""
        folders, picture = await self.look_at_folders()
        try:
            return folders.open(name, needed_rights), picture
        except MailError:
            folders, picture = await self.look_at_folders(fresh=True)
            return folders.open(name, needed_rights), picture

    async def offload(self, function: Callable[..., T], *arguments: Any, **named: Any) -> T:
        """Run something that may block."""
        return await self.connection.offload(function, *arguments, **named)

    # ------------------------------------------------------------ what is enabled

    def enable(self, capabilities: set[str]) -> None:
        """What follows from each: RFC 7162 §3.2.3, RFC 9051 §6.3.1, RFC 6855 §3, RFC 9586 §3."""
        if "QRESYNC" in capabilities:
            capabilities = capabilities | {"CONDSTORE"}
        self.enabled |= capabilities
        if not self.enabled.isdisjoint({"IMAP4REV2", "UTF8=ACCEPT"}):
            self.machine.utf8 = True
        if self.uid_only:
            self.machine.uid_only = True
        if self.selected is not None:
            self.selected.view.uses_uids = self.uses_uids

    @property
    def uses_uids(self) -> bool:
        """VANISHED instead of EXPUNGE."""
        return not self.enabled.isdisjoint({"QRESYNC", "UIDONLY"})

    # ------------------------------------------------------------ writing

    async def send_untagged(self, data: bytes) -> None:
        """Whole lines, or pieces of them; gathered, and written in large pieces."""
        await self._outlet.put(data)

    async def flush(self) -> None:
        """Let the client have what was sent so far."""
        await self._outlet.flush()

    async def send_updates(self, *, may_expunge: bool, with_uid: bool = False) -> None:
        """Tell the client what has happened in the selected mailbox, and other news (RFC 9051 §5.2).

        Trouble with the store is left to the next command: what has been done stays done.
        """
        selected = self.selected
        if selected is not None:
            await self._refresh(selected)
            selected.catch_up()
            await self.tell_keywords()
            for follower in list(selected.followers.values()):
                await follower.before_updates()
            updates = selected.view.updates(may_expunge=may_expunge)
            if updates:
                await self.send_untagged(format_updates(updates, self.manner(with_uid=with_uid)))
            for follower in list(selected.followers.values()):
                await follower.after_updates()
        for tell in list(self.news):
            await tell()

    async def _refresh(self, selected: Selected) -> None:
        if not selected.index.stale or selected.gone:
            return
        try:
            await selected.refresh()
        except MailError as error:
            log.info("IMAP4 session %d: no news of %r: %s", self.client.session, selected.name, error)

    async def tell_keywords(self) -> None:
        """FLAGS again, where a keyword has come up that the client has not heard of (RFC 9051 §7.3.5)."""
        selected = self.current
        if len(selected.index.keywords) > len(selected.told_keywords):
            selected.told_keywords = set(selected.index.keywords)
            await self.send_untagged(format_flag_lists(selected.told_keywords, selected.permanent_flags))

    def manner(self, *, with_uid: bool = False) -> Manner:
        """How this client wants to be told of flags; `with_uid` after a UID command (RFC 9051 §6.4.9)."""
        return Manner(
            uid=with_uid or self.rev2 or self.uses_uids,
            modseq=self.knows_modseq,
            recent=not self.rev2,
            uid_only=self.uid_only,
        )

    async def report_progress(self, tag: str, done: int | None = None, goal: int | None = None) -> None:
        """Now and then, tell the client how far a long command is (RFC 9585). Cheap to call often."""
        now = time.monotonic()
        if now >= self._quiet_until:
            self._quiet_until = now + PROGRESS_SECONDS
            code = replies.in_progress_code(tag, done, goal)
            await self.send_untagged(replies.untagged_ok(replies.STILL_WORKING, code))
            await self.flush()

    # ------------------------------------------------------------ listening

    @property
    def listening(self) -> bool:
        """The client is told at once."""
        return self.idling or self.pushing

    def wake(self) -> None:
        """Something has happened that the client hears of now, if it is listening, else at its next command's end."""
        if self.listening:
            self.connection.stream.nudge()

    def begin_command(self, name: str) -> None:
        self.connection.live.doing = name
        self._quiet_until = time.monotonic() + PROGRESS_SECONDS

    # ------------------------------------------------------------ changing mail

    async def submit(self, unit: Unit) -> UnitResult:
        """Have a unit written, whatever becomes of this session meanwhile.

        Raises MailError. On return the selected mailbox's index knows what was done.
        """
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[UnitResult] = loop.create_future()

        def written(future: Future[UnitResult]) -> None:
            with contextlib.suppress(RuntimeError):  # the loop was closed first
                loop.call_soon_threadsafe(_answer, waiter, future)

        self.connection.store.submit(unit).add_done_callback(written)
        result = await waiter
        if self.selected is not None:
            await self.selected.index.catch_up()
        return result

    def deselect(self) -> None:
        """The client is not told of the mailbox any more."""
        if self.selected is not None:
            self.selected.close()
            self.indexes.release(self.selected.index)
            self.selected = None
        self.saved_result = NumberSet()

    # ------------------------------------------------------------ coming and going

    async def occupy(self, user: LoggedInUser) -> None:
        """Spec services 2.4: IMAP4 shares a user's mail with other sessions, but not with POP3.

        Raises IN_USE, LIMIT_REACHED, UNAVAILABLE.
        """
        service = self.connection.service
        self._logins.enter(self.client, service.get(MAX_LOGINS_PER_ADDRESS))
        lock = self.connection.store.lock_maildrop
        limit = service.get(MAX_LOGINS_PER_USER)
        locking = self.offload(lock, user.id, self.client.session, exclusive=False, limit=limit)
        self._locking = asyncio.ensure_future(locking)
        try:
            await asyncio.shield(self._locking)
        except MailError:
            self._locking = None
            self._logins.leave(self.client)
            raise
        self.user = user
        self.connection.live.enter(user)

    def tls_started(self, tls: str) -> None:
        """What the client said in clear is forgotten (RFC 9051 §11.1)."""
        self.client = replace(self.client, encrypted=True, tls=tls)
        self.client_id = {}
        self.exchange = None

    async def reset(self) -> None:
        """As after the greeting (RFC 8437 §3); the connection's layers stay."""
        self.deselect()
        for end in self.on_reset:
            end()
        self.on_reset.clear()
        self.news.clear()
        self.enabled.clear()
        self.idling = self.pushing = self.expunges_at_once = False
        self.user = None
        self.connection.live.leave()
        await self._vacate()

    async def _vacate(self) -> None:
        """Also a lock that was still being taken when the session was cancelled is given back."""
        locking, self._locking = self._locking, None
        if locking is None:
            return
        self._logins.leave(self.client)
        try:
            token = await locking
        except MailError:
            return
        await self.offload(self.connection.store.unlock_maildrop, token)


def _answer(waiter: asyncio.Future[UnitResult], written: Future[UnitResult]) -> None:
    """Perhaps nobody waits any more; what was submitted is written all the same."""
    if waiter.done():
        return
    error = written.exception()
    if error is None:
        waiter.set_result(written.result())
    else:
        waiter.set_exception(error)


def client_words(client_id: Mapping[str, str]) -> str:
    """`name version`, by which settings know a client."""
    return f"{client_id.get('name', '')} {client_id.get('version', '')}".strip()
