# SPDX-License-Identifier: MIT
"""A process that the supervisor keeps alive: how it is started, when it is started again, how it is ended."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from protocols.supervisor.privileges import die_with_parent

GOOD_LIFE_SECONDS = 10.0
"""Who lived this long is started again at once; who did not waits, longer each time."""
FIRST_WAIT_SECONDS = 0.5
LONGEST_WAIT_SECONDS = 30.0
LONGEST_WAIT_ONCE_READY_SECONDS = 1.0
"""For one that did its work before it died: somebody killed it, or one session did. Clients are waiting."""


def restart_wait(quick_deaths: int, *, was_ready: bool = False) -> float:
    """Seconds until the next start, after so many deaths in a row that came soon after a start."""
    if quick_deaths == 0:
        return 0.0
    longest = LONGEST_WAIT_ONCE_READY_SECONDS if was_ready else LONGEST_WAIT_SECONDS
    return float(min(longest, FIRST_WAIT_SECONDS * 2 ** (quick_deaths - 1)))


@dataclass(frozen=True, slots=True)
class Start:
    """How to start it now: what is passed along may differ from one start to the next."""

    arguments: Sequence[str]
    environment: Mapping[str, str]
    descriptors: Sequence[int] = ()
    quiet: bool = False
    """Its standard output is of no interest to anybody."""


class Role(ABC):
    """What a child is for."""

    name: str
    ready: bool
    """Whether the process that runs now does its work."""
    says_ready = False
    """Whether `ready` comes from the process itself; otherwise it says nothing of how far it got."""

    @property
    def startable(self) -> bool:
        """Whether it makes sense to start it now."""
        return True

    @abstractmethod
    def prepare(self) -> Start:
        """Asked before each start."""

    def started(self) -> None:  # noqa: B027 - most roles have nothing to do
        """Told after each start."""

    def ended(self) -> None:  # noqa: B027
        """Told after each end."""


class Child:
    """One process and its successors."""

    def __init__(self, role: Role, folder: Path) -> None:
        """`folder` is where the process works: the one of `manage.py`."""
        self.role = role
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self._started = 0.0
        self._quick_deaths = 0
        self.start_at: float | None = 0.0
        """When to start it, in the monotonic clock's time; None while it runs."""

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process is not None else None

    def start(self) -> None:
        """In a session of its own: Ctrl-C at the terminal reaches the supervisor alone, which ends things in order."""
        start = self.role.prepare()
        self._process = subprocess.Popen(  # noqa: S603 - our own programs
            start.arguments,
            env=dict(start.environment),
            cwd=self._folder,
            pass_fds=tuple(start.descriptors),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL if start.quiet else None,
            start_new_session=True,
            preexec_fn=die_with_parent(),
        )
        self._started = time.monotonic()
        self.start_at = None
        self.role.started()

    def find_death(self) -> str | None:
        """In plain words how it ended, when it has; what it left behind is cleared away and the next start set."""
        if self._process is None:
            return None
        code = self._process.poll()
        if code is None:
            return None
        self._kill_group()
        self._process = None
        was_ready = self.role.says_ready and self.role.ready
        self.role.ended()
        lived = time.monotonic() - self._started
        self._quick_deaths = 0 if lived >= GOOD_LIFE_SECONDS else self._quick_deaths + 1
        self.start_at = time.monotonic() + restart_wait(self._quick_deaths if code else 0, was_ready=was_ready)
        return _describe_end(code)

    def ask_to_end(self) -> None:
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """At once, with everything that it started."""
        if self._process is not None:
            self._kill_group()
            self._process.wait()
            self._process = None

    def _kill_group(self) -> None:
        assert self._process is not None
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)


def _describe_end(code: int) -> str:
    if code >= 0:
        return f"ended with status {code}"
    try:
        return f"was killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"was killed by signal {-code}"
