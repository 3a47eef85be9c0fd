# SPDX-License-Identifier: MIT
"""The selected mailbox of one session: what the client sees of it, and what it may do there.

RFC 9051 §3.3, §6.3.2. Joins the shared `MailboxIndex`, which is right, to the `View`, which is what the client knows.
Changes wait here until the session is at a place where the client can be told of them, so that no number moves in the
middle of a command.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from mailserver.store.interface import Changes
from mailserver.store.rights import right_for
from mailserver.store.values import Mailbox
from mailserver.values import Flag
from protocols.imap.mailbox_index import MailboxIndex
from protocols.imap.sequence import NumberSet, SequenceSet
from protocols.imap.tidings import PermanentFlags
from protocols.imap.view import View

MAX_WAITING = 100
"""Batches of changes that wait for a client which says nothing; when there are more, they are worked out anew."""


class Follower(Protocol):
    """Something that goes on about the selected mailbox after its command: a search that is kept up to date."""

    async def before_updates(self) -> None:
        """The view knows what has happened, the client does not yet: say by `session.send_untagged()` what must come
        while messages that are gone still have their numbers."""
        ...

    async def after_updates(self) -> None:
        """The client has been told what it may be told at this place, perhaps nothing: say what follows from it."""
        ...


class Selected:
    """From SELECT to CLOSE, UNSELECT, or the next SELECT. A listener of its index."""

    def __init__(
        self,
        mailbox: Mailbox,
        index: MailboxIndex,
        *,
        name: str,
        rights: frozenset[str],
        read_only: bool,
        is_listening: Callable[[], bool],
        wake: Callable[[], None],
    ) -> None:
        """Begins to listen to the index; `close()` ends that."""
        self.mailbox = mailbox
        """As it was when it was selected; its counters now are those of `index`."""
        self.name = name
        """As this user calls it."""
        self.index = index
        self.rights = rights
        """Letters of RFC 4314 §2.1."""
        self.read_only = read_only
        self.view = View(index.uids, index.modseq, recent=_take_recent(index, read_only))
        self.followers: dict[str, Follower] = {}
        """By the tag of the command that began them (RFC 5267 §4.3)."""
        self.told_keywords = set(index.keywords)
        """What the last FLAGS response listed."""
        self.gone = False
        """Somebody has deleted the mailbox."""
        self._is_listening = is_listening
        self._wake = wake
        self._waiting: list[Changes] | None = []
        index.subscribe(self)

    def close(self) -> None:
        self.index.unsubscribe(self)
        self.followers.clear()

    # ------------------------------------------------------------ as a listener

    @property
    def wants_news(self) -> bool:
        return self._is_listening()

    def take(self, changes: Changes) -> None:
        if self._waiting is not None:
            self._waiting.append(changes)
            if len(self._waiting) > MAX_WAITING:
                self._waiting = None
        self._wake()

    def mailbox_gone(self) -> None:
        self.gone = True
        self._wake()

    # ------------------------------------------------------------ for commands

    def resolve(self, messages: SequenceSet, *, uid: bool, saved: NumberSet) -> list[int] | None:
        """The UIDs that a command means, in order; None for a number that does not exist, which is answered BAD.

        They are messages that the client knows; some may be gone from `index` by now.
        """
        if messages.saved:
            return self.view.intersect_uids(saved)
        return self.view.select_uids(messages) if uid else self.view.select_numbers(messages)

    def may(self, rights: str) -> bool:
        """Whether the user has all of these rights here, and has not opened the mailbox for reading only."""
        return not self.read_only and all(right in self.rights for right in rights)

    @property
    def permanent_flags(self) -> PermanentFlags:
        """RFC 4314 §4: `s` is for \\Seen, `t` for \\Deleted, `w` for all others."""
        flags = tuple(flag.value for flag in Flag if self.may(right_for(flag.value)))
        return PermanentFlags(flags, keywords=self.may("w"))

    async def refresh(self) -> None:
        """Take in everything that has been committed. The client is told by `Session.send_updates()`."""
        await self.index.refresh()

    def catch_up(self) -> None:
        """Let the view know what the index knows. Only where the client is then told: numbers may grow."""
        if self._waiting is None:
            known = self.view.uids
            gone = tuple(uid for uid in known if uid not in self.index)
            changed = tuple(self.index.changed_since(self.view.modseq))
            self._waiting = [Changes(changed, gone, self.index.modseq)]  # type: ignore[arg-type]
        waiting, self._waiting = self._waiting, []
        for changes in waiting:
            self.view.apply(changes)


def _take_recent(index: MailboxIndex, read_only: bool) -> NumberSet:
    r"""Messages that no session of this process has been shown; SELECT takes them, EXAMINE only looks.

    RFC 3501 §2.3.2. Which messages other processes have shown is not known, and what is not known counts as recent;
    but one with \Seen was certainly shown.
    """
    recent = index.uids_without(Flag.SEEN, index.recent_from)
    if not read_only:
        index.recent_from = (index.uids[-1] if index.uids else 0) + 1
    return NumberSet.from_numbers(recent)
