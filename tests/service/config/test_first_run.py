# SPDX-License-Identifier: MIT
"""What a new installation finds in place, and what a later start adds."""

from __future__ import annotations

import pytest

from mailserver.addressing.services import list_domains
from mailserver.config.building import build_snapshot
from mailserver.config.catalog import LISTEN_ADDRESS, PORT_OFFSET, SERVICE_TEMPLATES
from mailserver.config.models import Service
from mailserver.config.services import current_certificate, first_run
from mailserver.errors import InvalidInput
from mailserver.project.environment import Environment, read_environment
from mailserver.users.services import DatabaseAuthenticator, find_user
from mailserver.values import Client, Protocol

pytestmark = [pytest.mark.django_db, pytest.mark.database]


def environment(**overrides: str) -> Environment:
    return read_environment({"PILLARBOX_DATA": "/nowhere", "PILLARBOX_DOMAIN": "office.example", **overrides})


def test_it_makes_domain_services_certificate_and_administrator() -> None:
    made = first_run(environment(PILLARBOX_PORT_OFFSET="3000", PILLARBOX_LISTEN="127.0.0.2"))
    assert made is not None
    snapshot = build_snapshot()
    assert list_domains() == ["office.example"]
    assert [service.kind for service in snapshot.services] == list(SERVICE_TEMPLATES)
    for service in snapshot.services:
        (binding,) = service.bindings
        assert (binding.address, binding.port) == ("127.0.0.2", 3000 + SERVICE_TEMPLATES[service.kind].port)
    assert snapshot.get(PORT_OFFSET) == 3000
    assert snapshot.get(LISTEN_ADDRESS) == "127.0.0.2"
    assert snapshot.tls is not None
    assert "BEGIN PRIVATE KEY" in snapshot.tls.key_pem
    assert snapshot.main_administrator is not None
    assert snapshot.main_administrator.admin


def test_the_password_that_it_prints_opens_the_console() -> None:
    made = first_run(environment())
    assert made is not None
    client = Client(Protocol.WEB, service_id=0, session=1, address="127.0.0.1", port=1)
    found = DatabaseAuthenticator().check_password(made.login, made.password, client)
    assert found.address == made.address == "postmaster@office.example"
    assert made.password not in repr(made)


def test_a_second_start_changes_nothing() -> None:
    first_run(environment())
    before = build_snapshot()
    assert first_run(environment(PILLARBOX_PORT_OFFSET="4000", PILLARBOX_DOMAIN="other.example")) is None
    after = build_snapshot()
    assert after.services == before.services
    assert after.revision == before.revision
    assert list_domains() == ["office.example"]


def test_a_kind_that_a_later_version_adds_gets_a_row_at_the_stored_address_and_offset() -> None:
    first_run(environment(PILLARBOX_PORT_OFFSET="3000", PILLARBOX_LISTEN="127.0.0.2"))
    Service.objects.filter(kind="pop3s").delete()
    first_run(environment())
    row = Service.objects.get(kind="pop3s")
    assert [str(binding) for binding in row.bindings.all()] == ["127.0.0.2:3995"]
    assert row.enabled


def test_a_new_kind_whose_port_is_taken_waits_switched_off() -> None:
    first_run(environment())
    Service.objects.filter(kind="pop3s").delete()
    Service.objects.get(kind="smtp").bindings.update(port=2995)
    first_run(environment())
    row = Service.objects.get(kind="pop3s")
    assert not row.enabled
    assert not row.bindings.exists()


def test_submission_asks_for_a_login() -> None:
    first_run(environment())
    options = dict(Service.objects.values_list("kind", "options"))
    assert options["submission"]["authentication"] == "required"
    assert options["smtp"] == {}


@pytest.mark.parametrize(
    ("name", "value", "place"),
    [("PILLARBOX_LISTEN", "everywhere", "server.listen"), ("PILLARBOX_PORT_OFFSET", "65000", "server.port_offset")],
)
def test_an_environment_that_cannot_be_is_refused_and_leaves_nothing(name: str, value: str, place: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        first_run(environment(**{name: value}))
    assert list(caught.value.messages) == [place]
    assert not Service.objects.exists()
    assert find_user("postmaster") is None


def test_the_certificate_names_this_machine() -> None:
    first_run(environment())
    facts = current_certificate()
    assert facts is not None
    assert facts.self_signed
    assert {"localhost", "127.0.0.1", "::1"} <= set(facts.names)
