# SPDX-License-Identifier: MIT
"""An IMAP4 server at a provider, in memory: as good or as ill-behaved as a test wants it.

Knows just what a collector needs (RFC 9051, RFC 3501), and by switches less of it, or does it wrongly.
"""

from __future__ import annotations

import asyncio
import base64
import re
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from tests.support.certificates import server_context

LITERAL = re.compile(rb"\{(\d+)\}\r\n\Z")
WORD = re.compile(rb'"((?:[^"\\]|\\.)*)"|\(([^)]*)\)|(\S+)')


@dataclass
class RemoteMessage:
    uid: int
    text: bytes
    flags: set[str] = field(default_factory=set)


@dataclass
class RemoteFolder:
    uid_validity: int = 1000
    messages: list[RemoteMessage] = field(default_factory=list)
    next_uid: int = 1

    def add(self, text: bytes, *flags: str) -> int:
        self.messages.append(RemoteMessage(self.next_uid, text, set(flags)))
        self.next_uid += 1
        return self.next_uid - 1

    def rebuild(self) -> None:
        """As after a repair at the provider: other UIDs, and a UIDVALIDITY that says so."""
        self.uid_validity += 1
        for number, message in enumerate(self.messages):
            message.uid = 5000 + number
        self.next_uid = 5000 + len(self.messages)

    @property
    def uids(self) -> list[int]:
        return [message.uid for message in self.messages]


@dataclass
class RemoteImap:
    """What it has, how it behaves, and what it was told."""

    folders: dict[str, RemoteFolder] = field(default_factory=lambda: {"INBOX": RemoteFolder()})
    users: dict[str, str] = field(default_factory=lambda: {"anne": "secret"})
    token_is_good: Callable[[str], bool] = lambda token: False
    capabilities: str = "IMAP4rev1 LITERAL+ SASL-IR AUTH=PLAIN UIDPLUS MOVE IDLE"
    greeting: bytes = b"* OK at your service\r\n"
    tells_capabilities: bool = True
    tls: ssl.SSLContext | None = None
    implicit_tls: bool = False
    before_tls: bytes = b""
    """Sent together with the answer to STARTTLS, in clear: what somebody in the middle would slip in."""
    cut_in_body_of: int = 0
    """Hang up in the middle of this UID's text, each time."""
    cut_after: bytes = b""
    """Hang up instead of answering this command."""
    size_error: int = 0
    """Sizes are told wrong by so much."""
    uid_last: bool = False
    """FETCH names the UID behind the text."""
    quotes: bool = False
    """Short texts are quoted strings."""
    noise: bytes = b""
    """Sent before each tagged answer."""
    refuses: dict[bytes, bytes] = field(default_factory=dict)
    """Commands, and the NO or BAD that they get."""
    read_only: bool = False
    port: int = 0
    told: list[bytes] = field(default_factory=list)
    """Commands, without their tags."""
    sessions: set[asyncio.Task[None]] = field(default_factory=set)
    idle: asyncio.Event = field(default_factory=asyncio.Event)
    """Set while somebody waits for news."""
    idlers: list[_Session] = field(default_factory=list)

    @property
    def inbox(self) -> RemoteFolder:
        return self.folders["INBOX"]

    async def announce(self) -> None:
        """Tell whoever is idle what has changed."""
        for session in self.idlers:
            await session.tell_changes()

    def count(self, command: bytes) -> int:
        return sum(line.upper().startswith(command) for line in self.told)


@asynccontextmanager
async def running_remote_imap(remote: RemoteImap | None = None) -> AsyncIterator[RemoteImap]:
    remote = remote or RemoteImap()
    remote.tls = remote.tls or server_context()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        remote.sessions.add(task)
        try:
            await _Session(remote, reader, writer).run()
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError, HangUp):
            pass  # Clients that go, or that are told to.
        finally:
            writer.transport.abort()
            remote.sessions.discard(task)

    context = remote.tls if remote.implicit_tls else None
    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    remote.port = server.sockets[0].getsockname()[1]
    try:
        yield remote
    finally:
        server.close()
        sessions = list(remote.sessions)
        for task in sessions:
            task.cancel()
        await asyncio.gather(*sessions, return_exceptions=True)


class HangUp(Exception):
    """The test wants the connection to end here."""


class _Session:
    def __init__(self, remote: RemoteImap, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.remote = remote
        self._reader = reader
        self._writer = writer
        self._folder: RemoteFolder | None = None
        self._view: list[int] = []
        """UIDs of which the client knows."""
        self._tag = b""

    @property
    def messages(self) -> list[RemoteMessage]:
        return self._folder.messages if self._folder else []

    async def tell_changes(self) -> None:
        """EXPUNGE for what has gone, EXISTS for what has come (RFC 9051 §7.4.1, §7.5.1)."""
        present = [message.uid for message in self.messages]
        for number in range(len(self._view), 0, -1):
            if self._view[number - 1] not in present:
                del self._view[number - 1]
                await self.write(b"* %d EXPUNGE\r\n" % number)
        if len(present) > len(self._view):
            await self.write(b"* %d EXISTS\r\n" % len(present))
        self._view = present

    async def write(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def run(self) -> None:
        greeting = self.remote.greeting
        if self.remote.tells_capabilities and greeting.startswith(b"* OK "):
            greeting = b"* OK [CAPABILITY %s] hello\r\n" % self.remote.capabilities.encode()
        await self.write(greeting)
        while line := await self._command():
            self._tag, _, rest = line.partition(b" ")
            self.remote.told.append(rest)
            name = rest.partition(b" ")[0].upper()
            if name == b"UID":
                name = b" ".join(rest.split(b" ", 2)[:2]).upper()
            arguments = rest[len(name) + 1 :]
            if self.remote.cut_after and name == self.remote.cut_after:
                raise HangUp
            if name in self.remote.refuses:
                await self._end(self.remote.refuses[name])
                continue
            handler = getattr(self, "do_" + name.decode(errors="replace").lower().replace(" ", "_"), None)
            if handler is None:
                await self._end(b"BAD what?")
            else:
                await handler(arguments)

    async def _command(self) -> bytes:
        """Literals are put in quotes."""
        line = await self._reader.readline()
        while literal := LITERAL.search(line):
            await self.write(b"+ go on\r\n")
            value = await self._reader.readexactly(int(literal[1]))
            quoted = value.replace(b"\\", b"\\\\").replace(b'"', b'\\"')
            line = line[: literal.start()] + b'"' + quoted + b'"' + await self._reader.readline()
        return line.rstrip(b"\r\n")

    async def _end(self, text: bytes) -> None:
        await self.write(self.remote.noise + self._tag + b" " + text + b"\r\n")

    # ------------------------------------------------------------ commands

    async def do_capability(self, _: bytes) -> None:
        await self.write(b"* CAPABILITY %s\r\n" % self.remote.capabilities.encode())
        await self._end(b"OK")

    async def do_starttls(self, _: bytes) -> None:
        self._writer.write(self._tag + b" OK begin\r\n" + self.remote.before_tls)
        await self._writer.drain()
        assert self.remote.tls is not None
        await self._writer.start_tls(self.remote.tls)

    async def do_login(self, arguments: bytes) -> None:
        user, password = _words(arguments)
        await self._logged_in(self.remote.users.get(user.decode()) == password.decode())

    async def do_authenticate(self, arguments: bytes) -> None:
        mechanism, _, initial = arguments.partition(b" ")
        if not initial:
            await self.write(b"+ \r\n")
            initial = (await self._reader.readline()).rstrip(b"\r\n")
        message = base64.b64decode(initial)
        if mechanism == b"PLAIN":
            _, user, password = message.decode().split("\0")
            await self._logged_in(self.remote.users.get(user) == password)
            return
        found = re.search(rb"auth=Bearer ([^\x01]+)\x01\x01\Z", message)
        if found and self.remote.token_is_good(found[1].decode()):
            await self._logged_in(True)
            return
        await self.write(b"+ " + base64.b64encode(b'{"status":"invalid_token"}') + b"\r\n")
        answer = base64.b64decode((await self._reader.readline()).rstrip(b"\r\n"))
        assert answer == (b"\x01" if mechanism == b"OAUTHBEARER" else b"")
        await self._logged_in(False)

    async def _logged_in(self, right: bool) -> None:
        code = b"[CAPABILITY %s] " % self.remote.capabilities.encode() if self.remote.tells_capabilities else b""
        await self._end(b"OK " + code + b"in" if right else b"NO [AUTHENTICATIONFAILED] wrong name or password")

    async def do_list(self, arguments: bytes) -> None:
        for name in self.remote.folders:
            await self.write(b'* LIST (\\HasNoChildren) "/" "%s"\r\n' % name.encode())
        await self._end(b"OK")

    async def do_create(self, arguments: bytes) -> None:
        self.remote.folders[_words(arguments)[0].decode()] = RemoteFolder(2000)
        await self._end(b"OK")

    async def do_select(self, arguments: bytes) -> None:
        folder = self.remote.folders.get(_words(arguments)[0].decode())
        if folder is None:
            await self._end(b"NO [NONEXISTENT] no such folder")
            return
        self._folder = folder
        self._view = folder.uids
        await self.write(b"* %d EXISTS\r\n* OK [UIDVALIDITY %d] ok\r\n" % (len(folder.messages), folder.uid_validity))
        await self._end(b"OK [READ-ONLY] selected" if self.remote.read_only else b"OK [READ-WRITE] selected")

    async def do_uid_fetch(self, arguments: bytes) -> None:
        uids, items = arguments.split(b" ", 1)
        for number, message in enumerate(list(self.messages), 1):
            if _within(message.uid, uids):
                await self._fetch(number, message, items.upper())
        await self._end(b"OK fetched")

    async def _fetch(self, number: int, message: RemoteMessage, items: bytes) -> None:
        parts: list[bytes] = []
        if b"FLAGS" in items:
            parts.append(b"FLAGS (%s)" % " ".join(sorted(message.flags)).encode())
        if b"RFC822.SIZE" in items:
            parts.append(b"RFC822.SIZE %d" % (len(message.text) + self.remote.size_error))
        if b"[HEADER" in items:
            header = message.text.partition(b"\r\n\r\n")[0] + b"\r\n\r\n"
            name = re.search(rb"BODY\.PEEK(\[[^\]]*\])", items)
            assert name
            parts.append(b"BODY%s<0> {%d}\r\n%s" % (name[1], len(header), header))
        if b"BODY.PEEK[]" in items:
            if message.uid == self.remote.cut_in_body_of:
                half = message.text[: len(message.text) // 2]
                await self.write(
                    b"* %d FETCH (UID %d BODY[] {%d}\r\n%s" % (number, message.uid, len(message.text), half)
                )
                raise HangUp
            if self.remote.quotes and b"\n" not in message.text:
                parts.append(b'BODY[] "%s"' % message.text)
            else:
                parts.append(b"BODY[] {%d}\r\n%s" % (len(message.text), message.text))
        uid = b"UID %d" % message.uid
        parts = [*parts, uid] if self.remote.uid_last else [uid, *parts]
        await self.write(b"* %d FETCH (%s)\r\n" % (number, b" ".join(parts)))

    async def do_uid_store(self, arguments: bytes) -> None:
        uids, _, flags = arguments.split(b" ", 2)
        for message in self.messages:
            if _within(message.uid, uids):
                message.flags |= set(flags.strip(b"()").decode().split())
        await self._end(b"OK")

    async def do_examine(self, arguments: bytes) -> None:
        await self.do_select(arguments)

    async def do_uid_search(self, arguments: bytes) -> None:
        """DELETED, and HEADER with a name and a text."""
        words = _words(arguments)

        def matches(message: RemoteMessage) -> bool:
            if words[0] == b"DELETED":
                return "\\Deleted" in message.flags
            lines = message.text.partition(b"\r\n\r\n")[0].split(b"\r\n")
            return any(line.upper().startswith(words[1] + b":") and words[2] in line for line in lines)

        found = [b"%d" % message.uid for message in self.messages if matches(message)]
        await self.write(b"* SEARCH %s\r\n" % b" ".join(found))
        await self._end(b"OK")

    async def do_uid_expunge(self, arguments: bytes) -> None:
        await self._expunge(lambda message: _within(message.uid, arguments))

    async def do_expunge(self, _: bytes) -> None:
        await self._expunge(lambda message: True)

    async def _expunge(self, chosen: Callable[[RemoteMessage], bool]) -> None:
        kept = [m for m in self.messages if not ("\\Deleted" in m.flags and chosen(m))]
        self.messages[:] = kept
        await self.tell_changes()
        await self.remote.announce()
        await self._end(b"OK")

    async def do_uid_copy(self, arguments: bytes) -> None:
        await self._transfer(arguments, move=False)

    async def do_uid_move(self, arguments: bytes) -> None:
        await self._transfer(arguments, move=True)

    async def _transfer(self, arguments: bytes, *, move: bool) -> None:
        uids, _, name = arguments.partition(b" ")
        target = self.remote.folders.get(_words(name)[0].decode())
        if target is None:
            await self._end(b"NO [TRYCREATE] no such folder")
            return
        for message in [message for message in self.messages if _within(message.uid, uids)]:
            target.add(message.text)
            if move:
                self.messages.remove(message)
        await self._end(b"OK")

    async def do_idle(self, _: bytes) -> None:
        await self.write(b"+ idling\r\n")
        await self.tell_changes()
        self.remote.idlers.append(self)
        self.remote.idle.set()
        line = await self._reader.readline()
        self.remote.idlers.remove(self)
        self.remote.idle.clear()
        assert line == b"DONE\r\n", line
        await self._end(b"OK")

    async def do_logout(self, _: bytes) -> None:
        await self.write(b"* BYE bye\r\n")
        await self._end(b"OK")


def _words(text: bytes) -> list[bytes]:
    words = []
    for quoted, listed, bare in WORD.findall(text):
        words.append(re.sub(rb"\\(.)", rb"\1", quoted) if quoted else listed or bare)
    return words


def _within(uid: int, uids: bytes) -> bool:
    for item in uids.split(b","):
        first, _, last = item.partition(b":")
        high = 2**32 if last == b"*" else int(last or first)
        if int(first) <= uid <= high:
            return True
    return False
