# SPDX-License-Identifier: MIT
"""One process of the IMAP4 service, as dialogues see it, and what happens around it."""

from __future__ import annotations

import asyncio

from mailserver import notices
from mailserver.config.catalog import ServiceKind
from mailserver.errors import Kind, MailError
from mailserver.store.interface import FlagChange, LockToken, Removal, Unit
from mailserver.values import MailboxId, Protocol, Uid
from protocols.imap.indexes import MailboxIndexes
from protocols.imap.server import ImapService
from protocols.net.connection import Connection
from tests.support.certificates import server_context
from tests.support.dialogue import Action
from tests.support.fakes import World, make_world
from tests.support.local_notices import LocalNotices

TURNS = 50
"""Of the event loop: more than anything takes that waits for no socket."""


class Server:
    """One process, whose sessions share their indexes, and what happens around it."""

    def __init__(self) -> None:
        self.notices = LocalNotices()
        self._service: ImapService | None = None
        self._tokens: list[LockToken] = []

    async def serve(self, connection: Connection) -> None:
        if self._service is None:
            self._service = ImapService(MailboxIndexes(connection.store, connection.offload, self.notices))
        await self._service.serve(connection)

    def lock(self, world: World, *, exclusive: bool) -> None:
        self._tokens.append(world.store.lock_maildrop(world.user("alice").id, 99, exclusive=exclusive))

    def unlock(self, world: World) -> None:
        for token in self._tokens:
            world.store.unlock_maildrop(token)
        self._tokens.clear()

    async def change(self, world: World, unit: Unit) -> None:
        """Somebody else does this, and a notice tells of it."""
        world.store.submit(unit).result()
        await self.tell(world)

    async def arrive(self, world: World) -> None:
        world.add_message("alice", b"Subject: new\r\n\r\ntext\r\n")
        await self.tell(world)

    async def tell(self, world: World) -> None:
        self.notices.publish(notices.mailbox_topic(world.user("alice").inbox))
        for _ in range(TURNS):
            await asyncio.sleep(0)

    async def folders_told(self, world: World) -> None:
        """A notice tells that somebody else has changed something about Alice's folders."""
        self.notices.publish(notices.folders_topic(world.user("alice").id))
        for _ in range(TURNS):
            await asyncio.sleep(0)

    async def make_work(self, world: World) -> None:
        world.store.create_mailbox(world.user("alice").id, "Work")
        await self.folders_told(world)

    async def rename_work(self, world: World) -> None:
        world.store.rename_mailbox(_folder(world, "Work"), "Play")
        await self.folders_told(world)

    async def subscribe_play(self, world: World) -> None:
        world.store.set_subscribed(world.user("alice").id, "Play", True)
        await self.folders_told(world)

    async def annotate_play(self, world: World) -> None:
        world.store.set_annotations(world.user("alice").id, _folder(world, "Play"), {"/shared/comment": b"fun"})
        await self.folders_told(world)

    async def delete_play(self, world: World) -> None:
        alice = world.user("alice").id
        world.store.set_subscribed(alice, "Play", False)
        world.store.delete_mailbox(_folder(world, "Play"))
        await self.folders_told(world)

    async def mark(self, world: World) -> None:
        change = FlagChange(world.user("alice").inbox, (Uid(1),), add=frozenset({"\\Flagged"}))
        await self.change(world, Unit(flag_changes=(change,)))

    async def remove(self, world: World) -> None:
        await self.change(world, Unit(removals=(Removal(world.user("alice").inbox, (Uid(1),)),)))


def _folder(world: World, name: str) -> MailboxId:
    return world.store.get_mailbox(world.user("alice").id, name).id


def imap_world() -> World:
    return make_world(ServiceKind.IMAP4, Protocol.IMAP4, tls=server_context())


def _set_storage(world: World, away: bool) -> None:
    world.store.failure = MailError(Kind.UNAVAILABLE, "on purpose") if away else None


def actions(server: Server) -> dict[str, Action]:
    """What the dialogues call by name."""
    return {
        "the folder Work is made elsewhere": server.make_work,
        "Work is renamed to Play elsewhere": server.rename_work,
        "Play is subscribed to elsewhere": server.subscribe_play,
        "Play is annotated elsewhere": server.annotate_play,
        "Play is deleted elsewhere": server.delete_play,
        "storage away": lambda world: _set_storage(world, True),
        "storage back": lambda world: _set_storage(world, False),
        "alice is logged in elsewhere": lambda world: server.lock(world, exclusive=False),
        "alice collects by POP3": lambda world: server.lock(world, exclusive=True),
        "alice has collected": server.unlock,
        "a message arrives": server.arrive,
        "the first is marked": server.mark,
        "the first goes": server.remove,
    }
