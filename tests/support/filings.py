# SPDX-License-Identifier: MIT
"""Messages to file, for tests of the store and of whoever uses it; no database needed."""

from __future__ import annotations

import hashlib
from pathlib import Path

from mailserver.journey.records import next_ref
from mailserver.store.interface import Filing, NewContent, NewEntry, Unit
from mailserver.store.spool import SpoolWriter
from mailserver.values import Body, MailboxId

WAIT_SECONDS = 20
"""How long a test waits for a future at most; none should take a tenth of it."""


def make_body(data: bytes) -> Body:
    """A body in memory."""
    return Body(size=len(data), sha256=hashlib.sha256(data).hexdigest(), data=data)


def make_spooled(data: bytes, folder: Path) -> Body:
    """A body in a spool file."""
    writer = SpoolWriter(folder, memory_bytes=0)
    writer.write(data)
    return writer.finish()


def make_filing(*mailboxes: MailboxId, data: bytes = b"Subject: x\r\n\r\nhello\r\n", **entry: object) -> Filing:
    """A new content in each of these mailboxes."""
    content = NewContent(ref=next_ref(), body=make_body(data))
    return Filing(content, tuple(NewEntry(mailbox, **entry) for mailbox in mailboxes))  # type: ignore[arg-type]


def make_unit(*mailboxes: MailboxId, count: int = 1, **entry: object) -> Unit:
    """So many new contents, each in all of these mailboxes."""
    return Unit(filings=tuple(make_filing(*mailboxes, **entry) for _ in range(count)))
