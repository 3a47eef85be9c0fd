# SPDX-License-Identifier: MIT
"""The outgoing queue as people see it."""

from __future__ import annotations

from typing import Any

import pytest

from mailserver import clock
from mailserver.journey.models import JourneyEvent
from mailserver.journey.records import JourneyStep, next_ref
from mailserver.notices import QUEUE
from mailserver.outqueue.models import QueuedRecipient
from mailserver.outqueue.services import QueueCounts, counts, delete, find_queued, hold, list_queue, release
from mailserver.store.models import Content

pytestmark = [pytest.mark.django_db, pytest.mark.database]


def queue(*recipients: str, size: int = 100) -> list[int]:
    """A message to these; gives the numbers of its rows."""
    ref = next_ref()
    content = Content.objects.create(ref=ref, sha256="0" * 64, size=size, body=b"x", created=clock.now())
    rows = [
        QueuedRecipient.objects.create(
            ref=ref,
            content=content,
            reverse_path="alice@example.test",
            recipient=recipient,
            domain=recipient.rpartition("@")[2],
            size=size,
            queued=clock.now(),
            notify="FAILURE DELAY",
        )
        for recipient in recipients
    ]
    return [row.pk for row in rows]


def test_nothing_waits() -> None:
    assert list_queue() == []
    assert counts() == QueueCounts()


def test_one_line_for_each_recipient() -> None:
    first = queue("x@remote.example", "y@remote.example")
    second = queue("z@other.example")
    assert [row.id for row in list_queue()] == [*first, *second]
    assert [row.recipient for row in list_queue(limit=1)] == ["x@remote.example"]
    row = list_queue()[0]
    assert (row.reverse_path, row.status, row.sender_name, row.notify) == (
        "alice@example.test",
        "waiting",
        "",
        "FAILURE DELAY",
    )


def test_a_message_counts_once() -> None:
    queue("x@remote.example", "y@remote.example", size=100)
    (third,) = queue("z@other.example", size=7)
    hold([third])
    assert counts() == QueueCounts(waiting=2, held=1, messages=2, size=107)


def test_hold_and_release_say_how_many_changed() -> None:
    first, second = queue("x@remote.example", "y@remote.example")
    assert hold([first]) == 1
    assert hold([first, second]) == 1
    assert release([first, second, 4711]) == 2
    assert release([first]) == 0


def test_found_by_number_and_by_message() -> None:
    first, second = queue("x@remote.example", "y@remote.example")
    queue("z@other.example")
    ref = find_queued(str(first))[0].ref
    assert [row.id for row in find_queued(ref.lower())] == [first, second]


@pytest.mark.parametrize("key", ["4711", "nonsense", "", "9" * 26, "٣", "-1"])
def test_nothing_is_called_that(key: str) -> None:
    queue("x@remote.example")
    assert find_queued(key) == []


def test_deletion_is_written_into_the_journey() -> None:
    first, second = queue("x@remote.example", "y@remote.example")
    ref = find_queued(str(first))[0].ref
    assert delete([first, 4711]) == 1
    assert [row.id for row in list_queue()] == [second]
    step = JourneyEvent.objects.get()
    assert (step.journey_id, step.kind, step.recipient) == (ref, JourneyStep.DELETED, "x@remote.example")
    assert delete([first]) == 0


def test_changes_are_announced_after_the_commit(
    monkeypatch: pytest.MonkeyPatch, django_capture_on_commit_callbacks: Any
) -> None:
    (row,) = queue("x@remote.example")
    heard: list[str] = []
    monkeypatch.setattr("mailserver.notices.publish", heard.extend)
    for change in (hold, release, delete):
        with django_capture_on_commit_callbacks(execute=True):
            change([row])
    assert heard == [QUEUE] * 3
