# SPDX-License-Identifier: MIT
"""The memory store and the database store do the same with any units, however the group commit batches them."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mailserver.errors import MailError
from mailserver.store.interface import Copying, FlagChange, MailStore, Removal, Unit, UnitResult
from mailserver.store.memory import MemoryStore
from mailserver.values import ContentId, Flag, MailboxId, ModSeq, Uid, UserId
from tests.support.filings import WAIT_SECONDS, make_filing, make_unit
from tests.support.still_clock import StillClock
from tests.support.stores import make_user, open_database_store

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]

NAMES = ("INBOX", "Trash", "Sent")
GONE = MailboxId(10**9)
SOME_MAIL = make_unit(MailboxId(0), MailboxId(1), count=6)
users = count(1)

places = st.sampled_from([0, 0, 0, 0, 1, 1, 2, 2, 3]).map(MailboxId)
"""Which of the mailboxes: mostly the first, seldom one that is gone. `placed` puts the store's own ids in."""
uids = st.lists(st.integers(1, 12).map(Uid), max_size=5).map(tuple)
flags = st.frozensets(st.sampled_from([Flag.SEEN.value, Flag.DELETED.value, "$Forwarded", "x"]), max_size=3)
dates = st.none() | st.datetimes(datetime(1990, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC))
filings = st.builds(
    lambda into, marks, date: make_filing(*into, flags=marks, internal_date=date),
    st.lists(places, max_size=2),
    flags,
    dates,
)
since = st.none() | st.integers(1, 20).map(ModSeq)
units = st.builds(
    Unit,
    filings=st.lists(filings, max_size=2).map(tuple),
    flag_changes=st.lists(st.builds(FlagChange, places, uids, flags, flags, st.none() | flags, since), max_size=2).map(
        tuple
    ),
    copies=st.lists(st.builds(Copying, places, uids, places, st.booleans(), st.booleans()), max_size=2).map(tuple),
    removals=st.lists(st.builds(Removal, places, uids, st.booleans()), max_size=2).map(tuple),
)


def placed(unit: Unit, boxes: Sequence[MailboxId]) -> Unit:
    """The unit for the mailboxes of one store."""
    return replace(
        unit,
        filings=tuple(
            replace(filing, entries=tuple(replace(entry, mailbox=boxes[entry.mailbox]) for entry in filing.entries))
            for filing in unit.filings
        ),
        flag_changes=tuple(replace(change, mailbox=boxes[change.mailbox]) for change in unit.flag_changes),
        copies=tuple(replace(copy, source=boxes[copy.source], target=boxes[copy.target]) for copy in unit.copies),
        removals=tuple(replace(removal, mailbox=boxes[removal.mailbox]) for removal in unit.removals),
    )


def run(store: MailStore, user: UserId, groups: Sequence[Sequence[Unit]]) -> object:
    """Everything that can be seen of a store after these units, with its own ids taken out.

    Units of a group are submitted at once, and each group is waited for.
    """
    boxes = [store.get_mailbox(user, name).id for name in NAMES]
    outcomes = []
    for group in groups:
        futures = [store.submit(placed(unit, [*boxes, GONE])) for unit in group]
        outcomes += [future.exception(WAIT_SECONDS) or future.result() for future in futures]
    return [_outcome(store, boxes, outcome) for outcome in outcomes], [_picture(store, box) for box in boxes]


def _outcome(store: MailStore, boxes: Sequence[MailboxId], outcome: BaseException | UnitResult) -> object:
    if isinstance(outcome, MailError):
        return outcome.kind
    assert isinstance(outcome, UnitResult)
    filed = [replace(filed, mailbox=MailboxId(boxes.index(filed.mailbox))) for filed in outcome.filed]
    return replace(outcome, filed=tuple(filed), contents=_refs(store, outcome.contents))  # type: ignore[arg-type]


def _picture(store: MailStore, box: MailboxId) -> object:
    entries = store.list_entries(box)
    changes = [store.get_changes(box, ModSeq(modseq)) for modseq in range(0, 40, 4)]
    return (
        replace(store.get_mailbox_by_id(box), id=MailboxId(0), user=UserId(0)),
        store.count([box])[box],
        [entry._replace(content=ContentId(0)) for entry in entries],
        _refs(store, [entry.content for entry in entries]),
        [([entry.uid for entry in change.changed], change.vanished, change.modseq) for change in changes],
    )


def _refs(store: MailStore, contents: Sequence[ContentId]) -> tuple[str, ...]:
    return tuple(content.ref for content in store.read_contents(contents))


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(st.lists(st.lists(units, min_size=1, max_size=3), min_size=1, max_size=4))
def test_both_stores_do_the_same(tmp_path: Path, still_clock: StillClock, groups: list[list[Unit]]) -> None:
    groups = [[SOME_MAIL], *groups]
    memory = MemoryStore(tmp_path)
    user = UserId(next(users))
    memory.add_user(user)
    with closing(open_database_store(tmp_path)) as store:
        assert run(store, make_user(), groups) == run(memory, user, groups)
