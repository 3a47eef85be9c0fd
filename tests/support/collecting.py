# SPDX-License-Identifier: MIT
"""An office with a database that collects mail: users, a Collector row, the tools of a worker, and what came of it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mailserver.config.building import build_snapshot
from mailserver.connectors.models import Collector
from mailserver.connectors.values import CollectorSettings, Routing, TaskResult
from mailserver.hooks.interface import Hooks
from mailserver.journey.models import JourneyEvent
from mailserver.store.database import DatabaseStore
from mailserver.store.interface import StoredContent
from mailserver.users.models import User
from mailserver.values import UserId
from protocols.net.offload import ThreadOffload
from tests.support.collectors import NotedLog, make_collector
from tests.support.stores import make_user, open_database_store
from workers.collecting import check_collector, run_collector
from workers.tools import WorkerTools


class CollectingOffice:
    """postmaster (an administrator), Alice and Bob at example.test."""

    def __init__(self, folder: Path) -> None:
        self.users = {name: make_user(name) for name in ("postmaster", "alice", "bob")}
        User.objects.filter(name="postmaster").update(is_admin=True)
        User.objects.filter(name="bob").update(full_name="Bob Example")
        self.hooks = Hooks()
        self.log = NotedLog()
        self._offload = ThreadOffload()
        self.store: DatabaseStore = open_database_store(folder)

    @property
    def tools(self) -> WorkerTools:
        snapshot = build_snapshot()
        return WorkerTools(self.store, self._offload, self.hooks, lambda: snapshot)

    def collector(self, port: int, routing: Routing | None = None, **changes: Any) -> CollectorSettings:
        """A collector with a row, for a server on this machine."""
        settings = make_collector(routing, **changes)
        row, _ = Collector.objects.get_or_create(name=settings.name)
        server = type(settings.server)(
            "127.0.0.1", port, settings.server.encryption, settings.server.verify_certificate
        )
        return type(settings)(
            **{name: getattr(settings, name) for name in settings.__dataclass_fields__}
            | {"id": row.pk, "server": server}
        )

    def collect(self, collector: CollectorSettings) -> TaskResult:
        """One run; `log` has what it said."""
        self.log = NotedLog()
        return asyncio.run(run_collector(collector, "me", self.log, self.tools))

    def check(self, collector: CollectorSettings) -> TaskResult:
        """What the *Test* button does."""
        self.log = NotedLog()
        return asyncio.run(check_collector(collector, "me", self.log, self.tools))

    def messages(self, user: str) -> list[bytes]:
        """Everything in a user's Inbox."""
        return [b"".join(content.chunks()) for content in self.contents(user)]

    def contents(self, user: str) -> list[StoredContent]:
        inbox = self.store.get_mailbox(UserId(self.users[user]), "INBOX")
        return self.store.read_contents([entry.content for entry in self.store.list_entries(inbox.id)])

    def subjects(self, user: str) -> list[str]:
        return [content.fields.get("subject", "") for content in self.contents(user)]

    def steps(self, kind: str) -> list[str]:
        """What journeys say of this kind, oldest first."""
        return list(JourneyEvent.objects.filter(kind=kind).order_by("pk").values_list("detail", flat=True))

    def close(self) -> None:
        self.store.close()
        self._offload.close()


@contextmanager
def open_office(folder: Path) -> Iterator[CollectingOffice]:
    """Closed in the end."""
    office = CollectingOffice(folder)
    try:
        yield office
    finally:
        office.close()


def make_message(number: int, to: str = "alice@example.test", size: int = 200, **fields: str) -> bytes:
    """A message with lines that begin with dots."""
    header = {
        "Return-Path": "<sender@elsewhere.test>",
        "Received": "from elsewhere.test by mx.provider.test; Mon, 2 Mar 2026 09:00:00 +0000",
        "From": "Sender <sender@elsewhere.test>",
        "To": to,
        "Subject": f"Message {number}",
        "Message-ID": f"<{number}@elsewhere.test>",
    }
    header.update({name.replace("_", "-"): value for name, value in fields.items()})
    head = "".join(f"{name}: {value}\r\n" for name, value in header.items() if value)
    body = ".\r\n..two\r\n.one\r\n" + f"line {number} of the text\r\n" * (size // 24)
    return head.encode() + b"\r\n" + body.encode()
