# SPDX-License-Identifier: MIT
"""ETRN and ODMR in a whole installation: `connect` asks, the provider calls the SMTP service, or sends on the very
connection, and all of it is in the mailbox when the run is over. RFC 1985, RFC 2645."""

from __future__ import annotations

import asyncio
import imaplib
import smtplib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.collecting import make_message
from tests.support.feed_server import FeedServer, HeldMail, running_feed_server
from tests.support.installation import Installation

pytestmark = pytest.mark.slow

PASSWORD = "feed-secret-1"
OFFICE = """\
users:
  - {{name: alice, password: "{password}"}}
connections:
  - name: Main line
    default: true
    sender: {{method: smtp-relay}}
    collectors: [On demand, Feed]
collectors:
  - name: On demand
    method: odmr
    server: 127.0.0.1
    port: {odmr}
    encryption: none
    username: office
    password: secret
    odmr_domains: example.test
  - name: Feed
    method: incoming-smtp
    server: 127.0.0.1
    port: {etrn}
    encryption: none
    use_etrn: true
    etrn_parameters: example.test
    wait_seconds: 60
"""


@contextmanager
def provider(state: FeedServer) -> Iterator[FeedServer]:
    """In a thread of its own."""
    started, loop = threading.Event(), asyncio.new_event_loop()
    ended = asyncio.Event()

    async def serve() -> None:
        async with running_feed_server(state):
            started.set()
            await ended.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    assert started.wait(30)
    try:
        yield state
    finally:
        loop.call_soon_threadsafe(ended.set)
        thread.join()
        loop.close()


def held(numbers: range) -> list[HeldMail]:
    return [HeldMail("sender@elsewhere.test", ("alice@example.test",), make_message(number)) for number in numbers]


def test_what_the_provider_holds_is_in_the_mailbox(tmp_path: Path) -> None:
    with (
        provider(FeedServer(held(range(5)))) as odmr,
        provider(FeedServer(held(range(5, 10)))) as etrn,
        Installation(tmp_path / "data") as office,
    ):
        file = tmp_path / "office.yaml"
        file.write_text(OFFICE.format(password=PASSWORD, odmr=odmr.port, etrn=etrn.port))
        office.manage("importconfig", str(file))

        async def call(mail: list[HeldMail]) -> None:
            await asyncio.to_thread(_send, office.port("smtp"), mail)

        etrn.call = call
        said = office.manage("connect")
        assert "Main line" in said
        assert sorted(_subjects(office)) == sorted(f"Message {number}" for number in range(10))
        assert (odmr.mail, etrn.mail) == ([], [])
        office.manage("connect")
        assert etrn.told.count("ETRN example.test") >= 2  # more if the schedule's minute has come meanwhile
        odmr.password = "another"
        assert "does not accept the log-in" in office.manage("connect", check=False)
        assert office.errors() == ""


def _send(port: int, mail: list[HeldMail]) -> None:
    with smtplib.SMTP("127.0.0.1", port, timeout=60) as client:
        for message in mail:
            client.sendmail(message.sender, message.recipients, message.text)


def _subjects(office: Installation) -> list[str]:
    with imaplib.IMAP4("127.0.0.1", office.port("imap4")) as client:
        client.login("alice", PASSWORD)
        client.select("INBOX", readonly=True)
        _, found = client.fetch("1:*", "(BODY.PEEK[HEADER.FIELDS (SUBJECT)])")
    return [part[1].decode().partition(":")[2].strip() for part in found if isinstance(part, tuple)]
