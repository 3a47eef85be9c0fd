# SPDX-License-Identifier: MIT
"""The IMAP4 dialogues, played in every way; afterwards no lock and no subscription is left behind."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from mailserver import notices
from mailserver.config.catalog import ServiceKind
from mailserver.errors import Kind, MailError
from mailserver.store.interface import FlagChange, LockToken, Removal, Unit
from mailserver.values import Protocol, Uid
from protocols.imap.indexes import MailboxIndexes
from protocols.imap.server import ImapService
from protocols.net.connection import Connection
from tests.support.certificates import server_context
from tests.support.dialogue import dialogues, play
from tests.support.fakes import World, make_world
from tests.support.local_notices import LocalNotices

TURNS = 50
"""Of the event loop: more than anything takes that waits for no socket."""


class _Server:
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

    async def mark(self, world: World) -> None:
        change = FlagChange(world.user("alice").inbox, (Uid(1),), add=frozenset({"\\Flagged"}))
        await self.change(world, Unit(flag_changes=(change,)))

    async def remove(self, world: World) -> None:
        await self.change(world, Unit(removals=(Removal(world.user("alice").inbox, (Uid(1),)),)))


def _world() -> World:
    return make_world(ServiceKind.IMAP4, Protocol.IMAP4, tls=server_context())


def _set_storage(world: World, away: bool) -> None:
    world.store.failure = MailError(Kind.UNAVAILABLE, "on purpose") if away else None


@pytest.mark.parametrize(("path", "way"), dialogues("imap"))
async def test_dialogue(path: Path, way: str) -> None:
    server = _Server()
    actions = {
        "storage away": lambda world: _set_storage(world, True),
        "storage back": lambda world: _set_storage(world, False),
        "alice is logged in elsewhere": lambda world: server.lock(world, exclusive=False),
        "alice collects by POP3": lambda world: server.lock(world, exclusive=True),
        "alice has collected": server.unlock,
        "a message arrives": server.arrive,
        "the first is marked": server.mark,
        "the first goes": server.remove,
    }
    world = await play(path, way, _world, server.serve, actions)
    server.unlock(world)
    for user in world.users:
        world.store.lock_maildrop(user.id, 0, exclusive=True)
