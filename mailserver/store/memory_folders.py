# SPDX-License-Identifier: MIT
"""Subscriptions, access lists and annotations in dictionaries: `folder_data.py` for `memory.py`."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace

from mailserver.errors import Kind, MailError
from mailserver.store.folder_data import (
    MAX_ANNOTATION_BYTES,
    MAX_ANNOTATIONS,
    MAX_SUBSCRIPTIONS,
    AccessEntry,
    Granted,
    Usage,
)
from mailserver.store.ledger import MailboxState
from mailserver.store.names import check_subscription, is_private
from mailserver.store.values import Mailbox
from mailserver.values import MailboxId, ModSeq, Uid, UserId

Holder = UserId | None


class MemoryFolders:
    """What a MemoryStore knows of users and mailboxes, and keeps about folders beside their messages."""

    def __init__(self) -> None:
        self.failure: MailError | None = None
        """While set, every call fails with it and changes nothing."""
        self._mutex = threading.RLock()
        self._users: set[UserId] = set()
        self._mailboxes: dict[MailboxId, Mailbox] = {}
        self._states: dict[MailboxId, MailboxState] = {}
        self._subscriptions: dict[UserId, set[str]] = {}
        self._access: dict[MailboxId, dict[tuple[Holder, bool], AccessEntry]] = {}
        self._annotations: dict[MailboxId | None, dict[tuple[Holder, str], bytes]] = {}

    def list_subscriptions(self, user: UserId) -> frozenset[str]:
        with self._mutex:
            self._fail_if_told()
            return frozenset(self._subscriptions.get(user, ()))

    def set_subscribed(self, user: UserId, name: str, subscribed: bool) -> None:
        with self._mutex:
            check_subscription(name)
            mine = self._subscriptions.setdefault(user, set())
            if not subscribed:
                mine.discard(name)
                return
            self._require_user(user)
            if name not in mine and len(mine) >= MAX_SUBSCRIPTIONS:
                raise MailError(Kind.LIMIT_REACHED, f"user {user} has {MAX_SUBSCRIPTIONS} subscriptions")
            mine.add(name)

    def get_usage(self, user: UserId) -> Usage:
        with self._mutex:
            self._fail_if_told()
            states = [self._states[mailbox.id] for mailbox in self._mailboxes.values() if mailbox.user == user]
            return Usage(sum(state.messages for state in states), sum(state.size for state in states))

    def list_access(self, mailboxes: Sequence[MailboxId]) -> dict[MailboxId, tuple[AccessEntry, ...]]:
        with self._mutex:
            self._fail_if_told()
            lists = {mailbox: self._access.get(mailbox, {}).values() for mailbox in mailboxes}
            return {
                mailbox: tuple(sorted(entries, key=lambda entry: (entry.user or 0, entry.negative)))
                for mailbox, entries in lists.items()
                if entries
            }

    def set_access(self, mailbox: MailboxId, entries: Sequence[AccessEntry]) -> None:
        with self._mutex:
            self._get(mailbox)
            for entry in entries:
                if entry.user is not None and entry.rights:
                    self._require_user(entry.user)
            mine = self._access.setdefault(mailbox, {})
            for entry in entries:
                mine.pop((entry.user, entry.negative), None)
                if entry.rights:
                    mine[entry.user, entry.negative] = entry

    def list_granted(self, user: UserId) -> list[Granted]:
        with self._mutex:
            self._fail_if_told()
            others = [mailbox for mailbox in self._mailboxes.values() if mailbox.user != user]
            lists = self.list_access([mailbox.id for mailbox in others])
            return [
                Granted(self._present(mailbox), lists[mailbox.id])
                for mailbox in others
                if any(entry.user in (user, None) for entry in lists.get(mailbox.id, ()))
            ]

    def read_annotations(
        self, user: UserId, mailboxes: Sequence[MailboxId | None]
    ) -> dict[MailboxId | None, dict[str, bytes]]:
        with self._mutex:
            self._fail_if_told()
            return {
                mailbox: {
                    name: value
                    for (holder, name), value in self._annotations.get(mailbox, {}).items()
                    if holder in (user, None)
                }
                for mailbox in mailboxes
            }

    def set_annotations(self, user: UserId, mailbox: MailboxId | None, values: Mapping[str, bytes | None]) -> None:
        for name, value in values.items():
            if value is not None and len(value) > MAX_ANNOTATION_BYTES:
                raise MailError(Kind.TOO_BIG, f"annotation {name} of {len(value)} bytes")
        with self._mutex:
            self._fail_if_told()
            if mailbox is not None:
                self._get(mailbox)
            mine = dict(self._annotations.get(mailbox, {}))
            for name, value in values.items():
                holder = user if is_private(name) else None
                mine.pop((holder, name), None)
                if value is not None:
                    self._require_user(user)
                    mine[holder, name] = value
            if len(mine) > MAX_ANNOTATIONS and any(value is not None for value in values.values()):
                raise MailError(Kind.LIMIT_REACHED, f"mailbox {mailbox} has {MAX_ANNOTATIONS} annotations")
            self._annotations[mailbox] = mine

    def _forget_folder(self, mailbox: MailboxId) -> None:
        self._access.pop(mailbox, None)
        self._annotations.pop(mailbox, None)

    def _require_user(self, user: UserId) -> None:
        self._fail_if_told()
        if user not in self._users:
            raise MailError(Kind.NOT_FOUND, f"user {user}")

    def _get(self, mailbox: MailboxId) -> Mailbox:
        self._fail_if_told()
        if mailbox not in self._mailboxes:
            raise MailError(Kind.NOT_FOUND, f"mailbox {mailbox} is gone")
        return self._mailboxes[mailbox]

    def _present(self, mailbox: Mailbox) -> Mailbox:
        """With the counters of this moment."""
        state = self._states[mailbox.id]
        return replace(
            mailbox, uid_validity=state.uid_validity, uid_next=Uid(state.uid_next), modseq=ModSeq(state.modseq)
        )

    def _fail_if_told(self) -> None:
        if self.failure is not None:
            raise self.failure
