# SPDX-License-Identifier: MIT
"""NOTIFY: the client is told of changes when they happen, in the selected mailbox and in others.

RFC 5465. What is watched, and how changes are told, stands in `watching.py`; here is when somebody looks. A notice
says that a mailbox may have changed; the store is asked only then, once for all that has been heard of meanwhile.
"""

from __future__ import annotations

import time
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import replace

from mailserver import notices
from mailserver.errors import MailError
from mailserver.store.folders import Folders
from mailserver.store.interface import MailStore
from mailserver.values import PUBLIC, MailboxId
from protocols.imap import commands as c
from protocols.imap import replies
from protocols.imap.fetch_items import BinarySection, BodySection, FetchItem
from protocols.imap.handlers.fetch import answer_fetch
from protocols.imap.handlers.handler import Handlers
from protocols.imap.notify import Event, Watch
from protocols.imap.replies import Completion
from protocols.imap.selected import Selected
from protocols.imap.sequence import SequenceSet
from protocols.imap.session import Session
from protocols.imap.watching import Listener, Picture, describe_all, describe_changes, watched_mailboxes

MAX_WATCHED = 2000
"""Mailboxes watched by one session. RFC 5465 §5.8 lets a server say that it is too much."""
POLL_SECONDS = 60.0
"""How long a notice may have been lost before a command's end looks by itself."""


async def notify(session: Session, command: c.Notify) -> Completion:
    """Replaces what an earlier NOTIFY asked for (RFC 5465 §3.1)."""
    if not command.groups:
        stop_watching(session)
        return replies.completed(command)
    lookout = Lookout(session, command)
    picture = await lookout.look_at_all()
    if len(watched_mailboxes(picture, lookout.listener)) > MAX_WATCHED:
        return replies.too_much_to_watch(command)
    stop_watching(session)
    lookout.start(picture)
    if command.status:
        await session.send_untagged(describe_all(picture, lookout.listener, _selected_id(session)))
    return replies.completed(command)


def stop_watching(session: Session) -> None:
    """As before the first NOTIFY."""
    for tell in list(session.news):
        lookout = getattr(tell, "__self__", None)
        if isinstance(lookout, Lookout):
            lookout.stop()


def _selected_id(session: Session) -> MailboxId | None:
    return session.selected.mailbox.id if session.selected is not None else None


class Lookout:
    """What one session watches, from NOTIFY SET to the next NOTIFY."""

    def __init__(self, session: Session, command: c.Notify) -> None:
        self.listener = Listener(session.owner.id, command.groups, session.utf8, session.knows_modseq)
        self._session = session
        self._picture = Picture()
        self._touched: set[MailboxId] = set()
        self._folders_touched = False
        self._looked_at = 0.0
        self._endings: dict[str, Callable[[], None]] = {}
        self._selected: Selected | None = None
        self._shown_uid = 0

    def start(self, picture: Picture) -> None:
        session = self._session
        self._take(picture)
        session.news.append(self.tell)
        session.on_reset.append(self._unsubscribe)
        session.pushing = True
        group = self.listener.selected_group
        session.expunges_at_once = group is not None and group.watch is Watch.SELECTED

    def stop(self) -> None:
        session = self._session
        session.pushing = session.expunges_at_once = False
        session.news.remove(self.tell)
        session.on_reset.remove(self._unsubscribe)
        self._unsubscribe()

    async def tell(self) -> None:
        """Say what has changed since the last time; nothing, and at no cost, if nothing was heard of."""
        await self._show_new_messages()
        if time.monotonic() - self._looked_at > POLL_SECONDS:
            self._folders_touched = True
        if not self._folders_touched and not self._touched:
            return
        old = self._picture
        try:
            picture = await (self.look_at_all() if self._folders_touched else self._look_at_some())
        except MailError:
            return  # the next notice, or the next minute, brings another look
        if len(watched_mailboxes(picture, self.listener)) > MAX_WATCHED:
            self.stop()
            await self._session.send_untagged(replies.NOTIFICATION_OVERFLOW)
            return
        self._take(picture)
        data = describe_changes(old, picture, self.listener, _selected_id(self._session))
        await self._session.send_untagged(data)

    async def _show_new_messages(self) -> None:
        """What MessageNew asks for of each message that has come into the selected mailbox (RFC 5465 §5.1)."""
        selected, group = self._session.selected, self.listener.selected_group
        if selected is None or group is None or not group.items:
            self._selected = None
            return
        last, self._shown_uid = self._shown_uid, selected.view.largest_uid
        if selected is not self._selected:
            self._selected = selected
            return
        uids = list(selected.view.uids[bisect_right(selected.view.uids, last) :])
        if uids:
            items = tuple(_peeking(item) for item in group.items)
            await answer_fetch(self._session, c.Fetch("*", True, SequenceSet(((uids[0], uids[-1]),)), items), uids)

    async def look_at_all(self) -> Picture:
        """Everything that is watched, as it is now."""
        self._folders_touched = False
        self._touched.clear()
        self._looked_at = time.monotonic()
        session = self._session
        return await session.offload(_paint, session.connection.store, session.folders(), self.listener)

    async def _look_at_some(self) -> Picture:
        touched, self._touched = self._touched, set()
        return await self._session.offload(_repaint, self._session.connection.store, self._picture, touched)

    # ------------------------------------------------------------ hearing

    def _take(self, picture: Picture) -> None:
        """Remember it, and listen to what is in it."""
        self._picture = picture
        owners = {self.listener.user, PUBLIC, *(folder.owner for folder in picture.folders.values())}
        wanted: dict[str, Callable[[], None]] = {
            notices.folders_topic(owner): self._hear_of_folders for owner in owners
        }
        for mailbox in watched_mailboxes(picture, self.listener):
            if mailbox in picture.counts:
                wanted[notices.mailbox_topic(mailbox)] = self._hearing_of(mailbox)
        for topic in self._endings.keys() - wanted.keys():
            self._endings.pop(topic)()
        for topic in wanted.keys() - self._endings.keys():
            self._endings[topic] = self._session.notices.subscribe(topic, wanted[topic])

    def _hearing_of(self, mailbox: MailboxId) -> Callable[[], None]:
        def hear() -> None:
            self._touched.add(mailbox)
            self._session.wake()

        return hear

    def _hear_of_folders(self) -> None:
        self._folders_touched = True
        self._session.wake()

    def _unsubscribe(self) -> None:
        for end in self._endings.values():
            end()
        self._endings.clear()


def _peeking(item: FetchItem) -> FetchItem:
    r"""Telling of a message does not set \Seen (RFC 5465 §5.1)."""
    return replace(item, peek=True) if isinstance(item, BodySection | BinarySection) else item


# ---------------------------------------------------------------- looking, in a thread


def _paint(store: MailStore, folders: Folders, listener: Listener) -> Picture:
    picture = Picture(
        {folder.mailbox.id: folder for folder in folders.list_all()},
        subscriptions=store.list_subscriptions(listener.user),
    )
    wanted: list[MailboxId | None] = [None] if listener.wants(Event.SERVER_METADATA_CHANGE) else []
    if listener.wants(Event.MAILBOX_METADATA_CHANGE):
        wanted += picture.folders
    annotations = store.read_annotations(listener.user, wanted) if wanted else {}
    counts = store.count(list(watched_mailboxes(picture, listener)))
    return replace(picture, counts=counts, annotations=annotations)


def _repaint(store: MailStore, picture: Picture, touched: set[MailboxId]) -> Picture:
    """The same with the figures of some mailboxes as they are now; whether they exist, folder notices tell."""
    folders = dict(picture.folders)
    counts = dict(picture.counts) | store.count(list(touched))
    for mailbox in folders.keys() & touched:
        try:
            folders[mailbox] = replace(folders[mailbox], mailbox=store.get_mailbox_by_id(mailbox))
        except MailError:
            continue
    return replace(picture, folders=folders, counts=counts)


HANDLERS: Handlers = {c.Notify: notify}
