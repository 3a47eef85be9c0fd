# SPDX-License-Identifier: MIT
"""A POP3 server that behaves as badly as it is told to, in a thread on a free port; a good one without tricks.

What is deleted goes at a QUIT that is answered, as RFC 1939 §6 has it.
"""

from __future__ import annotations

import hashlib
import socketserver
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

PASSWORD = "secret"


@dataclass(slots=True)
class Tricks:
    """What goes wrong. Numbers are those of messages, counted from 1 in the mailbox as it is at the beginning."""

    pipelining: bool = True
    size_factor: float = 1.0
    """What LIST says of a size is so many times the truth."""
    drop_in: int = 0
    """The connection ends in the middle of this message, each time."""
    drop_after: int = 0
    """The connection ends after so many messages of a session."""
    endless: int = 0
    """This message never comes to its end."""
    endless_top: int = 0
    """The header of this message never comes to its end."""
    same_ids: bool = False
    no_uidl: bool = False
    no_top: bool = False
    no_stuffing: bool = False
    """Dots at the beginning of lines are sent as they are."""
    refuse: int = 0
    """RETR of this message is answered -ERR."""
    long_line: bool = False
    """The answer to STAT, LIST or UIDL is one line without end."""
    junk_listing: bool = False
    fail_quit: bool = False
    """QUIT is not answered, and nothing is deleted."""
    greeting: bytes = b"+OK ready\r\n"


@dataclass(slots=True)
class EvilPop3:
    """Use as a context manager. `messages` changes as clients delete; `log` has what they said."""

    messages: list[bytes]
    tricks: Tricks = field(default_factory=Tricks)
    log: list[str] = field(default_factory=list)
    sessions: int = 0
    port: int = 0
    _server: socketserver.ThreadingTCPServer | None = None
    _thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        evil = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                evil.sessions += 1
                with suppress(OSError):
                    _Session(evil, self).run()

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads = True
            allow_reuse_address = True

        self._server = Server(("127.0.0.1", 0), Handler)
        self.port = int(self._server.server_address[1])
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        assert self._thread is not None
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _End(Exception):
    """The session is over, without a word."""


class _Session:
    def __init__(self, evil: EvilPop3, handler: socketserver.StreamRequestHandler) -> None:
        self._evil = evil
        self._tricks = evil.tricks
        self._read, self._write = handler.rfile, handler.wfile
        self._messages = list(evil.messages)
        self._doomed: set[int] = set()
        self._given = 0

    def run(self) -> None:
        self._say(self._tricks.greeting)
        with suppress(_End):
            while line := self._read.readline():
                words = line.decode("latin-1").split()
                if words:
                    self._evil.log.append(" ".join(words))
                    self._answer(words[0].upper(), words[1:])

    def _answer(self, verb: str, words: list[str]) -> None:
        number = int(words[0]) if words and words[0].isdecimal() else 0
        match verb:
            case "CAPA":
                self._list([b"USER", b"TOP", b"UIDL", *([b"PIPELINING"] if self._tricks.pipelining else [])])
            case "USER" | "NOOP":
                self._say(b"+OK\r\n")
            case "PASS":
                self._say(b"+OK in\r\n" if words == [PASSWORD] else b"-ERR [AUTH] wrong\r\n")
            case "APOP":
                self._say(b"+OK in\r\n" if words[1] == self._digest() else b"-ERR [AUTH] wrong\r\n")
            case "STAT" | "LIST" | "UIDL" if self._tricks.long_line:
                while True:
                    self._say(b"+OK " + b"x" * 65536)
            case "STAT":
                self._say(b"+OK %d %d\r\n" % (len(self._messages), sum(map(len, self._messages))))
            case "LIST" if number:
                self._say(b"+OK %d %d\r\n" % (number, self._size(self._messages[number - 1])))
            case "LIST":
                junk = [b"one two", b"", b"99999999999999999999999 1"] if self._tricks.junk_listing else []
                sizes = [b"%d %d" % (n, self._size(message)) for n, message in enumerate(self._messages, 1)]
                self._list([*junk, *sizes])
            case "UIDL" if self._tricks.no_uidl:
                self._say(b"-ERR unknown command\r\n")
            case "UIDL":
                self._list([b"%d %s" % (n, self._id(message)) for n, message in enumerate(self._messages, 1)])
            case "TOP" if self._tricks.no_top:
                self._say(b"-ERR unknown command\r\n")
            case "TOP" if self._evil_number(self._messages[number - 1]) == self._tricks.endless_top:
                self._say(b"+OK\r\n")
                while True:
                    self._say(b"X-More: and so on\r\n" * 1000)
            case "TOP":
                self._say(b"+OK\r\n" + self._messages[number - 1].partition(b"\r\n\r\n")[0] + b"\r\n\r\n.\r\n")
            case "RETR":
                self._retrieve(number)
            case "DELE":
                self._doomed.add(number)
                self._say(b"+OK\r\n")
            case "QUIT":
                self._quit()
            case _:
                self._say(b"-ERR unknown command\r\n")

    def _retrieve(self, number: int) -> None:
        message = self._messages[number - 1]
        if self._evil_number(message) == self._tricks.refuse:
            self._say(b"-ERR it is damaged\r\n")
            return
        self._say(b"+OK\r\n")
        if self._evil_number(message) == self._tricks.drop_in:
            self._say(message[: len(message) // 2])
            raise _End
        if self._evil_number(message) == self._tricks.endless:
            while True:
                self._say(b"And so on, and so on.\r\n" * 1000)
        if not self._tricks.no_stuffing:
            message = message.replace(b"\r\n.", b"\r\n..")
        self._say(message + b".\r\n")
        self._given += 1
        if self._given == self._tricks.drop_after:
            raise _End

    def _quit(self) -> None:
        if self._tricks.fail_quit:
            raise _End
        gone = [self._messages[number - 1] for number in self._doomed]
        self._evil.messages = [message for message in self._evil.messages if message not in gone]
        self._say(b"+OK bye\r\n")
        raise _End

    def _digest(self) -> str:
        """RFC 1939 §7."""
        stamp = self._tricks.greeting.split()[-1]
        return hashlib.md5(stamp + PASSWORD.encode()).hexdigest()

    def _evil_number(self, message: bytes) -> int:
        """By its subject: numbers of messages change as others go."""
        word = message.partition(b"Subject: Message ")[2].split(b"\r\n")[0]
        return int(word) if word.isdigit() else -1

    def _id(self, message: bytes) -> bytes:
        return b"same" if self._tricks.same_ids else hashlib.sha256(message).hexdigest()[:40].encode()

    def _size(self, message: bytes) -> int:
        return int(len(message) * self._tricks.size_factor)

    def _list(self, lines: list[bytes]) -> None:
        self._say(b"+OK\r\n" + b"".join(line + b"\r\n" for line in lines) + b".\r\n")

    def _say(self, data: bytes) -> None:
        self._write.write(data)
        self._write.flush()
