# SPDX-License-Identifier: MIT
"""`manage.py run` as Django lists it; `manage.py` itself starts the supervisor without Django, to save its memory."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from protocols.supervisor.command import run
from protocols.supervisor.options import HELP, add_options


class Command(BaseCommand):
    """The same options and the same supervisor."""

    help = HELP
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        add_options(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        if run(Namespace(**options)):
            raise CommandError("Pillarbox did not start.")
