# SPDX-License-Identifier: MIT
"""Pictures of folders: good for a moment, right at once about what this process does, gone with a notice."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from mailserver import notices
from mailserver.journey.records import next_ref
from mailserver.store.interface import Filing, NewContent, NewEntry, Unit
from mailserver.store.memory import MemoryStore
from mailserver.values import UserId
from protocols.imap import pictures as pictures_module
from protocols.imap.pictures import FolderPictures
from protocols.net.offload import DirectOffload
from tests.support.filings import make_body
from tests.support.local_notices import LocalNotices

ALICE = UserId(1)
BOB = UserId(2)


class House:
    """A store with two users, and the pictures of one process."""

    def __init__(self) -> None:
        self.store = MemoryStore()
        self.inbox = self.store.add_user(ALICE).id
        self.store.add_user(BOB)
        self.heard = LocalNotices()
        self.pictures = FolderPictures(self.store, DirectOffload(), self.heard)
        self.store.watch(self.pictures.take_written)

    def file(self) -> None:
        filing = Filing(NewContent(next_ref(), make_body(b"x")), (NewEntry(self.inbox),))
        self.store.submit(Unit(filings=(filing,))).result()

    @property
    def messages(self) -> int:
        found = self.pictures.find(ALICE, public=False)
        assert found is not None
        return found.count([self.inbox])[self.inbox].messages


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Moves the time by so many seconds."""
    now = [1000.0]
    monkeypatch.setattr(pictures_module.time, "monotonic", lambda: now[0])

    def pass_by(seconds: float) -> None:
        now[0] += seconds

    return pass_by


async def test_it_is_good_for_a_second(later: Callable[[float], None]) -> None:
    house = House()
    assert house.pictures.find(ALICE, public=False) is None
    picture = await house.pictures.read(ALICE, public=False)
    later(0.9)
    assert house.pictures.find(ALICE, public=False) is picture
    assert house.pictures.find(BOB, public=False) is None
    later(0.2)
    assert house.pictures.find(ALICE, public=False) is None


async def test_what_this_process_writes_is_in_it_at_once() -> None:
    house = House()
    await house.pictures.read(ALICE, public=False)
    house.file()
    assert house.messages == 1


async def test_what_is_written_while_it_is_read_is_in_it_too() -> None:
    house = House()
    offload = DirectOffload()

    class Slow(DirectOffload):
        async def __call__(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
            read = await offload(function, *args, **kwargs)
            house.file()
            return read

    house.pictures._offload = Slow()
    await house.pictures.read(ALICE, public=False)
    assert house.messages == 1


async def test_folders_that_change_while_it_is_read_spoil_it() -> None:
    house = House()
    offload = DirectOffload()

    class Slow(DirectOffload):
        async def __call__(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
            read = await offload(function, *args, **kwargs)
            house.pictures.forget_all()
            return read

    house.pictures._offload = Slow()
    await house.pictures.read(ALICE, public=False)
    assert house.pictures.find(ALICE, public=False) is None


@pytest.mark.parametrize("topic", ["folders", "mailbox"])
async def test_a_notice_ends_it(topic: str) -> None:
    house = House()
    await house.pictures.read(ALICE, public=False)
    await house.pictures.read(BOB, public=False)
    house.heard.publish(notices.folders_topic(ALICE) if topic == "folders" else notices.mailbox_topic(house.inbox))
    assert house.pictures.find(ALICE, public=False) is None
    assert house.pictures.find(BOB, public=False) is not None


async def test_who_became_an_administrator_needs_another() -> None:
    house = House()
    await house.pictures.read(ALICE, public=False)
    assert house.pictures.find(ALICE, public=True) is None
    await house.pictures.read(ALICE, public=True)
    assert house.pictures.find(ALICE, public=False) is not None


async def test_nothing_is_kept_for_who_is_idle(later: Callable[[float], None]) -> None:
    house = House()
    for number in range(3, 50):
        house.store.add_user(UserId(number))
        await house.pictures.read(UserId(number), public=False)
        later(0.5)
    assert len(house.pictures._kept) <= 3
    house.pictures.close()
    assert not any(house.heard._subscribers.values())
