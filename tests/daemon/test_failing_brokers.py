# SPDX-License-Identifier: MIT
"""Connections in a whole installation whose broker is away, or loses what it was told: nothing waits for it for good.

What is to run stands in the database. A file of its own, for test processes get whole files.
"""

from __future__ import annotations

import shutil
import threading
from pathlib import Path

import pytest

from tests.daemon.test_worker import BROKERS, SERVERS
from tests.support.connected import MESSAGES, brokers, configure, runs, submit
from tests.support.installation import Installation
from tests.support.proxy import Wire
from tests.support.remote_smtp import RemoteSmtp
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow


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
