# SPDX-License-Identifier: MIT
"""*Test* buttons: what is in the form is tried, once, and its secrets are forgotten."""

from __future__ import annotations

import pytest

from mailserver.connectors import remote_tests, services
from mailserver.connectors.models import Connection, RemoteTest
from mailserver.connectors.remote_tests import TestState
from mailserver.connectors.services import ServerInput
from mailserver.connectors.values import Encryption, LoginMethod, RemoteServer
from mailserver.errors import InvalidInput, MailError
from mailserver.users.services import User
from tests.support.still_clock import StillClock

pytestmark = [pytest.mark.django_db, pytest.mark.database]

POP3 = {"name": "Mailbox", "server": "pop.example.com", "username": "office", "target": "alice"}


def test_a_sender_that_is_not_saved(installation: None) -> None:
    fields = {"login_method": "plain", "username": "us", "password": "typed-secret", "retry_minutes": "7"}
    number = remote_tests.order_sender_test(None, fields, [ServerInput(" relay.example.com ", 587, "starttls")])
    assert b"typed-secret" not in bytes(RemoteTest.objects.get().settings)
    assert remote_tests.has_tests()
    taken = remote_tests.take_test()
    assert taken is not None
    assert taken.sender is not None
    assert taken.sender.servers == (RemoteServer("relay.example.com", 587, Encryption.STARTTLS),)
    assert taken.sender.credentials.method is LoginMethod.PLAIN
    assert taken.sender.credentials.password == "typed-secret"
    assert (taken.id, taken.sender.id, taken.sender.retry_minutes) == (number, 0, (7,))
    assert remote_tests.take_test() is None
    assert not remote_tests.has_tests()


def test_the_stored_password_where_none_is_typed(alice: User) -> None:
    collector = services.create_collector({**POP3, "password": "stored-secret"})
    remote_tests.order_collector_test(collector, {"server": "other.example.com"})
    taken = remote_tests.take_test()
    assert taken is not None
    assert taken.collector is not None
    assert (taken.collector.id, taken.collector.server.host) == (collector, "other.example.com")
    assert taken.collector.credentials.password == "stored-secret"
    assert taken.collector.routing.target == "alice"


def test_a_senders_own_servers(installation: None) -> None:
    connection = Connection.objects.get()
    services.update_connection(connection.pk, servers=[ServerInput("relay.example.com")])
    remote_tests.order_sender_test(connection.pk)
    taken = remote_tests.take_test()
    assert taken is not None
    assert taken.sender is not None
    assert [server.host for server in taken.sender.servers] == ["relay.example.com"]


def test_a_name_for_the_dns(installation: None) -> None:
    for wrong in ("", "no name", "a..b"):
        with pytest.raises(InvalidInput):
            remote_tests.order_dns_test(wrong)
    number = remote_tests.order_dns_test(" Bücher.example ")
    taken = remote_tests.take_test()
    assert taken == remote_tests.TakenTest(number, dns_name="xn--bcher-kva.example")


def test_how_far_it_is(installation: None, still_clock: StillClock) -> None:
    def state(test: int) -> TestState:
        view = remote_tests.find_test(test)
        assert view is not None
        return view.state

    number = remote_tests.order_sender_test()
    assert state(number) is TestState.WAITING
    still_clock.advance(seconds=11)
    assert state(number) is TestState.NOBODY
    assert remote_tests.take_test() is not None
    assert state(number) is TestState.RUNNING
    remote_tests.finish_test(number, True, "It works.", "C: EHLO")
    view = remote_tests.find_test(number)
    assert view is not None
    assert (view.state, view.ok, view.text, view.transcript) == (TestState.FINISHED, True, "It works.", "C: EHLO")
    assert not RemoteTest.objects.get().settings
    other = remote_tests.order_sender_test()
    remote_tests.take_test()
    still_clock.advance(seconds=301)
    assert state(other) is TestState.NOBODY
    still_clock.advance(days=1)
    assert remote_tests.forget_tests(still_clock()) == 2
    assert remote_tests.find_test(number) is None


def test_what_cannot_be_tried(alice: User) -> None:
    with pytest.raises(InvalidInput):
        remote_tests.order_collector_test(None, {"name": "x"})
    with pytest.raises(InvalidInput):
        remote_tests.order_sender_test(None, {}, [ServerInput("not a host")])
    with pytest.raises(MailError):
        remote_tests.order_sender_test(999)
    with pytest.raises(MailError):
        remote_tests.order_collector_test(999)
    assert not RemoteTest.objects.exists()
