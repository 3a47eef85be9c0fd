# SPDX-License-Identifier: MIT
"""Connections in a whole installation: several workers and beats, each broker, both databases, brokers that fail.

The scenario is the same for all: what is to run stands in the database, so no wake-up that is lost, doubled or late
makes anything run twice or not at all. On SQLite it is played with every broker. Brokers know nothing of databases, so
on PostgreSQL each scenario and each broker comes once.
"""

from __future__ import annotations

import shutil
import smtplib
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from protocols.supervisor.roles import WORKER
from tests.daemon.test_worker import BROKERS, SERVERS
from tests.support.installation import Installation
from tests.support.postgres import named_database
from tests.support.proxy import Wire
from tests.support.remote_smtp import RemoteSmtp
from tests.support.sources import ROOT
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow

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


@pytest.fixture
def database() -> Iterator[dict[str, str]]:
    """The environment that names the database of this half of the run."""
    with named_database("connections") as environment:
        yield environment


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


@contextmanager
def second_worker(office: Installation) -> Iterator[None]:
    """With a beat of its own, as on another machine."""
    process = subprocess.Popen(
        [sys.executable, *WORKER],
        cwd=ROOT,
        env=office.environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        wait_until(lambda: office.workers() == 2, 60, "the second worker")
        yield
    finally:
        process.terminate()
        assert process.wait(30) == 0


@pytest.mark.parametrize("name", brokers(BROKERS, again="redis"))
def test_two_workers_and_two_beats_run_a_connection_once(tmp_path: Path, name: str, database: dict[str, str]) -> None:
    environment = {**database, **({"CELERY_BROKER_URL": BROKERS[name]} if name else {})}
    with RemoteSmtp() as remote, Installation(tmp_path / "data", **environment) as office:
        configure(office, remote, at_once="no")
        with second_worker(office), ThreadPoolExecutor(3) as people:
            submit(office)
            said = list(people.map(lambda _: office.manage("connect"), range(3)))
            assert all(text.endswith("Main line: done\n") for text in said)
            (office.data / "CONNECT.NOW").touch()
            wait_until(lambda: "file" in {run["cause"] for run in runs(office)}, 60, "CONNECT.NOW")
            wait_until(lambda: "schedule" in {run["cause"] for run in runs(office)}, 90, "the next minute")
        assert office.errors() == ""
        found = runs(office)
    recipients = [recipient for taken in remote.messages for recipient in taken.recipients]
    assert sorted(recipients) == sorted(f"RCPT TO:<u{number}@remote.example>" for number in range(MESSAGES))
    assert {run["outcome"] for run in found} == {"ok"}
    for earlier, later in pairwise(found):
        assert earlier["finished"] <= later["started"]
    minutes = [datetime.fromisoformat(str(run["started"])).minute for run in found if run["cause"] == "schedule"]
    assert len(minutes) == len(set(minutes))


@pytest.mark.parametrize("name", brokers([name for name in BROKERS if name], again="rabbitmq"))
def test_a_broker_that_is_away_for_a_while(tmp_path: Path, name: str, database: dict[str, str]) -> None:
    url, port = SERVERS[name]
    with RemoteSmtp() as remote, Wire(port) as wire:
        broker = url.replace(f":{port}", f":{wire.port}")
        with Installation(tmp_path / "data", CELERY_BROKER_URL=broker, **database) as office:
            configure(office, remote, at_once="yes")
            assert office.manage("connect").endswith("Main line: done\n")
            wire.cut()
            submit(office)
            wait_until(lambda: len(remote.messages) == MESSAGES, 60, "mail to leave without the broker")
            before = len([run for run in runs(office) if run["cause"] == "manual"])
            asked = threading.Thread(target=lambda: office.manage("connect", check=False))
            asked.start()
            asked.join(30)
            assert len([run for run in runs(office) if run["cause"] == "manual"]) == before
            wire.mend()
            wait_until(lambda: len([run for run in runs(office) if run["cause"] == "manual"]) > before, 120, "the run")
            assert office.manage("connect").endswith("Main line: done\n")


@pytest.mark.database
def test_a_broker_whose_messages_vanish(tmp_path: Path, database: dict[str, str]) -> None:
    """Wake-ups are lost again and again; the tick finds what is to be done."""
    with RemoteSmtp() as remote, Installation(tmp_path / "data", **database) as office:
        configure(office, remote, at_once="no")
        over = threading.Event()

        def empty() -> None:
            folder = office.data / "broker" / "waiting"
            while not over.wait(0.01):
                for path in folder.glob("*.msg"):
                    path.unlink(missing_ok=True)

        thief = threading.Thread(target=empty)
        thief.start()
        submit(office)
        office.manage("connect", check=False)
        over.set()
        thief.join()
        wait_until(lambda: len(remote.messages) == MESSAGES, 60, "the run that was asked for")
        shutil.rmtree(office.data / "broker" / "waiting")
        (office.data / "broker" / "waiting").mkdir()
        assert office.manage("connect").endswith("Main line: done\n")
        assert len(remote.messages) == MESSAGES
