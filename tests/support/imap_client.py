# SPDX-License-Identifier: MIT
"""An IMAP4 client that believes nothing: it keeps the picture of its mailbox that the server gives it, and fails as
soon as two things that it was told cannot both be true.

RFC 9051 §2.3.1.2, §5.2, §7.5.1; RFC 7162 §3.2.10 (VANISHED); RFC 9586 (UIDONLY).
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

PATIENCE_SECONDS = 30.0

_LITERAL = re.compile(rb"\{(\d+)\}\r\n\Z")
_NUMBERED = re.compile(rb"\* (\d+) (EXISTS|EXPUNGE|FETCH|UIDFETCH|RECENT)\b(.*)", re.DOTALL)
_VANISHED = re.compile(rb"\* VANISHED ([\d:,]+)\r\n")
_UID = re.compile(rb"\bUID (\d+)")
_FLAGS = re.compile(rb"\bFLAGS \(([^)]*)\)")


@dataclass(slots=True)
class Picture:
    """What the client has been told of a mailbox: `slots` are the UIDs by number, None where not yet known."""

    slots: list[int | None] = field(default_factory=list)
    flags: dict[int, frozenset[str]] = field(default_factory=dict)
    uid_only: bool = False

    def exists(self, count: int) -> None:
        assert count >= len(self.slots), f"EXISTS {count} after {len(self.slots)}: only EXPUNGE takes messages away"
        self.slots += [None] * (count - len(self.slots))

    def expunge(self, number: int) -> None:
        assert 1 <= number <= len(self.slots), f"EXPUNGE {number} of {len(self.slots)}"
        uid = self.slots.pop(number - 1)
        if uid is not None:
            self.flags.pop(uid, None)

    def vanish(self, uid: int) -> None:
        """Slots that are not known between the same neighbours are alike, so the first of them will do."""
        if uid in self.slots:
            self.expunge(self.slots.index(uid) + 1)
        elif self.uid_only:
            self._take_unknown(f"VANISHED {uid}, which was never there")
        else:
            place = self._place(uid)
            assert self.slots[place : place + 1] == [None], f"VANISHED {uid}, which was never there"
            del self.slots[place]

    def _take_unknown(self, otherwise: str) -> None:
        """Under UIDONLY nobody says which of the messages that are not known it is."""
        assert None in self.slots, otherwise
        self.slots.remove(None)

    def _place(self, uid: int) -> int:
        """Behind the last that is known to be smaller."""
        smaller = [place for place, known in enumerate(self.slots) if known is not None and known < uid]
        return smaller[-1] + 1 if smaller else 0

    def fetched(self, number: int, uid: int | None, flags: frozenset[str] | None) -> None:
        assert 1 <= number <= len(self.slots), f"FETCH of {number}, but there are {len(self.slots)}"
        if uid is not None:
            self._learn(number, uid)
        known = self.slots[number - 1]
        if flags is not None and known is not None:
            self.flags[known] = flags

    def _learn(self, number: int, uid: int) -> None:
        known = self.slots[number - 1]
        assert known in (None, uid), f"message {number} was UID {known} and is now UID {uid}"
        if known is None:
            before = [other for other in self.slots[: number - 1] if other is not None]
            after = [other for other in self.slots[number:] if other is not None]
            assert not before or before[-1] < uid, f"message {number} has UID {uid}, one before it {before[-1]}"
            assert not after or uid < after[0], f"message {number} has UID {uid}, one behind it {after[0]}"
            self.slots[number - 1] = uid

    def fetched_by_uid(self, uid: int, flags: frozenset[str] | None) -> None:
        if uid not in self.slots:
            self._take_unknown(f"UID {uid} is more than EXISTS said")
            self.slots.insert(self._place(uid), uid)
        if flags is not None:
            self.flags[uid] = flags

    @property
    def first_unknown(self) -> int | None:
        """The number of the first message whose UID is not known."""
        return self.slots.index(None) + 1 if None in self.slots else None

    @property
    def known(self) -> list[int]:
        """UIDs, in order."""
        return [uid for uid in self.slots if uid is not None]

    def number_of(self, uid: int) -> int:
        return self.slots.index(uid) + 1


@dataclass(frozen=True, slots=True)
class Done:
    """How a command ended, and the responses before it, literals left out."""

    status: str
    text: str
    untagged: tuple[bytes, ...]

    def numbers(self, name: str) -> list[int]:
        """Of a SEARCH or SORT response."""
        for line in self.untagged:
            if line.startswith(b"* " + name.encode()):
                return [int(word) for word in re.sub(rb"\(.*\)", b"", line).split()[2:]]
        return []


class StrictClient:
    """One connection. Assertions name the client and the command."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.picture = Picture()
        self.uid_only = False
        self._tags = 0
        self._reader: asyncio.StreamReader
        self._writer: asyncio.StreamWriter

    async def connect(self, port: int, user: str, password: str) -> None:
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", port)
        assert (await self._line()).startswith(b"* OK")
        await self.ok(f"LOGIN {user} {password}")

    async def close(self) -> None:
        self._writer.close()
        await self._writer.wait_closed()

    async def ok(self, command: str, literal: bytes | None = None) -> Done:
        done = await self.ask(command, literal)
        assert done.status == "OK", f"{self.name}: {command}: {done.status} {done.text}"
        return done

    async def ask(self, command: str, literal: bytes | None = None) -> Done:
        """By number, FETCH, STORE and SEARCH must not be told of EXPUNGE (RFC 9051 §7.5.1)."""
        tag = self._send(command, literal)
        keeps_numbers = command.startswith(("FETCH", "STORE", "SEARCH", "SORT", "THREAD"))
        if command.startswith(("SELECT", "EXAMINE", "CLOSE", "UNSELECT")):
            self.picture = Picture(uid_only=self.uid_only)
        untagged: list[bytes] = []
        while not (line := await self._line()).startswith(tag):
            assert line.startswith(b"* "), f"{self.name}: {command}: {line!r}"
            assert not keeps_numbers or b" EXPUNGE" not in line, f"{self.name}: {line!r} in {command}"
            self._take(line, command)
            untagged.append(line)
        _, status, text = line.decode().rstrip("\r\n").split(" ", 2)
        return Done(status, text, tuple(untagged))

    def _send(self, command: str, literal: bytes | None) -> bytes:
        self._tags += 1
        tag = f"t{self._tags} "
        data = (tag + command).encode()
        if literal is not None:
            data += b" {%d+}\r\n" % len(literal) + literal
        self._writer.write(data + b"\r\n")
        return tag.encode()

    async def select(self, mailbox: str, *, read_only: bool = False) -> None:
        await self.ok(f"{'EXAMINE' if read_only else 'SELECT'} {mailbox}")
        await self.learn()

    async def learn(self) -> None:
        """Ask for what is not known yet; some of it may be gone already, which the server says (RFC 5530)."""
        first = self.picture.first_unknown
        if first is None:
            return
        done = await self.ask("UID FETCH 1:* (FLAGS)" if self.uid_only else f"FETCH {first}:* (UID FLAGS)")
        assert done.status == "OK" or "[EXPUNGEISSUED]" in done.text, f"{self.name}: {done.text}"

    # ------------------------------------------------------------ IDLE

    async def begin_idle(self) -> bytes:
        """Gives the tag for `end_idle()`."""
        tag = self._send("IDLE", None)
        await self._writer.drain()
        while not (line := await self._line()).startswith(b"+"):
            self._take(line, "IDLE")
        return tag

    async def hear(self) -> bytes:
        """The next response of its own accord."""
        line = await self._line()
        self._take(line, "IDLE")
        return line

    async def end_idle(self, tag: bytes) -> None:
        self._writer.write(b"DONE\r\n")
        while not (line := await self._line()).startswith(tag):
            self._take(line, "IDLE")
        assert line.startswith(tag + b"OK"), f"{self.name}: {line!r}"

    # ------------------------------------------------------------ listening

    async def _line(self) -> bytes:
        """A response with its literals replaced by empty strings."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            line = await self._reader.readline()
            while literal := _LITERAL.search(line):
                await self._reader.readexactly(int(literal[1]))
                line = line[: literal.start()] + b'""' + await self._reader.readline()
        assert line.endswith(b"\r\n"), f"{self.name}: the server has hung up: {line!r}"
        return line

    def _take(self, line: bytes, command: str) -> None:
        try:
            self._learn(line)
        except AssertionError as error:
            raise AssertionError(f"{self.name}, in {command}: {error}") from None

    def _learn(self, line: bytes) -> None:
        if vanished := _VANISHED.fullmatch(line):
            for uid in numbers_of(vanished[1]):
                self.picture.vanish(uid)
        elif numbered := _NUMBERED.match(line):
            self._learn_numbered(int(numbered[1]), numbered[2], numbered[3])

    def _learn_numbered(self, number: int, kind: bytes, rest: bytes) -> None:
        uid, listed = _UID.search(rest), _FLAGS.search(rest)
        flags = frozenset(listed[1].decode().split()) - {"\\Recent"} if listed else None
        if kind == b"EXISTS":
            self.picture.exists(number)
        elif kind == b"EXPUNGE":
            assert not self.uid_only, "EXPUNGE after UIDONLY"
            self.picture.expunge(number)
        elif kind == b"FETCH":
            assert not self.uid_only, "FETCH after UIDONLY"
            self.picture.fetched(number, int(uid[1]) if uid else None, flags)
        elif kind == b"UIDFETCH":
            self.picture.fetched_by_uid(number, flags)


def numbers_of(text: bytes) -> Iterator[int]:
    """Those of a set such as 1,3:5."""
    for item in text.split(b","):
        first, _, last = item.partition(b":")
        yield from range(int(first), int(last or first) + 1)
