# SPDX-License-Identifier: MIT
"""InterIMAP keeps a user's folders here and at a Dovecot the same, by nothing but QRESYNC (RFC 7162).

It never lists a mailbox again: what a server does not tell it of the changes since last time is lost. Both sides change
between two runs, and our daemon is killed and started anew.
"""

from __future__ import annotations

import imaplib
import os
import random
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bench.imap_drivers import Filling, run_driver
from tests.support import dovecot as provider
from tests.support.dovecot import Dovecot
from tests.support.installation import Installation
from tests.support.programs import bare_environment, run_program
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.interop, pytest.mark.slow]

PASSWORD = "sync-secret-1"
MESSAGES = 300
ROUNDS = 6
FLAGS = ("\\Seen", "\\Flagged", "\\Answered", "$Junk")
RULES = """\
database = {folder}/state.db
[local]
type = imap
host = 127.0.0.1
port = {ours}
username = sync
password = {our_password}
STARTTLS = NO
auth = PLAIN LOGIN
[remote]
type = imap
host = 127.0.0.1
port = {theirs}
username = sync
password = {their_password}
STARTTLS = NO
auth = PLAIN LOGIN
"""

State = dict[str, dict[str, str]]
"""Of each folder the flags of each message, by its Message-ID."""


class Side:
    """One of the two servers, as any client sees it."""

    def __init__(self, port: int, password: str) -> None:
        self._port = port
        self._password = password

    def log_in(self) -> imaplib.IMAP4:
        client = imaplib.IMAP4("127.0.0.1", self._port, timeout=30)
        client.login("sync", self._password)
        return client

    def read(self) -> State:
        client = self.log_in()
        found: State = {}
        for line in client.list()[1]:
            assert isinstance(line, bytes)
            name = line.decode().rpartition(" ")[2].strip('"')
            count = int(client.select(f'"{name}"', readonly=True)[1][0] or 0)
            parts = client.fetch("1:*", "(FLAGS BODY.PEEK[HEADER.FIELDS (MESSAGE-ID)])")[1] if count else []
            found[name] = dict(_message(part) for part in parts if isinstance(part, tuple))
        client.logout()
        return found

    def change(self, chosen: random.Random) -> None:
        """What mail programs do in a day: flags, a few messages deleted, a few new ones."""
        client = self.log_in()
        count = int(client.select("INBOX")[1][0] or 0)
        for _ in range(20):
            how = chosen.choice(("+FLAGS", "-FLAGS"))
            client.store(str(chosen.randint(1, count)), how, f"({chosen.choice(FLAGS)})")
        first = chosen.randint(1, count - 10)
        client.store(f"{first}:{first + 3}", "+FLAGS", "(\\Deleted)")
        client.expunge()
        for _ in range(3):
            message = f"Message-ID: <{chosen.random()}@side.test>\r\nSubject: new\r\n\r\nnew\r\n"
            assert client.append("INBOX", "(\\Seen)", "", message.encode())[0] == "OK"
        client.logout()


def _message(part: tuple[bytes, bytes]) -> tuple[str, str]:
    flags = re.search(rb"FLAGS \(([^)]*)\)", part[0])
    assert flags
    return part[1].decode().strip(), " ".join(sorted(set(flags[1].decode().split()) - {"\\Recent"}))


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Installation]:
    with Installation(tmp_path / "data") as running:
        running.add_users(["sync"], PASSWORD)
        yield running
        assert running.errors() == ""


@pytest.fixture
def there() -> Iterator[Dovecot]:
    with Dovecot() as running:
        yield running


def test_two_servers_are_kept_the_same(office: Installation, there: Dovecot, tmp_path: Path) -> None:
    ours = Side(office.port("imap4"), PASSWORD)
    theirs = Side(there.imap_port, provider.PASSWORD)
    rules = tmp_path / "interimap"
    rules.write_text(
        RULES.format(
            folder=tmp_path,
            ours=office.port("imap4"),
            our_password=PASSWORD,
            theirs=there.imap_port,
            their_password=provider.PASSWORD,
        )
    )
    rules.chmod(0o600)

    def synchronise() -> str:
        return run_program(["interimap", "--config", str(rules)], bare_environment(tmp_path), seconds=120)

    _fill(office, ours)
    synchronise()
    assert theirs.read() == ours.read()
    assert "Updated flags" not in (again := synchronise())
    assert "Added" not in again
    for number in range(ROUNDS):
        ours.change(random.Random(2 * number))
        theirs.change(random.Random(2 * number + 1))
        if number % 2:
            _kill_daemon(office)
        synchronise()
        state = ours.read()
        assert state == theirs.read()
    assert len(state["INBOX"]) == MESSAGES - ROUNDS * 2
    assert len(state["Work/2026"]) == 40


def _fill(office: Installation, ours: Side) -> None:
    run_driver(Filling(office.port("imap4"), "sync", PASSWORD, MESSAGES, size_bytes=1500))
    client = ours.log_in()
    for folder in ("Work", "Work/2026", "Entw&APw-rfe"):
        assert client.create(f'"{folder}"')[0] == "OK"
    client.select("INBOX")
    client.copy("51:90", '"Work/2026"')
    client.store("1:100", "+FLAGS", "(\\Seen $Forwarded)")
    client.logout()


def _kill_daemon(office: Installation) -> None:
    """Not even its sockets are closed: what was answered must be on disk. The supervisor starts another."""
    doomed = office.daemons()
    for pid in doomed:
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: set(office.daemons()) - set(doomed), 60, "another daemon")
