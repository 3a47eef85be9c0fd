# SPDX-License-Identifier: MIT
"""What the store costs by itself, without a protocol: a report, on a fresh SQLite database in a temporary folder.

`report()` prints its rows; `python -m tests.bench.store` does so from the command line. DATABASE_URL, where set, names
an empty PostgreSQL database to measure instead.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mailserver.store.database import DatabaseStore
    from mailserver.store.interface import Unit
    from mailserver.values import MailboxId

USERS = 20
MESSAGE = b"Subject: hello\r\nFrom: a@b.test\r\n\r\n" + b"x" * 76 * 50 + b"\r\n"
LISTED = 20_000
READ_AT_ONCE = 32


def report(say: Callable[[str], None] = print) -> None:
    """Measure in a process of its own, for Django's settings are read once; say a line for each row."""
    with tempfile.TemporaryDirectory(prefix="pillarbox-bench-") as folder:
        environment = {**os.environ, "PILLARBOX_DATA": folder, "DJANGO_SETTINGS_MODULE": "mailserver.project.settings"}
        command = [sys.executable, "-m", "tests.bench.store", "--measure", folder]
        with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            for line in process.stdout:
                say(line.rstrip("\n"))
        if process.returncode:
            raise SystemExit("the store could not be measured")


def measure(folder: Path) -> None:
    """Print every row."""
    from django.core.management import call_command

    from tests.support.stores import make_user, open_database_store

    call_command("migrate", verbosity=0)
    with closing(open_database_store(folder)) as store:
        inboxes = [store.get_mailbox(make_user(), "INBOX").id for _ in range(USERS)]
        _row("store: a batch of 20, each unit", _batches(inboxes, 20, 100), "us")
        _row("store: a batch of one", _batches(inboxes, 1, 300), "us")
        for waiters in (1, 20, 100):
            _row(f"store: filed durably, {waiters} waiting", asyncio.run(_file(store, inboxes, waiters)), "/s")
        _reads(store, inboxes)


def _row(what: str, figure: float, unit: str) -> None:
    print(f"{what:<46} {figure:>9,.0f}{unit}", flush=True)


def _make_unit(inboxes: Sequence[MailboxId], number: int) -> Unit:
    """What one received message is to the store: a content, an entry, a journey of three steps."""
    from mailserver import clock
    from mailserver.journey.records import JourneyRecord, JourneyStep, JourneyStepRecord, next_ref
    from mailserver.store.interface import Filing, NewContent, NewEntry, Unit
    from tests.support.filings import make_body

    ref, now = next_ref(), clock.now()
    fields = {"subject": "hello", "from": "a@b.test"}
    content = NewContent(ref, make_body(MESSAGE), b"Return-Path: <a@b.test>\r\n", 25, fields)
    return Unit(
        filings=(Filing(content, (NewEntry(inboxes[number % len(inboxes)]),)),),
        journeys=(JourneyRecord(ref, now, "smtp", "192.0.2.1", "helo", "", "a@b.test", "a@b.test", "hello"),),
        steps=(
            JourneyStepRecord(ref, now, JourneyStep.ACCEPTED),
            JourneyStepRecord(ref, now, JourneyStep.FILED, "u@example.test", "INBOX"),
        ),
    )


def _batches(inboxes: Sequence[MailboxId], size: int, rounds: int) -> float:
    """Microseconds a unit, commits and their syncs included."""
    from django.db import transaction

    from mailserver.store.batch import Prepared, write_batch

    batches = [[Prepared(_make_unit(inboxes, number), ("",)) for number in range(size)] for _ in range(rounds)]
    started = time.perf_counter()
    for batch in batches:
        with transaction.atomic():
            write_batch(batch)
    return (time.perf_counter() - started) / rounds / size * 1e6


async def _file(store: DatabaseStore, inboxes: Sequence[MailboxId], waiters: int) -> float:
    """Messages a second, when so many sessions each wait for theirs before they submit the next."""
    each = max(4000 // waiters, 20) if waiters > 1 else 300

    async def session(first: int) -> None:
        for number in range(each):
            await asyncio.wrap_future(store.submit(_make_unit(inboxes, first + number)))

    started = time.perf_counter()
    await asyncio.gather(*(session(number) for number in range(waiters)))
    return waiters * each / (time.perf_counter() - started)


def _reads(store: DatabaseStore, inboxes: Sequence[MailboxId]) -> None:
    from mailserver.store.interface import Copying, Unit

    inbox, target = inboxes[:2]
    uids = tuple(entry.uid for entry in store.list_entries(inbox))
    while store.count([target])[target].messages < LISTED:
        store.submit(Unit(copies=(Copying(inbox, uids, target),))).result()
    started = time.perf_counter()
    entries = store.list_entries(target)
    rate = len(entries) / (time.perf_counter() - started)
    _row(f"store: entries listed, {len(entries):,} at a time", rate, "/s")
    contents = [entry.content for entry in entries[:3200]]
    started = time.perf_counter()
    for start in range(0, len(contents), READ_AT_ONCE):
        store.read_contents(contents[start : start + READ_AT_ONCE])
    _row(f"store: contents read, {READ_AT_ONCE} at a time", len(contents) / (time.perf_counter() - started), "/s")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--measure"]:
        import django

        django.setup()
        measure(Path(sys.argv[2]))
    else:
        report()
