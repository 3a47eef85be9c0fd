# SPDX-License-Identifier: MIT
"""What a run may begin of what it has taken: nothing that was given back meanwhile, and nothing twice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any, cast

import pytest

from mailserver.errors import Kind, MailError
from mailserver.outqueue.taking import find_claimed
from mailserver.outqueue.values import QueuedOne
from mailserver.values import Address
from workers.sending import claims
from workers.sending.claims import Claims


class Queue:
    """The queue's table, as far as `Claims` asks it."""

    def __init__(self) -> None:
        self.held: list[int] = []
        self.lost: list[int] = []
        self.given_back: list[int] = []
        self.looks = 0
        self.away = False

    async def __call__(self, function: Callable[..., Any], *args: Any) -> Any:
        if self.away:
            raise MailError(Kind.UNAVAILABLE, "the database is away")
        if function is find_claimed:
            self.looks += 1
            gone = {*self.given_back, *self.lost}
            return {id_: id_ not in self.held for id_ in range(10) if id_ not in gone}
        self.given_back += args[1]
        return len(args[1])


def one(id_: int) -> QueuedOne:
    return QueuedOne(id_, Address(f"u{id_}", "r.example"))


@pytest.fixture
def queue() -> Queue:
    return Queue()


@pytest.fixture
async def taken(queue: Queue) -> AsyncIterator[Claims]:
    made = Claims(cast(Any, queue), "me")
    yield made
    await made.close()


@pytest.fixture
def never_sure(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each time the queue is asked."""
    monkeypatch.setattr(claims, "SURE_SECONDS", 0.0)


async def test_what_was_just_taken_is_begun_without_a_question(queue: Queue, taken: Claims) -> None:
    first, second = one(1), one(2)
    taken.take([first, second])
    assert await taken.begin([first, second]) == (first, second)
    assert queue.looks == 0


async def test_one_question_for_everything_that_waits(
    queue: Queue, taken: Claims, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting = [one(number) for number in range(5)]
    taken.take(waiting)
    monkeypatch.setattr(taken, "_taken", {id_: (held, 0.0) for id_, (held, _) in taken._taken.items()})
    queue.held = [3]
    begun = await asyncio.gather(*(taken.begin([recipient]) for recipient in waiting))
    assert [bool(recipients) for recipients in begun] == [True, True, True, False, True]
    assert (queue.looks, queue.given_back) == (1, [3])


@pytest.mark.usefixtures("never_sure")
async def test_what_is_on_the_wire_is_not_given_back(queue: Queue, taken: Claims) -> None:
    sending, waiting = one(1), one(2)
    taken.take([sending, waiting])
    assert await taken.begin([sending]) == (sending,)
    queue.held = [1, 2]
    assert await taken.begin([waiting]) == ()
    assert queue.given_back == [2]
    assert await taken.begin([sending]) == (sending,), "with the next server"


@pytest.mark.usefixtures("never_sure")
async def test_what_was_given_back_and_taken_again_is_begun_once(queue: Queue, taken: Claims) -> None:
    before, now = one(1), one(1)
    taken.take([before])
    queue.held = [1]
    assert await taken.begin([before]) == ()
    queue.held, queue.given_back = [], []
    taken.take([now])
    assert await taken.begin([before]) == ()
    assert await taken.begin([now]) == (now,)
    taken.end([1])
    assert await taken.begin([now]) == ()


@pytest.mark.usefixtures("never_sure")
async def test_what_somebody_else_has_by_now_is_not_begun(queue: Queue, taken: Claims) -> None:
    """This worker stood still for longer than its lease, or the message was deleted."""
    first, second = one(1), one(2)
    taken.take([first, second])
    queue.lost = [1]
    assert await taken.begin([first, second]) == (second,)
    assert queue.given_back == []


async def test_what_is_taken_during_a_look_is_nobody_elses(
    queue: Queue, taken: Claims, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The look may not have seen it yet."""
    monkeypatch.setattr(claims, "SURE_SECONDS", 0.0)
    first, later = one(1), one(77)
    taken.take([first])
    look = queue.__class__.__call__

    async def look_while_more_is_taken(asked: Queue, function: Callable[..., Any], *args: Any) -> Any:
        found = await look(asked, function, *args)
        taken.take([later])
        return found

    monkeypatch.setattr(Queue, "__call__", look_while_more_is_taken)
    assert await taken.begin([first]) == (first,)
    monkeypatch.setattr(claims, "SURE_SECONDS", 60.0)
    assert await taken.begin([later]) == (later,)


async def test_it_looks_by_itself_while_nothing_is_begun(
    queue: Queue, taken: Claims, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claims, "SURE_SECONDS", 0.01)
    queue.away = True
    taken.take([one(1)])
    queue.held = [1]
    async with asyncio.timeout(10):
        while not queue.given_back:
            queue.away = False
            await asyncio.sleep(0)
    assert queue.given_back == [1]
