# SPDX-License-Identifier: MIT
"""A mail server somewhere else, as the tests want it: takes mail and keeps it, or misbehaves at any step.

`answers` says what differs from good manners: the key is a verb (`RCPT`), a whole command line, `greeting`, or `end`
(of the data); the value is the bytes to say instead, RESET, CLOSE or SILENCE, or a list of those, one for each time.
It runs in a thread of its own, so that tests of both kinds, and other processes, can send to it.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

RESET = b"\0reset"
CLOSE = b"\0close"
SILENCE = b"\0silence"
GOOD_MANNERS = ("PIPELINING", "8BITMIME", "SMTPUTF8", "SIZE 10000000", "DSN", "ENHANCEDSTATUSCODES")

Answer = bytes | Sequence[bytes]


@dataclass
class Taken:
    """A message that this server said yes to."""

    mail: str
    recipients: list[str]
    data: bytes
    tls: bool
    session: int


@dataclass
class _Envelope:
    mail: str = ""
    recipients: list[str] = field(default_factory=list)
    chunks: bytes = b""


class RemoteSmtp:
    """Use as a context manager; `port` is open from then on, on 127.0.0.1."""

    def __init__(
        self,
        keywords: Sequence[str] = GOOD_MANNERS,
        answers: Mapping[str, Answer] | None = None,
        *,
        name: str = "remote.example",
        tls: ssl.SSLContext | None = None,
        tls_from_start: bool = False,
        passwords: Mapping[str, str] | None = None,
        address: str = "127.0.0.1",
        port: int = 0,
        on_taken: Callable[[Taken], None] | None = None,
    ) -> None:
        self.keywords = keywords
        self.answers = dict(answers or {})
        self.name = name
        self.address = address
        self.port = port
        self.messages: list[Taken] = []
        self.commands: list[str] = []
        """Of all sessions; those that are text."""
        self.sessions = 0
        self.most_sessions = 0
        """At the same time."""
        self._open = 0
        self._tls, self._tls_from_start = tls, tls_from_start
        self._passwords = passwords or {}
        self.on_taken = on_taken
        self._times: dict[str, int] = {}
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._tasks: set[asyncio.Task[None]] = set()

    def __enter__(self) -> RemoteSmtp:
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        context = self._tls if self._tls_from_start else None
        server = self._loop.run_until_complete(
            asyncio.start_server(self._serve, self.address, self.port, ssl=context, limit=1 << 20)
        )
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        self._loop.run_forever()
        server.close()
        for task in self._tasks:
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*self._tasks, return_exceptions=True))
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        self._loop.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.sessions += 1
        self._open += 1
        self.most_sessions = max(self.most_sessions, self._open)
        session = _Session(self, reader, writer, self.sessions, self._tls)
        try:
            with contextlib.suppress(OSError, EOFError):
                await session.run()
        except asyncio.CancelledError:
            # At the end: asyncio would report that of a task which it made itself, and nobody waits for the end of TLS.
            writer.transport.abort()
        finally:
            self._open -= 1
            self._tasks.discard(task)
            writer.close()

    def find_answer(self, *keys: str) -> bytes | None:
        """The first that says something else than good manners do."""
        for key in keys:
            if key in self.answers:
                answer = self.answers[key]
                if isinstance(answer, bytes):
                    return answer
                number = self._times.get(key, 0)
                self._times[key] = number + 1
                if number < len(answer):
                    return answer[number] or None
        return None

    def take(self, taken: Taken) -> None:
        if self.on_taken is not None:
            self.on_taken(taken)
        self.messages.append(taken)

    def knows(self, user: str, password: str) -> bool:
        return self._passwords.get(user) == password

    @property
    def asks_passwords(self) -> bool:
        return bool(self._passwords)


class _Session:
    """One connection. EOFError ends it."""

    def __init__(
        self,
        server: RemoteSmtp,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        number: int,
        tls: ssl.SSLContext | None,
    ) -> None:
        self._server, self._reader, self._writer, self._number, self._context = server, reader, writer, number, tls
        self._envelope = _Envelope()
        self._encrypted = writer.get_extra_info("ssl_object") is not None

    async def run(self) -> None:
        await self._say(f"220 {self._server.name} ESMTP\r\n".encode(), "greeting")
        while True:
            line = (await self._reader.readuntil(b"\n")).decode("utf-8", "replace").rstrip("\r\n")
            self._server.commands.append(line)
            verb = line.partition(" ")[0].upper()
            await getattr(self, f"_{verb.lower()}", self._unknown)(line)

    async def _say(self, usual: bytes, *keys: str) -> bool:
        """Whether good manners were kept."""
        answer = self._server.find_answer(*keys)
        if answer == RESET:
            raw = self._writer.get_extra_info("socket")
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self._writer.transport.abort()
            raise EOFError
        if answer == CLOSE:
            raise EOFError
        if answer == SILENCE:
            await asyncio.Event().wait()
        said = answer if answer is not None else usual
        self._writer.write(said)
        await self._writer.drain()
        if said.startswith(b"421"):
            raise EOFError
        return answer is None or answer[:1] in b"23"

    async def _unknown(self, line: str) -> None:
        await self._say(b"500 what?\r\n", line, line.partition(" ")[0].upper())

    async def _ehlo(self, line: str) -> None:
        keywords = list(self._server.keywords)
        if self._context is not None and not self._encrypted:
            keywords.append("STARTTLS")
        if self._server.asks_passwords:
            keywords.append("AUTH PLAIN LOGIN XOAUTH2")
        lines = [self._server.name, *keywords]
        text = "".join(f"250{'-' if n < len(lines) - 1 else ' '}{word}\r\n" for n, word in enumerate(lines))
        await self._say(text.encode(), "EHLO")

    async def _helo(self, line: str) -> None:
        await self._say(b"250 hello\r\n", "HELO")

    async def _starttls(self, line: str) -> None:
        if not await self._say(b"220 go ahead\r\n", "STARTTLS"):
            return
        if self._context is None:
            return  # It said yes, and does not know how.
        await self._writer.start_tls(self._context)
        self._encrypted = True

    async def _auth(self, line: str) -> None:
        words = line.split(" ")
        if words[1].upper() == "XOAUTH2":
            user, token, *_ = base64.b64decode(words[2]).decode().split("\x01")
            good = self._server.knows(user.removeprefix("user="), token.removeprefix("auth=Bearer "))
            await self._say(b"235 2.7.0 welcome\r\n" if good else b"535 5.7.8 wrong\r\n", "AUTH")
            return
        if words[1].upper() == "PLAIN":
            _, user, password = base64.b64decode(words[2]).decode().split("\0")
        else:
            user, password = [await self._ask(prompt) for prompt in (b"Username:", b"Password:")]
        good = self._server.knows(user, password)
        await self._say(b"235 2.7.0 welcome\r\n" if good else b"535 5.7.8 wrong\r\n", "AUTH")

    async def _ask(self, prompt: bytes) -> str:
        self._writer.write(b"334 " + base64.b64encode(prompt) + b"\r\n")
        return base64.b64decode(await self._reader.readline()).decode()

    async def _mail(self, line: str) -> None:
        if await self._say(b"250 2.1.0 fine\r\n", line, "MAIL"):
            self._envelope = _Envelope(mail=line)

    async def _rcpt(self, line: str) -> None:
        if not self._envelope.mail:
            await self._say(b"503 5.5.1 MAIL first\r\n")
        elif await self._say(b"250 2.1.5 fine\r\n", line, "RCPT"):
            self._envelope.recipients.append(line)

    async def _data(self, line: str) -> None:
        if not self._envelope.recipients:
            await self._say(b"554 5.5.1 nobody to send to\r\n", "DATA")
            return
        if not await self._say(b"354 go ahead\r\n", "DATA"):
            return
        lines = []
        while (read := await self._reader.readuntil(b"\r\n")) != b".\r\n":
            lines.append(read[1:] if read.startswith(b".") else read)
        await self._end(b"".join(lines))

    async def _bdat(self, line: str) -> None:
        words = line.split(" ")
        self._envelope.chunks += await self._reader.readexactly(int(words[1]))
        if not self._envelope.recipients:
            await self._say(b"503 5.5.1 nobody to send to\r\n", "BDAT")
        elif words[-1].upper() == "LAST":
            await self._end(self._envelope.chunks)
        else:
            await self._say(b"250 2.0.0 more\r\n", "BDAT")

    async def _end(self, data: bytes) -> None:
        envelope, self._envelope = self._envelope, _Envelope()
        answer = self._server.answers.get("end")
        taken = Taken(envelope.mail, envelope.recipients, data, self._encrypted, self._number)
        if answer is None:
            self._server.take(taken)
        if await self._say(b"250 2.0.0 taken\r\n", "end") and answer is not None:
            self._server.take(taken)

    async def _rset(self, line: str) -> None:
        self._envelope = _Envelope()
        await self._say(b"250 2.0.0 fine\r\n", "RSET")

    async def _noop(self, line: str) -> None:
        await self._say(b"250 2.0.0 fine\r\n", "NOOP")

    async def _quit(self, line: str) -> None:
        await self._say(b"221 2.0.0 bye\r\n", "QUIT")
        raise EOFError
