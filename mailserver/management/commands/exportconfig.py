# SPDX-License-Identifier: MIT
"""`manage.py exportconfig`: settings, services, domains and users as a file for `importconfig`."""

from __future__ import annotations

import os
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError

from mailserver.config.exchange.document import format_json, format_yaml
from mailserver.config.exchange.exporting import export_config
from mailserver.management.plain import PlainCommand


class Command(PlainCommand):
    """Write the configuration; works while the server runs."""

    help = "Write settings, services, domains and users as a file that importconfig takes (docs/configuration-file.md)."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", nargs="?", default="-", help="the file to write (usually standard output)")
        parser.add_argument("--format", choices=("yaml", "json"), default="yaml")
        parser.add_argument(
            "--secrets",
            action="store_true",
            help="with password hashes, recoverable passwords and the certificate's key: keep the file safe",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        document = export_config(secrets=options["secrets"])
        text = format_json(document) if options["format"] == "json" else format_yaml(document)
        if options["file"] == "-":
            self.stdout.write(text, ending="")
            return
        _write(Path(options["file"]), text)
        self.stdout.write(f"The configuration is in {options['file']}.")


def _write(path: Path, text: str) -> None:
    """Readable by its owner only: there may be secrets in it. What was there before goes only when all is written."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise CommandError(f"{path} cannot be written: {error.strerror}.") from None
