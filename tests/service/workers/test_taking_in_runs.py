# SPDX-License-Identifier: MIT
"""How often a run asks the queue, and with what."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.dns_server import DnsServer
from tests.support.installation import free_port
from tests.support.queueing import make_queued
from tests.support.remote_smtp import RemoteSmtp
from tests.support.sending import SendingOffice, attempts, claims, open_office, statuses
from workers import delivery

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]


@pytest.fixture
def office(tmp_path: Path) -> Iterator[SendingOffice]:
    with open_office(tmp_path) as opened:
        yield opened


@pytest.fixture
def takes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many recipients were left out, for each time that messages were taken."""
    noted: list[int] = []
    take = delivery.take

    def noting(*arguments: Any, leave_out: Collection[int] = (), **named: Any) -> Any:
        noted.append(len(leave_out))
        return take(*arguments, leave_out=leave_out, **named)

    monkeypatch.setattr(delivery, "take", noting)
    return noted


def test_a_long_queue_is_deferred_without_naming_what_was_deferred(office: SendingOffice, takes: list[int]) -> None:
    ids = [id_ for number in range(250) for id_ in make_queued(f"u{number}@r.example")]
    office.send(office.relay(free_port()))
    assert len(attempts()) == len(ids)
    assert takes == [0, 0, 0, 0]
    assert claims() == 0


def test_an_empty_queue_is_not_asked_after_each_message(office: SendingOffice, takes: list[int]) -> None:
    ids = [id_ for number in range(90) for id_ in make_queued(f"u{number}@a.example")]
    with DnsServer({"a.example": {"A": ["127.0.0.1"]}}) as dns, RemoteSmtp() as server:
        office.send(office.direct(dns.address, server.port, max_per_domain=1))
    assert set(statuses(ids)) == {"sent"}
    assert len(takes) < 20
