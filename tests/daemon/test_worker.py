# SPDX-License-Identifier: MIT
"""The worker with each broker: what is ordered is done on a wake-up, without the tick that makes up for lost ones.

Brokers that this machine runs are used; in CI (CI=true) all must be there.
"""

from __future__ import annotations

import os
import signal
import socket
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from protocols.supervisor.roles import WORKER
from tests.support.installation import FOREIGN_SETTINGS
from tests.support.sources import ROOT
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow

SERVERS = {"rabbitmq": ("amqp://guest:guest@127.0.0.1:5672//", 5672), "redis": ("redis://127.0.0.1:6379/15", 6379)}
STARTS_WITHIN_SECONDS = 30
WITHIN_SECONDS = 20


def is_there(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


BROKERS = {"": ""} | {
    name: url for name, (url, port) in SERVERS.items() if os.environ.get("CI") == "true" or is_there(port)
}


@dataclass
class Office:
    """A prepared data folder and the environment of its processes."""

    data: Path
    environment: dict[str, str]
    broker: str = ""

    def manage(self, *arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=ROOT,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        return done.stdout

    def start_worker(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, *(argument for argument in WORKER if argument != "-B")],
            cwd=ROOT,
            env=self.environment,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Prepared once. It has a key of its own, and so a queue of its own on a broker that others use as well."""
    data = tmp_path_factory.mktemp("worker")
    Office(data, environment(data, "")).manage("prepare", "--json")
    return data


@pytest.fixture(params=BROKERS, ids=[name or "files" for name in BROKERS])
def office(request: pytest.FixtureRequest, folder: Path) -> Office:
    return Office(folder, environment(folder, BROKERS[request.param]), request.param or "files")


def environment(data: Path, broker: str) -> dict[str, str]:
    made = {name: value for name, value in os.environ.items() if not FOREIGN_SETTINGS.match(name)}
    made["PILLARBOX_DATA"] = str(data)
    if broker:
        made["CELERY_BROKER_URL"] = broker
    return made


def test_work_is_done_and_the_worker_ends_in_order(office: Office) -> None:
    early, later = f"early-{office.broker}", f"later-{office.broker}"
    order_welcome(office, early)
    worker = office.start_worker()
    try:
        wait_until(lambda: is_welcome(office, early), STARTS_WITHIN_SECONDS, "what was ordered before")
        assert "worker" in office.manage("status")
        order_welcome(office, later)
        wait_until(lambda: is_welcome(office, later), WITHIN_SECONDS, "what is ordered now")
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(20) == 0
    finally:
        if worker.poll() is None:
            os.killpg(worker.pid, signal.SIGKILL)
        worker.wait()
    assert "worker" not in office.manage("status").partition("Services")[0]
    assert not (office.data / "logs" / "errors.log").exists()


def order_welcome(office: Office, name: str) -> None:
    office.manage("adduser", name, "--password", "Wholly-unlike-1", "--welcome")


def is_welcome(office: Office, name: str) -> bool:
    """By the journey, read straight from the file: the command costs a second, and would be asked again and again."""
    with closing(sqlite3.connect(f"file:{office.data / 'pillarbox.sqlite3'}?mode=ro", uri=True)) as database:
        found = database.execute(
            "SELECT 1 FROM journey_journey j JOIN journey_journeyevent e ON e.journey_id = j.ref"
            " WHERE j.subject LIKE 'Welcome to your mailbox%' AND e.recipient LIKE ?",
            [f"{name}@%"],
        )
        return found.fetchone() is not None
