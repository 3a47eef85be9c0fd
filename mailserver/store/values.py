# SPDX-License-Identifier: MIT
"""A mailbox as every file of the store speaks of it. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from mailserver.values import MailboxId, ModSeq, SpecialUse, Uid, UserId


@dataclass(frozen=True, slots=True)
class Mailbox:
    """A mailbox and its counters; `user` is PUBLIC for a public folder."""

    id: MailboxId
    user: UserId
    name: str
    special_use: SpecialUse | None
    uid_validity: int
    uid_next: Uid
    modseq: ModSeq
