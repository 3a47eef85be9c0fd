# SPDX-License-Identifier: MIT
"""Senders and Collectors that speak to nobody, for tests of what runs them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from mailserver.config.watch import SnapshotWatcher
from mailserver.connectors.values import CollectorSettings, Outcome, SenderSettings, TaskLog, TaskResult
from mailserver.hooks.interface import Hooks
from mailserver.outqueue.models import QueuedRecipient
from mailserver.outqueue.taking import take
from mailserver.store.opening import open_store
from protocols.net.offload import ThreadOffload
from workers.connecting import Performers
from workers.tools import WorkerTools


@contextmanager
def real_tools(hooks: Hooks | None = None) -> Iterator[WorkerTools]:
    """With a store, threads and settings of the test's database."""
    store, offload = open_store(), ThreadOffload()
    try:
        yield WorkerTools(store, offload, hooks or Hooks(), SnapshotWatcher().current)
    finally:
        store.close()
        offload.close()


@dataclass
class Office:
    """What was asked for, in its order, and what shall come of it."""

    events: list[str] = field(default_factory=list)
    results: dict[str, TaskResult | Exception] = field(default_factory=dict)
    """By the name of a Sender or Collector; others succeed."""
    blocking: dict[str, asyncio.Event] = field(default_factory=dict)
    """Names that wait for their event, which the test sets from within the loop."""
    after_collecting: list[object] = field(default_factory=list)
    """Called (in a thread) at the end of each collection."""
    leave: set[str] = field(default_factory=set)
    """Recipients that are not tried."""

    @property
    def performers(self) -> Performers:
        return Performers(self.run_sender, self.run_collector)

    async def run_sender(self, sender: SenderSettings, owner: str, log: TaskLog, tools: WorkerTools) -> TaskResult:
        self.events.append(f"send {sender.name}")
        await self._block(sender.name)
        left: set[int] = set()
        while messages := await tools.offload(take, sender, owner, 10, leave_out=left):
            log.expect(len(messages))
            for message in messages:
                for one in message.recipients:
                    if str(one.address) in self.leave:
                        left.add(one.id)
                        await tools.offload(_give_back, one.id)
                        continue
                    self.events.append(f"sent {one.address}")
                    await tools.offload(_mark_sent, one.id)
                    log.advance(1, message.size)
        self.events.append(f"done {sender.name}")
        return self._result(sender.name)

    async def run_collector(
        self, collector: CollectorSettings, owner: str, log: TaskLog, tools: WorkerTools
    ) -> TaskResult:
        self.events.append(f"collect {collector.name}")
        log.wire("S: +OK")
        log.advance(1, 100)
        await self._block(collector.name)
        for call in self.after_collecting:
            await tools.offload(call)  # type: ignore[arg-type]
        self.events.append(f"collected {collector.name}")
        return self._result(collector.name)

    async def _block(self, name: str) -> None:
        if name in self.blocking:
            try:
                await self.blocking[name].wait()
            except asyncio.CancelledError:
                self.events.append(f"cancelled {name}")
                raise

    def _result(self, name: str) -> TaskResult:
        result = self.results.get(name, TaskResult(Outcome.OK))
        if isinstance(result, Exception):
            raise result
        return result


def _mark_sent(number: int) -> None:
    QueuedRecipient.objects.filter(pk=number).update(status=QueuedRecipient.Status.SENT, claim="")


def _give_back(number: int) -> None:
    QueuedRecipient.objects.filter(pk=number).update(claim="")
