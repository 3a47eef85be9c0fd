# SPDX-License-Identifier: MIT
"""`manage.py doctor`: look at everything that usually goes wrong."""

from __future__ import annotations

from typing import Any

from mailserver.management.diagnosis import Level, examine
from mailserver.management.plain import PlainCommand


class Command(PlainCommand):
    """Examine the installation; exit status 0 when nothing is wrong. Changes nothing."""

    help = (
        "Look at the key file, the data folder, the database, the certificate, the services, the clock and the DNS, and"
        " say in a sentence each what is well and what is not. Changes nothing. Exit status 0 when there is no problem."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        problems = 0
        for finding in examine():
            self.stdout.write(f"{finding.level.value:8} {finding.text}")
            problems += finding.level is Level.PROBLEM
        if problems:
            self.fail(f"{problems} problem{'' if problems == 1 else 's'} found.")
