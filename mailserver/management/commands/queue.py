# SPDX-License-Identifier: MIT
"""`manage.py queue list|show|retry|hold|release|priority|delete`: the outgoing queue."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from typing import Any

from django.core.management.base import CommandError

from mailserver.management.plain import PlainCommand
from mailserver.outqueue.recalling import count_being_sent
from mailserver.outqueue.services import (
    Waiting,
    count_done_with,
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
            rows, missing = _find(options["keys"], finished=True)
            for row in rows:
                self._show(row)
        else:
            rows, missing = self._chosen(options)
            missing += self._do(options, rows) if rows or not missing else []
        if missing:
            self.fail(*missing)

    def _chosen(self, options: dict[str, Any]) -> tuple[list[Waiting], list[str]]:
        if options.get("all"):
            return list_queue(), []
        if not options["keys"]:
            raise CommandError("Say which: a line's number, a message's id, or --all.")
        return _find(options["keys"])

    def _do(self, options: dict[str, Any], rows: Sequence[Waiting]) -> list[str]:
        """What was not done of it, in sentences."""
        ids = [row.id for row in rows]
        change, done = self._change(options)
        count = change(ids)
        self.stdout.write(f"{_recipients(count)} {done}.")
        if options["action"] not in ("hold", "delete"):
            return []
        left = []
        if busy := count_being_sent(ids):
            what = "held only if that fails" if options["action"] == "hold" else "left"
            left.append(f"{_recipients(busy)} being sent at this moment: {what}.")
        if gone := count_done_with(ids):
            left.append(f"{_recipients(gone)} sent, or given up, in the meantime.")
        return left

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


def _find(keys: Sequence[str], *, finished: bool = False) -> tuple[list[Waiting], list[str]]:
    """Each recipient once; and of each key that finds nothing a sentence that says so."""
    found: dict[int, Waiting] = {}
    missing = []
    for key in keys:
        rows = find_queued(key, finished=finished)
        found.update((row.id, row) for row in rows)
        if not rows:
            missing.append(_why_missing(key))
    return list(found.values()), missing


def _why_missing(key: str) -> str:
    states = sorted({row.state for row in find_queued(key, finished=True)})
    if states:
        return f"{key} does not wait any more: {' and '.join(states)}."
    return f"Nothing in the queue is called {key}."


def _recipients(count: int) -> str:
    return f"{count} recipient{'' if count == 1 else 's'}"


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
