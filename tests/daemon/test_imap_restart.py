# SPDX-License-Identifier: MIT
"""A client that was away sees exactly what has changed, however often the server was started anew meanwhile.

RFC 7162 §3.1.3 (UNCHANGEDSINCE), §3.1.4.1 (CHANGEDSINCE), §3.2.5 (QRESYNC), §3.2.6 (VANISHED). On either database.
"""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Iterator

import pytest

from tests.support.imap_client import StrictClient, numbers_of
from tests.support.installation import Installation
from tests.support.postgres import named_database

pytestmark = [pytest.mark.slow, pytest.mark.database]

PASSWORD = "away-secret-1"
FLAGS = ("\\Seen", "\\Flagged", "\\Answered", "$Label")
MESSAGE = b"Subject: %d\r\n\r\ntext\r\n"
ROUNDS = 2
"""Each ends with a restart; before the first the processes are killed."""


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """Started anew several times by either test; each has a user of its own."""
    data = tmp_path_factory.mktemp("away") / "data"
    with named_database("away") as environment, Installation(data, **environment) as running:
        running.add_users(["anna", "bert"], PASSWORD)
        yield running
        assert running.errors() == ""


class Away:
    """What a client knew when it left: UIDVALIDITY, HIGHESTMODSEQ, and the flags of every message."""

    def __init__(self, validity: int, modseq: int, flags: dict[int, frozenset[str]]) -> None:
        self.validity, self.modseq, self.flags = validity, modseq, flags


async def look(installation: Installation, mailbox: str, user: str = "anna") -> Away:
    client = await connected(installation, user)
    done = await client.ok(f"SELECT {mailbox} (CONDSTORE)")
    await client.learn()
    picture = client.picture
    known = Away(code(done.untagged, b"UIDVALIDITY"), code(done.untagged, b"HIGHESTMODSEQ"), dict(picture.flags))
    await client.close()
    return known


async def come_back(installation: Installation, mailbox: str, known: Away) -> dict[int, frozenset[str]]:
    """What the client makes of what QRESYNC tells it; nothing may be told that has not changed."""
    client = await connected(installation)
    await client.ok("ENABLE QRESYNC")
    done = await client.ask(f"SELECT {mailbox} (QRESYNC ({known.validity} {known.modseq}))")
    assert done.status == "OK", done.text
    flags = dict(known.flags)
    for line in done.untagged:
        if line.startswith(b"* VANISHED (EARLIER) "):
            for uid in numbers_of(line.split()[-1]):
                flags.pop(uid, None)
        elif b" FETCH " in line:
            uid, modseq = (
                int(line.split(word)[1].split(b")")[0].split()[0].strip(b"(")) for word in (b"UID ", b"MODSEQ ")
            )
            assert modseq > known.modseq
            flags[uid] = frozenset(line.split(b"FLAGS (")[1].split(b")")[0].decode().split()) - {"\\Recent"}
    await client.close()
    return flags


async def connected(installation: Installation, user: str = "anna") -> StrictClient:
    client = StrictClient(user)
    await client.connect(installation.port("imap4"), user, PASSWORD)
    return client


def code(lines: tuple[bytes, ...], name: bytes) -> int:
    return next(int(line.split(name)[1].split(b"]")[0]) for line in lines if b"[" + name in line)


async def change(installation: Installation, chance: random.Random, mailbox: str) -> None:
    """Everything that happens in a mailbox, by another client of the user."""
    client = await connected(installation)
    await client.select(mailbox)
    for _ in range(12):
        uids = ",".join(map(str, chance.sample(client.picture.known, min(4, len(client.picture.known)))))
        flag = chance.choice(FLAGS)
        await client.ok(
            *chance.choice(
                [
                    (f"UID STORE {uids} +FLAGS.SILENT ({flag})",),
                    (f"UID STORE {uids} FLAGS ({flag})",),
                    (f"UID STORE {uids} -FLAGS ({flag})",),
                    (f"UID COPY {uids} {mailbox}",),
                    (f"UID MOVE {uids} Archive",),
                    (f"APPEND {mailbox} ({flag})", MESSAGE % 1),
                    (f"APPEND {mailbox}", MESSAGE % 2),
                ]
            )
        )
        if chance.random() < 0.4:
            gone = chance.choice(client.picture.known)
            await client.ok(f"UID STORE {gone} +FLAGS.SILENT (\\Deleted)")
            await client.ok("EXPUNGE")
        await client.learn()
    await client.close()


async def test_what_has_changed_while_the_server_was_started_anew(installation: Installation) -> None:
    chance = random.Random(20)
    client = await connected(installation)
    for number in range(20):
        await client.ok("APPEND INBOX", MESSAGE % number)
    await client.close()
    known = [await look(installation, "INBOX")]
    for number in range(ROUNDS):
        await change(installation, chance, "INBOX")
        if number == 0:
            for process in installation.daemons():
                os.kill(process, signal.SIGKILL)
        installation.stop()
        installation.start()
        now = await look(installation, "INBOX")
        for earlier in known:
            assert await come_back(installation, "INBOX", earlier) == now.flags
        known.append(now)


async def test_a_change_on_condition_remembers_what_was_before_the_restart(installation: Installation) -> None:
    client = await connected(installation, "bert")
    for number in range(3):
        await client.ok("APPEND INBOX", MESSAGE % number)
    await client.select("INBOX")
    before = (await look(installation, "INBOX", "bert")).modseq
    await client.ok("STORE 2 +FLAGS (\\Flagged)")
    await client.close()
    installation.stop()
    installation.start()
    client = await connected(installation, "bert")
    await client.select("INBOX")
    done = await client.ok(f"UID STORE 1:3 (UNCHANGEDSINCE {before}) +FLAGS.SILENT (\\Seen)")
    assert "[MODIFIED 2]" in done.text
    changed = await client.ok(f"UID FETCH 1:* (FLAGS) (CHANGEDSINCE {before})")
    assert [line.split()[1] for line in changed.untagged if b"FETCH" in line] == [b"1", b"2", b"3"]
    await client.close()
