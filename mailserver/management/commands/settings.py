# SPDX-License-Identifier: MIT
"""`manage.py settings list|get|set|reset`: the general settings."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError

from mailserver.config.catalog import GENERAL, Setting, find_setting
from mailserver.config.services import read_settings, reset_setting, set_setting
from mailserver.management.plain import PlainCommand


class Command(PlainCommand):
    """Show and change the general settings; a running server follows within two seconds."""

    help = "Show and change the general settings. A running server follows within two seconds."

    def add_arguments(self, parser: ArgumentParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True, metavar="list|get|set|reset")
        actions.add_parser("list", help="every setting with its value; * marks those that were changed")
        get = actions.add_parser("get", help="print the value of one setting")
        get.add_argument("name")
        change = actions.add_parser("set", help="change one setting")
        change.add_argument("name")
        change.add_argument("value")
        reset = actions.add_parser("reset", help="give one setting its usual value again")
        reset.add_argument("name")

    def handle(self, *args: Any, **options: Any) -> None:
        match options["action"]:
            case "list":
                self._list()
            case "get":
                self.stdout.write(_show(read_settings().get(options["name"], _get(options["name"]).default)))
            case "set":
                set_setting(options["name"], options["value"])
            case _:
                reset_setting(options["name"])

    def _list(self) -> None:
        changed = read_settings()
        width = max(len(setting.name) for setting in GENERAL)
        for setting in GENERAL:
            mark = "*" if setting.name in changed else " "
            value = _show(changed.get(setting.name, setting.default)).replace("\n", "\\n")
            self.stdout.write(f"{mark} {setting.name:{width}}  {value}")


def _get(name: str) -> Setting[Any]:
    setting = find_setting(name)
    if setting is None:
        raise CommandError(f"There is no setting {name}. `settings list` shows them all.")
    return setting


def _show(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)
