# SPDX-License-Identifier: MIT
"""`manage.py queue list|show|hold|release|delete`: the outgoing queue."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Callable, Collection
from typing import Any

from django.core.management.base import CommandError

from mailserver.management.plain import PlainCommand
from mailserver.outqueue.services import Waiting, delete, find_queued, hold, list_queue, release

ACTIONS: dict[str, tuple[Callable[[Collection[int]], int], str]] = {
    "hold": (hold, "held"),
    "release": (release, "released"),
    "delete": (delete, "deleted"),
}


class Command(PlainCommand):
    """Show and change what waits to leave; works while the server runs."""

    help = "Show and change what waits to leave."

    def add_arguments(self, parser: ArgumentParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True, metavar="list|show|hold|release|delete")
        actions.add_parser("list", help="one line for each recipient that waits")
        for action, text in (
            ("show", "everything about a message or one of its recipients"),
            ("hold", "do not send for now"),
            ("release", "send as usual again"),
            ("delete", "take out of the queue for good; the sender is not told"),
        ):
            chosen = actions.add_parser(action, help=text)
            chosen.add_argument(
                "keys", nargs="+", metavar="ID", help="a line's number, or a message's id for all of it"
            )

    def handle(self, *args: Any, **options: Any) -> None:
        if options["action"] == "list":
            for row in list_queue():
                self.stdout.write(f"{row.id:>6}  {row.ref}  {row.status:7}  {row.queued:%Y-%m-%d %H:%M}  {_path(row)}")
            return
        rows = [row for key in options["keys"] for row in _get(key)]
        if options["action"] == "show":
            for row in rows:
                self._show(row)
            return
        change, done = ACTIONS[options["action"]]
        count = change([row.id for row in rows])
        self.stdout.write(f"{count} recipient{'' if count == 1 else 's'} {done}.")

    def _show(self, row: Waiting) -> None:
        for label, value in (
            ("number", row.id),
            ("message", row.ref),
            ("state", row.status),
            ("queued", f"{row.queued:%Y-%m-%d %H:%M:%S} UTC"),
            ("path", _path(row)),
            ("size", f"{row.size} bytes"),
            ("sent by", row.sender_name),
            ("notify", row.notify),
            ("original recipient", row.original_recipient),
            ("return", row.dsn_return),
            ("envelope id", row.envelope_id),
        ):
            if value:
                self.stdout.write(f"{label + ':':20}{value}")


def _get(key: str) -> list[Waiting]:
    rows = find_queued(key)
    if not rows:
        raise CommandError(f"Nothing in the queue is called {key}.")
    return rows


def _path(row: Waiting) -> str:
    return f"<{row.reverse_path}> -> <{row.recipient}>"
