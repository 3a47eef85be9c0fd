# SPDX-License-Identifier: MIT
"""The configuration file: merged by name, whole or not at all, and back again unchanged."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from mailserver.addressing.services import list_domains
from mailserver.config import services
from mailserver.config.catalog import MAX_HOPS, ServiceKind
from mailserver.config.documentation import EXAMPLE
from mailserver.config.exchange.document import format_json, format_yaml
from mailserver.config.exchange.exporting import export_config
from mailserver.config.exchange.importing import import_config
from mailserver.config.models import AccessRule, Service
from mailserver.config.services import current_revision, first_run, get_setting
from mailserver.errors import InvalidInput, MailError
from mailserver.project.environment import read_environment
from mailserver.users.services import DatabaseAuthenticator, create_user, find_user, list_users
from mailserver.values import Client, Protocol

pytestmark = [pytest.mark.django_db, pytest.mark.database]

OFFICE = """
# A small office
domains:
  - example.test
users:
  - {name: alice, password: "alice-secret-1", full_name: Alice Example}
  - {name: bob, password: "bob-secret-22", full_name: Bob Example, administrator: yes, allowed_protocols: [pop3, web]}
services:
  - kind: smtp
    name: Incoming
    bindings: ["0.0.0.0:2525", "[::]:2525"]
    options: {max_recipients: 50, refuse_helo: spammer}
    access_rules:
      - {action: block, network: 192.0.2.0/24, comment: nuisance}
      - {action: allow, matches: any, users: [alice@example.test]}
settings:
  mail.max_hops: 40
bandwidth_pools:
  - {number: 3, name: Evening, bytes_per_second: 100000}
"""


@pytest.fixture(autouse=True)
def _fresh_installation() -> None:
    first_run(read_environment({"PILLARBOX_DATA": "/nowhere", "PILLARBOX_DOMAIN": "example.test"}))


def login(name: str, password: str) -> str:
    client = Client(Protocol.POP3, service_id=1, session=1, address="127.0.0.1", port=1)
    return DatabaseAuthenticator().check_password(name, password, client).address


def complaints(text: str) -> dict[str, list[str]]:
    with pytest.raises(InvalidInput) as caught:
        import_config(text)
    return caught.value.messages


def test_a_small_office() -> None:
    result = import_config(OFFICE)
    assert login("alice", "alice-secret-1") == "alice@example.test"
    bob = find_user("bob")
    assert bob is not None
    assert (bob.is_admin, bob.allowed_protocols, bob.full_name) == (True, ["pop3", "web"], "Bob Example")
    incoming = Service.objects.get(kind="smtp")
    assert incoming.name == "Incoming"
    assert [str(binding) for binding in incoming.bindings.all()] == ["0.0.0.0:2525", "[::]:2525"]
    assert incoming.options == {"max_recipients": 50, "refuse_helo": "spammer"}
    block, allow = incoming.access_rules.all()
    assert (block.allow, block.network, block.comment) == (False, "192.0.2.0/24", "nuisance")
    assert [user.address for user in allow.users.all()] == ["alice@example.test"]
    assert get_setting(MAX_HOPS) == 40
    assert result.added == {"users": 2}
    assert result.warnings == []


def test_the_documented_example_can_be_imported() -> None:
    result = import_config(EXAMPLE)
    assert (result.added, result.warnings) == ({"domains": 1, "users": 2, "public_folders": 1}, [])


def test_what_the_file_does_not_mention_stays() -> None:
    before = export_config()
    import_config("settings: {mail.max_hops: 77}")
    after = export_config()
    assert after.pop("settings")["mail.max_hops"] == 77
    before.pop("settings")
    assert after == before


def test_doing_it_twice_adds_nothing() -> None:
    import_config(OFFICE)
    first = export_config()
    result = import_config(OFFICE)
    assert not result.added
    assert export_config() == first
    assert len(list_users()) == 3


@pytest.mark.parametrize("write", [format_yaml, format_json])
@pytest.mark.parametrize("secrets", [False, True])
def test_round_trip_into_a_fresh_installation(write: Callable[[Any], str], secrets: bool) -> None:
    create_user("carol", "carol-secret-3", comments="likes:\n- colons: yes\n", keep_recoverable=True)
    import_config(OFFICE)
    services.create_service(ServiceKind.SMTP, name="Second", bindings=[services.Binding("127.0.0.1", 2600)])
    services.set_global_access([services.AccessRuleInput(matches="local", comment="Büro")])
    exported = export_config(secrets=secrets)
    wipe()
    first_run(read_environment({"PILLARBOX_DATA": "/nowhere", "PILLARBOX_DOMAIN": "example.test"}))
    import_config(write(exported))
    found = export_config(secrets=secrets)
    for section, content in exported.items():
        assert found[section] == content
    if secrets:
        assert login("carol", "carol-secret-3") == "carol@example.test"
        assert DatabaseAuthenticator().find_secret("carol") == "carol-secret-3"


def test_without_secrets_nothing_secret_is_exported() -> None:
    create_user("carol", "carol-secret-3", keep_recoverable=True)
    text = format_yaml(export_config())
    for secret in ("carol-secret-3", "argon2", "PRIVATE KEY", "scram"):
        assert secret not in text


def test_a_user_without_a_password_cannot_log_in_and_is_mentioned() -> None:
    result = import_config("users: [{name: dave}]")
    assert [warning for warning in result.warnings if "dave@example.test has no password yet" in warning]
    with pytest.raises(MailError):
        login("dave", "")


def test_each_wrong_line_is_named_and_nothing_changes() -> None:
    before, revision = export_config(), current_revision()
    text = """\
domains:
  - good.example
  - not a domain
users:
  - name: ok
    password: a-good-password
  - name: "bad name"
    password: a-good-password
  - name: short
    password: abc
    wizard: yes
  - {name: nobody, domain: elsewhere.example, password: a-good-password}
  - {name: hashed, password_hash: gibberish}
services:
  - kind: smtp
    idle_timeout_seconds: 5
    options:
      max_hops: 3
      max_recipients: many
  - kind: teapot
  - name: nonesuch
    bindings: ["127.0.0.1"]
settings:
  mail.max_hops: 4
  no.such: 1
bandwidth_pools:
  - {number: 5000, bytes_per_second: 10}
"""
    found = complaints(text)
    assert sorted(found, key=lambda place: int(place.split()[1])) == [
        f"line {line}" for line in (3, 7, 10, 11, 12, 13, 16, 18, 19, 20, 21, 22, 24, 25, 27)
    ]
    assert "wizard" in found["line 11"][0]
    assert export_config() == before
    assert current_revision() == revision


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("users: [\n", "line 2"),
        ("a: b: c", "line 1"),
        ("- one\n- two", "line 1"),
        ("users:\n  name: alice", "line 2"),
        ("domains: example.test", "line 1"),
        ("settings:\n  mail.max_hops: 30\n  mail.max_hops: 40", "line 3"),
        ("\x00", "line 1"),
        ("settings: {mail.max_hops: [1, 2]}", "line 1"),
        ("users: [{name: alice, enabled: perhaps}]", "line 1"),
        ("certificate: {chain: x, key: y}", "line 1"),
        ("global_access: [{action: maybe}]", "line 1"),
        ("global_access: [{action: allow, network: 10.0.0.0/99}]", "line 1"),
        ("global_access:\n  - {action: allow, matches: any, users:\n     [ghost]}", "line 3"),
    ],
)
def test_malformed(text: str, line: str) -> None:
    assert line in complaints(text)


@pytest.mark.parametrize("text", ["", "# nothing\n", "{}", "users:\nservices: []\n"])
def test_an_empty_file_changes_nothing(text: str) -> None:
    before = export_config()
    import_config(text)
    assert export_config() == before


def test_json_indented_with_tabs() -> None:
    text = json.dumps({"domains": ["c.example"]}, indent="\t")
    import_config(text)
    assert "c.example" in list_domains()


def test_a_password_of_digits_stays_a_text() -> None:
    import_config("users: [{name: erin, password: 0123456789012}]")
    assert login("erin", "0123456789012") == "erin@example.test"


def test_services_may_exchange_their_ports() -> None:
    import_config('services: [{name: POP3, bindings: ["127.0.0.1:2995"]}, {name: POP3S, bindings: ["127.0.0.1:2110"]}]')
    assert str(Service.objects.get(name="POP3").bindings.get()) == "127.0.0.1:2995"


def test_the_last_administrator_may_hand_over_within_one_file() -> None:
    import_config("users: [{name: erin, password: a-good-password}]")
    import_config("users: [{name: postmaster, administrator: no}, {name: erin, administrator: yes}]")
    erin, postmaster = find_user("erin"), find_user("postmaster")
    assert erin is not None
    assert postmaster is not None
    assert (erin.is_admin, postmaster.is_admin) == (True, False)
    assert "line 1" in complaints("users: [{name: erin, administrator: no}]")


def test_the_default_domain_of_the_file_counts_for_its_users() -> None:
    import_config("domains: [d.example]\nusers: [{name: frank, password: a-good-password}]\n"
                  "settings: {mail.default_domain: d.example, mail.main_administrator: frank}")  # fmt: skip
    assert find_user("frank@d.example") is not None


def wipe() -> None:
    """An installation as new, in the test's transaction."""
    from mailserver.addressing.models import Domain
    from mailserver.config.models import BandwidthPool, Certificate, StoredSetting
    from mailserver.users.models import User

    AccessRule.objects.all().delete()
    for model in (Service, User, Domain, BandwidthPool, Certificate, StoredSetting):
        model.objects.all().delete()  # type: ignore[attr-defined]
