# SPDX-License-Identifier: MIT
"""`manage.py deluser NAME`: remove a user and the mailboxes."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError

from mailserver.management.plain import PlainCommand
from mailserver.users.services import delete_user, find_user


class Command(PlainCommand):
    """Remove a user; works while the server runs."""

    help = "Remove a user and all mailboxes of the user. What was in them cannot be brought back."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("name", help="name or address")
        parser.add_argument("--force", action="store_true", help="also when there are messages")

    def handle(self, *args: Any, **options: Any) -> None:
        user = find_user(options["name"])
        if user is None:
            raise CommandError(f"There is no user {options['name']}.")
        delete_user(user.pk, force=options["force"])
        self.stdout.write(f"{user.address} is gone.")
