# SPDX-License-Identifier: MIT
"""SMTP on the real store, users and authenticator: what a conversation leaves in the database."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from mailserver.addressing.services import add_domain
from mailserver.config.building import build_snapshot
from mailserver.config.catalog import ServiceKind
from mailserver.journey.services import find_journey, search
from mailserver.outqueue.services import list_queue
from mailserver.store.database import DatabaseStore
from mailserver.store.interface import MailStore
from mailserver.users.services import DatabaseAuthenticator, create_user, delete_user
from mailserver.values import MEMORY_BODY_BYTES, Address, Protocol
from protocols.net.offload import ThreadOffload
from protocols.smtp.server import serve_smtp
from tests.support.fakes import MemoryStream, World, make_world
from tests.support.stores import open_database_store

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]

PASSWORD = "correct-horse-7"


class Installation:
    """The parts of a daemon that SMTP needs, and one conversation at a time."""

    def __init__(self, store: DatabaseStore) -> None:
        self.store: MailStore = store
        self._offload = ThreadOffload(2)
        self.snapshot = build_snapshot()

    def world(self) -> World:
        made = make_world(ServiceKind.SMTP, Protocol.SMTP, require_encrypted_login=False)
        return replace(made, authenticator=DatabaseAuthenticator(), offload=self._offload)

    def talk(self, *words: bytes) -> list[bytes]:
        """What is said to all this, line by line."""
        return asyncio.run(self._talk(b"EHLO client.example\r\n" + b"".join(words) + b"QUIT\r\n"))

    async def _talk(self, words: bytes) -> list[bytes]:
        stream = MemoryStream()
        connection = self.world().connect(stream)
        connection.snapshot = lambda: self.snapshot
        connection.store = self.store
        stream.data_received(words)
        await asyncio.wait_for(serve_smtp(connection), 20)
        return bytes(stream.transport.written).split(b"\r\n")[:-1]

    def inbox(self, name: str) -> list[bytes]:
        """The messages of a user, whole."""
        user = self.snapshot.directory.find(Address(name, "example.test"))
        assert user is not None
        entries = self.store.list_entries(user.inbox)
        contents = self.store.read_contents([entry.content for entry in entries])
        return [b"".join(content.chunks()) for content in contents]

    def close(self) -> None:
        self.store.close()
        self._offload.close()


@pytest.fixture
def installation(tmp_path: Path) -> Iterator[Installation]:
    add_domain("example.test")
    create_user("postmaster", PASSWORD, is_admin=True)
    create_user("alice", PASSWORD, may_send_out=True)
    made = Installation(open_database_store(tmp_path))
    yield made
    made.close()


def log_in(name: str, password: str = PASSWORD) -> bytes:
    return b"AUTH PLAIN " + b64encode(f"\0{name}\0{password}".encode()) + b"\r\n"


def test_message_from_outside(installation: Installation) -> None:
    message = b"Subject: =?utf-8?q?gr=C3=BC=C3=9Fe?=\r\nFrom: X <x@y.example>\r\n\r\ntext\r\n"
    heard = installation.talk(
        b"MAIL FROM:<x@y.example>\r\nRCPT TO:<ALICE@example.test>\r\nRCPT TO:<Postmaster>\r\n",
        b"RCPT TO:<no@example.test>\r\n",
        b"DATA\r\n" + message + b".\r\n",
    )
    ref = heard[-2].split()[-1].decode()
    for name in ("alice", "postmaster"):
        (stored,) = installation.inbox(name)
        assert stored.startswith(b"Return-Path: <x@y.example>\r\nReceived: from client.example ([192.0.2.7])\r\n")
        assert stored.endswith(message)
    found = find_journey(ref)
    assert found is not None
    assert (found.record.subject, found.record.header_from) == ("grüße", "X <x@y.example>")
    assert [(step.kind.value, step.recipient) for step in found.steps] == [
        ("refused", "no@example.test"),
        ("accepted", ""),
        ("filed", "ALICE@example.test"),
        ("filed", "Postmaster@example.test"),
    ]


def test_submission_to_somebody_elsewhere(installation: Installation) -> None:
    heard = installation.talk(
        log_in("alice@example.test"),
        b"MAIL FROM:<alice@example.test> RET=HDRS ENVID=Q\r\n",
        b"RCPT TO:<friend@elsewhere.example> NOTIFY=FAILURE,DELAY ORCPT=rfc822;f@e\r\n",
        b"DATA\r\nSubject: out\r\n\r\ntext\r\n.\r\n",
    )
    assert b"235 2.7.0 Authentication successful" in heard
    (waiting,) = list_queue()
    assert heard[-2] == b"250 2.0.0 Ok: queued as " + waiting.ref.encode()
    assert (waiting.reverse_path, waiting.recipient) == ("alice@example.test", "friend@elsewhere.example")
    journey = find_journey(waiting.ref)
    assert journey is not None
    assert journey.record.login == "alice@example.test"


def test_large_message_becomes_a_file_and_leaves_none_behind(installation: Installation, tmp_path: Path) -> None:
    body = b"0123456789\r\n" * (MEMORY_BODY_BYTES // 2)
    installation.talk(b"MAIL FROM:<>\r\nRCPT TO:<alice@example.test>\r\nDATA\r\n\r\n" + body + b".\r\n")
    (stored,) = installation.inbox("alice")
    assert stored.endswith(body)
    assert list((tmp_path / "spool").iterdir()) == []


def test_wrong_password(installation: Installation) -> None:
    heard = installation.talk(log_in("alice", "wrong"), log_in("nobody"))
    assert heard.count(b"535 5.7.8 Authentication credentials invalid") == 2


def test_refusal_can_be_found(installation: Installation) -> None:
    installation.talk(b"MAIL FROM:<x@y.example>\r\nRCPT TO:<no@example.test>\r\n")
    installation.store.close()
    (found,) = search("no@example.test")
    assert [step.detail for step in found.steps] == ["550 5.1.1 User unknown"]


def test_mailbox_that_vanished_between_the_snapshot_and_the_commit(installation: Installation) -> None:
    alice = installation.snapshot.directory.find(Address("alice", "example.test"))
    assert alice is not None
    delete_user(int(alice.id))
    message = b"MAIL FROM:<>\r\nRCPT TO:<alice@example.test>\r\nDATA\r\ntext\r\n.\r\n"
    assert installation.talk(message)[-2] == b"451 4.3.0 Temporarily unavailable, try later"
    installation.snapshot = build_snapshot()
    assert b"550 5.1.1 User unknown" in installation.talk(message)
