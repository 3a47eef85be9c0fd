# SPDX-License-Identifier: MIT
"""Many threads and processes in the same mailboxes, and processes killed while they file."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from django.db.models import Count, Q, Sum

from mailserver.journey.models import Journey
from mailserver.store.database import DatabaseStore
from mailserver.store.interface import Copying, FlagChange, Removal, Unit
from mailserver.store.models import Content, Entry, Expunged, Mailbox
from mailserver.values import Flag, MailboxId, Uid
from tests.support.filer import LARGE, SMALL, start_filer
from tests.support.filings import WAIT_SECONDS, make_unit
from tests.support.stores import make_user, open_database_store
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database, pytest.mark.slow]

MAILBOXES = 20
THREADS = 8
UNITS_OF_A_THREAD = 20
UNITS_OF_A_PROCESS = 80
KILLS = 3
ANY = tuple(Uid(uid) for uid in range(1, 30))


@contextmanager
def opened(folder: Path) -> Iterator[tuple[DatabaseStore, list[MailboxId]]]:
    with closing(open_database_store(folder)) as store:
        user = make_user()
        yield store, [store.create_mailbox(user, f"Box {number}").id for number in range(MAILBOXES)]


def random_unit(chance: random.Random, mailboxes: Sequence[MailboxId]) -> Unit:
    """Mailboxes in any order, so that processes that did not sort their locks would deadlock."""
    one, two, three = chance.sample(mailboxes, 3)
    some = tuple(chance.sample(ANY, 5))
    return Unit(
        filings=make_unit(two, one).filings,
        flag_changes=(FlagChange(three, some, add=frozenset({chance.choice([Flag.SEEN, Flag.DELETED])})),),
        copies=(Copying(two, some[:2], three, move=chance.random() < 0.5),),
        removals=(Removal(one, some[:2], hold=chance.random() < 0.3),),
    )


def check_books(mailboxes: Sequence[MailboxId]) -> None:
    """No UID given twice or left out, every counter right, no mod-sequence ahead of its mailbox."""
    for mailbox in Mailbox.objects.filter(id__in=mailboxes):
        entries = Entry.objects.filter(mailbox=mailbox)
        there = set(entries.values_list("uid", flat=True))
        gone = Counter(Expunged.objects.filter(mailbox=mailbox).values_list("uid", flat=True))
        held = set(entries.filter(held=True).values_list("uid", flat=True))
        assert there | set(gone) == set(range(1, mailbox.uid_next))
        assert there & set(gone) == held
        assert set(gone.values()) <= {1}
        highest = max(entries.order_by("-modseq").values_list("modseq", flat=True).first() or 1, 1)
        assert highest <= mailbox.modseq
        visible = entries.filter(held=False)
        sums = visible.aggregate(
            messages=Count("id"),
            unseen=Count("id", filter=~Q(flags__contains="\\Seen")),
            deleted=Count("id", filter=Q(flags__contains="\\Deleted")),
            size=Sum("size", default=0),
        )
        assert sums == {name: getattr(mailbox, name) for name in sums}


def test_threads_and_processes_in_the_same_mailboxes(tmp_path: Path) -> None:
    with opened(tmp_path) as (store, mailboxes):
        processes = [start_filer(tmp_path, mailboxes, UNITS_OF_A_PROCESS) for _ in range(2)]

        def work(seed: int) -> int:
            chance = random.Random(seed)
            results = [
                store.submit(random_unit(chance, mailboxes)).result(WAIT_SECONDS) for _ in range(UNITS_OF_A_THREAD)
            ]
            return sum(len(result.filed) for result in results)

        with ThreadPoolExecutor(THREADS) as pool:
            filed = sum(pool.map(work, range(THREADS)))
        outputs = [process.communicate(timeout=3 * WAIT_SECONDS)[0] for process in processes]
        assert [process.returncode for process in processes] == [0, 0]
        assert [len(output.split()) for output in outputs] == [UNITS_OF_A_PROCESS] * 2
        assert filed == 2 * THREADS * UNITS_OF_A_THREAD
        assert Content.objects.count() == THREADS * UNITS_OF_A_THREAD + 2 * UNITS_OF_A_PROCESS
        check_books(mailboxes)


def test_a_killed_process_has_lost_nothing_that_it_acknowledged(tmp_path: Path) -> None:
    """Whatever a unit was about is there whole or not at all; what was acknowledged is there."""
    chance = random.Random()
    acknowledged: list[str] = []
    with opened(tmp_path) as (store, mailboxes):
        for _ in range(KILLS):
            process = start_filer(tmp_path, mailboxes, 10**6)
            assert process.stdout is not None
            acknowledged += [process.stdout.readline().strip() for _ in range(chance.randrange(1, 150))]
            process.kill()
            acknowledged += [line.strip() for line in process.communicate(timeout=WAIT_SECONDS)[0].splitlines(True)]
        wait_until(lambda: Journey.objects.count() == Content.objects.count(), WAIT_SECONDS, "the last commit")
        there = Counter(Content.objects.values_list("ref", flat=True))
        assert set(there.values()) == {1}
        assert set(acknowledged) <= set(there)
        assert set(Journey.objects.values_list("ref", flat=True)) == set(there)
        assert set(Content.objects.annotate(copies=Count("entries")).values_list("copies", flat=True)) == {2}
        check_books(mailboxes)
        ids = list(Content.objects.values_list("id", flat=True))
        for stored in store.read_contents(ids):  # type: ignore[arg-type]
            assert b"".join(stored.chunks()) in (SMALL, LARGE)
