# SPDX-License-Identifier: MIT
"""The IMAP4 dialogues, played in every way; afterwards no lock and no subscription is left behind."""

from __future__ import annotations

from pathlib import Path

import pytest

from mailserver.config.catalog import ServiceKind
from mailserver.errors import Kind, MailError
from mailserver.values import Protocol
from protocols.imap.indexes import MailboxIndexes
from protocols.imap.server import ImapService
from protocols.net.connection import Connection
from tests.support.certificates import server_context
from tests.support.dialogue import dialogues, play
from tests.support.fakes import World, make_world
from tests.support.local_notices import LocalNotices


class _Server:
    """One process: all sessions of a world share its indexes."""

    def __init__(self) -> None:
        self.notices = LocalNotices()
        self._service: ImapService | None = None

    async def serve(self, connection: Connection) -> None:
        if self._service is None:
            self._service = ImapService(MailboxIndexes(connection.store, connection.offload, self.notices))
        await self._service.serve(connection)


def _world() -> World:
    return make_world(ServiceKind.IMAP4, Protocol.IMAP4, tls=server_context())


def _set_storage(world: World, away: bool) -> None:
    world.store.failure = MailError(Kind.UNAVAILABLE, "on purpose") if away else None


@pytest.mark.parametrize(("path", "way"), dialogues("imap"))
async def test_dialogue(path: Path, way: str) -> None:
    actions = {
        "storage away": lambda world: _set_storage(world, True),
        "storage back": lambda world: _set_storage(world, False),
    }
    world = await play(path, way, _world, _Server().serve, actions)
    for user in world.users:
        world.store.lock_maildrop(user.id, 0, exclusive=True)
