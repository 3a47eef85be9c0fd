# SPDX-License-Identifier: MIT
"""A POP3 client: connects, logs in, lists, fetches many messages at a time, deletes. Decides nothing.

RFC 1939, RFC 2449, RFC 2595 §4, RFC 5034, RFC 8314. Leaves syntax to `client_machine.py`. Failures are sentences for
the administrator.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from dataclasses import dataclass

from mailserver.connectors.values import Credentials, Encryption, LoginMethod, RemoteServer
from mailserver.errors import ProtocolViolation
from protocols.net.outgoing import IDLE_SECONDS, open_stream, start_client_tls
from protocols.net.stream import BytesBeforeTls, ConnectionLost, DeadlinePassed, Stream
from protocols.pop3 import client_grammar as grammar
from protocols.pop3.client_grammar import NotAStatus, Status
from protocols.pop3.client_machine import (
    NEED_DATA,
    Challenge,
    End,
    Event,
    Greeting,
    Pop3ClientMachine,
    Replied,
)
from protocols.pop3.client_machine import Piece as Piece
from protocols.pop3.commands import (
    Apop,
    Auth,
    Capa,
    Command,
    Dele,
    List,
    Noop,
    Pass,
    Quit,
    Retr,
    SaslCancel,
    SaslResponse,
    Stat,
    Stls,
    Top,
    Uidl,
    User,
)
from protocols.pop3.grammar import format_for_log
from protocols.sasl.client import BadChallenge, LoginImpossible, TokenClient, choose_mechanism, start_client
from protocols.sasl.login import is_loopback

WINDOW = 64
"""Commands on their way at once where the server announces PIPELINING (RFC 2449 §6.6): more only fill buffers."""
MAX_LISTING_BYTES = 64 * 1024 * 1024
"""A listing of half a million messages; a longer one is a server that does not stop."""
MAX_TOP_BYTES = 1024 * 1024
QUIT_SECONDS = 120
"""A server that expunges a thousand messages at QUIT takes its time."""
MAX_COMMAND_BYTES = 255
"""RFC 2449 §4: longer initial responses wait for the server's challenge."""


SECRETS = (Pass, Apop, Auth, SaslResponse)
"""Commands that the transcript shows in part only."""


class SessionBroken(Exception):
    """The connection is of no use any more. The text is one sentence for the administrator."""


class ServerRefused(Exception):
    """The server answered -ERR. The text holds its exact words."""

    def __init__(self, what: str, status: Status) -> None:
        super().__init__(f"{what}: {status.text or 'the server gave no reason'}")
        self.status = status


@dataclass(frozen=True, slots=True)
class Begun:
    """The text of this message comes next, in pieces."""

    number: int


@dataclass(frozen=True, slots=True)
class Complete:
    """All of this message has come, and what the server said next makes sense: it really was the end."""

    number: int


@dataclass(frozen=True, slots=True)
class NotGiven:
    """The server would not give this message, in its own words."""

    number: int
    text: str


Retrieved = Begun | Piece | Complete | NotGiven


class Pop3Client:
    """One session. `wire` gets each line of the dialogue, secrets blanked."""

    def __init__(self, stream: Stream, server: RemoteServer, wire: Callable[[str], None]) -> None:
        self.capabilities: dict[str, str] = {}
        """What CAPA announced; empty for a server that has no CAPA."""
        self._stream = stream
        self._server = server
        self._wire = wire
        self._machine = Pop3ClientMachine()
        self._stamp = ""

    @classmethod
    async def connect(cls, server: RemoteServer, wire: Callable[[str], None]) -> Pop3Client:
        """Connected, greeted, and encrypted as far as the server's settings ask. Raises CannotConnect, SessionBroken,
        ServerRefused."""
        client = cls(await open_stream(server), server, wire)
        try:
            await client._begin()
        except BaseException:
            client.close()
            raise
        return client

    @property
    def tls(self) -> str:
        """Version and cipher; empty in clear."""
        return self._stream.tls

    @property
    def address(self) -> str:
        """The server's address."""
        return self._stream.peer[0]

    @property
    def pipelines(self) -> bool:
        return "PIPELINING" in self.capabilities

    def close(self) -> None:
        """Without QUIT: what was to be deleted stays (RFC 1939 §6)."""
        self._stream.abort()

    # ------------------------------------------------------------ the beginning

    async def _begin(self) -> None:
        greeting = await self._next_event()
        assert isinstance(greeting, Greeting)
        self._wire(f"S: {'+OK' if greeting.status.ok else '-ERR'} {greeting.status.text}")
        if not greeting.status.ok:
            raise ServerRefused(f"{self._server.host} does not let us in", greeting.status)
        self._stamp = greeting.stamp
        await self._learn_capabilities()
        wanted = self._server.encryption
        if wanted in (Encryption.STARTTLS, Encryption.OPPORTUNISTIC):
            await self._start_tls(required=wanted is Encryption.STARTTLS)

    async def _learn_capabilities(self) -> None:
        try:
            self.capabilities = grammar.parse_capabilities(await self._listing(Capa()))
        except ServerRefused:
            self.capabilities = {}

    async def _start_tls(self, *, required: bool) -> None:
        """Asked for even if CAPA does not announce it, where it is required: old servers have STLS and no CAPA."""
        if not required and "STLS" not in self.capabilities:
            return
        try:
            await self._simple(Stls())
        except ServerRefused as error:
            if not required:
                return
            text = f"{self._server.host} cannot encrypt the session, which is required"
            raise ServerRefused(text, error.status) from error
        try:
            await start_client_tls(self._stream, self._server)
        except BytesBeforeTls:
            raise SessionBroken(f"{self._server.host} sent something behind its answer to STLS.") from None
        self._machine.tls_started()
        self._wire(f"-: {self._stream.tls}")
        await self._learn_capabilities()

    # ------------------------------------------------------------ logging in

    async def login(self, credentials: Credentials, token: str = "") -> None:
        """Raises ServerRefused, LoginImpossible, SessionBroken."""
        if any(letter in f"{credentials.username}{credentials.password}" for letter in "\r\n\0"):
            raise LoginImpossible("A name or password must not contain a line end.")
        method = credentials.method
        offered = self.capabilities.get("SASL", "").split()
        private = bool(self._stream.encrypted) or is_loopback(self.address)
        if token or method not in (LoginMethod.PLAIN, LoginMethod.APOP, LoginMethod.AUTOMATIC, LoginMethod.NONE):
            name = choose_mechanism(method, offered, private=private, with_token=bool(token))
            await self._authenticate(name, credentials, token)
        elif method is LoginMethod.APOP:
            await self._apop(credentials)
        elif method is LoginMethod.AUTOMATIC:
            await self._login_somehow(credentials, offered, private=private)
        elif "USER" not in self.capabilities and "PLAIN" in offered:
            await self._authenticate("PLAIN", credentials, "")
        else:
            await self._user_and_pass(credentials)
        await self._learn_capabilities_again()

    async def _login_somehow(self, credentials: Credentials, offered: Sequence[str], *, private: bool) -> None:
        """The strongest that is offered; USER and PASS is what every server has, or says that it has not."""
        secret = [name for name in offered if name.upper() in ("SCRAM-SHA-256", "CRAM-MD5")]
        if not private and self._stamp and not secret:
            await self._apop(credentials)
            return
        try:
            name = choose_mechanism(LoginMethod.AUTOMATIC, offered, private=private)
        except LoginImpossible:
            name = ""
        if not name or (private and name != "SCRAM-SHA-256" and "USER" in self.capabilities):
            await self._user_and_pass(credentials)
        else:
            await self._authenticate(name, credentials, "")

    async def _user_and_pass(self, credentials: Credentials) -> None:
        await self._simple(User(credentials.username), "The login was refused")
        await self._simple(Pass(credentials.password), "The login was refused")

    async def _apop(self, credentials: Credentials) -> None:
        if not self._stamp:
            raise LoginImpossible("The server does not offer APOP.")
        digest = hashlib.md5((self._stamp + credentials.password).encode(), usedforsecurity=False).hexdigest()
        await self._simple(Apop(credentials.username, digest), "The login was refused")

    async def _authenticate(self, name: str, credentials: Credentials, token: str) -> None:
        """RFC 5034 §4."""
        mechanism = start_client(
            name,
            credentials.username,
            password=credentials.password,
            token=token,
            host=self._server.host,
            port=self._server.port,
        )
        initial = mechanism.initial()
        fits = initial is not None and len(initial) * 4 // 3 + len(name) + 12 <= MAX_COMMAND_BYTES
        await self._send(Auth(name, initial if fits else None))
        owed = initial if not fits else None
        while True:
            event = await self._next_event()
            if isinstance(event, Replied):
                self._note_status(event.status)
                if not event.status.ok:
                    why = f" ({mechanism.explanation})" if mechanism.explanation else ""
                    raise ServerRefused(f"The login was refused{why}", event.status)
                break
            assert isinstance(event, Challenge)
            self._wire("S: + ***")
            try:
                answer = owed if owed is not None else mechanism.respond(event.data)
            except BadChallenge as error:
                await self._send(SaslCancel())
                raise SessionBroken(f"The log-in failed: {error}.") from error
            owed = None
            await self._send(SaslResponse(answer))
        try:
            mechanism.finish()
        except BadChallenge as error:
            raise SessionBroken(f"The log-in failed: {error}.") from error
        assert not (isinstance(mechanism, TokenClient) and mechanism.refused)

    async def _learn_capabilities_again(self) -> None:
        """RFC 2449 §5: what is offered may differ after the login. Asked only where CAPA is known."""
        if self.capabilities:
            await self._learn_capabilities()

    # ------------------------------------------------------------ looking

    async def stat(self) -> tuple[int, int]:
        """How many messages there are, and their bytes."""
        status = await self._simple(Stat())
        try:
            return grammar.parse_count(status.text)
        except NotAStatus:
            raise SessionBroken(f"The server's answer to STAT makes no sense: {status.text}") from None

    async def sizes(self) -> dict[int, int]:
        """Sizes by number."""
        return grammar.parse_sizes(await self._listing(List()))

    async def sizes_of(self, numbers: Sequence[int]) -> dict[int, int]:
        """Sizes of these alone; what the server does not know is left out."""
        found: dict[int, int] = {}
        async for number, status in self._each([List(number) for number in numbers]):
            if status.ok:
                found.update(grammar.parse_sizes(status.text.encode("latin-1", "replace")))
            else:
                found.pop(number, None)
        return found

    async def unique_ids(self) -> dict[int, str] | None:
        """Unique ids by number; None when the server knows no UIDL."""
        try:
            return grammar.parse_unique_ids(await self._listing(Uidl()))
        except ServerRefused:
            return None

    def headers(self, numbers: Sequence[int]) -> AsyncGenerator[bytes | ServerRefused]:
        """The headers of these messages, as much of each as makes sense, or why there is none; in this order, many
        commands ahead where the server allows that. Nothing else can be asked before the last has come."""
        return self._listings([Top(number, 0) for number in numbers], MAX_TOP_BYTES)

    # ------------------------------------------------------------ fetching

    async def retrieve(self, numbers: Sequence[int]) -> AsyncIterator[Retrieved]:
        """These messages, in this order, many commands ahead where the server allows that.

        A message is Complete only when the next answer has been understood: a server that does not double dots ends a
        message in its middle, and what follows makes no sense.
        """
        left = deque[Command](Retr(number) for number in numbers)
        before: int | None = None
        while left or self._machine.waiting:
            await self._send_ahead(left)
            event = await self._next_event()
            match event:
                case Piece():
                    yield event
                case Replied(Retr(number), status):
                    if before is not None:
                        yield Complete(before)
                        before = None
                    if status.ok:
                        yield Begun(number)
                    else:
                        self._note_status(status)
                        yield NotGiven(number, status.text)
                case End(Retr(number)):
                    before = number
        if before is not None:
            with contextlib.suppress(ServerRefused):  # It understands us, and we it: that is all that matters.
                await self._simple(Noop())
            yield Complete(before)

    async def delete(self, numbers: Sequence[int]) -> list[int]:
        """Mark these for deletion at QUIT; gives those that the server agreed to."""
        return [number async for number, status in self._each([Dele(number) for number in numbers]) if status.ok]

    async def quit(self) -> None:
        """Only when this returns are deletions done (RFC 1939 §6). Raises ServerRefused, SessionBroken."""
        await self._send(Quit())
        event = await self._next_event(QUIT_SECONDS)
        assert isinstance(event, Replied)
        self._note_status(event.status)
        self.close()
        if not event.status.ok:
            raise ServerRefused("The server could not delete everything", event.status)

    # ------------------------------------------------------------ inside

    async def _each(self, commands: Sequence[List | Dele]) -> AsyncIterator[tuple[int, Status]]:
        """Commands with one-line answers."""
        left = deque[Command](commands)
        while left or self._machine.waiting:
            await self._send_ahead(left)
            event = await self._next_event()
            assert isinstance(event, Replied)
            assert isinstance(event.command, List | Dele)
            if not event.status.ok:
                self._note_status(event.status)
            yield event.command.number or 0, event.status

    async def _simple(self, command: Command, what: str = "") -> Status:
        """A command with a one-line answer. Raises ServerRefused for -ERR."""
        await self._send(command)
        event = await self._next_event()
        assert isinstance(event, Replied)
        self._note_status(event.status)
        if not event.status.ok:
            raise ServerRefused(what or f"The server refused {command.verb}", event.status)
        return event.status

    async def _listing(self, command: Command) -> bytes:
        """A command with a multi-line answer, whole. Raises ServerRefused for -ERR."""
        (answer,) = [answer async for answer in self._listings([command], MAX_LISTING_BYTES)]
        if isinstance(answer, ServerRefused):
            raise answer
        return answer

    async def _listings(self, commands: Sequence[Command], limit_bytes: int) -> AsyncGenerator[bytes | ServerRefused]:
        """The same command many times, with multi-line answers."""
        left = deque(commands)
        collected = bytearray()
        while left or self._machine.waiting:
            await self._send_ahead(left)
            match await self._next_event():
                case Replied(_, status):
                    self._note_status(status)
                    if not status.ok:
                        yield ServerRefused(f"The server refused {commands[0].verb}", status)
                case Piece(data):
                    collected += data
                    if len(collected) > limit_bytes:
                        self.close()
                        raise SessionBroken(f"The server's answer to {commands[0].verb} does not come to an end.")
                case End():
                    answer, collected = bytes(collected), bytearray()
                    yield answer

    async def _send_ahead(self, left: deque[Command]) -> None:
        """As many of these as may be on their way; one without PIPELINING (RFC 2449 §6.6)."""
        window = WINDOW if self.pipelines else 1
        if left and self._machine.waiting <= window // 2:
            await self._send_many([left.popleft() for _ in range(min(len(left), window - self._machine.waiting))])

    async def _send(self, command: Command) -> None:
        await self._send_many([command])

    async def _send_many(self, commands: Sequence[Command]) -> None:
        lines = [self._machine.send(command) for command in commands]
        for command, line in zip(commands, lines, strict=True):
            shown = format_for_log(command) if isinstance(command, SECRETS) else line
            self._wire(f"C: {shown.decode('utf-8', 'backslashreplace').rstrip()}")
        self._stream.set_deadline(IDLE_SECONDS)
        try:
            await self._stream.write(b"".join(lines))
        except ConnectionLost:
            raise SessionBroken(self._lost()) from None
        except DeadlinePassed:
            raise SessionBroken(self._late(IDLE_SECONDS)) from None

    async def _next_event(self, patience_seconds: float = IDLE_SECONDS) -> Event:
        """Whatever the server says next; never NeedData. Raises SessionBroken."""
        try:
            while (event := self._machine.next_event()) is NEED_DATA:
                self._stream.set_deadline(patience_seconds)
                data = await self._stream.read()
                if not data:
                    raise SessionBroken(self._lost())
                self._machine.receive(data)
        except ProtocolViolation as error:
            self.close()
            raise SessionBroken(f"{self._server.host} does not keep to the protocol: {error.note}.") from error
        except DeadlinePassed:
            self.close()
            raise SessionBroken(self._late(patience_seconds)) from None
        return event

    def _note_status(self, status: Status) -> None:
        self._wire(f"S: {'+OK' if status.ok else '-ERR'} {status.text}".rstrip())

    def _lost(self) -> str:
        return f"{self._server.host} closed the connection in the middle of the session."

    def _late(self, seconds: float) -> str:
        return f"{self._server.host} has said nothing for {seconds:.0f} seconds."
