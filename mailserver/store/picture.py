# SPDX-License-Identifier: MIT
"""The folders that concern one user, as they were at one moment: looked at again and again without a query.

Has what `folders.py` asks of a store, with the counters beside it. Pure. Who keeps one says how long it is good for;
what this process writes is taken in by `take()`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from mailserver.errors import Kind, MailError
from mailserver.store.folder_data import AccessEntry, Granted
from mailserver.store.interface import Alteration, MailboxCounts
from mailserver.store.names import normal_name, show_order
from mailserver.store.values import Mailbox
from mailserver.values import MailboxId, ModSeq, UserId


class FolderPicture:
    """A user's own mailboxes, those whose access list concerns him, and perhaps all public ones.

    `access` holds the lists of mailboxes of others. What is not in the picture does not concern the user.
    """

    def __init__(
        self,
        user: UserId,
        mailboxes: Iterable[tuple[Mailbox, MailboxCounts]],
        access: Mapping[MailboxId, tuple[AccessEntry, ...]],
        subscriptions: frozenset[str],
    ) -> None:
        self.user = user
        self._access = access
        self._subscriptions = subscriptions
        self._mailboxes: dict[MailboxId, Mailbox] = {}
        self._counts: dict[MailboxId, MailboxCounts] = {}
        self._by_name: dict[tuple[UserId, str], MailboxId] = {}
        for mailbox, counts in mailboxes:
            self._mailboxes[mailbox.id] = mailbox
            self._counts[mailbox.id] = counts
            self._by_name[mailbox.user, mailbox.name] = mailbox.id

    def modseqs(self) -> dict[MailboxId, ModSeq]:
        """Of every mailbox that is in it."""
        return {mailbox.id: mailbox.modseq for mailbox in self._mailboxes.values()}

    def modseq(self, mailbox: MailboxId) -> ModSeq:
        """Up to where it is right about this one."""
        return self._mailboxes[mailbox].modseq

    def take(self, alteration: Alteration) -> None:
        """This has been written; what the picture knows already, and what does not concern it, is passed over."""
        known = self._mailboxes.get(alteration.mailbox)
        if known is None or alteration.changes.modseq <= known.modseq:
            return
        self._mailboxes[known.id] = replace(
            known,
            uid_validity=alteration.uid_validity,
            uid_next=alteration.uid_next,
            modseq=alteration.changes.modseq,
        )
        self._counts[known.id] = alteration.counts

    # ------------------------------------------------------------ as a store answers

    def get_mailbox(self, user: UserId, name: str) -> Mailbox:
        """Raises NOT_FOUND, also for what does not concern the user."""
        mailbox = self._by_name.get((user, normal_name(name)))
        if mailbox is None:
            raise MailError(Kind.NOT_FOUND, f"mailbox {name!r}")
        return self._mailboxes[mailbox]

    def list_mailboxes(self, user: UserId) -> list[Mailbox]:
        mine = [mailbox for mailbox in self._mailboxes.values() if mailbox.user == user]
        return sorted(mine, key=lambda mailbox: show_order(mailbox.name))

    def list_access(self, mailboxes: Sequence[MailboxId]) -> dict[MailboxId, tuple[AccessEntry, ...]]:
        return {mailbox: self._access[mailbox] for mailbox in mailboxes if mailbox in self._access}

    def list_granted(self, user: UserId) -> list[Granted]:
        return [
            Granted(self._mailboxes[mailbox], entries)
            for mailbox, entries in self._access.items()
            if mailbox in self._mailboxes and any(entry.user in (user, None) for entry in entries)
        ]

    def list_subscriptions(self, user: UserId) -> frozenset[str]:
        assert user == self.user
        return self._subscriptions

    def count(self, mailboxes: Sequence[MailboxId]) -> dict[MailboxId, MailboxCounts]:
        return {mailbox: self._counts[mailbox] for mailbox in mailboxes if mailbox in self._counts}
