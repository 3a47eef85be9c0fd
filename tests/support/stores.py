# SPDX-License-Identifier: MIT
"""The database store for tests: a user to file for, messages to file, and a folder of the test's own for files."""

from __future__ import annotations

import hashlib
import itertools
from datetime import timedelta
from pathlib import Path

from mailserver import clock
from mailserver.activity.models import Process
from mailserver.addressing.models import Domain
from mailserver.journey.records import next_ref
from mailserver.store.blobs import BlobStore, LocalBlobs
from mailserver.store.database import DatabaseStore
from mailserver.store.interface import Filing, NewContent, NewEntry, Unit
from mailserver.store.services import create_special_mailboxes
from mailserver.store.spool import SpoolWriter
from mailserver.users.models import User
from mailserver.values import Body, MailboxId, UserId

WAIT_SECONDS = 20
"""How long a test waits for a future at most; none should take a tenth of it."""

_numbers = itertools.count(1)


def make_user(name: str = "") -> UserId:
    """A user row with the special mailboxes, as `users.services` makes it."""
    name = name or f"user{next(_numbers)}"
    domain, _ = Domain.objects.get_or_create(name="example.test")
    row = User.objects.create(name=name, domain=domain, address=f"{name}@example.test")
    create_special_mailboxes(UserId(row.pk))
    return UserId(row.pk)


def make_process(age_seconds: float = 0) -> int:
    """A process row whose last heartbeat is so old."""
    moment = clock.now() - timedelta(seconds=age_seconds)
    kind = Process.Kind.SERVE
    return Process.objects.create(kind=kind, host="here", pid=next(_numbers), started=moment, heartbeat=moment).pk


def open_database_store(folder: Path, process: int | None = None, blobs: BlobStore | None = None) -> DatabaseStore:
    """The store of the product, with its files under `folder`."""
    return DatabaseStore(blobs or LocalBlobs(folder / "blobs"), folder / "spool", process)


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
