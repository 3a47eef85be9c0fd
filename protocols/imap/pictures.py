# SPDX-License-Identifier: MIT
"""What this process knows of users' folders: read when somebody asks, good for a second, and for one session's own
writes never out of date.

A mail program that is at work asks for the same few folders again and again; one that asks once a minute has them read
each time. So nothing here grows old, and nothing is kept for those who are idle. What may be out of date for how long:
docs/decisions/imap-freshness.md.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from mailserver import notices
from mailserver.store.interface import Alteration, MailStore
from mailserver.store.picture import FolderPicture
from mailserver.values import MailboxId, UserId
from protocols.imap.mailbox_index import FRESH_SECONDS
from protocols.imap.notice_source import NoticeSource
from protocols.net.offload import Offload


@dataclass(slots=True)
class _Kept:
    picture: FolderPicture
    public: bool
    read_at: float
    endings: list[Callable[[], None]] = field(default_factory=list)

    def close(self) -> None:
        for end in self.endings:
            end()


@dataclass(slots=True, eq=False)
class _Reading:
    """A picture on its way from the database, and what was written meanwhile."""

    written: list[Alteration] = field(default_factory=list)
    outdated: bool = False


class FolderPictures:
    """One per process. Use it on the event loop only."""

    def __init__(self, store: MailStore, offload: Offload, heard: NoticeSource) -> None:
        self._store = store
        self._offload = offload
        self._notices = heard
        self._kept: OrderedDict[UserId, _Kept] = OrderedDict()
        self._readings: set[_Reading] = set()

    def find(self, user: UserId, *, public: bool) -> FolderPicture | None:
        """The picture that is at hand, if it is still good. `public`: all public folders belong to it."""
        kept = self._kept.get(user)
        if kept is None or (public and not kept.public) or time.monotonic() - kept.read_at > FRESH_SECONDS:
            return None
        return kept.picture

    async def read(self, user: UserId, *, public: bool) -> FolderPicture:
        """A new one: everything that was committed before this call is in it. Raises UNAVAILABLE."""
        reading = _Reading()
        read_at = time.monotonic()
        self._readings.add(reading)
        try:
            picture = await self._offload(self._store.read_picture, user, public=public)
        finally:
            self._readings.discard(reading)
        for alteration in reading.written:
            picture.take(alteration)
        if not reading.outdated:
            self._keep(user, _Kept(picture, public, read_at))
        return picture

    def take_written(self, alterations: Sequence[Alteration]) -> None:
        """This process has written these."""
        for kept in self._kept.values():
            for alteration in alterations:
                kept.picture.take(alteration)
        for reading in self._readings:
            reading.written += alterations

    def forget_all(self) -> None:
        """This process has changed some folders; whom that concerns, nobody needs to know."""
        for reading in self._readings:
            reading.outdated = True
        self.close()

    def close(self) -> None:
        """Stop listening to notices."""
        while self._kept:
            self._kept.popitem()[1].close()

    def _keep(self, user: UserId, kept: _Kept) -> None:
        self._forget(user)
        while self._kept and kept.read_at - next(iter(self._kept.values())).read_at > FRESH_SECONDS:
            self._kept.popitem(last=False)[1].close()
        self._kept[user] = kept

        def forget() -> None:
            if self._kept.get(user) is kept:
                self._forget(user)

        subscribe = self._notices.subscribe
        kept.endings.append(subscribe(notices.folders_topic(user), forget))
        for mailbox in kept.picture.modseqs():
            kept.endings.append(subscribe(notices.mailbox_topic(mailbox), forget, _known(kept.picture, mailbox)))

    def _forget(self, user: UserId) -> None:
        kept = self._kept.pop(user, None)
        if kept is not None:
            kept.close()


def _known(picture: FolderPicture, mailbox: MailboxId) -> Callable[[], int]:
    return lambda: picture.modseq(mailbox)
