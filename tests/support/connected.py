# SPDX-License-Identifier: MIT
"""An office whose mail leaves by a Connection when it runs: how it is set up, given mail, and asked for its runs."""

from __future__ import annotations

import smtplib
from collections.abc import Iterable
from typing import Any

import pytest

from tests.support.installation import Installation
from tests.support.remote_smtp import RemoteSmtp
from tests.support.waiting import wait_until

MESSAGES = 12
PASSWORD = "office-secret-1"
OFFICE = """\
users:
  - {{name: alice, password: "{password}"}}
connections:
  - name: Main line
    sender:
      send_immediately: {at_once}
      servers:
        - {{host: 127.0.0.1, port: {port}, encryption: none}}
schedule:
  - {{name: Always, connections: [Main line], every_minutes: 1}}
"""
RUNS = """
SELECT id, cause, started, finished, outcome FROM connectors_connectionrun WHERE cause <> 'immediate' ORDER BY id
"""


def brokers(names: Iterable[str], again: str) -> list[Any]:
    """What to parametrise a test with; the broker `again`, or the last where this machine has not got it, is for both
    databases."""
    there = list(names)
    twice = [again] if again in there else there[-1:]
    return [
        pytest.param(name, id=name or "files", marks=[pytest.mark.database] if name in twice else []) for name in there
    ]


def configure(office: Installation, remote: RemoteSmtp, *, at_once: str) -> None:
    file = office.data.with_name("office.yaml")
    file.write_text(OFFICE.format(password=PASSWORD, port=remote.port, at_once=at_once))
    office.manage("importconfig", str(file))
    wait_until(office.workers, 60, "the worker")


def submit(office: Installation, count: int = MESSAGES) -> None:
    with smtplib.SMTP("127.0.0.1", office.port("submission"), timeout=60) as client:
        client.login("alice", PASSWORD)
        for number in range(count):
            client.sendmail("alice@example.test", [f"u{number}@remote.example"], f"Subject: {number}\r\n\r\nhello\r\n")


def runs(office: Installation) -> list[dict[str, Any]]:
    """The oldest first."""
    names = ("id", "cause", "started", "finished", "outcome")
    return [dict(zip(names, row, strict=True)) for row in office.rows(RUNS)]
