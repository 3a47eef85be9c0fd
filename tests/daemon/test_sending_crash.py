# SPDX-License-Identifier: MIT
"""The worker is killed at any moment while it sends: nothing is lost, and nothing is sent twice that was known here.

RFC 5321 §4.5.3.2.6. A message whose reply was never recorded is sent again: it is then the last one of a session that
was cut off, for a session goes on only after its reply is on disk. Small by default; PILLARBOX_CRASH_ROUNDS and
PILLARBOX_CRASH_MESSAGES make it as long as wanted.
"""

from __future__ import annotations

import os
import random
import re
import signal
import smtplib
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support.installation import Installation
from tests.support.processes import read_proc
from tests.support.remote_smtp import RemoteSmtp, Taken
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow

ROUNDS = int(os.environ.get("PILLARBOX_CRASH_ROUNDS", "2"))
MESSAGES = int(os.environ.get("PILLARBOX_CRASH_MESSAGES", "120"))
PATIENCE_SECONDS = 120 + MESSAGES / 10
PASSWORD = "crash-secret-1"
MARK = re.compile(rb"^X-Mark: (\S+)\r$", re.MULTILINE)
OFFICE = """\
users:
  - {{name: alice, password: "{password}"}}
connections:
  - name: Main line
    default: true
    sender:
      method: smtp-relay
      send_immediately: true
      servers:
        - {{host: 127.0.0.1, port: {port}, encryption: none}}
"""


@pytest.mark.database
def test_the_worker_is_killed_at_random_moments(tmp_path: Path, database: dict[str, str]) -> None:
    with RemoteSmtp() as remote, Installation(tmp_path / "data", **database) as office:
        file = tmp_path / "office.yaml"
        file.write_text(OFFICE.format(password=PASSWORD, port=remote.port))
        office.manage("importconfig", str(file))
        for number in range(ROUNDS):
            enough = len(remote.messages) + random.randrange(1, MESSAGES * 9 // 10)
            with ThreadPoolExecutor(1) as submitting:
                submitted = submitting.submit(submit, office, f"round{number}")
                wait_until(lambda enough=enough: len(remote.messages) >= enough, PATIENCE_SECONDS, "messages to go out")
                kill_worker(office)
                sent = submitted.result()
            wait_until(lambda sent=sent: sent <= arrived(remote), PATIENCE_SECONDS, "everything to arrive")
        wait_until(lambda: waiting(office) == [], 30, "the queue to be empty")
        assert office.errors() == ""
    assert_doubled_only_in_flight(remote.messages)


def submit(office: Installation, prefix: str) -> set[str]:
    """Messages for the outside, all of which were answered with 250."""
    marks = set()
    with smtplib.SMTP("127.0.0.1", office.port("submission"), timeout=60) as client:
        client.login("alice", PASSWORD)
        for number in range(MESSAGES):
            mark = f"{prefix}-{number}"
            client.sendmail("alice@example.test", [f"u{number}@remote.example"], f"X-Mark: {mark}\r\n\r\nhello\r\n")
            marks.add(mark)
    return marks


def kill_worker(office: Installation) -> None:
    """SIGKILL for every process of it; the supervisor starts another."""
    doomed = wait_until(lambda: workers(office), 60, "a worker to kill")
    for pid in doomed:
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: set(workers(office)) - set(doomed), 60, "the supervisor to start the worker again")


def workers(office: Installation) -> list[int]:
    return [pid for pid in office.processes() if b"celery\0" in read_proc(pid, "cmdline")]


def arrived(remote: RemoteSmtp) -> set[str]:
    return {mark_of(taken) for taken in list(remote.messages)}


def mark_of(taken: Taken) -> str:
    found = MARK.search(taken.data)
    assert found is not None, taken.data
    return found[1].decode()


def waiting(office: Installation) -> list[str]:
    return office.manage("queue", "list").splitlines()


def assert_doubled_only_in_flight(messages: list[Taken]) -> None:
    """Every copy but the last was the last message of its session."""
    last_of_session = {taken.session: taken for taken in messages}
    copies = defaultdict(list)
    for taken in messages:
        copies[mark_of(taken)].append(taken)
    early = [taken for same in copies.values() for taken in same[:-1]]
    assert [mark_of(taken) for taken in early if last_of_session[taken.session] is not taken] == []
