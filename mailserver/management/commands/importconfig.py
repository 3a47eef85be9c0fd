# SPDX-License-Identifier: MIT
"""`manage.py importconfig FILE`: take over settings, services, domains and users from a file."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError

from mailserver.config.exchange.importing import import_config
from mailserver.errors import InvalidInput
from mailserver.management.plain import PlainCommand


class Command(PlainCommand):
    """Merge a configuration file; works while the server runs."""

    help = (
        "Take over settings, services, domains and users from a YAML or JSON file (docs/configuration-file.md explains"
        " every key). What the file does not mention stays as it is. If a line is wrong, each wrong line is named and"
        " nothing is changed."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", help="the file, or - for standard input")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            result = import_config(_read(options["file"]))
        except InvalidInput as error:
            lines = [f"{options['file']}, {place}: {text}" for place, texts in error.messages.items() for text in texts]
            self.fail(*lines, "Nothing was changed.")
        for warning in result.warnings:
            self.stderr.write(f"Warning: {warning}")
        for what in dict.fromkeys((*result.added, *result.changed)):
            label = what.replace("_", " ").capitalize()
            self.stdout.write(f"{label}: {result.added[what]} added, {result.changed[what]} changed.")
        self.stdout.write("The configuration has been imported.")


def _read(name: str) -> str:
    try:
        return sys.stdin.read() if name == "-" else Path(name).read_text(encoding="utf-8-sig")
    except OSError as error:
        raise CommandError(f"{name} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise CommandError(f"{name} is not a text in UTF-8.") from None
