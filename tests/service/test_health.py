# SPDX-License-Identifier: MIT
"""What monitoring programs are told, and what strangers are not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from django.db import OperationalError
from django.test import Client

from admin_ui import health
from mailserver.activity import services as activity
from mailserver.activity.models import STALE_AFTER_SECONDS, Process
from mailserver.work import services as work
from tests.support.still_clock import StillClock

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]

REPORT = {
    "listeners": [[1, "127.0.0.1:25", ""], [2, "192.0.2.1:110", "this machine has no address 192.0.2.1"]],
    "session_count": 3,
    "counters": {"sessions": {"smtp": 7}, "refused": {"smtp": 2}, "bytes_in": {"smtp": 900}, "bugs": 1},
}


def start_daemon(**report: Any) -> int:
    number = activity.register_process(Process.Kind.SERVE)
    activity.heartbeat(number, Process.Kind.SERVE, report={**REPORT, **report})
    return number


def test_healthy_while_every_binding_listens_somewhere(client: Client, still_clock: StillClock) -> None:
    start_daemon()
    start_daemon(listeners=[[2, "192.0.2.1:110", ""]])
    answer = client.get("/healthz")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok", "problems": []})


def test_not_healthy_without_a_living_daemon(client: Client, still_clock: StillClock) -> None:
    assert client.get("/healthz").json()["problems"] == ["No mail service is running."]
    start_daemon(listeners=[])
    assert client.get("/healthz").status_code == 200
    still_clock.advance(seconds=STALE_AFTER_SECONDS)
    assert client.get("/healthz").status_code == 503


def test_not_healthy_while_a_binding_listens_nowhere(client: Client) -> None:
    start_daemon()
    assert client.get("/healthz").json()["problems"] == ["Nothing listens on 192.0.2.1:110."]


def test_not_healthy_without_the_database(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        raise OperationalError("gone")

    monkeypatch.setattr(health, "list_processes", refuse)
    answer = client.get("/healthz")
    assert (answer.status_code, answer.json()["problems"]) == (503, ["The database does not answer."])


def test_metrics_of_a_daemon(client: Client, still_clock: StillClock) -> None:
    number = start_daemon()
    work.request("greet")
    still_clock.advance(seconds=20)
    lines = client.get("/metrics").content.decode().splitlines()
    for line in (
        'pillarbox_processes{kind="serve"} 1.0',
        f'pillarbox_live_sessions{{process="{number}"}} 3.0',
        f'pillarbox_sessions_total{{process="{number}",protocol="smtp"}} 7.0',
        f'pillarbox_refused_total{{process="{number}",protocol="smtp"}} 2.0',
        f'pillarbox_bytes_in_total{{process="{number}",protocol="smtp"}} 900.0',
        f'pillarbox_bugs_total{{process="{number}"}} 1.0',
        'pillarbox_messages_today{what="accepted"} 0.0',
        "pillarbox_queue_recipients 0.0",
        "pillarbox_work_late 0.0",
    ):
        assert line in lines


@pytest.mark.parametrize(
    ("address", "token", "given", "status"),
    [
        ("127.0.0.1", "", "", 200),
        ("::1", "", "", 200),
        ("192.0.2.7", "", "", 403),
        ("192.0.2.7", "", "Bearer ", 403),
        ("192.0.2.7", "secret", "", 403),
        ("192.0.2.7", "secret", "Bearer other", 403),
        ("192.0.2.7", "secret", "Basic secret", 403),
        ("192.0.2.7", "secret", "Bearer secret", 200),
        ("192.0.2.7", "secret", "bearer secret", 200),
        ("", "", "", 403),
    ],
)
def test_metrics_are_for_this_machine_or_the_token(
    client: Client, settings: Any, address: str, token: str, given: str, status: int
) -> None:
    settings.ENVIRONMENT = replace(settings.ENVIRONMENT, metrics_token=token)
    headers = {"authorization": given} if given else {}
    assert client.get("/metrics", headers=headers, REMOTE_ADDR=address).status_code == status


@pytest.mark.parametrize("path", ["/healthz", "/metrics"])
def test_nothing_is_changed_here(client: Client, path: str) -> None:
    ask: Callable[[str], Any] = client.post
    assert ask(path).status_code == 405
