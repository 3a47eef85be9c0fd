# SPDX-License-Identifier: MIT
"""What is written down after a try: rows, attempts, journeys, and orders for reports."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection

from mailserver import clock
from mailserver.connectors.models import Connection
from mailserver.connectors.values import SenderSettings
from mailserver.journey.models import JourneyEvent
from mailserver.outqueue.models import QueuedRecipient, SendAttempt
from mailserver.outqueue.recording import REPORT, record, record_lan
from mailserver.outqueue.taking import take
from mailserver.outqueue.values import Attempt, AttemptResult
from mailserver.work.models import WorkItem
from tests.support.queueing import lease_sender, make_queued, make_sender, row
from tests.support.still_clock import StillClock

pytestmark = [pytest.mark.django_db, pytest.mark.database]

SENT, DEFERRED, FAILED, UNTRIED = AttemptResult


@pytest.fixture
def sender() -> SenderSettings:
    sender = make_sender(default=True)
    lease_sender(sender)
    return sender


def taken(sender: SenderSettings, *names: str, **columns: Any) -> list[int]:
    ids = make_queued(*names, **columns)
    take(sender, "me", 9)
    return ids


def reports() -> list[dict[str, Any]]:
    return list(WorkItem.objects.filter(kind=REPORT).values_list("payload", flat=True))


def test_what_was_sent_is_done_with(sender: SenderSettings, still_clock: StillClock) -> None:
    (id_,) = taken(sender)
    reply = "250 2.0.0 Ok: queued as 4F2"
    record([Attempt(id_, SENT, reply, server="mx.example", tls="TLSv1.3")], "me", sender)
    found = row(id_)
    assert (found.status, found.tries, found.claim, found.next_attempt) == ("sent", 1, "", None)
    assert (found.finished, found.last_attempt) == (clock.now(), clock.now())
    assert (found.last_server, found.last_reply) == ("mx.example", reply)
    attempt = SendAttempt.objects.get()
    assert (attempt.queued_id, attempt.sender_id, attempt.result, attempt.tls) == (id_, sender.id, reply, "TLSv1.3")
    step = JourneyEvent.objects.get()
    assert (step.journey_id, step.kind, step.recipient) == (found.ref, "sent", "x@remote.example")
    assert step.detail == f"mx.example, encrypted: {reply}"
    assert reports() == []


@pytest.mark.parametrize(("result", "status"), [(SENT, "sent"), (DEFERRED, "waiting"), (FAILED, "failed")])
def test_a_sender_that_was_deleted_meanwhile_costs_nothing(
    sender: SenderSettings, result: AttemptResult, status: str
) -> None:
    """Else what it sent last would go out again by another."""
    (id_,) = taken(sender)
    Connection.objects.filter(pk=sender.connection).delete()
    record([Attempt(id_, result, "250 ok")], "me", sender)
    connection.check_constraints()
    assert row(id_).status == status
    assert SendAttempt.objects.get().sender is None


def test_mixed_results_of_one_message(sender: SenderSettings, still_clock: StillClock) -> None:
    a, b, c = taken(sender, "a@r.example", "b@r.example", "c@r.example")
    record(
        [
            Attempt(a, SENT, "250 ok"),
            Attempt(b, DEFERRED, "450 4.2.0 busy\n450 come back"),
            Attempt(c, FAILED, "550 5.1.1 nobody"),
        ],
        "me",
        sender,
    )
    assert [row(id_).status for id_ in (a, b, c)] == ["sent", "waiting", "failed"]
    assert row(b).next_attempt == clock.now() + timedelta(minutes=5)
    assert row(b).finished is None
    assert row(b).last_reply == "450 4.2.0 busy\n450 come back"
    assert reports() == [{"ref": row(a).ref, "action": "failed", "rows": [c]}]
    assert [step.kind for step in JourneyEvent.objects.order_by("pk")] == ["sent", "deferred", "bounced"]


def test_untried_goes_back_as_it_was(sender: SenderSettings, still_clock: StillClock) -> None:
    a, b = taken(sender, "a@r.example", "b@r.example", tries=2, last_reply="450 busy")
    record([Attempt(a, UNTRIED), Attempt(b, UNTRIED, hold_minutes=10)], "me", sender)
    assert (row(a).tries, row(a).claim, row(a).next_attempt, row(a).last_reply) == (2, "", None, "450 busy")
    assert row(b).next_attempt == clock.now() + timedelta(minutes=10)
    assert not SendAttempt.objects.exists()
    assert not JourneyEvent.objects.exists()


def test_one_that_lost_its_lease_may_only_say_what_was_sent(sender: SenderSettings) -> None:
    a, b, c = make_queued("a@r.example", "b@r.example", "c@r.example", claim="successor")
    record([Attempt(a, SENT, "250 ok"), Attempt(b, FAILED, "550 no"), Attempt(c, UNTRIED)], "me", sender)
    assert [row(id_).status for id_ in (a, b, c)] == ["sent", "waiting", "waiting"]
    assert [row(id_).claim for id_ in (a, b, c)] == ["", "successor", "successor"]
    record([Attempt(a, DEFERRED, "421 later")], "successor", sender)
    assert row(a).status == "sent"


def test_sent_twice_is_recorded_once(sender: SenderSettings) -> None:
    (id_,) = taken(sender)
    record([Attempt(id_, SENT, "250 ok")], "me", sender)
    record([Attempt(id_, SENT, "250 again")], "me", sender)
    assert SendAttempt.objects.count() == 1


def test_one_that_was_deleted_meanwhile_is_passed_over(sender: SenderSettings) -> None:
    a, b = taken(sender, "a@r.example", "b@r.example")
    QueuedRecipient.objects.filter(pk=a).delete()
    record([Attempt(a, SENT, "250 ok"), Attempt(b, SENT, "250 ok"), Attempt(4711, FAILED, "550 no")], "me", sender)
    assert row(b).status == "sent"


def test_one_that_was_held_while_it_was_being_sent_stays_held(sender: SenderSettings) -> None:
    (id_,) = taken(sender)
    QueuedRecipient.objects.filter(pk=id_).update(status="held")
    record([Attempt(id_, DEFERRED, "450 busy")], "me", sender)
    assert (row(id_).status, row(id_).claim) == ("held", "")


def test_warning_is_ordered_for_the_moment_when_it_is_due(sender: SenderSettings, still_clock: StillClock) -> None:
    queued = clock.now() - timedelta(hours=3)
    (id_,) = taken(sender, queued=queued, tries=5)
    record([Attempt(id_, DEFERRED, "450 busy")], "me", sender)
    item = WorkItem.objects.get()
    assert item.payload == {"ref": row(id_).ref, "action": "delayed", "rows": [id_]}
    assert item.not_before == queued + timedelta(hours=4)


def test_bytes_that_no_database_takes(sender: SenderSettings) -> None:
    (id_,) = taken(sender)
    record([Attempt(id_, DEFERRED, "450 \0 \udcff " + "x" * 9000, server="s" * 400)], "me", sender)
    assert row(id_).last_reply.startswith("450  ? x")
    assert (len(row(id_).last_reply) <= 4000, len(row(id_).last_server)) == (True, 300)


def test_lan_forwarding_tries_every_five_minutes(still_clock: StillClock) -> None:
    (id_,) = make_queued(route="lan", lan_server="10.0.0.1", claim="me", tries=7)
    record_lan([Attempt(id_, DEFERRED, "451 4.4.1 10.0.0.1 does not answer")], "me")
    assert row(id_).next_attempt == clock.now() + timedelta(minutes=5)
    assert SendAttempt.objects.get().sender is None
