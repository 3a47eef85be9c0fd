# SPDX-License-Identifier: MIT
"""The IMAP4 dialogues over TCP, with the database as their store: whatever they say holds on either database.

Left out are those whose database is put out of reach, which only the memory store can pretend, and one in which two
things that happen elsewhere must have been looked at when the client speaks next.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from django.db import connection

from mailserver.addressing.models import Domain
from mailserver.store.blobs import LocalBlobs
from mailserver.store.database import DatabaseStore
from mailserver.store.interface import Mailbox
from mailserver.store.services import create_special_mailboxes
from mailserver.users.models import User
from mailserver.values import UserId
from protocols.net.offload import ThreadOffload
from tests.support.dialogue import FOLDER, play
from tests.support.fakes import DOMAIN, World
from tests.support.stores import make_process
from tests.unit.imap.serving import Server, actions, imap_world

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.database,
    pytest.mark.usefixtures("transactional_db", "data_folder"),
]


class FurnishedStore(DatabaseStore):
    """The product's store, furnished as dialogues do it."""

    def add_user(self, user: UserId) -> Mailbox:
        domain, _ = Domain.objects.get_or_create(name=DOMAIN)
        name = f"user{user}"
        User.objects.create(id=user, name=name, domain=domain, address=f"{name}@{DOMAIN}")
        return create_special_mailboxes(user)[0]


NEEDS_TO_BE_ALONE = {"notify_delayed"}


def _names() -> list[str]:
    paths = [path for path in sorted((FOLDER / "imap").glob("*.txt")) if path.stem not in NEEDS_TO_BE_ALONE]
    return [path.stem for path in paths if "-- do: storage" not in path.read_text(encoding="utf-8")]


@pytest.mark.parametrize("name", _names())
async def test_dialogue(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "1")  # For what happens around the sessions.
    process = make_process()
    with (
        closing(FurnishedStore(LocalBlobs(tmp_path / "blobs"), tmp_path / "spool", process)) as store,
        closing(ThreadOffload()) as offload,
    ):

        def world() -> World:
            made = imap_world()
            return replace(made, store=store, offload=offload)  # type: ignore[arg-type]

        server = Server()
        try:
            await play(FOLDER / "imap" / f"{name}.txt", "tcp", world, server.serve, actions(server))
        finally:
            connection.close()  # That of this task: Django gives each its own, and nobody else would close it.
