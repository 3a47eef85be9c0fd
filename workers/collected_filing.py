# SPDX-License-Identifier: MIT
"""Filing what a Collector fetches: many messages at a time while the next ones come in, each safe on its own.

A session begins a message, feeds it, and puts it; what has gathered is placed, looked up for duplicates with one
query, and handed to the group commit together. Whether a message may go at the provider, only `results` says: it is
filled after the commit (design section 4).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from concurrent.futures import wait
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from mailserver import clock
from mailserver.config.catalog import DEFAULT_DOMAIN
from mailserver.config.snapshot import Snapshot
from mailserver.connectors.download_rules import DOWNLOAD, Decision
from mailserver.connectors.remembering import Listed, find_seen
from mailserver.connectors.values import CollectorSettings, TaskLog
from mailserver.errors import Kind, MailError
from mailserver.pipeline.collected import Fetched, Placed, Provider, build_collected_unit, make_source, place
from mailserver.pipeline.collected_report import add_report, write_report
from mailserver.pipeline.collected_text import TextCollector
from mailserver.store.interface import Unit
from mailserver.store.spool import SpoolWriter
from mailserver.values import UserId
from workers.tools import WorkerTools

log = logging.getLogger("pillarbox.collecting")

MAX_WAITING = 400
"""Messages that were fetched and are not filed yet: what the session may be ahead of the disk."""
MAX_WAITING_BYTES = 32 * 1024 * 1024
BATCH = 200
"""As many as the group commit takes into one transaction."""
MAX_NOTES = 20
"""Lines about messages for nobody here that one run shows; the others are counted."""
ENDS_SESSION = frozenset({Kind.STORAGE_FULL, Kind.UNAVAILABLE, Kind.INTERNAL})
"""Failures that the next message would meet as well (spec connectors 4.12)."""


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one message. `delete` says whether it shall go at the provider now; never after an `error`."""

    key: str
    error: MailError | None = None
    delete: bool = False


class Incoming:
    """A message that is coming in."""

    def __init__(self, listed: Listed, decision: Decision, spool: SpoolWriter) -> None:
        self.listed = listed
        self.decision = decision
        self.spool = spool
        self.text = TextCollector(spool, listed.size)

    def feed(self, data: bytes) -> None:
        """The next piece. Raises TOO_BIG for a message without end."""
        self.text.feed(data)

    def discard(self) -> None:
        """It will not be put."""
        self.spool.discard()


@dataclass(slots=True)
class _Tally:
    unrouted: int = 0
    failed: int = 0
    notes: list[str] = field(default_factory=list)


class CollectedFiler:
    """Used as an async context manager for one session. `failure` is set once filing makes no sense any more."""

    def __init__(self, collector: CollectorSettings, provider: Provider, log: TaskLog, tools: WorkerTools) -> None:
        self.results: dict[str, Result] = {}
        self.failure: MailError | None = None
        self._collector = collector
        self._source = make_source(collector, provider)
        self._log = log
        self._tools = tools
        self._queue: asyncio.Queue[Incoming] = asyncio.Queue()
        self._waiting = 0
        self._waiting_bytes = 0
        self._moved = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._seen_now: set[tuple[UserId, str]] = set()
        self._tally = _Tally()

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._task is not None
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        while not self._queue.empty():
            self._queue.get_nowait().discard()
        if self._tally.unrouted > MAX_NOTES:
            self._log.note(f"{self._tally.unrouted} messages in all were for nobody here.")

    def begin(self, listed: Listed, decision: Decision = DOWNLOAD) -> Incoming:
        """A message begins to come in."""
        return Incoming(listed, decision, self._tools.store.open_spool())

    async def put(self, incoming: Incoming) -> None:
        """It is complete: file it. Waits while too much is on the way. A failure is in `results`, later."""
        while self._waiting >= MAX_WAITING or self._waiting_bytes >= MAX_WAITING_BYTES:
            self._moved.clear()
            await self._moved.wait()
        self._waiting += 1
        self._waiting_bytes += incoming.text.size
        self._queue.put_nowait(incoming)

    async def settle(self) -> None:
        """Until everything that was put is filed, or has failed."""
        while self._waiting:
            self._moved.clear()
            await self._moved.wait()

    @property
    def failed(self) -> int:
        """Messages that could not be filed."""
        return self._tally.failed

    # ------------------------------------------------------------ inside

    async def _run(self) -> None:
        while True:
            batch = [await self._queue.get()]
            while not self._queue.empty() and len(batch) < BATCH:
                batch.append(self._queue.get_nowait())
            try:
                await self._file(batch)
            except Exception as error:  # whoever waits in `settle` must hear of it
                log.exception("our bug in filing collected mail")
                self._fail(batch, MailError(Kind.INTERNAL, str(error)))
            finally:
                self._waiting -= len(batch)
                self._waiting_bytes -= sum(incoming.text.size for incoming in batch)
                self._moved.set()

    async def _file(self, batch: Sequence[Incoming]) -> None:
        snapshot = self._tools.snapshot()
        placed = [(incoming, await self._place(incoming, snapshot)) for incoming in batch]
        ready = [(incoming, found) for incoming, found in placed if found is not None]
        seen = await self._find_seen([found for _, found in ready])
        units = [(incoming, found, await self._build(found, snapshot, seen)) for incoming, found in ready]
        submitted = [(incoming, found, unit, self._tools.store.submit(unit)) for incoming, found, unit in units]
        try:
            await self._tools.offload(wait, [future for *_, future in submitted])  # one wake-up for all of them
            for incoming, found, unit, future in submitted:
                error = future.exception()
                if isinstance(error, MailError):
                    self._not_filed(incoming, unit, error)
                elif error is not None:
                    raise error
                else:
                    self._filed(incoming, found)
        finally:
            for incoming, *_ in submitted:
                incoming.discard()

    async def _place(self, incoming: Incoming, snapshot: Snapshot) -> Placed | None:
        try:
            text = incoming.text.finish()
            fetched = Fetched(incoming.listed.key, text, incoming.text.size, clock.now(), incoming.decision)
            return await place(fetched, self._source, snapshot, self._tools.hooks)
        except MailError as error:
            self._fail([incoming], error)
            return None

    async def _find_seen(self, placed: Sequence[Placed]) -> set[tuple[UserId, str]]:
        if not self._collector.detect_duplicates:
            return set()
        pairs = {(user, found.digest) for found in placed for user in found.users if found.digest}
        new = pairs - self._seen_now
        found = await self._tools.offload(find_seen, new, clock.now()) if new else set()
        return (pairs & self._seen_now) | found

    async def _build(self, placed: Placed, snapshot: Snapshot, seen: set[tuple[UserId, str]]) -> Unit:
        """The unit. What it files counts as seen at once, so that two copies of one batch are told apart."""
        unit = build_collected_unit(placed, self._collector, snapshot.hostname, seen)
        known = {(digest.user, digest.digest) for digest in unit.seen}
        seen |= known
        self._seen_now |= known
        if placed.report is not None:
            domain = snapshot.get(DEFAULT_DOMAIN) or next(iter(snapshot.directory.domains), snapshot.hostname)
            spool = self._tools.store.open_spool()
            written = await self._tools.offload(write_report, spool, placed, placed.report, domain, clock.now())
            unit = add_report(unit, written, snapshot.hostname)
        return unit

    def _filed(self, incoming: Incoming, placed: Placed) -> None:
        key, size = placed.fetched.key, placed.fetched.size
        self.results[key] = Result(key, delete=self._shall_go(incoming.listed, placed))
        self._log.advance(1, size)
        if placed.problem:
            self._tally.unrouted += 1
            if self._tally.unrouted <= MAX_NOTES:
                self._log.note(f"{_title(placed)}: {placed.problem}")

    def _shall_go(self, listed: Listed, placed: Placed) -> bool:
        """What no later session could know again does not wait for its days: it would be filed at each of them."""
        if placed.delete is not None:
            return placed.delete
        stays = self._collector.leave_on_server_days and listed.lasting
        return placed.fetched.decision.action.deletes or not stays

    def _not_filed(self, incoming: Incoming, unit: Unit, error: MailError) -> None:
        self._seen_now -= {(digest.user, digest.digest) for digest in unit.seen}
        if error.kind is Kind.EXISTS:  # Filed before, by a session whose end was never heard of.
            self.results[incoming.listed.key] = Result(
                incoming.listed.key
            )  # What that one decided, the next `plan` does.
            return
        self._fail([incoming], error)

    def _fail(self, batch: Sequence[Incoming], error: MailError) -> None:
        for incoming in batch:
            key = incoming.listed.key
            incoming.discard()
            if key not in self.results:
                self.results[key] = Result(key, error)
                self._tally.failed += 1
                log.warning("collector %s: message %s not filed: %s", self._collector.name, key, error)
        if error.kind in ENDS_SESSION:
            self.failure = self.failure or error


def _title(placed: Placed) -> str:
    fields = placed.message.summary.fields
    return f"Message from {fields.get('from', 'unknown')[:80]}, {fields.get('subject', 'no subject')[:80]!r}"
