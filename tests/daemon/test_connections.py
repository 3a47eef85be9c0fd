# SPDX-License-Identifier: MIT
"""Connections in a whole installation: several workers and beats, each broker, both databases.

What is to run stands in the database, so no wake-up that is doubled or late makes anything run twice or not at all. On
SQLite this is played with every broker. Brokers know nothing of databases, so on PostgreSQL each scenario, here and in
`test_failing_brokers.py`, comes once.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime
from itertools import pairwise
from pathlib import Path

import pytest

from protocols.supervisor.roles import WORKER
from tests.daemon.test_worker import BROKERS
from tests.support.connected import MESSAGES, brokers, configure, runs, submit
from tests.support.installation import Installation
from tests.support.remote_smtp import RemoteSmtp
from tests.support.sources import ROOT
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow


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
