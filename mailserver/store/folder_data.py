# SPDX-License-Identifier: MIT
"""What is kept about folders beside their messages: subscriptions, access rights, annotations, how much is used.

RFC 9051 §6.3.7 (SUBSCRIBE), RFC 4314 (ACL), RFC 5464 (METADATA), RFC 9208 (QUOTA). Pure. Part of the store's interface:
plain values, and a Protocol that both stores implement. What somebody may do with a folder, `folders.py` decides.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from mailserver.store.values import Mailbox
from mailserver.values import MailboxId, UserId

MAX_ANNOTATION_BYTES = 65536
"""One value. Mail programs keep a comment or a colour there; Dovecot's limit is the same."""
MAX_ANNOTATIONS = 200
"""Entries of one mailbox, everybody's together."""
MAX_SUBSCRIPTIONS = 5000
"""Names that one user may subscribe to; they need not exist."""


@dataclass(frozen=True, slots=True)
class AccessEntry:
    """What one user may do with a mailbox that is not his own, or with `negative` may not; `user` None is anyone.

    `rights` are letters of RFC 4314 §2.1 in the order of `ALL_RIGHTS`; an entry without any is no entry.
    """

    user: UserId | None
    rights: str
    negative: bool = False


@dataclass(frozen=True, slots=True)
class Granted:
    """A mailbox that its access list names a user for, and the whole list."""

    mailbox: Mailbox
    entries: tuple[AccessEntry, ...]


@dataclass(frozen=True, slots=True)
class Usage:
    """What all mailboxes of a user hold; a message that several have counts in each. Held entries do not count."""

    messages: int = 0
    size: int = 0


class FolderData(Protocol):
    """Every change is told to those who listen on the owner's `notices.folders_topic`."""

    def list_subscriptions(self, user: UserId) -> frozenset[str]:
        """The names that the user has subscribed to, as he calls the folders; they need not exist."""
        ...

    def set_subscribed(self, user: UserId, name: str, subscribed: bool) -> None:
        """Raises NOT_FOUND for a user that is gone, FORBIDDEN for a name that cannot be, LIMIT_REACHED."""
        ...

    def get_usage(self, user: UserId) -> Usage:
        """From the counters of the user's mailboxes, in one query."""
        ...

    def list_access(self, mailboxes: Sequence[MailboxId]) -> dict[MailboxId, tuple[AccessEntry, ...]]:
        """The access lists of several mailboxes, anyone first; those without one are missing."""
        ...

    def set_access(self, mailbox: MailboxId, entries: Sequence[AccessEntry]) -> None:
        """Put these entries into the list, each in place of the one for the same user and sign, if there is one.

        Raises NOT_FOUND for a mailbox or a user that is gone.
        """
        ...

    def list_granted(self, user: UserId) -> list[Granted]:
        """Mailboxes of others, public ones too, whose list has something for this user or for anyone."""
        ...

    def read_annotations(
        self, user: UserId, mailboxes: Sequence[MailboxId | None]
    ) -> dict[MailboxId | None, dict[str, bytes]]:
        """Values by entry name: the shared ones and this user's private ones; the mailbox None is the server.

        Every mailbox asked for is in the answer.
        """
        ...

    def set_annotations(self, user: UserId, mailbox: MailboxId | None, values: Mapping[str, bytes | None]) -> None:
        """Set or (None) remove entries, all or nothing. Names start with /shared/ or /private/, in lower case.

        Raises NOT_FOUND, TOO_BIG for a value, LIMIT_REACHED for their number.
        """
        ...
