# SPDX-License-Identifier: MIT
"""Who gets which messages from the queue, in which order, and for how long."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from mailserver import clock
from mailserver.connectors.models import Sender
from mailserver.connectors.values import SenderSettings
from mailserver.errors import Kind, MailError
from mailserver.leases import services as leases
from mailserver.outqueue import choosing
from mailserver.outqueue.models import QueuedRecipient
from mailserver.outqueue.taking import (
    LAN_LEASE,
    count_due,
    give_back,
    has_due,
    has_due_lan,
    sender_lease,
    take,
    take_lan,
)
from mailserver.outqueue.values import QueuedMessage
from mailserver.values import Address, DsnNotify, DsnReturn
from tests.support.queueing import lease_sender, make_queued, make_sender, row
from tests.support.still_clock import StillClock

pytestmark = [pytest.mark.django_db, pytest.mark.database]


@pytest.fixture
def sender() -> SenderSettings:
    sender = make_sender(default=True)
    lease_sender(sender)
    return sender


def recipients(messages: list[QueuedMessage]) -> list[list[str]]:
    return [[str(one.address) for one in message.recipients] for message in messages]


def test_message_comes_with_everything_that_is_known_of_it(sender: SenderSettings) -> None:
    (id_,) = make_queued(
        '"odd name"@remote.example'.replace('"', ""),
        notify="DELAY FAILURE",
        original_recipient="rfc822;x@remote.example",
        dsn_return="HDRS",
        envelope_id="abc",
        smtputf8=True,
        login="alice",
        client="192.0.2.1",
        tries=2,
        priority=7,
    )
    (message,) = take(sender, "me", 10)
    (one,) = message.recipients
    assert (one.id, one.address) == (id_, Address("odd name", "remote.example"))
    assert one.notify == {DsnNotify.DELAY, DsnNotify.FAILURE}
    assert (one.original_recipient, one.tries, one.priority, one.lan) == ("rfc822;x@remote.example", 2, 7, None)
    assert message.reverse_path == Address("alice", "example.test")
    assert (message.dsn_return, message.envelope_id) == (DsnReturn.HEADERS, "abc")
    assert (message.login, message.client, message.subject) == ("alice", "192.0.2.1", "Hello")
    assert (message.smtputf8, message.eight_bit) == (True, False)
    assert (row(id_).claim, row(id_).sender_id) == ("me", sender.id)


def test_null_reverse_path(sender: SenderSettings) -> None:
    make_queued(reverse_path="")
    assert take(sender, "me", 1)[0].reverse_path is None


def test_limit_counts_messages_and_never_cuts_one(sender: SenderSettings) -> None:
    for number in range(5):
        make_queued(f"a{number}@r.example", f"b{number}@r.example")
    assert recipients(take(sender, "me", 2)) == [["a0@r.example", "b0@r.example"], ["a1@r.example", "b1@r.example"]]
    assert len(take(sender, "me", 9)) == 3
    assert take(sender, "me", 9) == []


def test_message_with_very_many_recipients_comes_whole(sender: SenderSettings) -> None:
    make_queued(*(f"r{number}@r.example" for number in range(2500)))
    make_queued("last@r.example")
    first, second = take(sender, "me", 2)
    assert (len(first.recipients), len(second.recipients)) == (2500, 1)


NOT_NOW = [
    {"status": "held"},
    {"status": "sent"},
    {"status": "failed"},
    {"route": "lan", "lan_server": "10.0.0.1"},
    {"claim": "somebody"},
    {"hold_until": timedelta(minutes=1)},
    {"next_attempt": timedelta(seconds=1)},
    {"delete_after": timedelta(0)},
]


@pytest.mark.parametrize("columns", NOT_NOW)
def test_what_is_not_to_be_sent_now(columns: dict[str, object], still_clock: StillClock) -> None:
    sender = make_sender()
    lease_sender(sender)
    assert leases.acquire("another", "somebody", 300)
    shifted = {name: clock.now() + value if isinstance(value, timedelta) else value for name, value in columns.items()}
    make_queued(**shifted)
    assert not has_due(sender)
    assert count_due() == count_due(sender.id) == 0
    assert take(sender, "me", 10) == []


def test_its_time_comes(sender: SenderSettings, still_clock: StillClock) -> None:
    leases.acquire(sender_lease(sender.id), "me", 3600)
    make_queued(next_attempt=clock.now() + timedelta(minutes=5), hold_until=clock.now() + timedelta(minutes=2))
    still_clock.advance(minutes=5)
    assert has_due(sender)
    assert count_due() == count_due(sender.id) == 1
    assert len(take(sender, "me", 10)) == 1


ORDERS = [
    (False, False, ["early", "middle", "late"]),
    (True, False, ["late", "early", "middle"]),
    (False, True, ["late", "middle", "early"]),
    (True, True, ["middle", "early", "late"]),
]


@pytest.mark.parametrize(("smaller", "reverse", "expected"), ORDERS)
def test_sending_order(smaller: bool, reverse: bool, expected: list[str]) -> None:
    sender = make_sender(smaller_first=smaller, reverse_order=reverse)
    lease_sender(sender)
    now = clock.now()
    make_queued("middle@r.example", size=900, queued=now - timedelta(minutes=5))
    make_queued("late@r.example", size=100, queued=now)
    make_queued("early@r.example", size=500, queued=now - timedelta(minutes=9))
    make_queued("urgent@r.example", size=600, queued=now - timedelta(minutes=6), priority=1)
    names = [one.address.local for message in take(sender, "me", 9) for one in message.recipients]
    assert names == ["urgent", *expected]


def test_only_what_waited_at_the_start(sender: SenderSettings, still_clock: StillClock) -> None:
    leases.acquire(sender_lease(sender.id), "me", 3600)
    make_queued("early@r.example")
    still_clock.advance(seconds=1)
    start = clock.now()
    make_queued("late@r.example")
    assert recipients(take(sender, "me", 9, queued_before=start)) == [["early@r.example"]]


def test_what_was_left_untried_is_left_out(sender: SenderSettings) -> None:
    first, second = make_queued("a@r.example", "b@r.example")
    assert recipients(take(sender, "me", 9, leave_out=[first])) == [["b@r.example"]]
    assert take(sender, "me", 9, leave_out=[first]) == []
    give_back("me", [second])
    assert recipients(take(sender, "me", 9)) == [["a@r.example", "b@r.example"]]
    assert give_back("me") == 2


def test_nobody_takes_without_the_lease(sender: SenderSettings) -> None:
    make_queued()
    with pytest.raises(MailError) as caught:
        take(sender, "somebody else", 9)
    assert caught.value.kind is Kind.IN_USE
    assert not QueuedRecipient.objects.exclude(claim="").exists()


def test_claims_of_the_dead_are_void(sender: SenderSettings) -> None:
    other = make_sender()
    (mine,) = make_queued(claim="dead", sender_id=sender.id)
    (others,) = make_queued(claim="busy", sender_id=other.id)
    lease_sender(other, "busy")
    (lan,) = make_queued(claim="lan", route="lan")
    assert [one.id for message in take(sender, "me", 9) for one in message.recipients] == [mine]
    assert (row(others).claim, row(lan).claim) == ("busy", "lan")


def test_what_a_dead_worker_left_is_due_though_nothing_else_is(sender: SenderSettings) -> None:
    (id_,) = make_queued()
    (lan,) = make_queued(route="lan", lan_server="10.0.0.5")
    assert leases.acquire(LAN_LEASE, "me", 300)
    take(sender, "me", 10)
    take_lan("me", 10)
    assert not has_due(sender)
    assert not has_due_lan()
    leases.release(sender_lease(sender.id), "me")
    leases.release(LAN_LEASE, "me")
    assert has_due(sender)
    assert has_due_lan()
    assert leases.acquire(sender_lease(sender.id), "successor", 300)
    assert leases.acquire(LAN_LEASE, "successor", 300)
    assert [one.id for message in take(sender, "successor", 10) for one in message.recipients] == [id_]
    assert [one.id for message in take_lan("successor", 10) for one in message.recipients] == [lan]


def test_what_was_claimed_for_a_sender_that_is_gone_is_anybodys(sender: SenderSettings) -> None:
    (id_,) = make_queued()
    take(sender, "me", 10)
    leases.release(sender_lease(sender.id), "me")
    Sender.objects.filter(pk=sender.id).update(enabled=False)
    other = make_sender()
    lease_sender(other, "other")
    assert has_due(other)
    assert [one.id for message in take(other, "other", 10) for one in message.recipients] == [id_]


def test_the_first_sender_that_fits_takes_it() -> None:
    late = make_sender()
    filtered = make_sender(default=True, domain_filter="Attempt: ToDomain = *.net")
    catch_all = make_sender(default=True)
    for sender in (late, filtered, catch_all):
        lease_sender(sender)
    make_queued("a@x.net", "b@y.example")
    assert [has_due(sender) for sender in (late, filtered, catch_all)] == [False, True, True]
    assert take(late, "me", 9) == []
    assert recipients(take(filtered, "me", 9)) == [["a@x.net"]]
    assert recipients(take(catch_all, "me", 9)) == [["b@y.example"]]


def test_disabled_sender_takes_nothing_and_stands_in_nobodys_way() -> None:
    off = make_sender(default=True, enabled=False)
    on = make_sender()
    lease_sender(off)
    lease_sender(on)
    make_queued()
    assert take(off, "me", 9) == []
    assert len(take(on, "me", 9)) == 1


def test_filter_may_ask_for_the_header_and_the_number_of_recipients(data_folder: object) -> None:
    first = make_sender(default=True, domain_filter="Attempt: Header:X-Kind = news, Recipients >= 2")
    lease_sender(first)
    header = b"X-Kind: News\r\n\r\nx\r\n"
    make_queued("a@r.example", data=header)
    make_queued("b@r.example", "c@r.example", data=header)
    make_queued("d@r.example", "e@r.example")
    assert recipients(take(first, "me", 9)) == [["b@r.example", "c@r.example"]]


def test_lan_targets_come_apart() -> None:
    assert leases.acquire(LAN_LEASE, "me", 60)
    ref_rows = make_queued("a@r.example", route="lan", lan_server="10.0.0.1", lan_login="u", lan_secret=b"s")
    make_queued("b@r.example", route="lan", lan_server="10.0.0.2", ref=row(ref_rows[0]).ref)
    make_queued("c@r.example")
    assert has_due_lan()
    messages = take_lan("me", 9)
    targets = [(one.lan.server, one.lan.login, one.lan.secret) for m in messages for one in m.recipients if one.lan]
    assert targets == [("10.0.0.1", "u", b"s"), ("10.0.0.2", "", None)]
    assert not has_due_lan()


def test_a_long_queue_is_searched_in_few_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choosing, "WINDOW", 1)
    monkeypatch.setattr(choosing, "LARGEST_WINDOW", 4)
    sender = make_sender(domain_filter="Attempt: ToDomain = last.example")
    make_queued(*(f"r{number}@a.example" for number in range(10)))
    make_queued("x@last.example")
    with CaptureQueriesContext(connection) as queries:
        assert has_due(sender)
    looks = [query for query in queries.captured_queries if "LIMIT" in query["sql"]]
    assert len(looks) == 5, "1 and 2 and 4 and 4, and nothing more"
