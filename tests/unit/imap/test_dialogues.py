# SPDX-License-Identifier: MIT
"""The IMAP4 dialogues, played in every way; afterwards no lock and no subscription is left behind."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.dialogue import dialogues, play
from tests.unit.imap.serving import Server, actions, imap_world


@pytest.mark.parametrize(("path", "way"), dialogues("imap"))
async def test_dialogue(path: Path, way: str) -> None:
    server = Server()
    world = await play(path, way, imap_world, server.serve, actions(server))
    server.unlock(world)
    for user in world.users:
        world.store.lock_maildrop(user.id, 0, exclusive=True)
