# SPDX-License-Identifier: MIT
"""A whole installation that stays connected to a mailbox on Dovecot: new mail comes at once, also after its worker was
killed at any moment, each message once, and none is gone at the provider that is not filed here.

Small by default; PILLARBOX_CRASH_ROUNDS and PILLARBOX_CRASH_MESSAGES make it as long as wanted.
"""

from __future__ import annotations

import imaplib
import os
import random
import re
import signal
import time
from collections import Counter
from collections.abc import Iterator

import pytest

from tests.support.collecting import make_message
from tests.support.dovecot import PASSWORD, Dovecot
from tests.support.installation import Installation
from tests.support.processes import read_proc
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.interop, pytest.mark.slow]

ROUNDS = int(os.environ.get("PILLARBOX_CRASH_ROUNDS", "2"))
MESSAGES = int(os.environ.get("PILLARBOX_CRASH_MESSAGES", "120"))
PATIENCE_SECONDS = 120 + MESSAGES / 5
OWN_PASSWORD = "watch-secret-1"
SUBJECT = re.compile(rb"^Subject: Message (\d+)\r$", re.MULTILINE)
OFFICE = """\
users:
  - {{name: alice, password: "{own}"}}
connections:
  - name: Main line
    default: true
    sender: {{method: smtp-relay}}
    collectors: [Provider mailbox]
collectors:
  - name: Provider mailbox
    method: imap
    server: 127.0.0.1
    port: {port}
    encryption: starttls
    username: watched
    password: {password}
    idle: true
    routing: {{method: single, target: alice}}
"""


@pytest.fixture(scope="module")
def dovecot() -> Iterator[Dovecot]:
    with Dovecot() as running:
        yield running


@pytest.fixture(scope="module")
def office(dovecot: Dovecot, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    folder = tmp_path_factory.mktemp("watching")
    with Installation(folder / "data") as running:
        file = folder / "office.yaml"
        dovecot.deliver("watched", make_message(0))
        file.write_text(OFFICE.format(own=OWN_PASSWORD, password=PASSWORD, port=dovecot.imap_port))
        running.manage("importconfig", str(file))
        yield running
        assert running.errors() == ""


def test_new_mail_comes_at_once(dovecot: Dovecot, office: Installation) -> None:
    wait_until(lambda: numbers(office) == {0: 1}, 60, "what was there before")
    wait_until(lambda: dovecot.count("watched") == 0, 30, "it to be gone at the provider")
    begun = time.monotonic()
    dovecot.deliver("watched", make_message(1))
    wait_until(lambda: numbers(office).get(1) == 1, 30, "the new message")
    assert time.monotonic() - begun < 20  # a second on a machine with nothing else to do


def test_killed_at_random_moments(dovecot: Dovecot, office: Installation) -> None:
    expected: Counter[int] = Counter()
    for number in range(ROUNDS):
        first = 1000 * (number + 1)
        batch = range(first, first + MESSAGES)
        dovecot.deliver("watched", *(make_message(n, size=random.choice((200, 5_000, 100_000))) for n in batch))
        expected.update(batch)
        enough = random.randrange(1, MESSAGES * 9 // 10)
        wait_until(lambda first=first, enough=enough: arrived(office, first) >= enough, PATIENCE_SECONDS, "some mail")
        kill_worker(office)
        wait_until(lambda first=first: arrived(office, first) == MESSAGES, PATIENCE_SECONDS, "all mail")
        wait_until(lambda: dovecot.count("watched") == 0, PATIENCE_SECONDS, "it to be gone at the provider")
    found = Counter({n: times for n, times in numbers(office).items() if n >= 1000})
    assert {n: times for n, times in found.items() if times != 1} == {}
    assert found == expected


def arrived(office: Installation, first: int) -> int:
    return sum(first <= number < first + 1000 for number in numbers(office))


def numbers(office: Installation) -> Counter[int]:
    """Whatever is in Alice's Inbox."""
    with imaplib.IMAP4("127.0.0.1", office.port("imap4")) as client:
        client.login("alice", OWN_PASSWORD)
        _, (count,) = client.select("INBOX", readonly=True)
        if count == b"0":
            return Counter()
        _, found = client.fetch("1:*", "(BODY.PEEK[HEADER.FIELDS (SUBJECT)])")
    subjects = b"\r\n".join(part[1] for part in found if isinstance(part, tuple))
    return Counter(int(number) for number in SUBJECT.findall(subjects))


def kill_worker(office: Installation) -> None:
    """SIGKILL for every process of it; the supervisor starts another."""
    doomed = wait_until(lambda: workers(office), 60, "a worker to kill")
    for pid in doomed:
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: set(workers(office)) - set(doomed), 60, "the supervisor to start the worker again")


def workers(office: Installation) -> list[int]:
    return [pid for pid in office.processes() if b"celery\0" in read_proc(pid, "cmdline")]
