# SPDX-License-Identifier: MIT
"""An IMAP4 client for collecting: connect, log in, look into folders, fetch, remove, and wait for news.

RFC 9051, RFC 3501; RFC 4315 (UIDPLUS), RFC 6851 (MOVE), RFC 2177 (IDLE). What to fetch, and what becomes of it, is
decided in `workers.imap_collecting`. Every failure is an ImapFailure whose text is one sentence for the administrator,
or CannotConnect.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Collection, Sequence
from dataclasses import dataclass

from mailserver.connectors.values import Credentials, RemoteServer
from protocols.imap import client_grammar as grammar
from protocols.imap.client_dialogue import Dialogue, ImapFailure, Wire, check_ok, end_sentence
from protocols.imap.client_grammar import Command, Condition, Continuation, FetchedItems, Folder, Found, command
from protocols.imap.client_login import log_in
from protocols.imap.client_machine import BodyBegins, BodyPiece, Event
from protocols.net.outgoing import open_stream
from protocols.sasl.client import GetToken

IDLE_AGAIN_SECONDS = 25 * 60
"""RFC 2177 §3: a server may log out whoever is silent for half an hour."""
MAX_FOLDERS_SHOWN = 20
HEADER_BYTES = 256 * 1024
"""As much of a header section as is looked at before a message is fetched."""


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

    def __init__(self, dialogue: Dialogue) -> None:
        self._dialogue = dialogue

    @classmethod
    async def connect(cls, server: RemoteServer, wire: Wire) -> ImapClient:
        """Connected, greeted, and encrypted as the server's settings say. Raises ImapFailure, CannotConnect."""
        client = cls(Dialogue(await open_stream(server), server, wire))
        try:
            await client._dialogue.begin()
        except BaseException:
            client.close()
            raise
        return client

    def close(self) -> None:
        """Without a word; nothing can be tried afterwards."""
        self._dialogue.broken = True
        self._dialogue.stream.abort()

    async def logout(self) -> None:
        """Politely; a server that is not polite is left. Nothing can be tried afterwards."""
        try:
            with contextlib.suppress(ImapFailure):
                await self._dialogue.ask(command("LOGOUT"), farewell=True)
        finally:
            self.close()

    @property
    def peer(self) -> tuple[str, int]:
        """Address and port of the server."""
        return self._dialogue.stream.peer

    @property
    def tls(self) -> str:
        """Version and cipher; empty in clear."""
        return self._dialogue.stream.tls

    @property
    def lost(self) -> bool:
        """There is no connection any more: whatever failed, nothing else can be tried."""
        return self._dialogue.broken

    @property
    def can_idle(self) -> bool:
        return self._dialogue.has("IDLE") or self._dialogue.has("IMAP4REV2")

    @property
    def can_move(self) -> bool:
        """RFC 6851: there is no moment at which a message is in both folders."""
        return self._dialogue.has("MOVE") or self._dialogue.has("IMAP4REV2")

    async def login(self, credentials: Credentials, get_token: GetToken | None = None) -> None:
        """Raises ImapFailure."""
        await log_in(self._dialogue, credentials, get_token)

    # ------------------------------------------------------------ folders

    async def select(self, name: str) -> Selected:
        """Open a folder. Raises ImapFailure, which names the folders that there are when this one is not."""
        uid_validity = 0

        def take(event: Event) -> None:
            nonlocal uid_validity
            if isinstance(event, Condition) and event.code == "UIDVALIDITY" and event.argument.isdecimal():
                uid_validity = int(event.argument)

        self._dialogue.exists = 0
        condition = await self._dialogue.ask(grammar.select(name), take)
        if condition.status != "OK":
            raise ImapFailure(await self._explain_missing(name, condition))
        if not uid_validity:
            raise ImapFailure(f"The server gives no UIDVALIDITY for {name}: its messages cannot be told apart.")
        self._dialogue.news = False
        return Selected(uid_validity, self._dialogue.exists, condition.code != "READ-ONLY")

    async def list_messages(self) -> list[ListedUid]:
        """Those of the selected folder, in UID order."""
        if not self._dialogue.exists:
            return []
        found: dict[int, ListedUid] = {}

        def take(event: Event) -> None:
            if isinstance(event, FetchedItems) and event.uid and event.size is not None:
                found[event.uid] = ListedUid(event.uid, event.size, event.flags or frozenset())

        await self._dialogue.ask_ok(grammar.uid_fetch_all("(UID RFC822.SIZE FLAGS)"), take)
        return [found[uid] for uid in sorted(found)]

    async def fetch_headers(self, uids: Collection[int], fields: str = "") -> dict[int, bytes]:
        """Header sections, or some `fields` of them; without marking anything as read."""
        found: dict[int, bytes] = {}

        def take(event: Event) -> None:
            if isinstance(event, FetchedItems) and event.uid and event.header is not None:
                found[event.uid] = event.header

        part = f"HEADER.FIELDS ({fields})" if fields else "HEADER"
        if uids:
            await self._dialogue.ask_ok(grammar.uid_fetch(uids, f"(UID BODY.PEEK[{part}]<0.{HEADER_BYTES}>)"), take)
        return found

    async def fetch_messages(self, uids: Collection[int]) -> AsyncIterator[BodyBegins | BodyPiece | FetchedItems]:
        """Whole messages one behind the other, without marking them as read: BodyBegins, BodyPieces, and at last the
        FetchedItems that say whose they were. One that has gone meanwhile is left out."""
        tag = await self._dialogue.send(grammar.uid_fetch(uids, "(UID BODY.PEEK[])"))
        while True:
            event = await self._dialogue.next()
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
        await self._dialogue.ask_ok(grammar.uid_delete(uids))
        if self._dialogue.has("UIDPLUS") or self._dialogue.has("IMAP4REV2"):
            await self._dialogue.ask_ok(grammar.uid_expunge(uids))
            return True
        marked: set[int] = set()

        def take(event: Event) -> None:
            if isinstance(event, Found):
                marked.update(event.numbers)

        await self._dialogue.ask_ok(command("UID SEARCH DELETED"), take)
        if marked - set(uids):
            return False
        await self._dialogue.ask_ok(command("EXPUNGE"))
        return True

    async def move(self, uids: Collection[int], folder: str) -> bool:
        """Into another folder, which is made when it is not there; false when copies stayed behind, marked."""
        if self.can_move:
            await self._ask_making(grammar.uid_move(uids, folder), folder)
            return True
        await self._ask_making(grammar.uid_copy(uids, folder), folder)
        return await self.remove(uids)

    async def find_in(self, name: str, message_ids: Collection[str]) -> Counter[tuple[str, int]]:
        """What another folder has of these, by Message-ID and size; nothing when it is not there. Afterwards that one
        is selected, and may only be read."""
        found: Counter[tuple[str, int]] = Counter()
        if (await self._dialogue.ask(grammar.examine(name))).status != "OK":
            return found
        for message_id in message_ids:
            uids: set[int] = set()

            def take(event: Event, message_id: str = message_id, uids: set[int] = uids) -> None:
                if isinstance(event, Found):
                    uids.update(event.numbers)
                elif isinstance(event, FetchedItems) and event.size is not None:
                    found[message_id, event.size] += 1

            await self._dialogue.ask_ok(grammar.uid_search_id(message_id), take)
            if uids:
                await self._dialogue.ask_ok(grammar.uid_fetch(uids, "(UID RFC822.SIZE)"), take)
        return found

    async def wait_for_news(self) -> bool:
        """IDLE in the selected folder until something new is in it (true), or it is time to begin again, or `wake` was
        called. What came since it was opened counts as well. Raises ImapFailure."""
        tag = await self._dialogue.send(command("IDLE", continues=True))
        while not isinstance(event := await self._dialogue.next(), Continuation):
            if isinstance(event, Condition) and event.tag == tag:
                raise ImapFailure(f"The server does not let us wait for news: {event.text}")
        self._dialogue.stream.set_deadline(IDLE_AGAIN_SECONDS)
        await self._dialogue.listen()
        await self._dialogue.write(b"DONE\r\n", "DONE")
        while not (isinstance(event := await self._dialogue.next(), Condition) and event.tag == tag):
            pass
        news, self._dialogue.news = self._dialogue.news, False
        return news

    def wake(self) -> None:
        """End a `wait_for_news`."""
        self._dialogue.stream.nudge()

    # ------------------------------------------------------------ inside

    async def _explain_missing(self, name: str, condition: Condition) -> str:
        folders: list[str] = []

        def take(event: Event) -> None:
            if isinstance(event, Folder) and "\\noselect" not in {flag.lower() for flag in event.attributes}:
                folders.append(event.name)

        await self._dialogue.ask(grammar.list_folders("*"), take)
        text = f"The folder {name} cannot be opened: {condition.text}"
        if name in folders or not folders:
            return text + end_sentence(text)
        shown = ", ".join(folders[:MAX_FOLDERS_SHOWN]) + (" ..." if len(folders) > MAX_FOLDERS_SHOWN else "")
        return f"{text}{end_sentence(text)} The server has these: {shown}"

    async def _ask_making(self, wanted: Command, folder: str) -> None:
        condition = await self._dialogue.ask(wanted)
        if condition.status != "OK" and condition.code == "TRYCREATE":
            await self._dialogue.ask(grammar.create_folder(folder))
            condition = await self._dialogue.ask(wanted)
        check_ok(wanted, condition)


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
