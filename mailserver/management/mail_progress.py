# SPDX-License-Identifier: MIT
"""What `importmail` and `exportmail` say on the way and at the end."""

from __future__ import annotations

import time
from typing import Any

from django.core.management.base import CommandError

from mailserver.management.plain import PlainCommand
from mailserver.store.transfer import Progress
from mailserver.users.services import User, find_user

REPORT_SECONDS = 2.0


def find_mail_user(login: str) -> User:
    """By name or address; ends the command when there is none."""
    user = find_user(login)
    if user is None:
        raise CommandError(f"There is no user {login}.")
    return user


class Progressing(PlainCommand):
    """A command that takes its time, and says now and then how far it is."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._told = time.monotonic()

    def report(self, progress: Progress) -> None:
        """A line every other second."""
        if time.monotonic() - self._told >= REPORT_SECONDS:
            self._told = time.monotonic()
            self.stdout.write(f"{_describe(progress)} so far")
            self.stdout.flush()

    def tell(self, what: str, progress: Progress, skipped: str) -> None:
        """The last line."""
        passed_over = f"; {progress.skipped:,} {skipped}" if progress.skipped else ""
        self.stdout.write(f"{what}: {_describe(progress)}{passed_over}.")


def _describe(progress: Progress) -> str:
    messages = "1 message" if progress.done == 1 else f"{progress.done:,} messages"
    return f"{messages}, {progress.size / 1_000_000:.1f} MB"
