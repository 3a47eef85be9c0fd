# SPDX-License-Identifier: MIT
"""`manage.py connect [NAME ...]`: run Connections now, show how far they are, and say what came of it."""

from __future__ import annotations

import threading
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError

from mailserver.connectors import runs, triggers
from mailserver.connectors.listing import connection_numbers
from mailserver.connectors.runs import RunView, TaskView
from mailserver.leases import services as leases
from mailserver.management.plain import PlainCommand

LOOK_SECONDS = 0.3
NOBODY_SECONDS = 10.0
"""Design section 3: by then a worker has taken it, or none runs."""
NOBODY = (
    "No worker has taken it within 10 seconds. Is the server running? (manage.py run) It will run as soon as one does."
)
DOING = {"sender": "sending", "collector": "collecting"}
RESULTS = {"ok": "done", "partly": "partly failed", "failed": "FAILED"}


class Command(PlainCommand):
    """Connect Now; exit status 0 only when every task of every run succeeded."""

    help = (
        "Run Connections now (without names: the default ones), wait for them, and report. Exit status 0 only when"
        " everything succeeded."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("names", nargs="*", metavar="NAME", help="a Connection's name, as the console shows it")
        parser.add_argument("--transcript", action="store_true", help="also show the dialogues with other servers")

    def handle(self, *args: Any, **options: Any) -> None:
        last = runs.newest_run()
        wanted = triggers.connect_now(_numbers(options["names"]))
        if not wanted:
            raise CommandError("There is no default Connection. Name one.")
        failed = False
        for connection in sorted(wanted):
            run = self._follow(connection, last)
            failed = failed or run.outcome != "ok"
            if options["transcript"]:
                self._show_dialogues(run)
        if failed:
            self.fail("Not everything succeeded.")

    def _follow(self, connection: int, last: int) -> RunView:
        """From the mark to the end of the run, with a line whenever something has changed."""
        shown: dict[int, str] = {}
        waited, said_so = 0.0, False
        pause = threading.Event()
        while True:
            run = runs.find_run_after(connection, last)
            if run is not None:
                for task in run.tasks:
                    line = _line(run, task)
                    if shown.get(task.id) != line:
                        shown[task.id] = line
                        self.stdout.write(line)
                        self._show_notes(task)
                if run.finished is not None:
                    self.stdout.write(f"{run.connection_name}: {RESULTS.get(run.outcome, run.outcome)}")
                    return run
            elif leases.find_holder(runs.RUN_LEASE) is None:
                waited += LOOK_SECONDS
                if waited >= NOBODY_SECONDS:
                    self.fail(NOBODY)
            elif not said_so:
                said_so = self._say_what_runs()
            self.stdout.flush()
            pause.wait(LOOK_SECONDS)

    def _say_what_runs(self) -> bool:
        running = [run for run in runs.find_running() if run.cause not in runs.BESIDE]
        for run in running:
            self.stdout.write(f"Waiting for {run.connection_name}, which is running.")
        return bool(running)

    def _show_notes(self, task: TaskView) -> None:
        if task.finished is not None:
            for note in task.progress.notes.splitlines():
                self.stdout.write(f"    {note}")

    def _show_dialogues(self, run: RunView) -> None:
        for task in run.tasks:
            if task.progress.transcript:
                self.stdout.write(f"--- {task.name}")
                self.stdout.write(task.progress.transcript)


def _numbers(names: list[str]) -> list[int] | None:
    """None for no names: the default ones."""
    known = connection_numbers()
    missing = [name for name in names if name not in known]
    if missing:
        raise CommandError(f"There is no Connection {missing[0]!r}. There are {', '.join(sorted(known))}.")
    return [known[name] for name in names] if names else None


def _line(run: RunView, task: TaskView) -> str:
    """`Main line, Provider mailbox: collecting, 12 of 30 messages`."""
    progress = task.progress
    figures = f"{progress.done} of {progress.expected} messages" if progress.expected else "nothing yet"
    who = f"{run.connection_name}, {DOING.get(task.kind, task.kind)}"
    if task.kind == runs.COLLECTOR:
        who = f"{who} {task.name}"
    if task.finished is None:
        return f"{who}: {figures}"
    messages = f"{progress.done} message{'' if progress.done == 1 else 's'}"
    return f"{who}: {messages}, {RESULTS.get(task.outcome, task.outcome)}{f': {task.text}' if task.text else ''}"
