# SPDX-License-Identifier: MIT
"""`manage.py adduser NAME`: create a user."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from mailserver.management.plain import PlainCommand
from mailserver.users.services import create_user


class Command(PlainCommand):
    """Create a user with a mailbox; works while the server runs."""

    help = "Create a user with a mailbox. Without --password it is asked for twice (or read from standard input)."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("name", help="the part in front of the @, or the whole address")
        parser.add_argument("--password")
        parser.add_argument("--domain", help="one of the local domains (usually the default one)")
        parser.add_argument("--full-name", default="", help='such as "Alice Example"')
        parser.add_argument("--admin", action="store_true", help="may use the web console")
        parser.add_argument("--welcome", action="store_true", help="send the welcome message")

    def handle(self, *args: Any, **options: Any) -> None:
        password = options["password"] if options["password"] is not None else self.ask_password()
        user = create_user(
            options["name"],
            password,
            domain=options["domain"],
            full_name=options["full_name"],
            is_admin=options["admin"],
            send_welcome=options["welcome"],
        )
        self.stdout.write(f"{user.address} can log in now.")
