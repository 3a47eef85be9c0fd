# SPDX-License-Identifier: MIT
"""Load from the outside, the same for our server and for its peers: SMTP in, POP3 out.

Each driver runs in a process of its own (`python -m tests.bench.drivers smtp|pop3 JSON`), so that its work does not
count as the server's, and prints one line of JSON. Every message is unique. RFC 5321 §4.1, RFC 1939 §5.
"""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from typing import cast

import uvloop

MESSAGE_LINE = b"x" * 76 + b"\r\n"
PIPELINE_DEPTH = 100
END_OF_MESSAGE = b"\r\n.\r\n"


@dataclass(frozen=True, slots=True)
class SmtpLoad:
    """`messages` of about `size_bytes` over `sessions` connections, `per_connection` on each before it is opened anew.

    Message number i goes to user number i % users + 1; `recipient` holds a `%d` for it.
    """

    port: int
    messages: int
    sessions: int = 20
    size_bytes: int = 4096
    per_connection: int = 20
    recipient: str = "u%d@bench.test"
    users: int = 20


@dataclass(frozen=True, slots=True)
class Pop3Load:
    """Fetch a whole maildrop once."""

    port: int
    user: str
    password: str
    pipelined: bool = False


@dataclass(frozen=True, slots=True)
class Result:
    """How many messages went through, how many were refused, and how long it took."""

    messages: int
    refused: int
    seconds: float

    @property
    def rate(self) -> float:
        return self.messages / self.seconds if self.seconds else 0.0


def run_driver(load: SmtpLoad | Pop3Load) -> Result:
    """Drive in a process of its own; raises CalledProcessError when the server answers something unexpected."""
    kind = "smtp" if isinstance(load, SmtpLoad) else "pop3"
    command = [sys.executable, "-m", "tests.bench.drivers", kind, json.dumps(asdict(load))]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, timeout=120)
    return Result(**json.loads(done.stdout))


def make_message(number: int, recipient: bytes, size_bytes: int) -> bytes:
    """A message with its final dot; the number makes it unlike any other."""
    head = (
        b"From: sender@load.test\r\nTo: %b\r\nSubject: load %d\r\nMessage-ID: <%d.%d@load.test>\r\n"
        b"Date: Mon, 02 Mar 2026 09:30:00 +0000\r\n\r\n"
    ) % (recipient, number, number, time.time_ns())
    lines = max(1, (size_bytes - len(head)) // len(MESSAGE_LINE))
    return head + MESSAGE_LINE * lines + b".\r\n"


class _Session(asyncio.Protocol):
    """One SMTP session that waits for each reply before it sends the next command."""

    def __init__(self, load: SmtpLoad, numbers: Iterator[int], on_end: Callable[[_Session], None]) -> None:
        self.accepted = self.refused = 0
        self._load, self._numbers, self._on_end = load, numbers, on_end
        self._left = load.per_connection
        self._buffer = b""
        self._next: Callable[[bytes], None] = self._greeted

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._on_end(self)

    def data_received(self, data: bytes) -> None:
        *lines, self._buffer = (self._buffer + data).split(b"\r\n")
        for line in lines:
            if line[3:4] != b"-":
                self._next(line)

    def _send(self, data: bytes, then: Callable[[bytes], None]) -> None:
        self._next = then
        self._transport.write(data)

    def _greeted(self, line: bytes) -> None:
        self._send(b"EHLO load.test\r\n", self._begin)

    def _begin(self, line: bytes) -> None:
        number = next(self._numbers, None) if self._left else None
        if number is None:
            self._send(b"QUIT\r\n", lambda line: self._transport.close())
            return
        self._left -= 1
        recipient = (self._load.recipient % (number % self._load.users + 1)).encode()
        text = make_message(number, recipient, self._load.size_bytes)
        rcpt = b"RCPT TO:<%b>\r\n" % recipient
        self._send(
            b"MAIL FROM:<sender@load.test>\r\n",
            self._expect(b"2", lambda: self._send(rcpt, self._expect(b"2", lambda: self._data(text)))),
        )

    def _data(self, text: bytes) -> None:
        self._send(b"DATA\r\n", self._expect(b"3", lambda: self._send(text, self._finished)))

    def _expect(self, digit: bytes, go_on: Callable[[], None]) -> Callable[[bytes], None]:
        def look(line: bytes) -> None:
            if line[:1] == digit:
                go_on()
            else:
                self.refused += 1
                self._send(b"RSET\r\n", self._begin)

        return look

    def _finished(self, line: bytes) -> None:
        if line[:1] == b"2":
            self.accepted += 1
        else:
            self.refused += 1
        self._begin(line)


async def drive_smtp(load: SmtpLoad) -> Result:
    """Keep `sessions` sessions going until every message was offered once."""
    loop = asyncio.get_running_loop()
    numbers = iter(range(load.messages))
    totals = [0, 0]

    async def one_after_another() -> None:
        while totals[0] + totals[1] < load.messages:
            ended: asyncio.Future[_Session] = loop.create_future()
            make_session = partial(_Session, load, numbers, ended.set_result)
            await loop.create_connection(make_session, "127.0.0.1", load.port)
            session = await ended
            totals[0] += session.accepted
            totals[1] += session.refused
            if session.accepted + session.refused == 0:
                return

    started = time.perf_counter()
    await asyncio.gather(*(one_after_another() for _ in range(load.sessions)))
    return Result(totals[0], totals[1], time.perf_counter() - started)


class Pop3Getter:
    """A blocking POP3 client that reads as fast as Python can."""

    def __init__(self, load: Pop3Load) -> None:
        self._socket = socket.create_connection(("127.0.0.1", load.port), timeout=120)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._line()
        self._command(f"USER {load.user}")
        self._command(f"PASS {load.password}")
        self.count = int(self._command("STAT").split()[1])

    def _line(self) -> bytes:
        line = b""
        while not line.endswith(b"\r\n"):
            line += self._receive()
        if not line.startswith(b"+OK"):
            raise SystemExit(f"the server said {line!r}")
        return line

    def _command(self, text: str) -> bytes:
        self._socket.sendall(text.encode() + b"\r\n")
        return self._line()

    def _receive(self) -> bytes:
        data = self._socket.recv(1 << 18)
        if not data:
            raise SystemExit("the server closed the connection")
        return data

    def fetch_one_by_one(self) -> None:
        for number in range(1, self.count + 1):
            self._socket.sendall(b"RETR %d\r\n" % number)
            tail = b""
            while not tail.endswith(END_OF_MESSAGE):
                tail = (tail + self._receive())[-len(END_OF_MESSAGE) :]

    def fetch_pipelined(self) -> None:
        for first in range(1, self.count + 1, PIPELINE_DEPTH):
            numbers = range(first, min(first + PIPELINE_DEPTH, self.count + 1))
            self._socket.sendall(b"".join(b"RETR %d\r\n" % number for number in numbers))
            ends, tail = 0, b""
            while ends < len(numbers):
                data = tail + self._receive()
                ends += data.count(END_OF_MESSAGE)
                tail = data[-(len(END_OF_MESSAGE) - 1) :]

    def quit(self) -> None:
        self._command("QUIT")


def drive_pop3(load: Pop3Load) -> Result:
    """Log in, then time the fetching alone."""
    getter = Pop3Getter(load)
    started = time.perf_counter()
    if load.pipelined:
        getter.fetch_pipelined()
    else:
        getter.fetch_one_by_one()
    seconds = time.perf_counter() - started
    getter.quit()
    return Result(getter.count, 0, seconds)


def main(kind: str, arguments: str) -> None:
    """The process that `run_driver` starts."""
    options = json.loads(arguments)
    if kind == "smtp":
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            result = runner.run(drive_smtp(SmtpLoad(**options)))
    else:
        result = drive_pop3(Pop3Load(**options))
    print(json.dumps(asdict(result)))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
