# SPDX-License-Identifier: MIT
"""The dialogue with an IMAP4 server: commands out, what it says in, and a transcript; what is said is `client.py`'s.

RFC 9051 §2.2, §7.1.5 (BYE), RFC 2595 and RFC 9051 §6.2.1 (STARTTLS). Every failure is an ImapFailure whose text is one
sentence for the administrator.
"""

from __future__ import annotations

from collections.abc import Callable

from mailserver.connectors.values import Encryption, RemoteServer
from mailserver.errors import ProtocolViolation
from protocols.imap import client_grammar as grammar
from protocols.imap.client_grammar import Command, Condition, Continuation, Exists, Expunged, Folder, Response, command
from protocols.imap.client_machine import BodyBegins, BodyPiece, ClientMachine, Event, NeedData
from protocols.net.outgoing import IDLE_SECONDS, start_client_tls
from protocols.net.stream import BytesBeforeTls, ConnectionLost, DeadlinePassed, Stream

MAX_SHOWN_LINE = 500

Wire = Callable[[str], None]
"""Takes a line for the transcript."""


class ImapFailure(Exception):
    """It did not work; the text is one sentence for the administrator."""


class Dialogue:
    """One connection. `exists` is the number of messages in the selected folder, `news` whether it has grown since
    somebody last looked, `ready` whether the server knew us without a login,
    `broken` whether nothing more can be said."""

    def __init__(self, stream: Stream, server: RemoteServer, wire: Wire) -> None:
        self.stream = stream
        self.server = server
        self.machine = ClientMachine()
        self.exists = 0
        self.news = False
        self.ready = False
        self.broken = False
        self._wire = wire

    async def begin(self) -> None:
        """The greeting, and encryption as the server's settings say."""
        greeting = await self.next()
        assert isinstance(greeting, Condition)
        self.ready = greeting.status == "PREAUTH"
        if self.machine.capabilities is None:
            await self.ask_ok(command("CAPABILITY"))
        encryption = self.server.encryption
        if encryption in (Encryption.NONE, Encryption.TLS):
            return
        if not self.has("STARTTLS") or self.ready:
            if encryption is Encryption.STARTTLS:
                raise ImapFailure("The server offers no encryption by STARTTLS, which this collector insists on.")
            return
        condition = await self.ask(command("STARTTLS"))
        if condition.status != "OK":
            raise ImapFailure(f"The server refuses STARTTLS: {condition.text}")
        if self.machine.has_bytes:
            raise ImapFailure("The server said something before the encryption began; somebody may have forged it.")
        try:
            await start_client_tls(self.stream, self.server)
        except BytesBeforeTls:
            raise ImapFailure(
                "The server said something before the encryption began; somebody may have forged it."
            ) from None
        self.machine.forget_capabilities()
        await self.ask_ok(command("CAPABILITY"))

    def has(self, capability: str) -> bool:
        """Whether the server can do this; the name in capitals."""
        return capability in (self.machine.capabilities or ())

    async def ask_ok(self, wanted: Command, take: Callable[[Event], None] | None = None) -> None:
        """As `ask`; anything but OK is a failure."""
        check_ok(wanted, await self.ask(wanted, take))

    async def ask(
        self, wanted: Command, take: Callable[[Event], None] | None = None, *, farewell: bool = False
    ) -> Condition:
        """The answer; what is said before it goes to `take`."""
        tag = await self.send(wanted)
        while True:
            event = await self.next(farewell=farewell)
            if isinstance(event, Condition) and event.tag == tag:
                return event
            if isinstance(event, Continuation):
                more = self.machine.go_on()
                assert more is not None
                await self.write(more, "...")
            elif take is not None:
                take(event)

    async def send(self, wanted: Command) -> bytes:
        """Gives the tag under which it will be answered."""
        tag, data = self.machine.send(wanted)
        await self.write(data, f"{tag.decode()} {wanted.shown}")
        return tag

    async def write(self, data: bytes, shown: str) -> None:
        """Raw bytes, and what the transcript shows of them."""
        self._wire(f"C: {shown[:MAX_SHOWN_LINE]}")
        self.stream.set_deadline(IDLE_SECONDS)
        try:
            await self.stream.write(data)
        except (ConnectionLost, DeadlinePassed) as error:
            raise self._lost(error) from error

    async def next(self, *, farewell: bool = False) -> Response | BodyBegins | BodyPiece:
        """The next that the server says; its good-bye is a failure unless we asked for it."""
        while isinstance(event := self._parse(), NeedData):
            await self._read()
        self._note(event, farewell=farewell)
        return event

    async def listen(self) -> None:
        """In IDLE: until something concerns us."""
        while not self.news:
            event = self._parse()
            if not isinstance(event, NeedData):
                self._note(event)
                continue
            try:
                if not await self.stream.wait_input():
                    return
                data = await self.stream.read()
            except DeadlinePassed:
                return
            if not data:
                raise self._lost(None)
            self.machine.receive(data)

    async def _read(self) -> None:
        self.stream.set_deadline(IDLE_SECONDS)
        try:
            data = await self.stream.read()
        except (ConnectionLost, DeadlinePassed) as error:
            raise self._lost(error) from error
        if not data:
            raise self._lost(None)
        self.machine.receive(data)

    def _parse(self) -> Event:
        try:
            return self.machine.next_event()
        except ProtocolViolation as violation:
            self.broken = True
            raise ImapFailure(f"The server breaks the rules of IMAP4: {violation.note}.") from violation

    def _note(self, event: Event, *, farewell: bool = False) -> None:
        self._show(event)
        if isinstance(event, Exists):
            self.news = self.news or event.count > self.exists
            self.exists = event.count
        if isinstance(event, Expunged):
            self.exists = max(0, self.exists - 1)
        if isinstance(event, Condition) and event.status == "BYE" and not farewell:
            self.broken = True
            raise ImapFailure(f"The server says good-bye: {event.text}" + end_sentence(event.text))

    def _show(self, event: Event) -> None:
        line = _shown(event)
        if line:
            self._wire(f"S: {line[:MAX_SHOWN_LINE]}")

    def _lost(self, error: Exception | None) -> ImapFailure:
        self.broken = True
        if isinstance(error, DeadlinePassed):
            return ImapFailure(f"The server has said nothing for {IDLE_SECONDS} seconds.")
        return ImapFailure("The server broke off the connection.")


def check_ok(wanted: Command, condition: Condition) -> None:
    """Raises ImapFailure."""
    if condition.status != "OK":
        text = f"The server refuses {wanted.shown[:100]}: {condition.text}"
        raise ImapFailure(text + end_sentence(text))


def end_sentence(text: str) -> str:
    """The full stop that servers leave out."""
    return "" if text.endswith((".", "!", "?")) else "."


def _shown(event: Event) -> str:
    """For transcripts; messages and what is of no use are left out."""
    match event:
        case Condition(tag, status, code, argument, text):
            response_code = f"[{code}{f' {argument}' if argument else ''}] " if code else ""
            return f"{tag.decode() or '*'} {status} {response_code}{text}"
        case grammar.Capabilities(names):
            return f"* CAPABILITY {' '.join(sorted(names))}"
        case Exists(count):
            return f"* {count} EXISTS"
        case BodyBegins(size):
            return f"* FETCH ... BODY[] {{{size}}}"
        case Continuation():
            return "+"
        case Folder(name):
            return f"* LIST {name}"
    return ""
