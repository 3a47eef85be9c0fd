# SPDX-License-Identifier: MIT
"""The selected mailbox of one session: what the client sees of it, and what it may do there.

RFC 9051 §3.3, §6.3.2. Joins the shared `MailboxIndex`, which is right, to the `View`, which is what the client knows.
Changes wait here until the session is at a place where the client can be told, so that numbers never move in the
middle of a command.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from mailserver.store.interface import Changes, Entry
from mailserver.store.values import Mailbox
from protocols.imap.mailbox_index import MailboxIndex
from protocols.imap.sequence import NumberSet, SequenceSet
from protocols.imap.view import Update, View

MAX_WAITING_CHANGES = 100
"""Batches of changes that wait for a client that says nothing; beyond that they are fetched anew when it does."""


class Follower(Protocol):
    """Something that goes on about the selected mailbox after its command: a search that is kept up to date."""

    async def follow(self, updates: Sequence[Update]) -> None:
        """The client has just been told of these updates; say by `session.send_untagged()` what follows from them."""
        ...


class Selected:
    """From SELECT to CLOSE, UNSELECT, or the next SELECT."""

    def __init__(
        self, mailbox: Mailbox, index: MailboxIndex, view: View, *, name: str, rights: str, read_only: bool
    ) -> None:
        self.mailbox = mailbox
        """As it was when it was selected; its counters are in `index`."""
        self.name = name
        """As this user calls it."""
        self.index = index
        self.view = view
        self.rights = rights
        """Letters of RFC 4314 §2.1."""
        self.read_only = read_only
        self.followers: dict[str, Follower] = {}
        """By the tag of the command that began it (RFC 5267 §4.3)."""
