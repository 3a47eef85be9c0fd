# SPDX-License-Identifier: MIT
"""Messages that are held or deleted while a run has them: what is not on the wire stays here."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest

from mailserver.journey.models import JourneyEvent
from mailserver.outqueue.models import QueuedRecipient
from mailserver.outqueue.services import delete, delete_and_notify, hold
from tests.support.dns_server import DnsServer
from tests.support.queueing import make_queued
from tests.support.remote_smtp import RemoteSmtp, Taken
from tests.support.sending import SendingOffice, claims, elsewhere, open_office, replies, statuses

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]


@pytest.fixture
def office(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SendingOffice]:
    monkeypatch.setattr("workers.sending.claims.SURE_SECONDS", 0.1)
    monkeypatch.setattr("mailserver.outqueue.recalling.ANSWER_SECONDS", 1.5)
    with open_office(tmp_path) as opened:
        yield opened


@pytest.mark.parametrize(("change", "left"), [(hold, "held"), (delete, ""), (delete_and_notify, "failed")])
def test_what_was_taken_and_not_begun_stays_here(
    office: SendingOffice, change: Callable[[Sequence[int]], int], left: str
) -> None:
    ids = [id_ for number in range(60) for id_ in make_queued(f"u{number}@r.example")]
    changed: list[int] = []

    def on_taken(taken: Taken) -> None:
        if not changed:
            changed.append(elsewhere(change, ids))

    with RemoteSmtp(on_taken=on_taken) as server:
        office.send(office.relay(server.port, threads=1))
    assert (changed, len(server.messages)) == ([59], 1)
    found = QueuedRecipient.objects.filter(pk__in=ids).values_list("status", flat=True)
    assert sorted(found) == sorted(["sent", *([left] * 59 if left else [])])
    assert claims() == 0


def test_what_waits_for_its_domain_stays_here(office: SendingOffice) -> None:
    ids = [id_ for number in range(30) for id_ in make_queued(f"u{number}@a.example")]
    changed: list[int] = []

    def on_taken(taken: Taken) -> None:
        if not changed:
            changed.append(elsewhere(hold, ids))

    with ExitStack() as stack:
        dns = stack.enter_context(DnsServer({"a.example": {"A": ["127.0.0.1"]}}))
        server = stack.enter_context(RemoteSmtp(on_taken=on_taken))
        office.send(office.direct(dns.address, server.port, max_per_domain=1))
    assert (changed, len(server.messages)) == ([29], 1)
    assert sorted(statuses(ids)) == ["held"] * 29 + ["sent"]
    assert claims() == 0


def test_what_is_on_the_wire_is_held_should_it_fail(office: SendingOffice) -> None:
    ids = make_queued("a@r.example")
    changed: list[int] = []

    def on_taken(taken: Taken) -> None:
        changed.extend([elsewhere(hold, ids), elsewhere(delete, ids)])
        server.answers["end"] = b"450 4.2.0 not now\r\n"

    with RemoteSmtp(on_taken=on_taken) as server:
        office.send(office.relay(server.port))
    assert changed == [0, 0]
    assert statuses(ids) == ["held"]
    assert replies(ids) == ["450 4.2.0 not now"]
    kinds = list(JourneyEvent.objects.order_by("pk").values_list("kind", flat=True))
    assert kinds == ["held", "deferred"], "its journey says why it stays here"
