# SPDX-License-Identifier: MIT
"""Which UIDs a mailbox has lost since when, and how much of that is remembered (RFC 7162 §3.2.10).

A client that comes back asks what went while it was away. Each mailbox remembers its last `KEPT` losses; of what went
before, one row is left, with the UID that no message has and the mod-sequence through which the history is gone. A
client that was away for longer is told every UID that is not there: RFC 7162 §3.2.10 allows to name more than it knew.
"""

from __future__ import annotations

from django.db import transaction
from django.db.models import Count

from mailserver.store import statements
from mailserver.store.models import Entry, Expunged, Mailbox
from mailserver.values import MailboxId, ModSeq, Uid

KEPT = 10_000
"""A year of a busy mailbox; a row takes some fifty bytes."""
AT_ONCE = 2_000
"""Rows removed by one transaction, so that a writer who waits does not wait long."""
FORGOTTEN = 0
"""RFC 9051 §2.3.1.1: UIDs begin with 1."""


def read_vanished(mailbox: MailboxId, since: ModSeq, uid_next: int) -> tuple[Uid, ...]:
    """Every UID that has gone after `since`, and others that are not there once that is not known any more.

    `uid_next` is what the mailbox said before this is read, so that a message which comes meanwhile is never missing.
    """
    gone = tuple([uid for (uid,) in statements.UIDS_GONE.read(mailbox, since)])
    if FORGOTTEN not in gone[:1]:
        return gone
    present = set(Entry.objects.filter(mailbox=mailbox, held=False).values_list("uid", flat=True))
    return tuple([Uid(uid) for uid in range(1, uid_next) if uid not in present])


def forget_long_gone(kept: int = KEPT) -> int:
    """Keep only the last losses of each mailbox; how many rows went. For housekeeping."""
    counted = Expunged.objects.values("mailbox").annotate(rows=Count("id")).filter(rows__gt=kept)
    return sum(_forget(mailbox, rows - kept) for mailbox, rows in list(counted.values_list("mailbox", "rows")))


def _forget(mailbox: int, surplus: int) -> int:
    """The oldest ones. The row that says so counts as one of those kept."""
    forgotten = 0
    while forgotten < surplus:
        removed = _forget_some(mailbox, min(surplus - forgotten, AT_ONCE))
        if not removed:
            break
        forgotten += removed
    return forgotten


@transaction.atomic
def _forget_some(mailbox: int, count: int) -> int:
    """All or nothing of a mod-sequence: what is after the row that says so is complete."""
    if not Mailbox.objects.select_for_update(no_key=True).filter(pk=mailbox).exists():
        return 0
    rows = Expunged.objects.filter(mailbox=mailbox)
    oldest = rows.order_by("modseq").values_list("modseq", flat=True)[: count + 1]
    through = list(oldest)[-1]
    removed, _ = rows.filter(modseq__lte=through).delete()
    Expunged.objects.create(mailbox_id=mailbox, uid=FORGOTTEN, modseq=through)
    return removed - 1
