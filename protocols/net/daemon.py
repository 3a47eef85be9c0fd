# SPDX-License-Identifier: MIT
"""The life of one protocol daemon: it follows the settings, keeps its process row, and goes in order.

Sessions and listening sockets do the work; this joins them to the snapshot, the process row and the notices. What
it is made of is chosen in `serve.py`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass
from typing import Any

from mailserver import logs, notices
from mailserver.activity import services as activity
from mailserver.config.catalog import LOG_MAX_KILOBYTES
from mailserver.config.snapshot import Snapshot
from mailserver.config.watch import POLL_SECONDS, SnapshotWatcher
from mailserver.errors import MailError
from mailserver.security.networks import read_local_networks, read_routers
from protocols.net.admission import Surrounding
from protocols.net.bandwidth import Pools
from protocols.net.listener import Listeners
from protocols.net.notices import Notices
from protocols.net.offload import Offload
from protocols.net.sessions import LoggedInSession, Sessions
from protocols.net.tls import TlsContexts

log = logging.getLogger("pillarbox.daemon")

LOOK_SECONDS = 2.0
"""How often the row is brought up to date when something in it has changed."""
BEAT_SECONDS = 10.0
"""How often it is when nothing has."""
OPEN_AGAIN_SECONDS = 5.0
SURROUNDING_SECONDS = 60.0
DRAIN_SECONDS = 5.0
"""What sessions get to come to their end by themselves; the supervisor waits twice as long before it kills."""
BRIEFS = 500
"""Sessions described in the row; the row says how many there are in all."""


class Surroundings:
    """This machine's networks and routers, looked up now and then."""

    def __init__(self) -> None:
        self._present = _look_around()

    def current(self) -> Surrounding:
        return self._present

    async def refresh(self) -> None:
        self._present = await asyncio.to_thread(_look_around)


def _look_around() -> Surrounding:
    return Surrounding(read_local_networks(), read_routers())


@dataclass(slots=True)
class DaemonParts:
    """What a daemon is made of."""

    process: int
    watcher: SnapshotWatcher
    listeners: Listeners
    sessions: Sessions
    tls: TlsContexts
    pools: Pools
    surroundings: Surroundings
    offload: Offload
    notices: Notices
    on_ready: Callable[[], None]
    drain_seconds: float = DRAIN_SECONDS


class Daemon:
    """Run it once; `stop` ends it in order, from the event loop's thread."""

    def __init__(self, parts: DaemonParts) -> None:
        self._parts = parts
        self._stopping = asyncio.Event()
        self._changed = asyncio.Event()
        self._state = "starting"
        self._reachable = True
        self._written: tuple[object, ...] = ()
        self._written_at = 0.0

    def stop(self) -> None:
        self._stopping.set()

    async def run(self) -> None:
        """Until `stop`; then no new clients, some time for those that are here, and the end.

        An exception that is not about the database ends the daemon at once: a supervisor starts it anew.
        """
        await self._apply(self._parts.watcher.current())
        self._state = "running"
        self._parts.on_ready()
        duties = (self._follow_settings, self._keep_row, self._open_again, self._look_around)
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(duty()) for duty in duties]
                await self._stopping.wait()
                await self._drain()
                for task in tasks:
                    task.cancel()
        finally:
            self._parts.listeners.close()

    # ------------------------------------------------------------ settings

    async def _follow_settings(self) -> None:
        with self._parts.notices.watching(notices.SETTINGS) as changed:
            while True:
                await _wait(changed, POLL_SECONDS)
                changed.clear()
                logged_in = self._parts.sessions.logged_in()
                snapshot = await self._ask_database(self._parts.offload(self._parts.watcher.refresh_if_changed))
                if snapshot is not None and not self._stopping.is_set():
                    await self._apply(snapshot)
                    self._changed.set()
                self._end_departed(logged_in)

    async def _apply(self, snapshot: Snapshot) -> None:
        """New sessions follow the new settings; a service that was switched off is served no further."""
        parts = self._parts
        parts.tls.take(snapshot.tls)
        parts.pools.set_rates(snapshot.pools)
        logs.set_max_kilobytes(snapshot.get(LOG_MAX_KILOBYTES))
        parts.sessions.end_services(service.id for service in snapshot.services if service.enabled)
        await parts.listeners.apply(snapshot)

    def _end_departed(self, logged_in: Iterable[LoggedInSession]) -> None:
        """End the sessions of users who were deleted or switched off.

        `logged_in` were there before the settings were read, so their users were in the database by then, and one
        who is missing from what was read has gone. Of somebody who logged in later the reading says nothing: the
        next one, a second later at most, will. A picture that is not the newest proves nothing either.
        """
        watcher = self._parts.watcher
        if not self._reachable or watcher.problem:
            return
        users = watcher.current().directory.users
        for session in logged_in:
            user = users.get(session.user)
            if user is None or not user.active:
                session.end()

    async def _open_again(self) -> None:
        while True:
            await asyncio.sleep(OPEN_AGAIN_SECONDS)
            if not self._parts.listeners.complete and not self._stopping.is_set():
                await self._parts.listeners.open_missing()

    async def _look_around(self) -> None:
        while True:
            await asyncio.sleep(SURROUNDING_SECONDS)
            await self._parts.surroundings.refresh()

    # ------------------------------------------------------------ the process row

    async def _keep_row(self) -> None:
        with self._parts.notices.watching(notices.process_topic(self._parts.process)) as asked:
            while True:
                asked.clear()
                await self._obey()
                await self._beat()
                await _wait(asked, LOOK_SECONDS, self._changed)
                self._changed.clear()

    async def _obey(self) -> None:
        commands = await self._ask_database(self._parts.offload(activity.take_commands, self._parts.process))
        for command in commands or ():
            log.info("asked to %s %s", command.command, command.argument)
            if command.command == activity.END_SESSION:
                self._parts.sessions.end(command.argument)
            elif command.command == activity.RELOAD:
                await self._apply(self._parts.watcher.current())
            elif command.command == activity.DRAIN:
                self.stop()

    async def _beat(self) -> None:
        """Write the row when it would say something new, or has not been written for a while."""
        report = self._report()
        briefs = self._parts.sessions.briefs(BRIEFS)
        present: tuple[object, ...] = (self._state, report, briefs)
        now = asyncio.get_running_loop().time()
        if present == self._written and now - self._written_at < BEAT_SECONDS - LOOK_SECONDS / 2:
            return
        await self._ask_database(
            self._parts.offload(
                activity.heartbeat,
                self._parts.process,
                activity.ProcessKind.SERVE,
                state=self._state,
                report=report,
                sessions=briefs,
            )
        )
        self._written, self._written_at = present, now

    def _report(self) -> dict[str, Any]:
        parts, counts = self._parts, self._parts.sessions.counts
        return {
            "revision": parts.watcher.current().revision,
            "problem": parts.watcher.problem or parts.tls.problem,
            "listeners": [[state.service, state.binding, state.error] for state in parts.listeners.states()],
            "session_count": len(parts.sessions),
            "counters": {
                "sessions": dict(counts.accepted),
                "refused": dict(counts.refused),
                "bytes_in": dict(counts.bytes_in),
                "bytes_out": dict(counts.bytes_out),
                "bugs": counts.bugs,
            },
        }

    # ------------------------------------------------------------ the end

    async def _drain(self) -> None:
        self._state = "draining"
        self._parts.listeners.close()
        self._changed.set()
        await self._parts.sessions.drain(self._parts.drain_seconds)

    async def _ask_database(self, asking: Coroutine[Any, Any, Any]) -> Any:
        """The answer, or None while the database is out of reach; said once in the log, not each second."""
        try:
            answer = await asking
        except MailError as error:
            if self._reachable:
                log.warning("the database is out of reach: %s", error)
            self._reachable = False
            return None
        if not self._reachable:
            log.warning("the database is back")
        self._reachable = True
        return answer


async def _wait(first: asyncio.Event, seconds: float, second: asyncio.Event | None = None) -> None:
    """Until one of the events is set, or the time has passed."""
    waiting = [asyncio.ensure_future(event.wait()) for event in (first, second) if event is not None]
    try:
        await asyncio.wait(waiting, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in waiting:
            task.cancel()
