# SPDX-License-Identifier: MIT
"""A store with a user in it, as the contract suite sees every MailStore."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

import pytest

from mailserver.errors import Kind, MailError
from mailserver.store.interface import MailStore, Unit, UnitResult
from mailserver.values import MailboxId, ModSeq, Uid, UserId
from tests.support.filings import WAIT_SECONDS, make_unit

LONG_AGO = datetime(2001, 2, 3, 4, 5, 6, tzinfo=UTC)
GONE = MailboxId(10**9)
"""A mailbox that is not there."""


@dataclass(slots=True)
class World:
    """A store, a user in it, and how another one comes to be."""

    store: MailStore
    user: UserId
    new_user: Callable[[], UserId]

    @property
    def inbox(self) -> MailboxId:
        return self.store.get_mailbox(self.user, "INBOX").id

    @property
    def trash(self) -> MailboxId:
        return self.store.get_mailbox(self.user, "Trash").id

    def do(self, unit: Unit) -> UnitResult:
        return self.store.submit(unit).result(WAIT_SECONDS)

    def file(self, count: int = 1, *, flags: frozenset[str] = frozenset()) -> list[Uid]:
        """So many messages in the Inbox."""
        return [filed.uid for filed in self.do(make_unit(self.inbox, count=count, flags=flags)).filed]

    def uids(self, mailbox: MailboxId | None = None) -> list[int]:
        return [entry.uid for entry in self.store.list_entries(mailbox or self.inbox)]

    def flags(self, uid: int = 1) -> frozenset[str]:
        return next(entry.flags for entry in self.store.list_entries(self.inbox) if entry.uid == uid)

    def modseq(self) -> ModSeq:
        return self.store.get_mailbox_by_id(self.inbox).modseq


def fails(kind: Kind, action: Callable[[], object]) -> None:
    with pytest.raises(MailError) as caught:
        action()
    assert caught.value.kind is kind
