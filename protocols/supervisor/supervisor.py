# SPDX-License-Identifier: MIT
"""Watching over the processes: starting them, answering their requests, starting again what died, ending in order.

One thread around a selector: signals arrive through a wake-up socket, requests of the daemons through theirs.
"""

from __future__ import annotations

import contextlib
import selectors
import signal
import socket
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from protocols.supervisor.children import Child, Role

END_SECONDS = 12.0
"""What children get to end in order: more than twice what the daemons give their sessions."""
TRY_AGAIN_SECONDS = 5.0
"""How often what cannot be started (the console's port is taken) is tried again."""
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Supervisor:
    """Run it once, in the main thread. `say` speaks to the person at the terminal."""

    def __init__(
        self,
        roles: Sequence[Role],
        folder: Path,
        selector: selectors.BaseSelector,
        on_ready: Callable[[], None],
        say: Callable[[str], None],
    ) -> None:
        self._children = [Child(role, folder) for role in roles]
        self._selector = selector
        self._on_ready = on_ready
        self._say = say
        self._announced = False
        self._stop_signals = 0
        self._wake, self._waker = socket.socketpair()

    def run(self) -> None:
        """Start everything and keep it running until a signal says stop; then end everything in order."""
        self._hear_signals()
        while not self._stop_signals:
            self._start_due()
            self._announce()
            self._wait(self._next_wait())
            self._bury_dead()
        self._end()

    def _start_due(self) -> None:
        now = time.monotonic()
        for child in self._children:
            if child.start_at is None or now < child.start_at:
                continue
            if child.role.startable:
                child.start()
            else:
                child.start_at = now + TRY_AGAIN_SECONDS

    def _announce(self) -> None:
        """Once, when everything does its work that can be started at all."""
        if not self._announced and all(child.role.ready for child in self._children if child.pid is not None):
            self._announced = True
            self._on_ready()

    def _bury_dead(self) -> None:
        for child in self._children:
            end = child.find_death()
            if end is not None and not self._stop_signals:
                self._say(f"The {child.role.name} process {end}; it is started again.")

    def _end(self) -> None:
        """All at once, in order; who takes too long, or when a second signal comes, the hard way."""
        self._say("Pillarbox is stopping.")
        signals = self._stop_signals
        deadline = time.monotonic() + END_SECONDS
        for child in self._children:
            child.ask_to_end()
        while any(child.pid is not None for child in self._children):
            left = deadline - time.monotonic()
            if left <= 0 or self._stop_signals > signals:
                break
            self._wait(left)
            self._bury_dead()
        for child in self._children:
            child.kill()
        self._say("Pillarbox has stopped.")

    # ------------------------------------------------------------ waiting

    def _next_wait(self) -> float | None:
        """Until the next start that is due; for ever when none is."""
        moments = [child.start_at for child in self._children if child.start_at is not None]
        return max(0.0, min(moments) - time.monotonic()) if moments else None

    def _wait(self, seconds: float | None) -> None:
        """Until a signal, a request or the time."""
        for key, _ in self._selector.select(seconds):
            key.data()

    def _hear_signals(self) -> None:
        for end in (self._wake, self._waker):
            end.setblocking(False)
        self._selector.register(self._wake, selectors.EVENT_READ, self._drain_wake)
        signal.set_wakeup_fd(self._waker.fileno(), warn_on_full_buffer=False)
        for number in (*STOP_SIGNALS, signal.SIGCHLD):
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:  # nohup means what it says
                signal.signal(number, self._on_signal)

    def _on_signal(self, number: int, frame: object) -> None:
        if number in STOP_SIGNALS:
            self._stop_signals += 1

    def _drain_wake(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while self._wake.recv(4096):
                pass
