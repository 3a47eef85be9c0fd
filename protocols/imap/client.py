# SPDX-License-Identifier: MIT
"""An IMAP4 client for collecting: connect, log in, look into folders, fetch, remove, and wait for news.

RFC 9051, RFC 3501; RFC 4315 (UIDPLUS), RFC 6851 (MOVE), RFC 2177 (IDLE), RFC 4959 (SASL-IR), RFC 2595 (STARTTLS). What
to fetch and what becomes of it is decided in `workers.imap_collecting`. Every failure is an ImapFailure whose text is
one sentence for the administrator, or CannotConnect.
"""

from __future__ import annotations

import binascii
import contextlib
from base64 import b64decode, b64encode
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass

from mailserver.connectors.values import Credentials, Encryption, LoginMethod, RemoteServer
from mailserver.errors import ProtocolViolation
from protocols.imap import client_grammar as grammar
from protocols.imap.client_grammar import (
    Command,
    Condition,
    Continuation,
    Exists,
    Expunged,
    FetchedItems,
    Folder,
    Found,
    Response,
    command,
)
from protocols.imap.client_machine import BodyBegins, BodyPiece, ClientMachine, Event, NeedData
from protocols.net.outgoing import IDLE_SECONDS, open_stream, start_client_tls
from protocols.net.stream import BytesBeforeTls, ConnectionLost, DeadlinePassed, Stream
from protocols.sasl.client import (
    BadChallenge,
    ClientMechanism,
    LoginImpossible,
    TokenClient,
    choose_mechanism,
    start_client,
)
from protocols.sasl.login import is_loopback

IDLE_AGAIN_SECONDS = 25 * 60
"""RFC 2177 §3: a server may log out whoever is silent for half an hour."""
MAX_SHOWN_LINE = 500
MAX_FOLDERS_SHOWN = 20
HEADER_BYTES = 256 * 1024
"""As much of a header section as is looked at before a message is fetched."""

_BY_COMMAND = (LoginMethod.AUTOMATIC, LoginMethod.PLAIN, LoginMethod.LOGIN)
"""Ways to log in for which the LOGIN command will do where the server offers no mechanism."""

Wire = Callable[[str], None]
GetToken = Callable[[str], Awaitable[str]]
"""An access token, another one than the one given; raises ImapFailure's relatives as it likes."""


class ImapFailure(Exception):
    """It did not work; the text is one sentence for the administrator."""


@dataclass(frozen=True, slots=True)
class Selected:
    """RFC 9051 §6.3.2."""

    uid_validity: int
    exists: int
    writable: bool


@dataclass(frozen=True, slots=True)
class ListedUid:
    """A message in the selected folder."""

    uid: int
    size: int
    flags: frozenset[str]


class ImapClient:
    """One connection; made by `connect`."""

    def __init__(self, stream: Stream, server: RemoteServer, wire: Wire) -> None:
        self._stream = stream
        self._server = server
        self._wire = wire
        self._machine = ClientMachine()
        self._exists = 0
        self._news = False
        self._ready = False

    @classmethod
    async def connect(cls, server: RemoteServer, wire: Wire) -> ImapClient:
        """Connected, greeted, and encrypted as the server's settings say. Raises ImapFailure, CannotConnect."""
        client = cls(await open_stream(server), server, wire)
        try:
            await client._begin()
        except BaseException:
            client.close()
            raise
        return client

    def close(self) -> None:
        """Without a word."""
        self._stream.abort()

    async def logout(self) -> None:
        """Politely; a server that is not polite is left."""
        with contextlib.suppress(ImapFailure):
            await self._ask(command("LOGOUT"), farewell=True)
        self._stream.close()

    @property
    def peer(self) -> tuple[str, int]:
        """Address and port of the server."""
        return self._stream.peer

    @property
    def tls(self) -> str:
        """Version and cipher; empty in clear."""
        return self._stream.tls

    @property
    def can_idle(self) -> bool:
        return self._has("IDLE") or self._has("IMAP4REV2")

    # ------------------------------------------------------------ logging in

    async def login(self, credentials: Credentials, get_token: GetToken | None = None) -> None:
        """Raises ImapFailure."""
        if self._ready:
            return
        capabilities = self._machine.capabilities or frozenset()
        offered = [name.removeprefix("AUTH=") for name in capabilities if name.startswith("AUTH=")]
        private = self._stream.encrypted or is_loopback(self.peer[0])
        try:
            name = choose_mechanism(credentials.method, offered, private=private, with_token=get_token is not None)
        except LoginImpossible as error:
            if get_token is not None or credentials.method not in _BY_COMMAND or "LOGINDISABLED" in capabilities:
                raise ImapFailure(f"{error}") from error
            await self._finish_login(await self._ask(grammar.login(credentials.username, credentials.password)))
            return
        await self._authenticate(name, credentials, get_token)

    async def _authenticate(self, name: str, credentials: Credentials, get_token: GetToken | None) -> None:
        token = await get_token("") if get_token is not None else ""
        mechanism = self._start(name, credentials, token)
        condition = await self._exchange(mechanism)
        if condition.status != "OK" and get_token is not None and isinstance(mechanism, TokenClient):
            mechanism = self._start(name, credentials, await get_token(token))
            condition = await self._exchange(mechanism)
        await self._finish_login(condition, mechanism.explanation)

    def _start(self, name: str, credentials: Credentials, token: str) -> ClientMechanism:
        try:
            return start_client(
                name,
                credentials.username,
                password=credentials.password,
                token=token,
                host=self._server.host,
                port=self._server.port,
            )
        except LoginImpossible as error:
            raise ImapFailure(str(error)) from error

    async def _exchange(self, mechanism: ClientMechanism) -> Condition:
        initial = mechanism.initial()
        at_once = initial is not None and self._has("SASL-IR")
        sent = (b64encode(initial) or b"=") if at_once and initial is not None else None
        tag = await self._send(grammar.authenticate(mechanism.name, sent))
        unsent = None if at_once else initial
        problem = ""
        while True:
            event = await self._next()
            if isinstance(event, Continuation):
                if unsent is not None:
                    answer, unsent = b64encode(unsent), None
                else:
                    answer, problem = self._answer(mechanism, event.text)
                await self._write(answer + b"\r\n", "***" if answer != b"*" else "*")
            elif isinstance(event, Condition) and event.tag == tag:
                break
        if problem:
            raise ImapFailure(f"The log-in by {mechanism.name} was broken off: {problem}.")
        if event.status == "OK":
            try:
                mechanism.finish()
            except BadChallenge as error:
                raise ImapFailure(f"The log-in by {mechanism.name} is not trusted: {error}.") from error
        return event

    def _answer(self, mechanism: ClientMechanism, text: bytes) -> tuple[bytes, str]:
        """To a challenge; `*` and the reason when the server cheats (RFC 9051 §6.2.2)."""
        try:
            return b64encode(mechanism.respond(b64decode(text, validate=True))), ""
        except binascii.Error:
            return b"*", "the server's challenge is not base64"
        except BadChallenge as error:
            return b"*", str(error)

    async def _finish_login(self, condition: Condition, explanation: str = "") -> None:
        if condition.status != "OK":
            words = f"{condition.text} ({explanation})" if explanation else condition.text
            code = f"[{condition.code}] " if condition.code else ""
            raise ImapFailure(f"The server refuses the log-in: {code}{words}".rstrip() + _stop(words))
        if condition.code != "CAPABILITY":
            await self._ask_ok(command("CAPABILITY"))

    # ------------------------------------------------------------ folders

    async def select(self, name: str) -> Selected:
        """Open a folder. Raises ImapFailure, which names the folders that there are when this one is not."""
        uid_validity = 0

        def take(event: Event) -> None:
            nonlocal uid_validity
            if isinstance(event, Condition) and event.code == "UIDVALIDITY" and event.argument.isdecimal():
                uid_validity = int(event.argument)

        self._exists = 0
        condition = await self._ask(grammar.select(name), take)
        if condition.status != "OK":
            raise ImapFailure(await self._explain_missing(name, condition))
        if not uid_validity:
            raise ImapFailure(f"The server gives no UIDVALIDITY for {name}: its messages cannot be told apart.")
        self._news = False
        return Selected(uid_validity, self._exists, condition.code != "READ-ONLY")

    async def list_messages(self) -> list[ListedUid]:
        """Those of the selected folder, in UID order."""
        if not self._exists:
            return []
        found: dict[int, ListedUid] = {}

        def take(event: Event) -> None:
            if isinstance(event, FetchedItems) and event.uid and event.size is not None:
                found[event.uid] = ListedUid(event.uid, event.size, event.flags or frozenset())

        await self._ask_ok(grammar.uid_fetch_all("(UID RFC822.SIZE FLAGS)"), take)
        return [found[uid] for uid in sorted(found)]

    async def fetch_headers(self, uids: Collection[int], fields: str = "") -> dict[int, bytes]:
        """Header sections, or some `fields` of them; without marking anything as read."""
        found: dict[int, bytes] = {}

        def take(event: Event) -> None:
            if isinstance(event, FetchedItems) and event.uid and event.header is not None:
                found[event.uid] = event.header

        part = f"HEADER.FIELDS ({fields})" if fields else "HEADER"
        if uids:
            await self._ask_ok(grammar.uid_fetch(uids, f"(UID BODY.PEEK[{part}]<0.{HEADER_BYTES}>)"), take)
        return found

    async def fetch_messages(self, uids: Collection[int]) -> AsyncIterator[BodyBegins | BodyPiece | FetchedItems]:
        """Whole messages one behind the other, without marking them as read: BodyBegins, BodyPieces, and at last the
        FetchedItems that say whose they were. One that has gone meanwhile is left out."""
        tag = await self._send(grammar.uid_fetch(uids, "(UID BODY.PEEK[])"))
        while True:
            event = await self._next()
            if isinstance(event, Condition) and event.tag == tag:
                if event.status != "OK":
                    raise ImapFailure(f"The server gives no messages: {event.text}")
                return
            if isinstance(event, FetchedItems) and event.text is not None:
                yield BodyBegins(len(event.text))
                yield BodyPiece(event.text)
            if isinstance(event, BodyBegins | BodyPiece | FetchedItems):
                yield event

    async def remove(self, uids: Collection[int]) -> bool:
        """Delete these messages and no others; false when they could only be marked.

        Without UIDPLUS an EXPUNGE takes whatever is marked, also by somebody else: then it is not given.
        """
        await self._ask_ok(grammar.uid_delete(uids))
        if self._has("UIDPLUS") or self._has("IMAP4REV2"):
            await self._ask_ok(grammar.uid_expunge(uids))
            return True
        marked: set[int] = set()

        def take(event: Event) -> None:
            if isinstance(event, Found):
                marked.update(event.numbers)

        await self._ask_ok(command("UID SEARCH DELETED"), take)
        if marked - set(uids):
            return False
        await self._ask_ok(command("EXPUNGE"))
        return True

    async def move(self, uids: Collection[int], folder: str) -> bool:
        """Into another folder, which is made when it is not there; false when copies stayed behind, marked."""
        if self._has("MOVE") or self._has("IMAP4REV2"):
            await self._ask_making(grammar.uid_move(uids, folder), folder)
            return True
        await self._ask_making(grammar.uid_copy(uids, folder), folder)
        return await self.remove(uids)

    async def wait_for_news(self) -> bool:
        """IDLE in the selected folder until something new is in it (true), or it is time to begin again, or `wake` was
        called. What came since it was opened counts as well. Raises ImapFailure."""
        tag = await self._send(command("IDLE", continues=True))
        while not isinstance(event := await self._next(), Continuation):
            if isinstance(event, Condition) and event.tag == tag:
                raise ImapFailure(f"The server does not let us wait for news: {event.text}")
        self._stream.set_deadline(IDLE_AGAIN_SECONDS)
        await self._listen()
        await self._write(b"DONE\r\n", "DONE")
        while not (isinstance(event := await self._next(), Condition) and event.tag == tag):
            pass
        news, self._news = self._news, False
        return news

    def wake(self) -> None:
        """End a `wait_for_news`."""
        self._stream.nudge()

    # ------------------------------------------------------------ inside

    def _has(self, capability: str) -> bool:
        return capability in (self._machine.capabilities or ())

    async def _begin(self) -> None:
        greeting = await self._next()
        assert isinstance(greeting, Condition)
        self._ready = greeting.status == "PREAUTH"
        if self._machine.capabilities is None:
            await self._ask_ok(command("CAPABILITY"))
        encryption = self._server.encryption
        if encryption in (Encryption.NONE, Encryption.TLS):
            return
        if not self._has("STARTTLS") or self._ready:
            if encryption is Encryption.STARTTLS:
                raise ImapFailure("The server offers no encryption by STARTTLS, which this collector insists on.")
            return
        condition = await self._ask(command("STARTTLS"))
        if condition.status != "OK":
            raise ImapFailure(f"The server refuses STARTTLS: {condition.text}")
        if self._machine.has_bytes:
            raise ImapFailure("The server said something before the encryption began; somebody may have forged it.")
        try:
            await start_client_tls(self._stream, self._server)
        except BytesBeforeTls:
            raise ImapFailure(
                "The server said something before the encryption began; somebody may have forged it."
            ) from None
        self._machine.forget_capabilities()
        await self._ask_ok(command("CAPABILITY"))

    async def _explain_missing(self, name: str, condition: Condition) -> str:
        folders: list[str] = []

        def take(event: Event) -> None:
            if isinstance(event, Folder) and "\\noselect" not in {flag.lower() for flag in event.attributes}:
                folders.append(event.name)

        await self._ask(grammar.list_folders("*"), take)
        text = f"The folder {name} cannot be opened: {condition.text}"
        if name in folders or not folders:
            return text + _stop(text)
        shown = ", ".join(folders[:MAX_FOLDERS_SHOWN]) + (" ..." if len(folders) > MAX_FOLDERS_SHOWN else "")
        return f"{text}{_stop(text)} The server has these: {shown}"

    async def _ask_making(self, wanted: Command, folder: str) -> None:
        condition = await self._ask(wanted)
        if condition.status != "OK" and condition.code == "TRYCREATE":
            await self._ask(grammar.create_folder(folder))
            condition = await self._ask(wanted)
        _check(wanted, condition)

    async def _ask_ok(self, wanted: Command, take: Callable[[Event], None] | None = None) -> None:
        _check(wanted, await self._ask(wanted, take))

    async def _ask(
        self, wanted: Command, take: Callable[[Event], None] | None = None, *, farewell: bool = False
    ) -> Condition:
        """The answer; what is said before it goes to `take`."""
        tag = await self._send(wanted)
        while True:
            event = await self._next(farewell=farewell)
            if isinstance(event, Condition) and event.tag == tag:
                return event
            if isinstance(event, Continuation):
                more = self._machine.go_on()
                assert more is not None
                await self._write(more, "...")
            elif take is not None:
                take(event)

    async def _send(self, wanted: Command) -> bytes:
        tag, data = self._machine.send(wanted)
        await self._write(data, f"{tag.decode()} {wanted.shown}")
        return tag

    async def _write(self, data: bytes, shown: str) -> None:
        self._wire(f"C: {shown[:MAX_SHOWN_LINE]}")
        self._stream.set_deadline(IDLE_SECONDS)
        try:
            await self._stream.write(data)
        except (ConnectionLost, DeadlinePassed) as error:
            raise self._lost(error) from error

    async def _next(self, *, farewell: bool = False) -> Response | BodyBegins | BodyPiece:
        """The next that the server says; its good-bye is a failure unless we asked for it."""
        while isinstance(event := self._parse(), NeedData):
            await self._read()
        self._note(event, farewell=farewell)
        return event

    async def _read(self) -> None:
        self._stream.set_deadline(IDLE_SECONDS)
        try:
            data = await self._stream.read()
        except (ConnectionLost, DeadlinePassed) as error:
            raise self._lost(error) from error
        if not data:
            raise self._lost(None)
        self._machine.receive(data)

    async def _listen(self) -> None:
        """In IDLE: until something concerns us."""
        while not self._news:
            event = self._parse()
            if not isinstance(event, NeedData):
                self._note(event)
                continue
            try:
                if not await self._stream.wait_input():
                    return
                data = await self._stream.read()
            except DeadlinePassed:
                return
            if not data:
                raise self._lost(None)
            self._machine.receive(data)

    def _parse(self) -> Event:
        try:
            return self._machine.next_event()
        except ProtocolViolation as violation:
            raise ImapFailure(f"The server breaks the rules of IMAP4: {violation.note}.") from violation

    def _note(self, event: Event, *, farewell: bool = False) -> None:
        self._show(event)
        if isinstance(event, Exists):
            self._news = self._news or event.count > self._exists
            self._exists = event.count
        if isinstance(event, Expunged):
            self._exists = max(0, self._exists - 1)
        if isinstance(event, Condition) and event.status == "BYE" and not farewell:
            raise ImapFailure(f"The server says good-bye: {event.text}" + _stop(event.text))

    def _show(self, event: Event) -> None:
        line = _shown(event)
        if line:
            self._wire(f"S: {line[:MAX_SHOWN_LINE]}")

    def _lost(self, error: Exception | None) -> ImapFailure:
        if isinstance(error, DeadlinePassed):
            return ImapFailure(f"The server has said nothing for {IDLE_SECONDS} seconds.")
        return ImapFailure("The server broke off the connection.")


def _check(wanted: Command, condition: Condition) -> None:
    if condition.status != "OK":
        text = f"The server refuses {wanted.shown[:100]}: {condition.text}"
        raise ImapFailure(text + _stop(text))


def _stop(text: str) -> str:
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


def split_windows(messages: Sequence[ListedUid], count: int, size_bytes: int) -> list[list[ListedUid]]:
    """In their order, so many and so large at a time; a single one may be larger."""
    windows: list[list[ListedUid]] = []
    total = 0
    for message in messages:
        if not windows or len(windows[-1]) >= count or total + message.size > size_bytes:
            windows.append([])
            total = 0
        windows[-1].append(message)
        total += message.size
    return windows
