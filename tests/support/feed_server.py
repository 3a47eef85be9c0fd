# SPDX-License-Identifier: MIT
"""A provider that holds mail until it is asked for: by ETRN, and then it calls us, or by ATRN, and then the roles turn.

RFC 1985, RFC 2645. Strict about what it is told; by switches it refuses, hangs up, or speaks out of turn.
"""

from __future__ import annotations

import asyncio
import base64
import hmac
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from tests.support.certificates import server_context

STAMP = b"<1896.697170952@provider.test>"


@dataclass
class HeldMail:
    """One message, with its envelope."""

    sender: str
    recipients: tuple[str, ...]
    text: bytes


@dataclass
class FeedServer:
    """What it holds, how it behaves, what it was told, and what it heard as a client."""

    mail: list[HeldMail] = field(default_factory=list)
    user: str = "office"
    password: str = "secret"
    domains: tuple[str, ...] = ("example.test",)
    extensions: tuple[str, ...] = ("ETRN", "ATRN", "AUTH CRAM-MD5 PLAIN")
    greeting: str = "220 provider.test ESMTP"
    answers: dict[str, str] = field(default_factory=dict)
    """Commands, and what they get instead."""
    call: Callable[[list[HeldMail]], Awaitable[None]] | None = None
    """Called after ETRN, when there is mail."""
    implicit_tls: bool = False
    speaks_early: bool = False
    cut_after: int = -1
    """Hang up in the middle of the message behind so many."""
    keeps_silent: bool = False
    port: int = 0
    told: list[str] = field(default_factory=list)
    heard: list[str] = field(default_factory=list)
    """Replies to the provider, as a client."""
    tasks: set[asyncio.Task[None]] = field(default_factory=set)


class HangUp(Exception):
    """The connection ends here."""


@asynccontextmanager
async def running_feed_server(state: FeedServer) -> AsyncIterator[FeedServer]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        state.tasks.add(task)
        try:
            await _Session(state, reader, writer).run()
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError, HangUp, ssl.SSLError):
            pass  # Clients that go, or that are told to.
        finally:
            writer.transport.abort()
            state.tasks.discard(task)

    context = server_context() if state.implicit_tls else None
    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    state.port = server.sockets[0].getsockname()[1]
    try:
        yield state
    finally:
        server.close()
        tasks = list(state.tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class _Session:
    def __init__(self, state: FeedServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.state = state
        self._reader = reader
        self._writer = writer
        self._logged_in = False

    async def run(self) -> None:
        await self._say(self.state.greeting)
        while line := (await self._reader.readline()).decode().rstrip("\r\n"):
            self.state.told.append(line)
            verb, _, argument = line.partition(" ")
            if verb in self.state.answers:
                await self._say(self.state.answers[verb])
                continue
            await getattr(self, f"do_{verb.lower()}")(argument)

    async def _say(self, text: str) -> None:
        self._writer.write(text.encode() + b"\r\n")
        await self._writer.drain()

    async def do_ehlo(self, _: str) -> None:
        lines = ["provider.test", *self.state.extensions]
        for line in lines[:-1]:
            await self._say(f"250-{line}")
        await self._say(f"250 {lines[-1]}")

    async def do_starttls(self, _: str) -> None:
        await self._say("220 go ahead")
        await self._writer.start_tls(server_context())

    async def do_auth(self, argument: str) -> None:
        mechanism, _, initial = argument.partition(" ")
        if mechanism == "CRAM-MD5":
            await self._say("334 " + base64.b64encode(STAMP).decode())
            answer = base64.b64decode(await self._reader.readline()).decode()
            digest = hmac.new(self.state.password.encode(), STAMP, "md5").hexdigest()
            self._logged_in = answer == f"{self.state.user} {digest}"
        else:
            self._logged_in = base64.b64decode(initial).decode() == f"\0{self.state.user}\0{self.state.password}"
        await self._say("235 welcome" if self._logged_in else "535 5.7.8 wrong name or password")

    async def do_quit(self, _: str) -> None:
        await self._say("221 bye")
        raise HangUp

    async def do_etrn(self, node: str) -> None:
        if node.lstrip("@#") not in self.state.domains:
            await self._say(f"459 node {node} not allowed")
        elif not self.state.mail:
            await self._say(f"251 no messages waiting for {node}")
        else:
            await self._say(f"253 {len(self.state.mail)} pending messages for {node} started")
            if self.state.call is not None:
                mail, self.state.mail = self.state.mail, []
                await self.state.call(mail)

    # ------------------------------------------------------------ ATRN

    async def do_atrn(self, argument: str) -> None:
        domains = [domain for domain in argument.split(",") if domain]
        if not self._logged_in:
            await self._say("530 authentication required")
        elif set(domains) - set(self.state.domains):
            await self._say("450 ATRN request refused")
        elif not self.state.mail:
            await self._say("453 you have no mail")
        elif self.state.speaks_early:
            self._writer.write(b"250 OK\r\nEHLO provider.test\r\n")
            await self._writer.drain()
        else:
            await self._say("250 OK now reversing the connection")
            await self._send_all()
            raise HangUp

    async def _send_all(self) -> None:
        await self._hear("220")
        await self._command("EHLO provider.test", "250")
        for number, message in enumerate(list(self.state.mail)):
            await self._send(message, cut=number == self.state.cut_after)
        await self._command("QUIT", "221")
        assert await self._reader.read() == b"", "the customer closes after QUIT"

    async def _send(self, message: HeldMail, *, cut: bool) -> None:
        await self._command(f"MAIL FROM:<{message.sender}>", "250")
        for recipient in message.recipients:
            await self._command(f"RCPT TO:<{recipient}>", "")
        await self._say("DATA")
        if not (await self._reply()).startswith("354"):
            await self._command("RSET", "250")
            return
        if cut:
            self._writer.write(message.text[: len(message.text) // 2])
            await self._writer.drain()
            raise HangUp
        self._writer.write(message.text.replace(b"\r\n.", b"\r\n.."))
        await self._say(".")
        if (await self._reply()).startswith("250"):
            self.state.mail.remove(message)

    async def _command(self, command: str, wanted: str) -> None:
        await self._say(command)
        await self._hear(wanted)

    async def _hear(self, wanted: str) -> None:
        reply = await self._reply()
        assert reply.startswith(wanted), reply

    async def _reply(self) -> str:
        while True:
            line = (await self._reader.readline()).decode().rstrip("\r\n")
            if not line:
                raise HangUp
            if line[3:4] != "-":
                self.state.heard.append(line)
                return line
