# SPDX-License-Identifier: MIT
"""The dialogue player: conversations as text files, played against a session handler in several ways.

A dialogue is a text file:

    # What this shows, in a sentence.
    # user: alice secret            and marks: `recoverable` keeps the secret, `disabled`, `admin`, `quota_bytes=N`
    # service: encryption=tls       fields of the Service row
    # options: offer_apop=true      options of its protocol
    # settings: mail.max_hops=5     general settings
    # client: address=127.0.0.1 encrypted=true
    # not: whole                    ways in which it cannot be played (with the reason on a comment line)
    # message: alice                a message in the Inbox, as the lines that follow
    | Subject: one
    |
    | text
    S: +OK <...>                    <...> stands for any text in the line
    S: /\\+OK (?P<stamp><.*>)/       a whole line between slashes is a regular expression; names can be used below
    S: ...                          any number of lines, until the next S: line fits
    C: USER alice                   sent with CRLF
    C= 'APOP alice ' + md5(stamp + 'secret')        a Python expression over names and the functions of FUNCTIONS
    B: USER a\\x00b\\r\\n             bytes with escapes, nothing added
    -- TLS                          both ends switch to TLS
    -- closed                       the server has closed the connection
    -- drop                         the client vanishes
    -- reconnect                    a new session in the same world
    -- do: database away            an action that the test module defines, a coroutine function perhaps

`WAYS` says how: whole in one write, byte by byte, in odd pieces, and over TCP through a real socket. In the first
three TLS is only pretended, and what is written before a reply could be known is still written at once: a server
must cope with that. Only where the text needs something from a reply (C=), or the connection changes, is it awaited.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import hmac
import random
import re
import ssl
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from protocols.net.connection import SessionHandler
from protocols.net.stream import ConnectionLost, Stream
from tests.support.certificates import client_context
from tests.support.fakes import (
    ELSEWHERE,
    PATIENCE_SECONDS,
    MemoryStream,
    World,
    WorldMaker,
    change_options,
    settle,
)

WAYS = ("whole", "bytes", "pieces", "tcp")
FOLDER = Path(__file__).parent.parent / "dialogues"


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the conversation: `who` is `S`, `C`, `C=`, `B` or `--`."""

    number: int
    who: str
    text: str


@dataclass(slots=True)
class Dialogue:
    """A file, read."""

    path: Path
    directives: list[tuple[str, str]] = field(default_factory=list)
    messages: list[tuple[str, bytes]] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)

    @property
    def left_out(self) -> set[str]:
        return {way for key, value in self.directives if key == "not" for way in value.split()}


_DIRECTIVE = re.compile(r"# (user|service|options|settings|client|not|message): *(.*)")
_SPOKEN = re.compile(r"(S:|C:|C=|B:|--) ?(.*)")


def read_dialogue(path: Path) -> Dialogue:
    dialogue = Dialogue(path)
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if directive := _DIRECTIVE.fullmatch(line):
            _take_directive(dialogue, directive[1], directive[2])
        elif line.startswith("|"):
            owner, data = dialogue.messages[-1]
            dialogue.messages[-1] = owner, data + line[1:].removeprefix(" ").encode() + b"\r\n"
        elif spoken := _SPOKEN.fullmatch(line):
            dialogue.lines.append(Line(number, spoken[1].rstrip(":"), spoken[2]))
        elif line and not line.startswith("#"):
            raise ValueError(f"{path}:{number}: neither a comment nor a line of the conversation")
    return dialogue


def _take_directive(dialogue: Dialogue, key: str, value: str) -> None:
    if key == "message":
        dialogue.messages.append((value, b""))
    else:
        dialogue.directives.append((key, value))


def dialogues(protocol: str) -> list[Any]:
    """What to parametrise a test with: every file of the protocol's folder, in every way it can be played."""
    import pytest

    return [
        pytest.param(path, way, id=f"{path.stem}-{way}")
        for path in sorted((FOLDER / protocol).glob("*.txt"))
        for way in WAYS
        if way not in read_dialogue(path).left_out
    ]


Action = Callable[[World], Awaitable[None] | None]


async def play(
    path: Path, way: str, make_world: WorldMaker, handler: SessionHandler, actions: Mapping[str, Action] | None = None
) -> World:
    """Play it; AssertionError with the line's number where the server says something else. Gives the world after."""
    dialogue = read_dialogue(path)
    world = make_world()
    _furnish(world, dialogue)
    peer = _TcpPeer(world, handler) if way == "tcp" else _MemoryPeer(world, handler, way, path.stem)
    player = _Player(dialogue, peer, world, actions or {})
    try:
        await player.play()
    finally:
        await peer.leave()
    return world


def _furnish(world: World, dialogue: Dialogue) -> None:
    for key, value in dialogue.directives:
        if key == "user":
            name, password, *marks = value.split()
            changes = _pairs(" ".join(mark for mark in marks if "=" in mark))
            changes |= {"active": "disabled" not in marks, "admin": "admin" in marks}
            world.add_user(name, password, recoverable="recoverable" in marks, **changes)
        elif key == "service":
            world.service = replace(world.service, **_pairs(value))
        elif key == "options":
            change_options(world, _pairs(value))
        elif key == "settings":
            world.settings.update(_pairs(value))
        elif key == "client":
            world.client.update(_pairs(value))
    for owner, data in dialogue.messages:
        world.add_message(owner, data)


def _pairs(text: str) -> dict[str, Any]:
    """`a=true b=5 c=text` as values."""
    words: dict[str, Any] = {"true": True, "false": False}
    pairs = (word.partition("=") for word in text.split())
    return {key: int(value) if value.isdigit() else words.get(value, value) for key, _, value in pairs}


# ---------------------------------------------------------------- the conversation


class _Player:
    """Walks through the lines, sending what the client says and comparing what the server says."""

    def __init__(self, dialogue: Dialogue, peer: _Peer, world: World, actions: Mapping[str, Action]) -> None:
        self._dialogue = dialogue
        self._peer = peer
        self._world = world
        self._actions = actions
        self._names: dict[str, str] = {}
        self._expected: list[Line] = []
        self._outgoing = b""

    async def play(self) -> None:
        await self._peer.connect()
        for line in self._dialogue.lines:
            await self._take(line)
        await self._catch_up()
        await self._peer.leave()
        self._complain_of_rest()

    async def _take(self, line: Line) -> None:
        if line.who == "S":
            self._expected.append(line)
            return
        if line.who in ("C=", "--") or not self._peer.pipelines:
            await self._catch_up()
        if line.who == "--":
            await self._control(line)
        else:
            self._outgoing += self._words(line)

    def _words(self, line: Line) -> bytes:
        if line.who == "B":
            return line.text.encode().decode("unicode_escape").encode("latin-1")
        if line.who == "C=":
            return str(eval(line.text, dict(FUNCTIONS), self._names)).encode() + b"\r\n"
        return line.text.encode() + b"\r\n"

    async def _control(self, line: Line) -> None:
        if line.text == "TLS":
            await self._peer.start_tls()
        elif line.text == "closed":
            await self._peer.expect_closed()
            self._complain_of_rest()
        elif line.text == "drop":
            await self._peer.leave()
        elif line.text == "reconnect":
            await self._peer.leave()
            self._complain_of_rest()
            await self._peer.connect()
        elif line.text.startswith("do: "):
            doing = self._actions[line.text.removeprefix("do: ")](self._world)
            if isinstance(doing, Awaitable):
                await doing
        else:
            raise ValueError(f"{self._place(line)}: unknown control line")

    async def _catch_up(self) -> None:
        """Send what waits, then read everything that is expected up to here."""
        if self._outgoing:
            await self._peer.send(self._outgoing)
            self._outgoing = b""
        expected, self._expected = self._expected, []
        for place, line in enumerate(expected):
            if line.text == "...":
                await self._skip(expected[place + 1])
            else:
                await self._expect(line)

    async def _skip(self, until: Line) -> None:
        pattern = _pattern(until.text)
        while not pattern.fullmatch(said := await self._hear(until)):
            pass
        self._peer.unread(said)

    async def _expect(self, line: Line) -> None:
        said = await self._hear(line)
        match = _pattern(line.text).fullmatch(said)
        assert match is not None, f"{self._place(line)}:\n  expected  {line.text}\n  but heard {said}"
        self._names.update(match.groupdict())

    async def _hear(self, line: Line) -> str:
        said = await self._peer.hear()
        assert said is not None, f"{self._place(line)}:\n  expected  {line.text}\n  but heard nothing more"
        assert said.endswith("\r\n"), f"{self._place(line)}: a line without CRLF: {said!r}"
        return said.removesuffix("\r\n")

    def _complain_of_rest(self) -> None:
        rest = self._peer.rest()
        assert not rest, f"{self._dialogue.path.name}: the server said more than was expected: {rest!r}"

    def _place(self, line: Line) -> str:
        return f"{self._dialogue.path.name}:{line.number}"


def _pattern(text: str) -> re.Pattern[str]:
    if len(text) > 1 and text.startswith("/") and text.endswith("/"):
        return re.compile(text[1:-1])
    return re.compile(".+?".join(re.escape(part) for part in text.split("<...>")))


# ---------------------------------------------------------------- both ends


class _Peer(ABC):
    """The client's end of a connection, and the server's task behind it."""

    pipelines = True

    def __init__(self, world: World, handler: SessionHandler) -> None:
        self._world = world
        self._handler = handler
        self._heard = b""

    @abstractmethod
    async def connect(self) -> None: ...

    @abstractmethod
    async def send(self, data: bytes) -> None: ...

    @abstractmethod
    async def start_tls(self) -> None: ...

    @abstractmethod
    async def expect_closed(self) -> None: ...

    @abstractmethod
    async def leave(self) -> None:
        """Close the client's end and wait until the session is over."""

    @abstractmethod
    async def _fill(self) -> None:
        """Wait for more to hear; leave `_heard` as it is when there is none."""

    async def hear(self) -> str | None:
        """The next line, with its end; None when there is no more."""
        while b"\n" not in self._heard:
            before = len(self._heard)
            await self._fill()
            if len(self._heard) == before:
                return None
        line, end, self._heard = self._heard.partition(b"\n")
        return (line + end).decode("utf-8", "backslashreplace")

    def unread(self, line: str) -> None:
        self._heard = line.encode() + b"\r\n" + self._heard

    def rest(self) -> bytes:
        rest, self._heard = self._heard, b""
        return rest

    async def _run(self, stream: Stream) -> None:
        with contextlib.suppress(ConnectionLost):
            await self._handler(self._world.connect(stream))
        stream.close()


class _MemoryPeer(_Peer):
    """No socket: bytes are handed to the stream, cut as the way asks."""

    def __init__(self, world: World, handler: SessionHandler, way: str, name: str) -> None:
        super().__init__(world, handler)
        self._way = way
        self._random = random.Random(name)
        self._stream: MemoryStream | None = None
        self._task: asyncio.Task[None] | None = None

    async def connect(self) -> None:
        self._stream = MemoryStream(str(self._world.client.get("address", ELSEWHERE)))
        self._task = asyncio.create_task(self._run(self._stream))
        await self._settle()

    async def send(self, data: bytes) -> None:
        for piece in self._cut(data):
            if not self._end.lost:
                self._end.data_received(piece)
            await self._settle()

    def _cut(self, data: bytes) -> Iterator[bytes]:
        sizes = {"whole": lambda: len(data), "bytes": lambda: 1, "pieces": lambda: self._random.randint(1, 40)}
        while data:
            size = sizes[self._way]()
            yield data[:size]
            data = data[size:]

    async def start_tls(self) -> None:
        assert self._end.encrypted, "the server has not switched to TLS"

    async def expect_closed(self) -> None:
        await self._settle()
        assert self._task is not None
        assert self._task.done(), "the server has not closed the connection"
        await self._task
        self._collect()

    async def leave(self) -> None:
        if self._task is None:
            return
        task, self._task = self._task, None
        self._end.eof_received()
        await asyncio.wait_for(task, PATIENCE_SECONDS)
        self._collect()
        self._end.connection_lost(None)

    async def _fill(self) -> None:
        if self._stream is not None:
            await self._settle()

    async def _settle(self) -> None:
        if self._task is not None:
            await settle(self._end, self._task)
        self._collect()

    def _collect(self) -> None:
        self._heard += bytes(self._end.transport.written)
        self._end.transport.written.clear()

    @property
    def _end(self) -> MemoryStream:
        assert self._stream is not None
        return self._stream


class _TcpPeer(_Peer):
    """Through a real socket, waiting for each reply as most clients do."""

    pipelines = False

    def __init__(self, world: World, handler: SessionHandler) -> None:
        super().__init__(world, handler)
        world.client.setdefault("address", ELSEWHERE)
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._server: asyncio.Server | None = None
        self._task: asyncio.Task[None] | None = None

    async def connect(self) -> None:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: Stream(self._accepted), "127.0.0.1", 0)
        port = self._server.sockets[0].getsockname()[1]
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", port)

    def _accepted(self, stream: Stream) -> None:
        self._task = asyncio.get_running_loop().create_task(self._run(stream))

    async def send(self, data: bytes) -> None:
        assert self._writer is not None
        self._writer.write(data)
        with contextlib.suppress(ConnectionError):
            await asyncio.wait_for(self._writer.drain(), PATIENCE_SECONDS)

    async def start_tls(self) -> None:
        assert self._writer is not None
        await asyncio.wait_for(self._writer.start_tls(client_context(), server_hostname="localhost"), PATIENCE_SECONDS)

    async def expect_closed(self) -> None:
        assert self._reader is not None
        self._heard += await asyncio.wait_for(self._reader.read(), PATIENCE_SECONDS)
        await self._finish()

    async def leave(self) -> None:
        if self._writer is None or self._reader is None:
            return
        writer, self._writer = self._writer, None
        if writer.can_write_eof():
            writer.write_eof()
        else:
            writer.close()
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            self._heard += await asyncio.wait_for(self._reader.read(), PATIENCE_SECONDS)
        writer.close()
        await self._finish()

    async def _finish(self) -> None:
        if self._task is not None:
            task, self._task = self._task, None
            await asyncio.wait_for(task, PATIENCE_SECONDS)
        if self._server is not None:
            self._server.close()
            self._server = None

    async def _fill(self) -> None:
        if self._reader is not None:
            self._heard += await asyncio.wait_for(self._reader.read(65536), PATIENCE_SECONDS)


# ---------------------------------------------------------------- what C= lines may use


def md5(text: str) -> str:
    return hashlib.md5(text.encode()).hexdigest()


def hmac_md5(key: str, text: str) -> str:
    return hmac.new(key.encode(), text.encode(), "md5").hexdigest()


def b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def unb64(text: str) -> str:
    return base64.b64decode(text).decode()


def scram_final(password: str, client_first_bare: str, challenge: str, header: str = "n,,") -> str:
    """RFC 5802 §3: the client-final-message that answers a server-first-message."""
    parts = dict(part.split("=", 1) for part in challenge.split(","))
    bare = f"c={b64(header)},r={parts['r']}"
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), base64.b64decode(parts["s"]), int(parts["i"]))
    client_key = hmac.digest(salted, b"Client Key", "sha256")
    exchange = f"{client_first_bare},{challenge},{bare}".encode()
    signature = hmac.digest(hashlib.sha256(client_key).digest(), exchange, "sha256")
    proof = bytes(one ^ other for one, other in zip(client_key, signature, strict=True))
    return f"{bare},p={base64.b64encode(proof).decode()}"


FUNCTIONS = {"md5": md5, "hmac_md5": hmac_md5, "b64": b64, "unb64": unb64, "scram_final": scram_final}
