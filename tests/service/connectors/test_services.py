# SPDX-License-Identifier: MIT
"""Connections with their Senders, Collectors, the schedule, download rules, OAuth2 accounts: every rule, in words."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from mailserver.connectors import services
from mailserver.connectors.models import (
    Collector,
    Connection,
    ConnectionRun,
    DownloadRule,
    OAuthAccount,
    RemoteMessage,
    ScheduleItem,
    Sender,
)
from mailserver.connectors.reading import read_collector, read_collectors, read_sender_of, read_senders
from mailserver.connectors.services import ServerInput
from mailserver.connectors.values import Encryption, LoginMethod, RemoteServer
from mailserver.errors import InvalidInput, MailError
from mailserver.users.services import User
from tests.support.still_clock import StillClock

pytestmark = [pytest.mark.django_db, pytest.mark.database]

POP3 = {"name": "Mailbox", "server": "pop.example.com", "username": "office", "target": "alice"}


def complaints(call: object, *arguments: object, **named: object) -> dict[str, list[str]]:
    with pytest.raises(InvalidInput) as caught:
        call(*arguments, **named)  # type: ignore[operator]
    return caught.value.messages


# ------------------------------------------------------------ Connections and Senders


def test_a_new_installation_has_one_that_sends_at_once(installation: None) -> None:
    connection = Connection.objects.get()
    assert (connection.name, connection.is_default, connection.untouched) == ("Internet", True, True)
    sender = read_sender_of(connection.pk)
    assert sender is not None
    assert (sender.method, sender.send_immediately, sender.servers) == ("smtp-relay", True, ())
    item = ScheduleItem.objects.get()
    assert (item.to_default, item.every_minutes) == (True, 10)


def test_a_second_start_makes_no_other(installation: None) -> None:
    services.ensure_first_connection()
    assert Connection.objects.count() == 1


def test_a_connection_is_made_with_its_sender() -> None:
    servers = (
        ServerInput("relay.example.com", 587, "starttls"),
        ServerInput("192.0.2.7"),
        ServerInput("[2001:db8::1]", 587, "tls"),
    )
    number = services.create_connection(
        {"name": " Main line "},
        sender={"login_method": "automatic", "username": "us", "password": "x y ", "retry_minutes": "1, 2 3"},
        servers=servers,
    )
    sender = read_sender_of(number)
    assert sender is not None
    assert sender.name == "Main line"
    assert sender.servers == (
        RemoteServer("relay.example.com", 587, Encryption.STARTTLS),
        RemoteServer("192.0.2.7", 25, Encryption.OPPORTUNISTIC),
        RemoteServer("2001:db8::1", 587, Encryption.TLS),
    )
    assert sender.credentials.password == "x y "
    assert sender.credentials.method is LoginMethod.AUTOMATIC
    assert sender.retry_minutes == (1, 2, 3)


def test_a_password_is_sealed_and_stays_until_another_is_given() -> None:
    number = services.create_connection(sender={"login_method": "plain", "username": "us", "password": "secret-word"})
    assert b"secret-word" not in bytes(Sender.objects.get().secret or b"")
    services.update_connection(number, sender={"ehlo_name": "mail.example.com"})
    kept = read_sender_of(number)
    assert kept is not None
    assert kept.credentials.password == "secret-word"
    services.update_connection(number, sender={"password": ""})
    gone = read_sender_of(number)
    assert gone is not None
    assert gone.credentials.password == ""


def test_names_are_given_where_there_are_none_and_the_first_is_a_default_one() -> None:
    numbers = [services.create_connection() for _ in range(3)]
    assert [(row.name, row.is_default) for row in Connection.objects.filter(pk__in=numbers)] == [
        ("Connection 1", True),
        ("Connection 2", False),
        ("Connection 3", False),
    ]


def test_ten_at_most() -> None:
    for _ in range(10):
        services.create_connection()
    assert "10 Connections already" in complaints(services.create_connection)[""][0]


def test_the_last_one_stays(installation: None) -> None:
    only = Connection.objects.get()
    assert "only Connection" in complaints(services.delete_connection, only.pk)[""][0]
    services.create_connection()
    services.delete_connection(only.pk)
    assert Sender.objects.count() == 1


def test_a_running_one_is_not_deleted(installation: None, still_clock: StillClock) -> None:
    number = services.create_connection()
    run = ConnectionRun.objects.create(
        connection_id=number, cause="manual", started=still_clock(), heartbeat=still_clock(), owner="x"
    )
    assert "is running" in complaints(services.delete_connection, number)[""][0]
    run.finished = still_clock()
    run.save()
    services.delete_connection(number)


def test_deleting_says_what_is_linked_to_nothing_now(alice: User) -> None:
    number = services.create_connection({"name": "Second"})
    collector = services.create_collector(POP3, [number])
    services.create_item({"name": "Night"}, [number])
    services.create_item({"name": "Quiet", "deny": True}, [number])
    assert services.delete_connection(number) == ["Mailbox", "Night", "Quiet"]
    assert Collector.objects.filter(pk=collector).exists()


def test_defaults_are_asked_first() -> None:
    first, second, third = (services.create_connection({"name": name, "is_default": False}) for name in "abc")
    services.update_connection(third, {"is_default": True})
    assert [sender.connection for sender in read_senders()] == [third, first, second]


@pytest.mark.parametrize(
    ("fields", "sender", "place", "words"),
    [
        ({"name": ""}, {}, "name", "blank"),
        ({"name": "Internet"}, {}, "name", "already exists"),
        ({"colour": "red"}, {}, "colour", "no such field"),
        ({}, {"method": "pigeon"}, "method", "not a valid choice"),
        ({}, {"login_method": "apop", "username": "x"}, "login_method", "POP3 only"),
        ({}, {"login_method": "plain"}, "username", "needed"),
        ({}, {"login_method": "xoauth2"}, "oauth", "OAuth2 account"),
        ({}, {"rate_recipients": 10}, "rate_minutes", "both"),
        ({}, {"return_path_mode": "fixed", "return_path": "office"}, "return_path", "address"),
        ({}, {"return_path_mode": "domain", "return_path": "not a domain"}, "return_path", "domain"),
        ({}, {"dns_servers": "192.0.2.1, dns.example.com"}, "dns_servers", "not an IP address"),
        ({}, {"domain_filter": "Attempt: All\nSometimes: All"}, "domain_filter", "Line 2"),
        ({}, {"dns_overrides": "gibberish"}, "dns_overrides", "Line 1"),
        ({}, {"ehlo_name": "my mail"}, "ehlo_name", "host name"),
        ({}, {"warn_hours": 80}, "warn_hours", "before giving up"),
        ({}, {"retry_minutes": "5, soon"}, "retry_minutes", "minutes"),
        ({}, {"retry_minutes": ""}, "retry_minutes", "blank"),
        ({}, {"retry_minutes": "0"}, "retry_minutes", "minutes"),
        ({}, {"threads": 0}, "threads", "greater than or equal to 1"),
        ({}, {"direct_port": 70000}, "direct_port", "less than or equal to 65535"),
        ({}, {"connection": 1}, "connection", "no such field"),
        ({}, {"secret": b"x"}, "secret", "no such field"),
    ],
)
def test_what_a_connection_cannot_be(
    installation: None, fields: Mapping[str, object], sender: Mapping[str, object], place: str, words: str
) -> None:
    found = complaints(services.create_connection, fields, sender=sender)
    assert words in found[place][0]
    assert Connection.objects.count() == 1


@pytest.mark.parametrize(
    ("server", "words"),
    [
        (ServerInput("not a host"), "not a host name"),
        (ServerInput(""), "not a host name"),
        (ServerInput("a.example", 0), "not a port"),
        (ServerInput("a.example", 25, "ssl3"), "not one of"),
    ],
)
def test_what_a_server_cannot_be(server: ServerInput, words: str) -> None:
    assert words in complaints(services.create_connection, servers=[server])["servers"][0]


# ------------------------------------------------------------ Collectors


def test_a_collector_is_used_by_the_default_connections(alice: User) -> None:
    number = services.create_collector({**POP3, "password": "secret-word", "priority": 3})
    internet = Connection.objects.get()
    (read,) = read_collectors(internet.pk)
    assert (read.id, read.name, read.server.port, read.credentials.password) == (number, "Mailbox", 110, "secret-word")
    assert read == read_collector(number)
    services.update_collector(number, {"enabled": False}, connections=[])
    assert read_collectors(internet.pk) == []
    services.delete_collector(number)
    assert read_collector(number) is None


def test_they_are_read_earliest_first(alice: User) -> None:
    for name, priority in (("late", 20), ("early", 1), ("middle", 10)):
        services.create_collector({**POP3, "name": name, "priority": priority})
    assert [collector.name for collector in read_collectors()] == ["early", "middle", "late"]


@pytest.mark.parametrize(
    ("method", "encryption", "port"),
    [
        ("pop3", "none", 110),
        ("pop3", "tls", 995),
        ("imap", "starttls", 143),
        ("imap", "tls", 993),
        ("odmr", "none", 366),
    ],
)
def test_standard_ports(method: str, encryption: str, port: int) -> None:
    assert services.standard_port(method, encryption) == port


@pytest.mark.parametrize(
    ("fields", "place"),
    [
        ({"name": ""}, "name"),
        ({"server": ""}, "server"),
        ({"server": "not a host"}, "server"),
        ({"port": 0}, "port"),
        ({"username": ""}, "username"),
        ({"login_method": "none"}, "login_method"),
        ({"login_method": "oauthbearer"}, "oauth"),
        ({"method": "imap", "login_method": "apop"}, "login_method"),
        ({"method": "imap", "folders": " \n"}, "folders"),
        ({"method": "imap", "after": "move"}, "move_to"),
        ({"method": "imap", "after": "move", "move_to": "INBOX"}, "move_to"),
        ({"method": "odmr"}, "odmr_domains"),
        ({"method": "odmr", "odmr_domains": "one.example, not_a-domain!"}, "odmr_domains"),
        ({"method": "incoming-smtp", "use_etrn": True}, "etrn_parameters"),
        ({"method": "incoming-smtp", "use_etrn": True, "server": ""}, "server"),
        ({"target": ""}, "target"),
        ({"target": "ghost"}, "target"),
        ({"routing": "headers"}, "accepted_domains"),
        ({"routing": "headers", "accepted_domains": "@a.example"}, "accepted_domains"),
        ({"routing": "headers", "accepted_domains": "a.example", "special_fields": "a b c"}, "special_fields"),
        ({"routing": "one-address"}, "shared_address"),
        ({"routing": "subject", "marker_prefix": ""}, "marker_prefix"),
        ({"routing": "headers", "accepted_domains": "a.example", "errors_action": "error-to"}, "errors_to"),
        (
            {
                "routing": "headers",
                "accepted_domains": "a.example",
                "errors_action": "message-to",
                "errors_to": "ghost",
            },
            "errors_to",
        ),
    ],
)
def test_what_a_collector_cannot_be(alice: User, fields: Mapping[str, object], place: str) -> None:
    assert place in complaints(services.create_collector, {**POP3, **fields})
    assert not Collector.objects.exists()


def test_a_feed_needs_no_server(alice: User) -> None:
    services.create_collector({"name": "Feed", "method": "incoming-smtp", "wait_seconds": 5})


def test_links_to_what_does_not_exist(alice: User) -> None:
    assert "connections" in complaints(services.create_collector, POP3, [12345])
    assert "collectors" in complaints(services.create_connection, collectors=[12345])


def test_two_of_one_name(alice: User) -> None:
    services.create_collector(POP3)
    assert "already exists" in complaints(services.create_collector, POP3)["name"][0]


# ------------------------------------------------------------ the schedule


def test_a_range_does_not_pass_midnight(installation: None) -> None:
    found = complaints(services.create_item, {"start": "21:00", "end": "09:00", "to_default": True})
    assert "21:00 to 23:59 and 00:00 to 09:00" in found["end"][0]
    services.create_item({"start": "09:00", "end": "09:00", "to_default": True})


@pytest.mark.parametrize(
    ("fields", "place"),
    [
        ({}, "connections"),
        ({"to_default": True, "days": ""}, "days"),
        ({"to_default": True, "days": "18"}, "days"),
        ({"to_default": True, "mode": "once"}, "once_at"),
        ({"to_default": True, "every_minutes": 0}, "every_minutes"),
        ({"to_default": True, "every_minutes": 1440}, "every_minutes"),
        ({"to_default": True, "start": "25:00"}, "start"),
        ({"to_default": True, "minimum_messages": -1}, "minimum_messages"),
    ],
)
def test_what_an_item_cannot_be(installation: None, fields: Mapping[str, object], place: str) -> None:
    assert place in complaints(services.create_item, fields)
    assert ScheduleItem.objects.count() == 1


def test_an_item_is_switched_and_deleted(installation: None) -> None:
    number = services.create_item({"name": "Noon", "mode": "once", "once_at": "12:00", "deny": True})
    services.update_item(number, {"enabled": False})
    assert not ScheduleItem.objects.get(pk=number).enabled
    assert services.delete_items([number, 999]) == 1


def test_a_changed_first_item_is_somebodys_own(installation: None) -> None:
    services.update_item(ScheduleItem.objects.get().pk, {"every_minutes": 5})
    services.forget_untouched_items()
    assert ScheduleItem.objects.count() == 1


# ------------------------------------------------------------ download rules and OAuth2 accounts


def test_download_rules_have_an_order(alice: User) -> None:
    numbers = [services.save_rule({"name": name}) for name in "abc"]
    services.order_rules([numbers[2], numbers[0]])
    assert [rule.name for rule in DownloadRule.objects.all()] == ["c", "a", "b"]
    services.save_rule({"name": "B", "action": "redirect", "targets": "alice"}, numbers[1])
    services.delete_rule(numbers[0])
    assert [rule.name for rule in DownloadRule.objects.all()] == ["c", "B"]


@pytest.mark.parametrize(
    ("fields", "place"),
    [
        ({}, "name"),
        ({"name": "x", "action": "copy"}, "targets"),
        ({"name": "x", "action": "copy", "targets": "nobody, me@elsewhere.test"}, "targets"),
        ({"name": "x", "action": "y"}, "action"),
        ({"name": "x", "conditions": [{"kind": "moon", "value": "full"}]}, "conditions"),
    ],
)
def test_what_a_rule_cannot_be(fields: Mapping[str, object], place: str) -> None:
    assert place in complaints(services.save_rule, fields)


def test_an_account_that_is_used_stays(alice: User) -> None:
    account = services.save_account(
        {"name": "Office 365", "username": "us@example.com", "client_id": "id", "client_secret": "hush-hush"}
    )
    assert b"hush-hush" not in bytes(OAuthAccount.objects.get().client_secret or b"")
    collector = services.create_collector({**POP3, "login_method": "xoauth2", "oauth": account})
    read = read_collector(collector)
    assert read is not None
    assert read.credentials.oauth == account
    assert "used by Mailbox" in complaints(services.delete_account, account)[""][0]
    services.delete_collector(collector)
    services.delete_account(account)


def test_another_provider_needs_addresses_by_https() -> None:
    fields = {"name": "Own", "provider": "other", "username": "u@x.example", "client_id": "id"}
    assert set(complaints(services.save_account, fields)) == {"authorize_url", "token_url"}
    insecure = {**fields, "authorize_url": "http://x.example/a", "token_url": "https://x.example/t"}
    assert set(complaints(services.save_account, insecure)) == {"authorize_url"}


@pytest.mark.parametrize(
    "call",
    [
        lambda: services.update_connection(999),
        lambda: services.delete_connection(999),
        lambda: services.update_collector(999),
        lambda: services.delete_collector(999),
        lambda: services.update_item(999),
        lambda: services.save_rule({}, 999),
        lambda: services.delete_account(999),
    ],
)
def test_what_is_not_there(call: object) -> None:
    with pytest.raises(MailError):
        call()  # type: ignore[operator]


def test_an_item_that_denied_a_connection_that_goes_does_not_deny_all(installation: None) -> None:
    other = services.create_connection({"name": "Modem"})
    item = services.create_item({"deny": True}, [other])
    services.delete_connection(other)
    assert not ScheduleItem.objects.get(pk=item).enabled


@pytest.mark.parametrize(
    ("change", "left"),
    [
        ({"priority": 3, "leave_on_server_days": 5, "password": "new"}, 1),
        ({"server": "POP.example.com"}, 1),
        ({"server": "pop.example.net"}, 0),
        ({"username": "sales"}, 0),
        ({"method": "imap"}, 0),
    ],
)
def test_in_another_mailbox_nothing_is_remembered(
    alice: User, still_clock: StillClock, change: dict[str, object], left: int
) -> None:
    number = services.create_collector(POP3)
    RemoteMessage.objects.create(collector_id=number, key="1", first_seen=still_clock(), last_listed=still_clock())
    services.update_collector(number, change)
    assert RemoteMessage.objects.count() == left
