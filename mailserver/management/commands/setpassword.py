# SPDX-License-Identifier: MIT
"""`manage.py setpassword NAME`: give a user a new password."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError

from mailserver.management.plain import PlainCommand
from mailserver.users.services import find_user, set_password


class Command(PlainCommand):
    """Give a user a new password; works while the server runs."""

    help = "Give a user a new password. Without --password it is asked for twice (or read from standard input)."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("name", help="name or address")
        parser.add_argument("--password")

    def handle(self, *args: Any, **options: Any) -> None:
        user = find_user(options["name"])
        if user is None:
            raise CommandError(f"There is no user {options['name']}.")
        set_password(user.pk, options["password"] if options["password"] is not None else self.ask_password())
        self.stdout.write(f"{user.address} has a new password.")
