# SPDX-License-Identifier: MIT
"""The IMAP4 rows of `make bench`: mixed commands, a large mailbox, a search in many texts, sessions that idle."""

from __future__ import annotations

import asyncio
import resource
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing

from tests.bench.imap_drivers import Figures, Filling, Idlers, MixedLoad, Timing, run_driver
from tests.bench.peer import PASSWORD, Peer
from tests.bench.rows import Row
from tests.support.installation import Installation
from tests.support.processes import processor_seconds
from tests.support.waiting import wait_until

CLIENTS = 20
PER_CLIENT = 200
"""Messages in each mailbox before the mixed commands begin."""
NEEDLE = "zymurgy"
SMALL_BYTES = 600
"""Messages of the large mailbox: what is measured there does not depend on their size."""
BIG_USER = "pop1"
INDEX_SECONDS = 1800
FELT_SECONDS = 5
"""A running server follows a change of its settings within two seconds."""
SEARCH = f'SEARCH TEXT "{NEEDLE}"'


class ImapBench:
    """Our server, and the peer if there is one."""

    def __init__(self, ours: Installation, peer: Peer | None, *, quick: bool) -> None:
        self._ours = ours
        self._peer = peer
        self._ports = {"ours": ours.port("imap4")} | ({"peer": peer.imap_port} if peer is not None else {})
        self._rounds = 1 if quick else 3
        self._seconds = 5.0 if quick else 15.0
        self._large = 20_000 if quick else 100_000
        self._idlers = ((1_000, "60 MB"),) if quick else ((1_000, "60 MB"), (5_000, ""))

    def rows(self) -> Iterator[Row]:
        yield from self._mixed()
        yield from self._large_mailbox()
        yield from self._idle()

    def _mixed(self) -> Iterator[Row]:
        """Their rate, and what they cost: the rate says little on a machine that others use as well."""
        row = Row(f"IMAP4 mixed commands, {CLIENTS} clients, {self._seconds:.0f} s", "1.5 x the peer's")
        cost = Row("the same, processor time", "", unit=" ms each")
        for port in self._ports.values():
            for number in range(1, CLIENTS + 1):
                run_driver(Filling(port, f"u{number}", PASSWORD, PER_CLIENT))
        for _ in range(self._rounds):
            for who, port in self._ports.items():
                before = processor_seconds(self._daemons(who))
                figures = run_driver(MixedLoad(port, "u%d", PASSWORD, CLIENTS, self._seconds))
                _none_refused(figures)
                row.of(who).append(figures.rate)
                cost.of(who).append((processor_seconds(self._daemons(who)) - before) / figures.done * 1000)
        yield from (row, cost)

    def _daemons(self, who: str) -> list[int]:
        if who == "ours":
            return self._ours.daemons()
        return self._peer.processes() if self._peer is not None else []

    def _large_mailbox(self) -> Iterator[Row]:
        cold = Row(f"IMAP4 SELECT of {self._large:,} messages, cold", "500 ms", unit=" ms")
        warm = Row(f"IMAP4 SELECT of {self._large:,} messages, warm", "50 ms", unit=" ms")
        ready = Row(f"text index knows {2 * self._large:,} messages after", "", unit=" s")
        first = Row(f"text search in {2 * self._large:,} messages, first", "300 ms", unit=" ms")
        again = Row(f"text search in {2 * self._large:,} messages, again", "300 ms", unit=" ms")
        for who in self._ports:
            self._fill(who)
            if who == "ours":
                self._ours.stop()
                self._ours.start()
            cold.of(who).append(self._time(who, "SELECT INBOX"))
            warm.of(who).append(self._time(who, "SELECT INBOX"))
            self._fill(who)
            if who == "ours":
                ready.ours.append(self._wait_for_index())
            first.of(who).append(self._time(who, SEARCH, "SELECT INBOX"))
            again.of(who).append(self._time(who, SEARCH, "SELECT INBOX"))
        yield from (cold, warm, ready, first, again)

    def _fill(self, who: str) -> None:
        filling = Filling(self._ports[who], BIG_USER, PASSWORD, self._large, size_bytes=SMALL_BYTES, needle=NEEDLE)
        run_driver(filling)

    def _wait_for_index(self) -> float:
        """Until the worker has prepared everything for searching; so many seconds after the import."""
        started = time.monotonic()
        wait_until(self._is_indexed, INDEX_SECONDS, "the text index")
        return time.monotonic() - started

    def _is_indexed(self) -> bool:
        try:
            known = self._query("search", "SELECT count(*) FROM known")
        except sqlite3.OperationalError:  # The worker has not begun.
            return False
        return known >= self._query("pillarbox", "SELECT count(DISTINCT content_id) FROM store_entry")

    def _query(self, name: str, statement: str) -> int:
        file = self._ours.data / f"{name}.sqlite3"
        with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True, timeout=60)) as database:
            return int(database.execute(statement).fetchone()[0])

    def _time(self, who: str, command: str, before: str = "") -> float:
        figures = run_driver(Timing(self._ports[who], BIG_USER, PASSWORD, command, before))
        if command == SEARCH and figures.said.count(" ") < self._large // 1000:
            raise SystemExit(f"{who} did not find the messages: {figures.said}")
        return figures.seconds * 1000

    def _idle(self) -> Iterator[Row]:
        """How much more memory the daemon takes for sessions that idle, once one of each user does."""
        _allow_many_files()
        file = self._ours.data.with_name("idlers.yaml")
        file.write_text("services: [{kind: imap4, max_sessions: 0, options: {max_logins_per_user: 0}}]\n")
        self._ours.manage("importconfig", str(file))
        felt = time.monotonic() + FELT_SECONDS
        wait_until(lambda: time.monotonic() > felt, FELT_SECONDS + 5, "the daemon to feel the change")
        for sessions, goal in self._idlers:
            row = Row(f"memory of {sessions:,} sessions that idle", goal, unit=" MB")
            row.ours.append(asyncio.run(self._memory_of_idlers(sessions)) / 1e6)
            yield row

    async def _memory_of_idlers(self, sessions: int) -> float:
        daemons = self._ours.daemons()
        port = self._ports["ours"]
        first, others = Idlers(), Idlers()
        try:
            await first.open(port, "u%d", PASSWORD, CLIENTS, 1)
            before = self._ours.memory_bytes(daemons)
            await others.open(port, "u%d", PASSWORD, sessions, sessions // CLIENTS)
            return self._ours.memory_bytes(daemons) - before
        finally:
            first.close()
            others.close()


def _allow_many_files() -> None:
    """Each idling client here has a socket."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _none_refused(figures: Figures) -> None:
    if figures.refused:
        raise SystemExit(f"{figures.refused} commands were refused")
