# SPDX-License-Identifier: MIT
"""An office with a database that sends mail: a Sender, the tools of a worker, and what came of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from django.db import connection

from mailserver.config.building import build_snapshot
from mailserver.config.snapshot import Snapshot
from mailserver.connectors.values import Encryption, RemoteServer, SenderSettings, SendMethod, TaskResult
from mailserver.database import run_in_database
from mailserver.hooks.interface import Hooks
from mailserver.leases import services as leases
from mailserver.outqueue.models import QueuedRecipient, SendAttempt
from mailserver.outqueue.taking import sender_lease
from protocols.net.offload import ThreadOffload
from tests.support.collectors import NotedLog
from tests.support.queueing import make_sender
from tests.support.stores import open_database_store
from tests.support.waiting import until
from workers.delivery import check_sender, run_sender
from workers.sending.sessions import RESOLVERS
from workers.tools import WorkerTools

HOSTNAME = "office.example.test"


class SendingOffice:
    """What a test needs around `run_sender`."""

    def __init__(self, folder: Path) -> None:
        self.hooks = Hooks()
        self.log = NotedLog()
        self.offload = ThreadOffload()
        self.store = open_database_store(folder)
        self.changes: dict[str, Any] = {}
        """Of the snapshot."""

    @property
    def tools(self) -> WorkerTools:
        snapshot = self.snapshot()
        return WorkerTools(self.store, self.offload, self.hooks, lambda: snapshot)

    def snapshot(self) -> Snapshot:
        return replace(build_snapshot(), **{"hostname": HOSTNAME, **self.changes})

    def relay(self, *ports: int, encryption: Encryption = Encryption.NONE, **settings: Any) -> SenderSettings:
        """A Sender whose servers are these ports of this machine."""
        servers = tuple(RemoteServer("127.0.0.1", port, encryption) for port in ports)
        return make_sender(default=True, servers=servers, **settings)

    def direct(self, dns: str, port: int, **settings: Any) -> SenderSettings:
        """A Sender that asks this DNS server, and finds mail servers at this port."""
        return make_sender(
            default=True, method=SendMethod.DIRECT, dns_servers=dns, direct_port=port, **{"threads": 5, **settings}
        )

    def send(self, sender: SenderSettings) -> TaskResult:
        """One run; `log` has what it said."""
        self.log = NotedLog()
        owner = leases.make_owner()
        assert leases.acquire(sender_lease(sender.id), owner, 300)
        try:
            return asyncio.run(run_sender(sender, owner, self.log, self.tools))
        finally:
            leases.release(sender_lease(sender.id), owner)

    def stop(self, sender: SenderSettings, when: Callable[[], object]) -> None:
        """A run that is stopped as soon as that is so."""
        self.log = NotedLog()
        owner, tools = leases.make_owner(), self.tools
        assert leases.acquire(sender_lease(sender.id), owner, 300)

        async def run() -> None:
            task = asyncio.create_task(run_sender(sender, owner, self.log, tools))
            await until(when, 20, "the moment to stop")
            task.cancel()
            await asyncio.wait({task})
            assert task.cancelled()

        asyncio.run(run())
        leases.release(sender_lease(sender.id), owner)

    def check(self, sender: SenderSettings) -> TaskResult:
        """What a *Test* button does."""
        self.log = NotedLog()
        tools = self.tools
        return asyncio.run(check_sender(sender, "me", self.log, tools))

    def close(self) -> None:
        self.store.close()
        self.offload.close()
        RESOLVERS.forget()


@contextmanager
def open_office(folder: Path) -> Iterator[SendingOffice]:
    """Closed in the end."""
    office = SendingOffice(folder)
    try:
        yield office
    finally:
        office.close()


def elsewhere(function: Callable[[Sequence[int]], int], ids: Sequence[int]) -> int:
    """Somebody else does this while a message is on the wire: called by the server that takes it."""

    def do() -> int:
        try:
            return run_in_database(function, ids)
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(do).result()


def statuses(ids: Sequence[int]) -> list[str]:
    """Of these recipients, in their order."""
    rows = QueuedRecipient.objects.in_bulk(list(ids))
    return [rows[id_].status for id_ in ids]


def replies(ids: Sequence[int]) -> list[str]:
    """What was said last of these recipients."""
    rows = QueuedRecipient.objects.in_bulk(list(ids))
    return [rows[id_].last_reply for id_ in ids]


def attempts() -> list[SendAttempt]:
    """All there were, oldest first."""
    return list(SendAttempt.objects.order_by("pk"))


def claims() -> int:
    """Rows that somebody still has: none, after a run."""
    return QueuedRecipient.objects.exclude(claim="").count()
