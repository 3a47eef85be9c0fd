# SPDX-License-Identifier: MIT
"""The sections of the configuration file about Connections, Collectors and the schedule: in, out, and in again."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from mailserver.config.exchange.document import format_yaml
from mailserver.config.exchange.exporting import export_config
from mailserver.config.exchange.importing import import_config
from mailserver.connectors.models import Collector, Connection, DownloadRule, OAuthAccount, ScheduleItem
from mailserver.connectors.reading import read_collectors, read_sender_of
from mailserver.connectors.services import update_connection
from mailserver.errors import InvalidInput
from tests.support.sources import ROOT

pytestmark = [pytest.mark.django_db, pytest.mark.database, pytest.mark.usefixtures("installation")]

OFFICE = ROOT / "tests" / "support" / "examples" / "office.yaml"
SECTIONS = ("oauth_accounts", "collectors", "connections", "schedule", "download_rules")

RICH = """
oauth_accounts:
  - {name: Tenant, provider: microsoft, username: us@example.com, client_id: abc, client_secret: s1, refresh_token: t1}
download_rules:
  - name: No lotteries
    action: redirect
    targets: [bob@example.test, alice@example.test]
    match_all: no
    conditions:
      - {kind: header, field: Subject, value: lottery}
      - {kind: size, value: 100000}
collectors:
  - name: Cloud
    method: imap
    server: imap.example.com
    encryption: tls
    authentication: xoauth2
    oauth_account: Tenant
    folders: [INBOX, Support]
    after: move
    move_to: Done
    idle: yes
    routing: {method: subject, marker_prefix: "<<", marker_suffix: ">>", errors: bounce}
  - {name: Feed, method: incoming-smtp, use_etrn: yes, server: mx.example.com, etrn_parameters: example.test}
  - {name: Turn, method: odmr, server: o.example.com, username: us, password: p, odmr_domains: [a.example, b.example]}
connections:
  - name: Line
    sender:
      method: smtp-direct
      authentication: none
      dns_servers: [192.0.2.1, "2001:db8::1"]
      dns_overrides: ["# ours", "example.org mx.example.org"]
      domain_filter: ["Skip: Size > 1000000"]
      retry_minutes: [1, 10, 100]
      return_path_mode: fixed
      return_path: office@example.test
    collectors: [Cloud, Turn]
  - {name: Spare, sender: {servers: [{host: "2001:db8::25"}], username: us, password: hush}}
schedule:
  - {name: Quiet, deny: yes, connections: [Spare], from: "12:00", to: "13:00", every_minutes: 1}
  - {name: "", default_connections: yes, minimum_messages: 5}
  - {name: "", connections: [Spare], once_at: "06:00", days: [sat]}
"""


def sections(document: dict[str, Any]) -> dict[str, Any]:
    return {name: document[name] for name in SECTIONS}


def test_the_small_office_as_it_stands() -> None:
    result = import_config(OFFICE.read_text())
    assert result.warnings == []
    assert result.added == {"users": 2, "collectors": 2, "connections": 1, "schedule": 2}
    line = Connection.objects.get()
    assert (line.name, line.is_default) == ("Main line", True)
    sender = read_sender_of(line.pk)
    assert sender is not None
    assert [(server.host, server.port, server.encryption) for server in sender.servers] == [
        ("127.0.0.1", 12526, "none")
    ]
    assert sender.send_immediately
    provider, shared = read_collectors(line.pk)
    assert (provider.credentials.username, provider.credentials.password) == ("office@test.local", "pass")
    assert (provider.routing.method, provider.routing.target) == ("single", "alice")
    assert (shared.leave_on_server_days, shared.routing.accepted_domains) == (7, "example.test")
    assert (shared.routing.errors_action, shared.routing.errors_to) == ("message-to", "postmaster")
    hours, night = ScheduleItem.objects.all()
    assert (f"{hours.start} {hours.end}", hours.every_minutes, hours.days) == ("07:00:00 19:00:00", 5, "12345")
    assert (f"{night.once_at}", night.mode, night.days) == ("23:30:00", "once", "1234567")


def test_the_same_keys_come_out() -> None:
    import_config(OFFICE.read_text())
    exported = export_config(secrets=True)
    wanted = yaml.safe_load(OFFICE.read_text())
    for section in ("collectors", "connections", "schedule"):
        assert len(exported[section]) == len(wanted[section])
        for given, found in zip(wanted[section], exported[section], strict=True):
            assert contains(found, given), (given, found)


def contains(found: object, given: object) -> bool:
    """Everything that was given is there; more may be."""
    if isinstance(given, dict):
        return isinstance(found, dict) and all(key in found and contains(found[key], given[key]) for key in given)
    if isinstance(given, list):
        return isinstance(found, list) and len(found) == len(given) and all(map(contains, found, given))
    return found == given


@pytest.mark.parametrize("text", [OFFICE.read_text(), "users: [{name: alice}, {name: bob}]\n" + RICH])
def test_round_trip(text: str) -> None:
    import_config(text)
    exported = sections(export_config(secrets=True))
    result = import_config(format_yaml(exported))
    assert not {name for name in result.added if name != "download_rules"}
    assert sections(export_config(secrets=True)) == exported
    wipe()
    import_config(format_yaml(exported))
    assert sections(export_config(secrets=True)) == exported


def wipe() -> None:
    for model in (Connection, Collector, ScheduleItem, DownloadRule, OAuthAccount):
        model.objects.all().delete()  # type: ignore[attr-defined]


def test_without_secrets_no_password_comes_out() -> None:
    import_config("users: [{name: alice}, {name: bob}]\n" + RICH.replace("hush", "very-hush"))
    text = format_yaml(export_config())
    assert "password:" not in text
    assert "very-hush" not in text
    assert "refresh_token" not in text


def test_the_untouched_connection_gives_way_only_to_another() -> None:
    import_config("connections: []\nschedule: []")
    assert [row.name for row in Connection.objects.all()] == ["Internet"]
    import_config("connections: [{name: Internet, sender: {servers: [{host: relay.example.com}]}}, {name: Other}]")
    assert [row.name for row in Connection.objects.all()] == ["Internet", "Other"]
    import_config("connections: [{name: Third}]")
    assert Connection.objects.count() == 3
    assert ScheduleItem.objects.get().untouched


def test_the_first_of_the_file_becomes_a_default_one() -> None:
    import_config("connections: [{name: One}, {name: Two}]")
    assert [(row.name, row.is_default) for row in Connection.objects.all()] == [("One", True), ("Two", False)]


def test_a_changed_connection_stays() -> None:
    update_connection(Connection.objects.get().pk, {"name": "Ours"})
    import_config("connections: [{name: Other}]")
    assert [row.name for row in Connection.objects.all()] == ["Ours", "Other"]


def test_each_wrong_line_is_named_and_nothing_changes() -> None:
    before = export_config(secrets=True)
    text = """\
collectors:
  - name: Box
    server: not a host
    username: us
    routing:
      target: ghost
  - name: Other
    method: imap
    port: many
    server: imap.example.com
    username: us
    colour: red
    routing: {target: postmaster}
connections:
  - name: Line
    collectors:
      - Boxes
    sender:
      rate_recipients: 10
      servers:
        - {host: a.example, encryption: rot13}
schedule:
  - connections: [Nowhere]
  - {connections: [Internet], from: "21:00", to: "09:00"}
  - {connections: [Internet], once_at: "21:00", every_minutes: 5}
  - {connections: [Internet], days: [mon, someday]}
oauth_accounts:
  - {name: x, provider: other}
"""
    with pytest.raises(InvalidInput) as caught:
        import_config(text)
    lines = {int(place.split()[1]) for place in caught.value.messages}
    assert {3, 6, 9, 12, 17, 23, 24, 25, 26, 28} <= lines
    assert {18, 21} & lines
    assert export_config(secrets=True) == before


def test_ten_connections_of_a_file_have_room() -> None:
    import_config("connections: [" + ", ".join(f"{{name: L{number}}}" for number in range(10)) + "]")
    assert Connection.objects.count() == 10
