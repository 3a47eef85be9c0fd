# SPDX-License-Identifier: MIT
"""Keeping listening sockets in step with the snapshot while a socket takes its time to open."""

from __future__ import annotations

import asyncio
import socket
import threading

from mailserver.config.snapshot import Binding, Snapshot
from protocols.net.listener import Listeners
from protocols.net.sockets import binding_of, open_listening
from tests.support.listening import make_service
from tests.support.waiting import until

PATIENCE_SECONDS = 10


class SlowSource:
    """Opens a socket only when the test lets it; remembers every one that it gave."""

    def __init__(self) -> None:
        self.asked = 0
        self.given: list[socket.socket] = []
        self.may_open = threading.Event()

    def open(self, binding: Binding) -> socket.socket:
        self.asked += 1
        assert self.may_open.wait(PATIENCE_SECONDS)
        self.given.append(open_listening(Binding(binding.address, 0)))
        return self.given[-1]

    def release(self, binding: Binding) -> None:
        """Nothing is kept."""

    def release_rest(self) -> None:
        """Nothing was inherited."""


def wants(*bindings: Binding) -> Snapshot:
    return Snapshot(services=(make_service(bindings=bindings),))


def refuse(accepted: socket.socket, service: int) -> None:
    accepted.close()


SOMEWHERE = Binding("127.0.0.1", 4711)


async def test_two_who_look_at_once_open_one_socket() -> None:
    """The settings have changed at the moment at which what could not be opened is tried again."""
    source = SlowSource()
    listeners = Listeners(source, refuse)
    looking = asyncio.gather(listeners.apply(wants(SOMEWHERE)), listeners.open_missing())
    await until(lambda: source.asked > 0, PATIENCE_SECONDS, "a socket to be asked for")
    source.may_open.set()
    await looking
    assert len(source.given) == 1
    listeners.close()
    assert [listening.fileno() for listening in source.given] == [-1]


async def test_binding_that_goes_while_it_is_opened_does_not_listen() -> None:
    source = SlowSource()
    listeners = Listeners(source, refuse)
    first = asyncio.ensure_future(listeners.apply(wants(SOMEWHERE)))
    await until(lambda: source.asked == 1, PATIENCE_SECONDS, "the socket to be asked for")
    second = asyncio.ensure_future(listeners.apply(wants()))
    source.may_open.set()
    await asyncio.gather(first, second)
    assert [listening.fileno() for listening in source.given] == [-1]
    assert listeners.states() == ()


async def test_socket_that_opens_after_the_end_is_closed() -> None:
    source = SlowSource()
    listeners = Listeners(source, refuse)
    opening = asyncio.ensure_future(listeners.apply(wants(SOMEWHERE)))
    await until(lambda: source.asked == 1, PATIENCE_SECONDS, "the socket to be asked for")
    listeners.close()
    source.may_open.set()
    await opening
    assert [listening.fileno() for listening in source.given] == [-1]


async def test_what_could_be_opened_listens() -> None:
    source = SlowSource()
    source.may_open.set()
    listeners = Listeners(source, refuse)
    await listeners.apply(wants(SOMEWHERE))
    assert listeners.complete
    assert binding_of(source.given[0]).address == "127.0.0.1"
    listeners.close()
