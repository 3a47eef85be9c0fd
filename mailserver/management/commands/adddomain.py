# SPDX-License-Identifier: MIT
"""`manage.py adddomain D`: take mail for a domain."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from mailserver.addressing.services import add_domain
from mailserver.management.plain import PlainCommand


class Command(PlainCommand):
    """Take mail for a domain; works while the server runs."""

    help = "Take mail for a domain from now on. Users are added to it with: adduser NAME --domain DOMAIN"

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("domain", help="such as example.com")

    def handle(self, *args: Any, **options: Any) -> None:
        self.stdout.write(f"{add_domain(options['domain']).name} is a local domain now.")
