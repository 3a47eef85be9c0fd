# SPDX-License-Identifier: MIT
"""IMAP4 load from the outside, the same for our server and for its peer: RFC 9051 §6.

Like `drivers.py` each runs in a process of its own (`python -m tests.bench.imap_drivers KIND JSON`) and prints one
line of JSON. A client here knows just enough to see where an answer ends: literals, and the tagged line.
"""

from __future__ import annotations

import asyncio
import json
import random
import re
import subprocess
import sys
import time
from dataclasses import asdict, dataclass

import uvloop

_LITERAL = re.compile(rb"\{(\d+)\}\r\n$")
WORDS = ("invoice", "meeting", "holiday", "contract", "delivery", "machine", "quarter", "estimate")
LINE = "The quick brown fox jumps over the lazy dog while the office sleeps. "
APPENDED_AT_ONCE = 100


@dataclass(frozen=True, slots=True)
class Filling:
    """Put `messages` of about `size_bytes` into a mailbox, many in one command (MULTIAPPEND) where that is offered.

    The text of one message in a thousand holds `needle`.
    """

    port: int
    user: str
    password: str
    messages: int
    mailbox: str = "INBOX"
    size_bytes: int = 4096
    needle: str = ""


@dataclass(frozen=True, slots=True)
class MixedLoad:
    """`clients`, each of a user of its own (`user` holds a %d), do what mail programs do, for `seconds`."""

    port: int
    user: str
    password: str
    clients: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Timing:
    """How long one `command` takes on a mailbox, after `before` (for instance a SELECT), in milliseconds."""

    port: int
    user: str
    password: str
    command: str
    before: str = ""
    times: int = 1


@dataclass(frozen=True, slots=True)
class Figures:
    """What came of it: so many commands (or messages), refusals among them, and how long it took."""

    done: int
    refused: int
    seconds: float
    said: str = ""
    """The untagged answer to the last timed command."""

    @property
    def rate(self) -> float:
        return self.done / self.seconds if self.seconds else 0.0


Load = Filling | MixedLoad | Timing


def run_driver(load: Load) -> Figures:
    """Drive in a process of its own; raises CalledProcessError when the server answers something unexpected."""
    command = [sys.executable, "-m", "tests.bench.imap_drivers", type(load).__name__, json.dumps(asdict(load))]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, timeout=1200)
    return Figures(**json.loads(done.stdout))


class Client:
    """One connection that waits for each answer."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._tags = 0
        self.untagged = b""
        self.done = self.refused = 0

    @classmethod
    async def log_in(cls, port: int, user: str, password: str) -> Client:
        client = cls(*await asyncio.open_connection("127.0.0.1", port, limit=1 << 22))
        await client._reader.readline()
        await client.must(f"LOGIN {user} {password}")
        return client

    async def must(self, command: str) -> bytes:
        """The untagged answer; SystemExit unless it is OK."""
        if not await self.command(command.encode()):
            raise SystemExit(f"{command[:60]}: {self.untagged[-300:]!r}")
        return self.untagged

    async def command(self, command: bytes, literal: bytes = b"") -> bool:
        """Whether it was answered OK. A literal at its end is sent when the server has asked for it."""
        self._tags += 1
        tag = b"T%d" % self._tags
        self._writer.write(tag + b" " + command + b"\r\n")
        if literal:
            if not (await self._reader.readline()).startswith(b"+"):
                raise SystemExit(f"{command[:60]!r}: no continuation")
            self._writer.write(literal + b"\r\n")
        answer = await self._answer(tag)
        self.done += 1
        self.refused += not answer
        return answer

    async def _answer(self, tag: bytes) -> bool:
        heard: list[bytes] = []
        while True:
            line = await self._reader.readline()
            if not line:
                raise SystemExit(f"the server closed the connection after {b''.join(heard)[-200:]!r}")
            if line.startswith(tag + b" "):
                heard.append(line)
                self.untagged = b"".join(heard)
                return line[len(tag) + 1 :].startswith(b"OK")
            heard.append(line)
            while literal := _LITERAL.search(line):
                heard.append(await self._reader.readexactly(int(literal[1])))
                line = await self._reader.readline()
                heard.append(line)

    async def idle(self) -> None:
        """Begin to idle."""
        self._writer.write(b"I IDLE\r\n")
        if not (await self._reader.readline()).startswith(b"+"):
            raise SystemExit("IDLE was refused")

    def close(self) -> None:
        self._writer.close()


def make_message(number: int, size_bytes: int, needle: str = "") -> bytes:
    """Unlike any other, and like real ones in what its header says."""
    chosen = random.Random(number)
    subject = " ".join(chosen.sample(WORDS, 3))
    head = (
        f"From: Person {number % 97} <p{number % 97}@load.test>\r\nTo: u1@bench.test\r\n"
        f"Subject: {subject} {number}\r\nMessage-ID: <{number}.{time.time_ns()}@load.test>\r\n"
        f"Date: Mon, {1 + number % 28:02d} Mar 2026 09:{number % 60:02d}:00 +0000\r\n\r\n"
    )
    body = f"{chosen.random()} {needle if number % 1000 == 0 else ''}\r\n"
    body += (LINE + "\r\n") * max(1, (size_bytes - len(head)) // len(LINE))
    return (head + body).encode()


async def fill(load: Filling) -> Figures:
    client = await Client.log_in(load.port, load.user, load.password)
    together = APPENDED_AT_ONCE if b"MULTIAPPEND" in await client.must("CAPABILITY") else 1
    started = time.perf_counter()
    for first in range(0, load.messages, together):
        messages = [
            make_message(number, load.size_bytes, load.needle)
            for number in range(first, min(first + together, load.messages))
        ]
        # Without waiting (RFC 7888): the command and its literals in one piece.
        parts = b"".join(b" {%d+}\r\n%s" % (len(message), message) for message in messages)
        if not await client.command(b"APPEND %s" % load.mailbox.encode() + parts):
            raise SystemExit(f"APPEND: {client.untagged[-300:]!r}")
    seconds = time.perf_counter() - started
    client.close()
    return Figures(load.messages, 0, seconds)


async def drive_mixed(load: MixedLoad) -> Figures:
    clients = await asyncio.gather(
        *(Client.log_in(load.port, load.user % number, load.password) for number in range(1, load.clients + 1))
    )
    for client in clients:
        await client.must("SELECT INBOX")
        client.done = client.refused = 0
    started = time.perf_counter()
    end = started + load.seconds
    await asyncio.gather(*(_work(client, random.Random(number), end) for number, client in enumerate(clients)))
    seconds = time.perf_counter() - started
    for client in clients:
        client.close()
    return Figures(sum(client.done for client in clients), sum(client.refused for client in clients), seconds)


async def _work(client: Client, chosen: random.Random, end: float) -> None:
    """What mail programs do, about as often: looking, reading, marking, and now and then filing and searching."""
    kinds = ("look", "read", "mark", "list", "search", "file", "select")
    weights = (30, 25, 20, 10, 5, 5, 5)
    exists = await _exists(client)
    number = chosen.randrange(10**9)
    while time.perf_counter() < end:
        first = chosen.randint(1, max(1, exists - 20))
        match chosen.choices(kinds, weights)[0]:
            case "look":
                await client.command(b"FETCH %d:%d (UID FLAGS INTERNALDATE RFC822.SIZE ENVELOPE)" % (first, first + 19))
            case "read":
                await client.command(b"FETCH %d (UID BODY.PEEK[])" % first)
            case "mark":
                await client.command(b"STORE %d %sFLAGS (\\Seen)" % (first, chosen.choice((b"+", b"-"))))
            case "list":
                await client.command(
                    chosen.choice((b'LIST "" "*"', b"STATUS INBOX (MESSAGES UNSEEN UIDNEXT)", b"NOOP"))
                )
            case "search":
                await client.command(b"SEARCH UNSEEN SUBJECT " + chosen.choice(WORDS).encode())
            case "file":
                number += 1
                message = make_message(number, 4096)
                await client.command(b"APPEND INBOX {%d}" % len(message), message)
            case "select":
                await client.command(b"SELECT INBOX")
                exists = await _exists(client)


async def _exists(client: Client) -> int:
    found = re.search(rb"\* (\d+) EXISTS", client.untagged)
    if found:
        return int(found[1])
    counted = re.search(rb"MESSAGES (\d+)", await client.must("STATUS INBOX (MESSAGES)"))
    assert counted
    return int(counted[1])


async def measure(load: Timing) -> Figures:
    client = await Client.log_in(load.port, load.user, load.password)
    if load.before:
        await client.must(load.before)
    started = time.perf_counter()
    for _ in range(load.times):
        said = await client.must(load.command)
    seconds = time.perf_counter() - started
    client.close()
    return Figures(load.times, 0, seconds / load.times, said[-2000:].decode("utf-8", "replace"))


class Idlers:
    """Sessions that idle, held by this process; use it within a running loop."""

    def __init__(self) -> None:
        self._clients: list[Client] = []

    async def open(self, port: int, user: str, password: str, sessions: int, per_user: int) -> None:
        """Each logs in, selects the Inbox and idles; so many at a time as a machine's mail programs would be."""
        gate = asyncio.Semaphore(20)

        async def one(number: int) -> Client:
            async with gate:
                client = await Client.log_in(port, user % (number // per_user + 1), password)
                await client.must("SELECT INBOX")
                await client.idle()
                return client

        self._clients += await asyncio.gather(*(one(number) for number in range(sessions)))

    def close(self) -> None:
        for client in self._clients:
            client.close()


def main(kind: str, arguments: str) -> None:
    """The process that `run_driver` starts."""
    options = json.loads(arguments)
    drivers = {
        "Filling": lambda: fill(Filling(**options)),
        "MixedLoad": lambda: drive_mixed(MixedLoad(**options)),
        "Timing": lambda: measure(Timing(**options)),
    }
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        print(json.dumps(asdict(runner.run(drivers[kind]()))))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
