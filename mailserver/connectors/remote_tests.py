# SPDX-License-Identifier: MIT
"""The *Test* buttons: what to try goes to a worker as a row, and what came of it is read from there.

Nothing needs to have been saved: what stands in the form is tried, with the stored password where none was typed.
"""

from __future__ import annotations

import enum
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction

from mailserver import clock
from mailserver.addressing.syntax import BadDomain, parse_domain
from mailserver.connectors import sealing
from mailserver.connectors.changes import changed, set_fields
from mailserver.connectors.checking import Problems, check_collector, check_sender, check_servers
from mailserver.connectors.collectors import COLLECTOR_FIELDS
from mailserver.connectors.connections import SENDER_FIELDS
from mailserver.connectors.models import Collector, Connection, RemoteTest, Sender
from mailserver.connectors.reading import collector_settings, sender_settings
from mailserver.connectors.serverlines import ServerInput
from mailserver.connectors.values import (
    CollectMethod,
    CollectorSettings,
    Credentials,
    Encryption,
    LoginMethod,
    RemoteServer,
    Routing,
    SenderSettings,
    SendMethod,
)
from mailserver.errors import InvalidInput, Kind, MailError

SENDER, COLLECTOR, DNS = "sender", "collector", "dns"
EXISTING_NAME = "example.com"
"""What the DNS is asked for unless somebody wants to know about another name."""
TAKEN_WITHIN_SECONDS = 10
NOBODY = "No worker has taken the test. Is the server running? See the status page."
KEEP_SECONDS = 24 * 3600
GIVEN_UP_SECONDS = 300
"""A test that was taken so long ago and has not ended never will: its worker is gone."""


class TestState(enum.StrEnum):
    """How far a test is. NOBODY: it was not taken in time, and may still be."""

    __test__ = False

    WAITING = "waiting"
    NOBODY = "nobody"
    RUNNING = "running"
    FINISHED = "finished"


@dataclass(frozen=True, slots=True)
class TestView:
    """A test for displays; the transcript has no secrets in it."""

    __test__ = False

    id: int
    state: TestState
    ok: bool
    text: str
    transcript: str


@dataclass(frozen=True, slots=True)
class TakenTest:
    """A test for whoever does it: one of the three."""

    id: int
    sender: SenderSettings | None = None
    collector: CollectorSettings | None = None
    dns_name: str = ""


def order_sender_test(
    connection_id: int | None = None,
    fields: Mapping[str, object] | None = None,
    servers: Sequence[ServerInput] | None = None,
) -> int:
    """Try a Connection's Sender as the form has it; gives the test's number. Raises InvalidInput, NOT_FOUND."""
    sender = Sender(connection=Connection(name="New connection"))
    if connection_id is not None:
        found = Sender.objects.select_related("connection").filter(connection=connection_id).first()
        if found is None:
            raise MailError(Kind.NOT_FOUND, f"no Connection {connection_id}")
        sender = found
    problems: Problems = set_fields(sender, fields or {}, SENDER_FIELDS, sealing.SENDER_PASSWORD)
    problems |= check_sender(sender) | check_servers(servers or ())
    if problems:
        raise InvalidInput(problems)
    return _order(SENDER, asdict(sender_settings(sender, servers)))


def order_collector_test(collector_id: int | None = None, fields: Mapping[str, object] | None = None) -> int:
    """Try a Collector as the form has it; gives the test's number. Raises InvalidInput, NOT_FOUND."""
    collector = Collector()
    if collector_id is not None:
        found = Collector.objects.filter(pk=collector_id).first()
        if found is None:
            raise MailError(Kind.NOT_FOUND, f"no Collector {collector_id}")
        collector = found
    problems: Problems = set_fields(collector, fields or {}, COLLECTOR_FIELDS, sealing.COLLECTOR_PASSWORD)
    problems |= check_collector(collector)
    if problems:
        raise InvalidInput(problems)
    return _order(COLLECTOR, asdict(collector_settings(collector)))


def order_dns_test(name: str) -> int:
    """Ask the DNS servers of the settings for this name; gives the test's number. Raises InvalidInput."""
    try:
        domain = parse_domain(name.strip())
    except BadDomain:
        raise InvalidInput({"name": [f"Write a name that exists, like {EXISTING_NAME}."]}) from None
    return _order(DNS, {"name": domain})


def find_test(test: int) -> TestView | None:
    """How far it is; None when it is gone."""
    row = RemoteTest.objects.filter(pk=test).first()
    if row is None:
        return None
    state = _state(row, clock.now())
    return TestView(row.pk, state, row.ok, NOBODY if state is TestState.NOBODY else row.text, row.transcript)


def has_tests() -> bool:
    """Whether one waits to be taken; asks without writing."""
    return RemoteTest.objects.filter(taken=None).exists()


def take_test() -> TakenTest | None:
    """The oldest that nobody has taken, for this worker alone; None when there is none."""
    with transaction.atomic():
        row = RemoteTest.objects.select_for_update(skip_locked=True).filter(taken=None).order_by("pk").first()
        if row is None:
            return None
        row.taken = clock.now()
        row.save(update_fields=["taken"])
    values = json.loads(sealing.unseal(row.settings, sealing.REMOTE_TEST))
    if row.kind == SENDER:
        return TakenTest(row.pk, sender=_read_sender(values))
    if row.kind == COLLECTOR:
        return TakenTest(row.pk, collector=_read_collector(values))
    return TakenTest(row.pk, dns_name=values["name"])


def finish_test(test: int, ok: bool, text: str, transcript: str) -> None:
    """What came of it; what it was tried with is forgotten."""
    RemoteTest.objects.filter(pk=test).update(
        finished=clock.now(), ok=ok, text=text, transcript=transcript, settings=b""
    )


def forget_tests(now: datetime) -> int:
    """Remove old ones; for the housekeeping."""
    return int(RemoteTest.objects.filter(created__lt=now - timedelta(seconds=KEEP_SECONDS)).delete()[0])


def _order(kind: str, values: Mapping[str, object]) -> int:
    sealed = sealing.seal(json.dumps(values), sealing.REMOTE_TEST)
    with transaction.atomic():
        row = RemoteTest.objects.create(kind=kind, settings=sealed, created=clock.now())
        changed()
    return row.pk


def _state(row: RemoteTest, now: datetime) -> TestState:
    if row.finished is not None:
        return TestState.FINISHED
    if row.taken is not None:
        late = now - row.taken > timedelta(seconds=GIVEN_UP_SECONDS)
        return TestState.NOBODY if late else TestState.RUNNING
    late = now - row.created > timedelta(seconds=TAKEN_WITHIN_SECONDS)
    return TestState.NOBODY if late else TestState.WAITING


def _read_sender(values: dict[str, Any]) -> SenderSettings:
    return SenderSettings(
        **{
            **values,
            "method": SendMethod(values["method"]),
            "servers": tuple(map(_read_server, values["servers"])),
            "credentials": _read_credentials(values["credentials"]),
            "retry_minutes": tuple(values["retry_minutes"]),
        }
    )


def _read_collector(values: dict[str, Any]) -> CollectorSettings:
    return CollectorSettings(
        **{
            **values,
            "method": CollectMethod(values["method"]),
            "server": _read_server(values["server"]),
            "credentials": _read_credentials(values["credentials"]),
            "routing": Routing(**values["routing"]),
            "folders": tuple(values["folders"]),
        }
    )


def _read_server(values: dict[str, Any]) -> RemoteServer:
    return RemoteServer(**{**values, "encryption": Encryption(values["encryption"])})


def _read_credentials(values: dict[str, Any]) -> Credentials:
    return Credentials(**{**values, "method": LoginMethod(values["method"])})
