# SPDX-License-Identifier: MIT
"""`manage.py status`: what runs, what listens, who is connected, today's mail, and the Connections."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Iterable
from datetime import datetime, time
from typing import Any
from zoneinfo import ZoneInfo

from mailserver import clock
from mailserver.activity.services import RunningProcess, list_processes
from mailserver.config.building import build_snapshot
from mailserver.config.catalog import TIME_ZONE
from mailserver.config.snapshot import Binding, Service, Snapshot
from mailserver.connectors.listing import list_connections
from mailserver.connectors.runs import BESIDE, find_running
from mailserver.connectors.triggers import schedule_view
from mailserver.journey.services import counts_since
from mailserver.management.plain import PlainCommand
from mailserver.outqueue.services import counts
from mailserver.store.services import message_totals

SERVE = "serve"


class Command(PlainCommand):
    """Show what runs; exit status 0 when a protocol daemon lives and every service listens."""

    help = (
        "Show what runs, what listens, who is connected, and today's mail. Exit status 0 only when the server runs and"
        " every service listens."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--sessions", action="store_true", help="also list every live session")

    def handle(self, *args: Any, **options: Any) -> None:
        processes = list_processes()
        alive = [process for process in processes if process.alive]
        snapshot = build_snapshot()
        self._show_processes(processes, clock.now())
        listening = self._show_services(snapshot, alive)
        self._show_sessions(alive, in_full=options["sessions"])
        self._show_mail(snapshot)
        self._show_connections(ZoneInfo(snapshot.get(TIME_ZONE)))
        if not any(process.kind == SERVE for process in alive):
            self.fail("The server is not running. Start it with: manage.py run")
        if not listening:
            self.fail("Not every service listens.")

    def _show_processes(self, processes: Iterable[RunningProcess], now: datetime) -> None:
        self.stdout.write("Processes")
        for process in processes:
            seconds = max(0, int((now - process.heartbeat).total_seconds()))
            state = process.state if process.alive else f"dead, last heard of {seconds} s ago"
            self.stdout.write(f"  {process.kind:8} {process.pid:>8} on {process.host}: {state}")
            if process.problem:
                self.stdout.write(f"           {process.problem}")

    def _show_services(self, snapshot: Snapshot, alive: Iterable[RunningProcess]) -> bool:
        """Whether every enabled service listens on all its bindings."""
        states = {
            (state.service, state.binding): state.error
            for process in alive
            for state in sorted(process.listeners, key=lambda state: not state.error)
        }
        self.stdout.write("Services")
        complete = True
        for service in snapshot.services:
            for binding in service.bindings:
                text = _listening(service, binding, states)
                complete = complete and (text == "listens" or not service.enabled)
                self.stdout.write(f"  {service.name:12} {format_binding(binding):24} {text}")
        return complete

    def _show_sessions(self, alive: Iterable[RunningProcess], *, in_full: bool) -> None:
        sessions = [session for process in alive for session in process.sessions]
        self.stdout.write(f"Sessions: {len(sessions)}")
        for session in sessions if in_full else ():
            who = session.login or "not logged in"
            self.stdout.write(f"  {session.service:12} {session.client:24} {who}  {session.doing}".rstrip())

    def _show_mail(self, snapshot: Snapshot) -> None:
        today = counts_since(_midnight(ZoneInfo(snapshot.get(TIME_ZONE))))
        queue = counts()
        totals = message_totals()
        self.stdout.write(
            f"Today: {today.accepted} messages accepted, {today.filed} deliveries to mailboxes, "
            f"{today.queued} queued, {today.sent} sent, {today.bounced} not deliverable, {today.refused} refused"
        )
        self.stdout.write(f"Outgoing queue: {queue.waiting} waiting, {queue.held} held")
        self.stdout.write(f"Mailboxes: {totals.messages} messages, {totals.size} bytes")

    def _show_connections(self, zone: ZoneInfo) -> None:
        """Spec connectors 5.1: what runs, when something ran last, and when it runs next."""
        running = [run for run in find_running() if run.cause not in BESIDE]
        view = schedule_view()
        state = ", ".join(run.connection_name for run in running) or "idle"
        pause = f", schedule paused{f' by the file {view.paused_by_file}' if view.paused_by_file else ''}"
        self.stdout.write(f"Connections: {state}{pause if view.paused else ''}")
        for connection in list_connections():
            outcome = connection.get_last_outcome_display() or "nothing yet"
            waits = ", waits to run" if connection.marked else ""
            when = _moment(connection.last_poll, zone)
            self.stdout.write(f"  {connection.name:20} last poll {when} ({outcome}){waits}")
        self.stdout.write(f"  next poll {_moment(view.next_poll, zone)}")


def _moment(moment: datetime | None, zone: ZoneInfo) -> str:
    return f"{moment.astimezone(zone):%Y-%m-%d %H:%M}" if moment is not None else "never"


def format_binding(binding: Binding) -> str:
    """As the processes report it."""
    return f"[{binding.address}]:{binding.port}" if ":" in binding.address else f"{binding.address}:{binding.port}"


def _listening(service: Service, binding: Binding, states: dict[tuple[int, str], str]) -> str:
    if not service.enabled:
        return "switched off"
    error = states.get((service.id, format_binding(binding)))
    if error is None:
        return "does not listen"
    return error or "listens"


def _midnight(zone: ZoneInfo) -> datetime:
    return datetime.combine(clock.now().astimezone(zone).date(), time(), zone)
