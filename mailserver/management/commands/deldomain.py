# SPDX-License-Identifier: MIT
"""`manage.py deldomain D`: no longer take mail for a domain."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from mailserver.addressing.services import delete_domain
from mailserver.management.plain import PlainCommand


class Command(PlainCommand):
    """No longer take mail for a domain; works while the server runs."""

    help = "No longer take mail for a domain. It must have no users, and it cannot be the default one."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("domain", help="such as example.com")

    def handle(self, *args: Any, **options: Any) -> None:
        delete_domain(options["domain"])
        self.stdout.write(f"{options['domain']} is no longer a local domain.")
