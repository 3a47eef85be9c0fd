# SPDX-License-Identifier: MIT
"""Where is my mail: found by any of its words, counted, and forgotten in time."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from mailserver import clock
from mailserver.config.services import set_setting
from mailserver.journey import services
from mailserver.journey.models import Journey, JourneyEvent
from mailserver.journey.records import JourneyStep, next_ref
from mailserver.journey.services import counts_since, find_journey, forget_old, record_step, search
from tests.support.still_clock import StillClock

pytestmark = [pytest.mark.django_db, pytest.mark.database]


def travel(
    started: datetime | None = None, *, recipients: tuple[str, ...] = ("bob@example.test",), **fields: Any
) -> str:
    """A message that was accepted and filed."""
    moment = started or clock.now()
    ref = next_ref()
    values = {
        "source": "smtp",
        "client": "192.0.2.9",
        "sender": "alice@remote.example",
        "subject": "Minutes of 100% Tuesday_meeting",
        "message_id": f"<{ref.lower()}@remote.example>",
        **fields,
    }
    Journey.objects.create(ref=ref, started=moment, size=1234, **values)
    steps = [(JourneyStep.ACCEPTED, "")] + [(JourneyStep.FILED, recipient) for recipient in recipients]
    for kind, recipient in steps:
        JourneyEvent.objects.create(journey_id=ref, at=moment, kind=kind, recipient=recipient, detail="Inbox")
    return ref


@pytest.mark.parametrize(
    "words",
    [
        "alice",
        "ALICE@remote",
        "bob@example.test",
        "tuesday",
        "Minutes bob",
        "192.0.2.9",
        "100%",
        "Tuesday_meeting",
        "remote.example> minutes",
        ["minutes", "of bob"],
        "smtp-box.remote",
        "carol.login",
    ],
)
def test_every_word_must_occur_somewhere(words: str | list[str]) -> None:
    ref = travel(helo="smtp-box.remote.example", login="carol.login@example.test")
    travel(sender="x@other.example", subject="Nothing", client="203.0.113.1", recipients=("y@other.example",))
    assert [found.record.ref for found in search(words)] == [ref]


@pytest.mark.parametrize("words", ["nobody", "alice nobody", "100_", "Tuesday%meeting", "92.0.2.9"])
def test_what_does_not_occur_is_not_found(words: str) -> None:
    travel()
    assert search(words) == []


def test_by_id_in_any_case_and_by_message_id_with_brackets() -> None:
    ref = travel()
    travel()
    assert [found.record.ref for found in search(ref.lower())] == [ref]
    assert [found.record.ref for found in search(f"<{ref.lower()}@remote.example>")] == [ref]


def test_two_words_may_match_two_recipients() -> None:
    ref = travel(recipients=("bob@example.test", "carol@example.test"))
    travel(recipients=("bob@example.test",))
    assert [found.record.ref for found in search("bob carol")] == [ref]
    assert search("bob carol")[0].recipients == ("bob@example.test", "carol@example.test")


def test_the_newest_come_first_and_no_words_find_all(still_clock: StillClock) -> None:
    refs = []
    for _ in range(3):
        refs.append(travel())
        still_clock.advance(minutes=1)
    assert [found.record.ref for found in search("")] == refs[::-1]
    assert [found.record.ref for found in search("alice", limit=2)] == refs[:0:-1]


@pytest.mark.parametrize("words", ["\0", "\udcff", "<>", " "])
def test_words_that_are_none(words: str) -> None:
    ref = travel()
    assert [found.record.ref for found in search(words)] == [ref]


def test_a_search_takes_two_queries(django_assert_num_queries: Any) -> None:
    for _ in range(5):
        travel()
    with django_assert_num_queries(2):
        assert len(search("alice bob")) == 5


def test_a_journey_whole() -> None:
    ref = travel()
    record_step(ref, JourneyStep.DELETED, "bob@example.test", "x" * 2000)
    found = find_journey(f" {ref.lower()} ")
    assert found is not None
    assert found.record.subject == "Minutes of 100% Tuesday_meeting"
    assert [step.kind for step in found.steps] == [JourneyStep.ACCEPTED, JourneyStep.FILED, JourneyStep.DELETED]
    assert len(found.steps[-1].detail) == 1000


def test_a_journey_that_nobody_made() -> None:
    assert find_journey("01ARZ3NDEKTSV4RRFFQ69G5FAV") is None
    assert find_journey("nonsense") is None


def test_counts(still_clock: StillClock, django_assert_num_queries: Any) -> None:
    travel()
    still_clock.advance(hours=1)
    since = clock.now()
    ref = travel(recipients=("bob@example.test", "carol@example.test"))
    record_step(ref, JourneyStep.REFUSED, "x@y.example")
    record_step(ref, JourneyStep.FETCHED, "bob@example.test")
    with django_assert_num_queries(1):
        found = counts_since(since)
    assert (found.accepted, found.filed, found.refused, found.queued) == (1, 2, 1, 0)


def test_old_journeys_are_forgotten(still_clock: StillClock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(services, "FORGET_BATCH", 2)
    set_setting("journey.keep_days", 7)
    for _ in range(5):
        travel()
    record_step("GONE-LONG-AGO", JourneyStep.FETCHED)
    still_clock.advance(days=6)
    kept = travel()
    still_clock.advance(days=1, seconds=1)
    assert forget_old(clock.now()) == 5
    assert [found.record.ref for found in search("")] == [kept]
    assert set(JourneyEvent.objects.values_list("journey_id", flat=True)) == {kept}
    assert forget_old(clock.now()) == 0


def test_late_steps_of_a_kept_journey_and_of_none_stay_for_their_time(still_clock: StillClock) -> None:
    set_setting("journey.keep_days", 7)
    old = travel(clock.now() - timedelta(days=8))
    record_step(old, JourneyStep.FETCHED)
    assert forget_old(clock.now()) == 1
    assert not JourneyEvent.objects.exists()
    record_step(old, JourneyStep.DELETED)
    assert forget_old(clock.now()) == 0
    assert JourneyEvent.objects.count() == 1
    still_clock.advance(days=8)
    forget_old(clock.now())
    assert not JourneyEvent.objects.exists()
