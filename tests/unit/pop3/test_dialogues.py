# SPDX-License-Identifier: MIT
"""The POP3 dialogues, played in every way; afterwards no lock is left behind."""

from __future__ import annotations

from pathlib import Path

import pytest

from mailserver.config.catalog import ServiceKind
from mailserver.errors import Kind, MailError
from mailserver.store.interface import LockToken
from mailserver.values import Protocol
from protocols.pop3.server import serve_pop3
from tests.support.certificates import server_context
from tests.support.dialogue import dialogues, play
from tests.support.fakes import World, make_world
from tests.support.still_clock import StillClock


def _world() -> World:
    return make_world(ServiceKind.POP3, Protocol.POP3, tls=server_context())


class _Events:
    """What happens around the sessions of one dialogue."""

    def __init__(self, still_clock: StillClock) -> None:
        self._clock = still_clock
        self._token: LockToken | None = None

    def lock(self, world: World) -> None:
        self._token = world.store.lock_maildrop(world.user("alice").id, 99, exclusive=True)

    def unlock(self, world: World) -> None:
        assert self._token is not None
        world.store.unlock_maildrop(self._token)

    def pass_time(self, world: World) -> None:
        self._clock.advance(minutes=15)


def _set_storage(world: World, away: bool) -> None:
    world.store.failure = MailError(Kind.UNAVAILABLE, "on purpose") if away else None


def _set_authentication(world: World, away: bool) -> None:
    world.authenticator.unavailable = away


def _remove_certificate(world: World) -> None:
    world.tls = None


@pytest.mark.parametrize(("path", "way"), dialogues("pop3"))
async def test_dialogue(path: Path, way: str, still_clock: StillClock) -> None:
    events = _Events(still_clock)
    actions = {
        "add a user with an odd password": lambda world: world.add_user("odd", " zwei Wörter "),
        "add a message without an end": lambda world: world.add_message("alice", b"Subject: cut\r\n\r\nshort"),
        "alice is in use elsewhere": events.lock,
        "alice is free again": events.unlock,
        "a quarter of an hour passes": events.pass_time,
        "storage away": lambda world: _set_storage(world, True),
        "storage back": lambda world: _set_storage(world, False),
        "authentication away": lambda world: _set_authentication(world, True),
        "authentication back": lambda world: _set_authentication(world, False),
        "no certificate": _remove_certificate,
    }
    world = await play(path, way, _world, serve_pop3, actions)
    for user in world.users:
        world.store.lock_maildrop(user.id, 0, exclusive=True)
