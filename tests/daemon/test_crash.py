# SPDX-License-Identifier: MIT
"""Nothing that got its 250 is ever lost or doubled: daemon killed, database killed, disk full.

RFC 5321 §6.1. Small by default; PILLARBOX_CRASH_ROUNDS and PILLARBOX_CRASH_MESSAGES make it as long as wanted
(the acceptance run used 10 rounds of 5,000).
"""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.full_disk import SmallDisk
from tests.support.installation import Installation
from tests.support.load import Load, assert_nothing_lost, read_everything
from tests.support.postgres import PrivatePostgres, fresh_database
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow

ROUNDS = int(os.environ.get("PILLARBOX_CRASH_ROUNDS", "1"))
MESSAGES = int(os.environ.get("PILLARBOX_CRASH_MESSAGES", "300"))
KILLS = max(2, MESSAGES // 1000)
"""In each round."""
ON_SMALL_DISK = min(MESSAGES, 1000)
"""They take 12 MB, and as much again while they are written."""
PATIENCE_SECONDS = 60 + MESSAGES / 20
RESUMES_WITHIN_SECONDS = 10
PASSWORD = "crash-secret-1"
USERS = [f"user{number}" for number in range(5)]


@pytest.fixture
def installation(tmp_path: Path, database: dict[str, str]) -> Iterator[Installation]:
    with Installation(tmp_path / "data", **database) as running:
        running.add_users(USERS, PASSWORD)
        _wait_for_users(running)
        yield running


def _wait_for_users(running: Installation) -> None:
    """Until the daemon knows the users that a command has just made; their mailboxes are empty afterwards."""
    load = Load(running.port("smtp"), USERS, enough=len(USERS), sessions=1, prefix="first")
    load.start().finish(30)
    read_everything(running.port("pop3"), USERS, PASSWORD)


@pytest.mark.database
def test_the_daemon_is_killed_at_random_moments(installation: Installation) -> None:
    for number in range(ROUNDS):
        load = Load(installation.port("smtp"), USERS, MESSAGES, prefix=f"round{number}").start()
        for moment in sorted(random.sample(range(1, MESSAGES * 9 // 10), KILLS)):
            load.wait_for(moment, PATIENCE_SECONDS)
            _kill_daemon(installation)
        ledger = load.finish(PATIENCE_SECONDS)
        assert ledger.cut_off >= KILLS
        assert_nothing_lost(ledger, read_everything(installation.port("pop3"), USERS, PASSWORD))


def _kill_daemon(installation: Installation) -> None:
    """SIGKILL, as the kernel does when memory runs out; then the supervisor has to start another."""
    doomed = wait_until(installation.daemons, 30, "a daemon to kill")
    for pid in doomed:
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: set(installation.daemons()) - set(doomed), 30, "the supervisor to start the daemon again")


def test_the_database_is_killed(tmp_path: Path) -> None:
    """PostgreSQL dies without a word: clients see 4xx or a closed connection, and service resumes by itself."""
    server = PrivatePostgres()
    try:
        with (
            fresh_database(server.url(), "pillarbox_crash") as url,
            Installation(tmp_path / "data", DATABASE_URL=url) as running,
        ):
            running.add_users(USERS, PASSWORD)
            _wait_for_users(running)
            daemons = running.daemons()
            for number in range((ROUNDS + 1) // 2):
                load = Load(running.port("smtp"), USERS, MESSAGES, prefix=f"round{number}").start()
                load.wait_for(MESSAGES // 4, PATIENCE_SECONDS)
                server.kill()
                wait_until(lambda load=load: load.ledger.temporary or load.ledger.cut_off, 30, "a client to notice")
                server.start_again()
                load.wait_for(load.done + 1, RESUMES_WITHIN_SECONDS)
                ledger = load.finish(PATIENCE_SECONDS)
                assert_nothing_lost(ledger, read_everything(running.port("pop3"), USERS, PASSWORD))
            assert running.daemons() == daemons, "the daemon outlives its database"
    finally:
        server.stop()


def test_the_disk_is_full(tmp_path: Path) -> None:
    """452 while there is no room (RFC 5321 §4.5.3.1.10 asks for it), nothing lost, and on again once there is."""
    disk = SmallDisk(tmp_path / "small")
    with Installation(disk.data, within=disk) as running:
        running.add_users(USERS, PASSWORD)
        _wait_for_users(running)
        load = Load(running.port("smtp"), USERS, ON_SMALL_DISK).start()
        load.wait_for(ON_SMALL_DISK // 4, PATIENCE_SECONDS)
        disk.fill(running.daemons())
        wait_until(lambda: len(load.ledger.temporary) >= 5, 30, "refusals")
        assert {reply[:3] for reply in load.ledger.temporary} == {"452"}
        disk.free(running.daemons())
        ledger = load.finish(PATIENCE_SECONDS)
        assert_nothing_lost(ledger, read_everything(running.port("pop3"), USERS, PASSWORD))
