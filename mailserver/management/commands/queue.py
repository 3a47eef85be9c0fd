# SPDX-License-Identifier: MIT
"""`manage.py queue list|show|retry|hold|release|priority|delete`: the outgoing queue."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Callable, Collection
from datetime import datetime
from typing import Any

from django.core.management.base import CommandError

from mailserver.management.plain import PlainCommand
from mailserver.outqueue.recalling import count_being_sent
from mailserver.outqueue.services import (
    Waiting,
    delete,
    delete_and_notify,
    find_queued,
    hold,
    list_attempts,
    list_queue,
    release,
    retry,
    set_priority,
)

ACTIONS: dict[str, tuple[Callable[[Collection[int]], int], str]] = {
    "retry": (retry, "to be tried as soon as their Sender runs"),
    "hold": (hold, "held"),
    "release": (release, "released"),
    "delete": (delete, "deleted"),
}
HELP = (
    ("show", "everything about a message or one of its recipients, also when it has been sent or has failed"),
    ("retry", "try as soon as the Sender runs, whatever the timetable says"),
    ("hold", "do not send for now"),
    ("release", "send as usual again"),
    ("priority", "let it go earlier or later: 1 is first, 100 last"),
    ("delete", "take out of the queue for good"),
)


class Command(PlainCommand):
    """Show and change what waits to leave; works while the server runs."""

    help = "Show and change what waits to leave."

    def add_arguments(self, parser: ArgumentParser) -> None:
        names = "|".join(["list", *(name for name, _ in HELP)])
        actions = parser.add_subparsers(dest="action", required=True, metavar=names)
        actions.add_parser("list", help="one line for each recipient that waits or is held")
        for action, text in HELP:
            chosen = actions.add_parser(action, help=text)
            if action == "priority":
                chosen.add_argument("priority", type=int, metavar="NUMBER", help="1 to 100")
            if action == "delete":
                chosen.add_argument("--notify", action="store_true", help="tell the sender (usually nobody is told)")
            if action == "retry":
                chosen.add_argument("--all", action="store_true", help="everything that waits")
            chosen.add_argument(
                "keys",
                nargs="*" if action == "retry" else "+",
                metavar="ID",
                help="a line's number, or a message's id for all of it",
            )

    def handle(self, *args: Any, **options: Any) -> None:
        if options["action"] == "list":
            for row in list_queue():
                self.stdout.write(_line(row))
            return
        if options["action"] == "show":
            for row in (row for key in options["keys"] for row in _get(key, finished=True)):
                self._show(row)
            return
        rows = self._chosen(options)
        change, done = self._change(options)
        count = change([row.id for row in rows])
        self.stdout.write(f"{count} recipient{'' if count == 1 else 's'} {done}.")
        if options["action"] == "hold" and (busy := count_being_sent([row.id for row in rows])):
            self.fail(f"{busy} of them are being sent at this moment, and are held only if that fails.")
        if options["action"] == "delete" and count < len(rows):
            self.fail(f"{len(rows) - count} of them are being sent at this moment, and were left.")

    def _chosen(self, options: dict[str, Any]) -> list[Waiting]:
        if options.get("all"):
            return list_queue()
        if not options["keys"]:
            raise CommandError("Say which: a line's number, a message's id, or --all.")
        return [row for key in options["keys"] for row in _get(key)]

    def _change(self, options: dict[str, Any]) -> tuple[Callable[[Collection[int]], int], str]:
        if options["action"] == "priority":
            priority = options["priority"]
            return lambda ids: set_priority(ids, priority), f"now of priority {priority}"
        if options.get("notify"):
            return delete_and_notify, "deleted; their senders are told"
        return ACTIONS[options["action"]]

    def _show(self, row: Waiting) -> None:
        for label, value in (
            ("number", row.id),
            ("message", row.ref),
            ("state", row.state),
            ("queued", _moment(row.queued)),
            ("path", _path(row)),
            ("subject", row.subject),
            ("size", f"{row.size} bytes"),
            ("sent by", row.sender_name or row.login),
            ("from address", row.client),
            ("priority", f"{row.priority}{', urgent' if row.urgent else ''}"),
            ("forward to", row.lan_server),
            ("held until", _moment(row.hold_until) if row.on_timer else ""),
            ("delete after", _moment(row.delete_after)),
            ("tries", row.tries),
            ("next try", _moment(row.next_attempt)),
            ("notify", row.notify),
            ("original recipient", row.original_recipient),
            ("return", row.dsn_return),
            ("envelope id", row.envelope_id),
        ):
            if value:
                self.stdout.write(f"{label + ':':20}{value}")
        for tried in list_attempts(row.id):
            encrypted = f", {tried.tls}" if tried.tls else ""
            self.stdout.write(f"  {_moment(tried.started)}  {tried.server}{encrypted}")
            for line in tried.result.splitlines():
                self.stdout.write(f"    {_printable(line)}")


def _get(key: str, *, finished: bool = False) -> list[Waiting]:
    rows = find_queued(key, finished=finished)
    if not rows:
        raise CommandError(f"Nothing in the queue is called {key}.")
    return rows


def _line(row: Waiting) -> str:
    last = row.last_reply.splitlines()[:1]
    said = f"  {_printable(last[0])[:100]}" if last else ""
    return f"{row.id:>6}  {row.ref}  {row.state:8}  {row.queued:%Y-%m-%d %H:%M}  {_path(row)}{said}"


def _printable(text: str) -> str:
    """What another server said must not talk to the terminal."""
    return "".join(character if character.isprintable() else " " for character in text)


def _path(row: Waiting) -> str:
    return f"<{row.reverse_path}> -> <{row.recipient}>"


def _moment(moment: datetime | None) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC" if moment is not None else ""
