# SPDX-License-Identifier: MIT
"""`manage.py prepare`: the first run's things once, and what the supervisor needs to know each time."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from mailserver.config.models import Service
from mailserver.users.services import find_user

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]


def prepare() -> dict[str, Any]:
    said = io.StringIO()
    call_command("prepare", "--json", stdout=said)
    told: dict[str, Any] = json.loads(said.getvalue())
    return told


def test_first_run_gives_credentials_once() -> None:
    first = prepare()
    credentials = first["credentials"]
    user = find_user(credentials["login"])
    assert user is not None
    assert user.is_admin
    assert user.check_password(credentials["password"])
    again = prepare()
    assert again["credentials"] is None
    assert again["services"] == first["services"]


def test_supervisor_is_told_what_to_open() -> None:
    services = {service["name"]: service for service in prepare()["services"]}
    assert services["SMTP"] == {
        "name": "SMTP",
        "protocol": "smtp",
        "encryption": "none",
        "bindings": [["127.0.0.1", 2025]],
    }
    assert services["POP3S"]["encryption"] == "ssl"
    Service.objects.filter(name="POP3S").update(enabled=False)
    assert "POP3S" not in {service["name"] for service in prepare()["services"]}


def test_person_is_told_the_password() -> None:
    said = io.StringIO()
    call_command("prepare", stdout=said)
    assert "Log in as postmaster with the password " in said.getvalue()
    said = io.StringIO()
    call_command("prepare", stdout=said)
    assert said.getvalue() == "The database is ready.\n"


def test_impossible_ports_are_refused_in_a_sentence(settings: Any) -> None:
    settings.ENVIRONMENT = replace(settings.ENVIRONMENT, port_offset=65000)
    with pytest.raises(CommandError, match="must be at most 60000"):
        prepare()
