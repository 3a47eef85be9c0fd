# SPDX-License-Identifier: MIT
"""Accepting connections: one listening socket, and all of them kept in step with the snapshot.

What becomes of an accepted connection is decided in `sessions.py`; where sockets come from (the supervisor, systemd,
or opened here) is the `SocketSource`'s affair.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable, Mapping
from typing import Protocol

from mailserver.activity.services import ListenerState
from mailserver.config.snapshot import Binding, Service, Snapshot
from protocols.net.sockets import explain, format_binding, open_listening

log = logging.getLogger("pillarbox.listener")

ACCEPT_BATCH = 64
"""Accepted in one go, so that a flood of connections does not hold up the sessions that are there."""
BACK_OFF_SECONDS = 1.0
"""How long accepting rests when the process has run out of file descriptors or memory."""


class SocketSource(Protocol):
    """Where listening sockets come from. Both methods may block for a moment."""

    def open(self, binding: Binding) -> socket.socket:
        """A socket that listens there; raises OSError, with the words for people in `strerror`."""
        ...

    def release(self, binding: Binding) -> None:
        """Nobody here listens there any more."""
        ...

    def release_rest(self) -> None:
        """What was inherited and never asked for is not wanted: nobody would accept what connects to it."""
        ...


class OwnSockets:
    """For a daemon without a supervisor: takes what it inherited (systemd) and opens the rest itself."""

    def __init__(self, inherited: Mapping[Binding, socket.socket]) -> None:
        self._inherited = dict(inherited)

    def open(self, binding: Binding) -> socket.socket:
        inherited = self._inherited.pop(binding, None)
        if inherited is not None:
            return inherited
        try:
            return open_listening(binding)
        except OSError as error:
            raise OSError(error.errno, explain(error, binding)) from error

    def release(self, binding: Binding) -> None:
        """The socket was closed by the listener; there is no other copy."""

    def release_rest(self) -> None:
        for listening in self._inherited.values():
            listening.close()
        self._inherited.clear()


class Listener:
    """One listening socket. Every accepted connection is handed to `on_accept`, non-blocking."""

    def __init__(self, listening: socket.socket, on_accept: Callable[[socket.socket], None]) -> None:
        self._socket = listening
        self._on_accept = on_accept
        self._loop = asyncio.get_running_loop()
        self._rest: asyncio.TimerHandle | None = None

    def start(self) -> None:
        self._rest = None
        self._loop.add_reader(self._socket.fileno(), self._accept_waiting)

    def close(self) -> None:
        """Stop accepting; what waits in the socket's queue stays there for other holders of the socket."""
        if self._rest is not None:
            self._rest.cancel()
        self._loop.remove_reader(self._socket.fileno())
        self._socket.close()

    def _accept_waiting(self) -> None:
        for _ in range(ACCEPT_BATCH):
            try:
                accepted, _address = self._socket.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                self._back_off(error)
                return
            accepted.setblocking(False)
            self._on_accept(accepted)

    def _back_off(self, error: OSError) -> None:
        """Out of descriptors or memory: leave the queue alone for a moment instead of spinning on it."""
        log.error("cannot accept connections just now: %s", error)
        self._loop.remove_reader(self._socket.fileno())
        self._rest = self._loop.call_later(BACK_OFF_SECONDS, self.start)


class Listeners:
    """Every listening socket of this process, kept as the snapshot wants them."""

    def __init__(self, source: SocketSource, on_accept: Callable[[socket.socket, int], None]) -> None:
        """`on_accept` gets each connection with the number of the service whose binding it came to."""
        self._source = source
        self._on_accept = on_accept
        self._wanted: dict[Binding, Service] = {}
        self._open: dict[Binding, Listener] = {}
        self._errors: dict[Binding, str] = {}
        self._changing = asyncio.Lock()
        self._ended = False

    async def apply(self, snapshot: Snapshot) -> None:
        """Open what is new, close what is gone; a binding that moved to another service keeps its socket."""
        async with self._changing:
            self._wanted = {
                binding: service for service in snapshot.services if service.enabled for binding in service.bindings
            }
            for binding in [binding for binding in self._open if binding not in self._wanted]:
                await self._close(binding)
            await self._open_missing()
            await asyncio.to_thread(self._source.release_rest)

    async def open_missing(self) -> None:
        """Try again what could not be opened: the other program may have gone."""
        async with self._changing:
            await self._open_missing()

    async def _open_missing(self) -> None:
        for binding in [binding for binding in self._wanted if binding not in self._open]:
            try:
                listening = await asyncio.to_thread(self._source.open, binding)
            except OSError as error:
                self._note(binding, error.strerror or str(error))
                continue
            if self._ended:
                listening.close()
                return
            self._errors.pop(binding, None)
            self._open[binding] = Listener(listening, lambda accepted, at=binding: self._accept(accepted, at))  # type: ignore[misc]
            self._open[binding].start()
            log.info("%s listens on %s", self._wanted[binding].name, format_binding(binding))
        self._errors = {binding: text for binding, text in self._errors.items() if binding in self._wanted}

    @property
    def complete(self) -> bool:
        """Whether every wanted binding listens."""
        return all(binding in self._open for binding in self._wanted)

    def states(self) -> tuple[ListenerState, ...]:
        """Each wanted binding, and why it does not listen if it does not."""
        return tuple(
            ListenerState(service.id, format_binding(binding), self._errors.get(binding, ""))
            for binding, service in self._wanted.items()
        )

    def close(self) -> None:
        """Stop accepting everywhere, for good; the sockets' other holders go on."""
        self._ended = True
        for listener in self._open.values():
            listener.close()
        self._open.clear()

    async def _close(self, binding: Binding) -> None:
        self._open.pop(binding).close()
        await asyncio.to_thread(self._source.release, binding)

    def _accept(self, accepted: socket.socket, binding: Binding) -> None:
        service = self._wanted.get(binding)
        if service is None:
            accepted.close()
            return
        self._on_accept(accepted, service.id)

    def _note(self, binding: Binding, text: str) -> None:
        if self._errors.get(binding) != text:
            log.warning("%s does not listen on %s: %s", self._wanted[binding].name, format_binding(binding), text)
        self._errors[binding] = text
