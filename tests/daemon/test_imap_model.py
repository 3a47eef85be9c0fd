# SPDX-License-Identifier: MIT
"""Twenty clients on one user's mail, in two server processes, doing everything at once; and what idling clients hear.

PILLARBOX_MODEL_SECONDS says for how long (5 by default), PILLARBOX_MODEL_SEED with which chances.
"""

from __future__ import annotations

import asyncio
import os
import random
import re
import statistics
from collections.abc import Awaitable, Callable, Iterator

import pytest

from tests.support.imap_client import Done, StrictClient, numbers_of
from tests.support.installation import Installation
from tests.support.postgres import named_database

pytestmark = pytest.mark.slow

SECONDS = float(os.environ.get("PILLARBOX_MODEL_SECONDS", "5"))
SEED = int(os.environ.get("PILLARBOX_MODEL_SEED", str(random.randrange(1_000_000))))
ROUND_SECONDS = 0.5
CLIENTS = 20
MESSAGES = 40
MAX_MESSAGES = 150
OWN_KEYWORDS = 4
"""Of each client: flags that it sets on one message only, by which it is seen whether a number meant that message."""
HEAR_SECONDS = 1.0
FLAGS = ("\\Seen", "\\Answered", "\\Flagged", "\\Deleted", "\\Draft", "$Label")
BODY = b"From: a@example.test\r\nSubject: %s\r\nDate: Mon, 2 Mar 2026 10:00:00 +0000\r\n\r\ntext %d\r\n"
MAX_FOLDERS = 5
"""Of each client."""
PROCESSES_ASKED = 4
"""Connections that ask for a list: enough that either process answers some."""
COPIED = re.compile(rb"\[COPYUID \d+ [\d:,]+ ([\d:,]+)\]")
COUNTED = re.compile(rb'\* STATUS "?(c\d+[\d/]*)"? \(MESSAGES (\d+)\)')
CONFIGURATION = """\
users:
  - {name: alice, password: secret-word-1}
  - {name: bob, password: secret-word-1}
services:
  - {kind: imap4, options: {max_logins_per_user: 100}}
"""
GONE = re.compile(r"\[(EXPUNGEISSUED|NONEXISTENT)\]")


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """Two protocol daemons, and users who may have many sessions each."""
    with named_database("crowded") as environment:
        running = Installation(tmp_path_factory.mktemp("crowded") / "data", **environment)
        running.start("--workers", "2")
        try:
            assert len(running.daemons()) == 2
            file = running.data.with_name("crowded.yaml")
            file.write_text(CONFIGURATION)
            running.manage("importconfig", str(file))
            yield running
            assert running.errors() == ""
        finally:
            running.stop()


async def connected(installation: Installation, name: str, user: str = "alice") -> StrictClient:
    client = StrictClient(name)
    await client.connect(installation.port("imap4"), user, "secret-word-1")
    return client


# ---------------------------------------------------------------- what a client does


class Actor:
    """A client with a will of its own. `marks` are its own keywords and the UIDs of the Inbox that it put them on.

    `folders` are its own too, named after it: nobody else changes them, so what is in them is known exactly.
    """

    def __init__(self, client: StrictClient, seed: str) -> None:
        self.client = client
        self.chance = random.Random(seed)
        self.mailbox = ""
        self.read_only = False
        self.modseq = False
        self.marks: dict[str, int] = {}
        self.folders: dict[str, set[int]] = {}
        self._appended = 0
        self._made = 0

    async def begin(self, kind: str) -> None:
        """`kind` is what it enables."""
        if kind:
            await self.client.ok(f"ENABLE {kind}")
        self.modseq = kind in ("CONDSTORE", "QRESYNC")
        self.client.uid_only = kind == "UIDONLY"
        await self.make_folder()
        await self.choose()

    async def choose(self) -> None:
        self.mailbox = self.chance.choice(("INBOX", "INBOX", "INBOX", "Archive"))
        self.read_only = self.chance.random() < 0.1
        await self.client.select(self.mailbox, read_only=self.read_only)

    async def act(self) -> None:
        uids = self.client.picture.known
        actions: list[Callable[[], Awaitable[None]]] = [self.wait, self.idle, self.append, self.look, self.leave]
        actions += [self.make_folder, self.rename_folder, self.delete_folder]
        if uids:
            actions += [self.fetch, self.fetch, self.search, self.saved, self.arrange, self.carry]
            if not self.read_only:
                actions += [self.store, self.store, self.store, self.mark, self.remove, self.file, self.replace]
        await self.chance.choice(actions)()
        if self.chance.random() < 0.7:
            await self.client.learn()

    # ------------------------------------------------------------ messages

    def some(self) -> tuple[str, str, list[int]]:
        """Some messages that the client knows: the command's prefix, the set, the UIDs."""
        known = self.client.picture.known
        uids = sorted(self.chance.sample(known, min(len(known), self.chance.randint(1, 5))))
        if self.client.uid_only or self.chance.random() < 0.5:
            return "UID ", ",".join(map(str, uids)), uids
        return "", ",".join(str(self.client.picture.number_of(uid)) for uid in uids), uids

    async def gently(self, command: str) -> Done:
        """Messages may be gone without the client having been told (RFC 5530)."""
        done = await self.client.ask(command)
        assert done.status == "OK" or (done.status == "NO" and GONE.search(done.text)), (
            f"{self.client.name}: {command}: {done.status} {done.text}"
        )
        return done

    async def fetch(self) -> None:
        prefix, messages, _ = self.some()
        await self.gently(
            f"{prefix}FETCH {messages} (UID FLAGS {self.chance.choice(('ENVELOPE', 'BODY.PEEK[]', 'RFC822.SIZE'))})"
        )

    async def store(self) -> None:
        """What is done silently is taken for done when it is sent; what the server says later counts more."""
        prefix, messages, uids = self.some()
        sign = self.chance.choice(("+", "-", ""))
        flags = frozenset(self.chance.sample(FLAGS, self.chance.randint(1, 3)))
        silent = self.chance.random() < 0.4
        if silent:
            for uid in uids:
                held = self.client.picture.flags.get(uid, frozenset())
                self.client.picture.flags[uid] = {"+": held | flags, "-": held - flags, "": flags}[sign]
        await self.gently(f"{prefix}STORE {messages} {sign}FLAGS{'.SILENT' if silent else ''} ({' '.join(flags)})")

    async def mark(self) -> None:
        """By number, so that the wrong message would be marked if the numbers did not agree."""
        if self.mailbox != "INBOX" or len(self.marks) >= OWN_KEYWORDS or self.client.uid_only:
            return
        uid = self.chance.choice(self.client.picture.known)
        keyword = f"{self.client.name}-{len(self.marks)}"
        self.marks[keyword] = uid
        await self.gently(f"STORE {self.client.picture.number_of(uid)} +FLAGS ({keyword})")

    async def append(self) -> None:
        if len(self.client.picture.slots) >= MAX_MESSAGES:
            return
        self._appended += 1
        flags = " ".join(self.chance.sample(FLAGS, self.chance.randint(0, 2)))
        subject = self.chance.choice((b"apple", b"Re: apple", b"banana"))
        await self.client.ok(
            f"APPEND {self.chance.choice(('INBOX', 'Archive'))} ({flags})", BODY % (subject, self._appended)
        )

    async def remove(self) -> None:
        if self.chance.random() < 0.5:
            await self.client.ok("EXPUNGE")
        else:
            _, _, uids = self.some()
            await self.client.ok(f"UID EXPUNGE {','.join(map(str, uids))}")

    async def file(self) -> None:
        prefix, messages, _ = self.some()
        if self.mailbox == "INBOX":
            await self.gently(f"{prefix}{self.chance.choice(('COPY', 'MOVE'))} {messages} Archive")

    async def replace(self) -> None:
        prefix, messages, _ = self.some()
        await self.client_replace(f"{prefix}REPLACE {messages.split(',')[0]} {self.mailbox} (\\Draft)")

    async def client_replace(self, command: str) -> None:
        done = await self.client.ask(command, BODY % (b"draft", 0))
        assert done.status == "OK" or GONE.search(done.text), f"{self.client.name}: {command}: {done.text}"

    # ------------------------------------------------------------ folders of its own

    async def make_folder(self) -> None:
        """The levels above are made as well, unless they are there."""
        if len(self.folders) < MAX_FOLDERS:
            self._made += 1
            name = self.chance.choice(sorted(self.folders)) if self.folders else self.client.name
            name = f"{name}/{self._made}"
            await self.client.ok(f"CREATE {name}")
            self.folders.setdefault(self.client.name, set())
            self.folders[name] = set()

    async def rename_folder(self) -> None:
        """With everything below it, and all the messages."""
        movable = [name for name in self.folders if name != self.client.name]
        if not movable:
            return
        self._made += 1
        old, new = self.chance.choice(movable), f"{self.client.name}/{self._made}"
        await self.client.ok(f"RENAME {old} {new}")
        self.folders = {
            new + name[len(old) :] if f"{name}/".startswith(f"{old}/") else name: uids
            for name, uids in self.folders.items()
        }

    async def delete_folder(self) -> None:
        leaves = [name for name in self.folders if not any(other.startswith(f"{name}/") for other in self.folders)]
        if len(self.folders) > MAX_FOLDERS // 2:
            name = self.chance.choice(leaves)
            await self.client.ok(f"DELETE {name}")
            del self.folders[name]
            assert (await self.client.ask(f"STATUS {name} (MESSAGES)")).status == "NO"

    async def carry(self) -> None:
        """Copy or move messages from where everybody is; COPYUID says what has come of it (RFC 4315 §3)."""
        name = self.chance.choice(sorted(self.folders))
        prefix, messages, _ = self.some()
        verb = "COPY" if self.read_only else self.chance.choice(("COPY", "COPY", "MOVE"))
        done = await self.gently(f"{prefix}{verb} {messages} {name}")
        said = [done.text.encode(), *done.untagged]
        for found in filter(None, map(COPIED.search, said)):
            fresh = set(numbers_of(found[1]))
            assert not fresh & self.folders[name], f"{self.client.name}: UIDs {fresh} were given out twice"
            self.folders[name] |= fresh

    # ------------------------------------------------------------ looking

    async def search(self) -> None:
        """Nothing is found that the client cannot name."""
        key = self.chance.choice(("ALL", "UNSEEN", "NOT DELETED", "SUBJECT apple", "TEXT banana", "OR FLAGGED DRAFT"))
        picture = self.client.picture
        if self.client.uid_only or self.chance.random() < 0.5:
            found = (await self.client.ok(f"UID SEARCH {key}")).numbers("SEARCH")
            return
        count = len(picture.slots)
        found = (await self.client.ok(f"SEARCH {key}")).numbers("SEARCH")
        assert all(1 <= number <= count for number in found), f"{self.client.name}: {found} of {count}"

    async def saved(self) -> None:
        await self.client.ok("UID SEARCH RETURN (SAVE) NOT DELETED")
        await self.client.ok(f"UID {self.chance.choice(('FETCH $ (FLAGS)', 'SEARCH RETURN (COUNT) $ SEEN'))}")

    async def arrange(self) -> None:
        prefix = "UID " if self.client.uid_only else self.chance.choice(("UID ", ""))
        await self.client.ok(prefix + self.chance.choice(("SORT (SUBJECT) UTF-8 ALL", "THREAD REFS UTF-8 ALL")))

    async def look(self) -> None:
        what = ("STATUS Archive (MESSAGES UIDNEXT UNSEEN)", 'LIST "" *', "GETQUOTAROOT INBOX", "NAMESPACE")
        await self.client.ok(self.chance.choice(what))

    async def wait(self) -> None:
        await self.client.ok(self.chance.choice(("NOOP", "CHECK")))

    async def idle(self) -> None:
        """For as long as something comes soon."""
        tag = await self.client.begin_idle()
        try:
            async with asyncio.timeout(self.chance.random() * 0.2):
                await self.client.hear()
        except TimeoutError:
            pass
        await self.client.end_idle(tag)

    async def leave(self) -> None:
        if self.chance.random() < 0.3:
            await self.client.ok(self.chance.choice(("CLOSE", "UNSELECT")))
            await self.choose()


# ---------------------------------------------------------------- the model


async def furnish(installation: Installation) -> None:
    client = await connected(installation, "furnisher")
    for number in range(MESSAGES):
        await client.ok("APPEND INBOX", BODY % (b"apple", number))
    await client.close()


async def perform(actor: Actor, until: float) -> int:
    count = 0
    while asyncio.get_running_loop().time() < until:
        await actor.act()
        count += 1
    return count


async def truth(installation: Installation, mailbox: str) -> dict[int, frozenset[str]]:
    """As a client sees it that comes afterwards."""
    client = await connected(installation, "witness")
    await client.select(mailbox, read_only=True)
    found = {uid: client.picture.flags[uid] for uid in client.picture.known}
    await client.close()
    return found


async def check_folders(installation: Installation, actors: list[Actor]) -> None:
    """Both processes list the folders that there are, with as many messages as were put into them."""
    told = set()
    for number in range(PROCESSES_ASKED):
        client = await connected(installation, f"lister{number}")
        done = await client.ok('LIST "" "c*" RETURN (STATUS (MESSAGES))')
        await client.close()
        told.add(frozenset(match.groups() for line in done.untagged if (match := COUNTED.match(line))))
    expected = {(name.encode(), str(len(uids)).encode()) for actor in actors for name, uids in actor.folders.items()}
    assert told == {frozenset(expected)}


async def check_contents(installation: Installation, actors: list[Actor]) -> None:
    """Message by message."""
    for actor in actors:
        for name, uids in actor.folders.items():
            assert set(await truth(installation, name)) == uids, name


async def check(installation: Installation, actors: list[Actor]) -> None:
    """Everybody is quiet: whoever asks for news now must see what is stored, flag by flag."""
    stored = {mailbox: await truth(installation, mailbox) for mailbox in ("INBOX", "Archive")}
    for actor in actors:
        await actor.client.ok("NOOP")
        await actor.client.learn()
        picture = actor.client.picture
        assert picture.known == list(stored[actor.mailbox]), actor.client.name
        wrong = {
            uid: (sorted(picture.flags[uid]), sorted(flags))
            for uid, flags in stored[actor.mailbox].items()
            if picture.flags[uid] != flags
        }
        assert not wrong, f"{actor.client.name} believes, but stored is: {wrong}"
        for keyword, uid in actor.marks.items():
            assert {u for u, flags in stored["INBOX"].items() if keyword in flags} <= {uid}, keyword


@pytest.mark.database
async def test_twenty_clients_agree_with_the_store(installation: Installation) -> None:
    """In short rounds: what one has missed is soon mended by the next change to the same message."""
    print(f"PILLARBOX_MODEL_SEED={SEED}")
    await furnish(installation)
    kinds = ["", "", "", "CONDSTORE", "QRESYNC", "IMAP4rev2", "UIDONLY"]
    actors = [Actor(await connected(installation, f"c{n}"), f"{SEED}-{n}") for n in range(CLIENTS)]
    for number, actor in enumerate(actors):
        await actor.begin(kinds[number % len(kinds)])
    loop = asyncio.get_running_loop()
    end = loop.time() + SECONDS
    done = 0
    while loop.time() < end:
        until = loop.time() + ROUND_SECONDS
        done += sum(await asyncio.gather(*(perform(actor, until) for actor in actors)))
        await check(installation, actors)
        await check_folders(installation, actors)
    await check_contents(installation, actors)
    print(f"{done} actions")
    assert done > CLIENTS * SECONDS
    for actor in actors:
        await actor.client.close()


async def test_idling_clients_hear_within_a_second(installation: Installation) -> None:
    """Enough of them that both processes have some."""
    writer = await connected(installation, "writer", "bob")
    await writer.ok("APPEND INBOX", BODY % (b"first", 1))
    await writer.select("INBOX")
    idlers = [await connected(installation, f"idler{n}", "bob") for n in range(8)]
    for idler in idlers:
        await idler.select("INBOX")
    tags = [await idler.begin_idle() for idler in idlers]
    seconds: list[float] = []
    for _ in range(3):
        seconds += await _heard(writer, idlers, "APPEND INBOX", b"EXISTS", BODY % (b"next", 2))
        await writer.ok("NOOP")
        seconds += await _heard(writer, idlers, "STORE 2 +FLAGS (\\Deleted)", b"\\Deleted")
        seconds += await _heard(writer, idlers, "EXPUNGE", b"EXPUNGE")
    for idler, tag in zip(idlers, tags, strict=True):
        await idler.end_idle(tag)
        assert idler.picture.slots == [1]
        await idler.close()
    await writer.close()
    assert statistics.median(seconds) < HEAR_SECONDS / 2, seconds
    assert max(seconds) < HEAR_SECONDS, seconds


async def _heard(
    writer: StrictClient, idlers: list[StrictClient], command: str, sign: bytes, literal: bytes | None = None
) -> list[float]:
    """How long after the command's OK each of them has heard of it."""
    loop = asyncio.get_running_loop()

    async def listen(idler: StrictClient) -> float:
        while sign not in await idler.hear():
            pass
        return loop.time()

    listening = [asyncio.ensure_future(listen(idler)) for idler in idlers]
    await writer.ok(command, literal)
    done = loop.time()
    return [at - done for at in await asyncio.gather(*listening)]
