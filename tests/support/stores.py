# SPDX-License-Identifier: MIT
"""The database store for tests: a user to file for, and a folder of the test's own for files."""

from __future__ import annotations

import itertools
from datetime import timedelta
from pathlib import Path

from mailserver import clock
from mailserver.activity.models import Process
from mailserver.addressing.models import Domain
from mailserver.store.blobs import BlobStore, LocalBlobs
from mailserver.store.database import DatabaseStore
from mailserver.store.services import create_special_mailboxes
from mailserver.users.models import User
from mailserver.values import UserId

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
