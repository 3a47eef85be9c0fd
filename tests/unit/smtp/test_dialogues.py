# SPDX-License-Identifier: MIT
"""Every conversation of `tests/dialogues/smtp`, in every way it can be played."""

from __future__ import annotations

from pathlib import Path

import pytest

from mailserver.config.catalog import ServiceKind
from mailserver.errors import Kind, MailError
from mailserver.values import Protocol
from protocols.smtp.server import serve_smtp
from tests.support.certificates import server_context
from tests.support.dialogue import Action, dialogues, play
from tests.support.fakes import World, make_world


def _make_world(path: Path) -> World:
    """With a certificate where the dialogue is about TLS."""
    with_tls = "tls" in path.stem
    return make_world(ServiceKind.SMTP, Protocol.SMTP, tls=server_context() if with_tls else None)


def _fail_with(kind: Kind) -> Action:
    def action(world: World) -> None:
        world.store.failure = MailError(kind, "as the dialogue asks")

    return action


def _store_back(world: World) -> None:
    world.store.failure = None


def _authentication_away(world: World) -> None:
    world.authenticator.unavailable = True


def _authentication_back(world: World) -> None:
    world.authenticator.unavailable = False


ACTIONS: dict[str, Action] = {
    "disk full": _fail_with(Kind.STORAGE_FULL),
    "database away": _fail_with(Kind.UNAVAILABLE),
    "mailbox gone": _fail_with(Kind.NOT_FOUND),
    "store back": _store_back,
    "authentication away": _authentication_away,
    "authentication back": _authentication_back,
}


@pytest.mark.parametrize(("path", "way"), dialogues("smtp"))
async def test_dialogue(path: Path, way: str) -> None:
    await play(path, way, lambda: _make_world(path), serve_smtp, ACTIONS)
