# SPDX-License-Identifier: MIT
"""A process that files messages as fast as it can and says which of them are acknowledged, until it ends or is killed.

`start_filer` runs this module on the database of the running test. Each unit puts one message into two mailboxes, with
a journey; every third body is large. One line is written for each unit whose future is done: its ref.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

SMALL, LARGE = b"x" * 500, b"y" * 70_000
THREADS = 4


def start_filer(folder: Path, mailboxes: Sequence[int], units: int) -> subprocess.Popen[str]:
    """A new process that files so many units from several threads, with its files under `folder`."""
    from django.db import connection

    order = {"database": connection.settings_dict["NAME"], "folder": str(folder), "mailboxes": list(mailboxes)}
    return subprocess.Popen(
        [sys.executable, "-m", "tests.support.filer", json.dumps(order), str(units)],
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "tests.support.settings"},
        stdout=subprocess.PIPE,
        text=True,
    )


def file_many(folder: Path, mailboxes: Sequence[int], units: int) -> None:
    """What that process does."""
    from mailserver import clock
    from mailserver.journey.records import JourneyRecord
    from mailserver.store.interface import Filing, NewContent, NewEntry, Unit
    from mailserver.values import MailboxId
    from tests.support.filings import WAIT_SECONDS, make_filing
    from tests.support.stores import open_database_store

    store = open_database_store(folder)

    def file(number: int) -> None:
        first, second = (MailboxId(mailbox) for mailbox in random.sample(mailboxes, 2))
        filing: Filing = make_filing(first, second, data=SMALL if number % 3 else LARGE)
        content: NewContent = filing.content
        unit = Unit(
            filings=(Filing(content, (NewEntry(first), NewEntry(second))),),
            journeys=(JourneyRecord(content.ref, clock.now(), "smtp"),),
        )
        store.submit(unit).result(WAIT_SECONDS)
        sys.stdout.write(content.ref + "\n")
        sys.stdout.flush()

    with ThreadPoolExecutor(THREADS) as pool:
        for future in [pool.submit(file, number) for number in range(units)]:
            future.result()
    store.close()


if __name__ == "__main__":
    import django
    from django.db import connections

    django.setup()
    asked = json.loads(sys.argv[1])
    connections.settings["default"]["NAME"] = asked["database"]
    file_many(Path(asked["folder"]), asked["mailboxes"], int(sys.argv[2]))
