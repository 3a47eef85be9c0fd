# SPDX-License-Identifier: MIT
"""An ordinary client that goes on working while others misbehave, and knows how long it was kept waiting.

It runs in a process of its own (`python -m tests.support.probe PORT`), so that a test's busy threads do not make it
slow. For each line on its input it prints the figures since the last one as JSON; it ends with its input.
"""

from __future__ import annotations

import json
import smtplib
import subprocess
import sys
import threading
import time
from dataclasses import dataclass

from tests.support.sources import ROOT

NOOPS_IN_A_SESSION = 50
PAUSE_SECONDS = 0.01


@dataclass(frozen=True, slots=True)
class Figures:
    """How many answers came, the longest wait for one, and what went wrong."""

    answers: int
    worst_seconds: float
    failure: str


class Probe:
    """Sends NOOP, over and over, in session after session; a context manager."""

    def __init__(self, port: int) -> None:
        self._port = port

    def __enter__(self) -> Probe:
        command = [sys.executable, "-m", "tests.support.probe", str(self._port)]
        self._process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.look()
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate(timeout=60)

    def look(self) -> Figures:
        """What happened since the last look; waits for at least one answer."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return Figures(*json.loads(self._process.stdout.readline()))


class _Worker:
    """What the process does: one thread asks the server, the main thread answers the test."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._changed = threading.Condition()
        self._answers, self._worst, self._failure = 0, 0.0, ""

    def work(self) -> None:
        """For ever, or until the first failure."""
        try:
            while True:
                started = time.perf_counter()
                with smtplib.SMTP("127.0.0.1", self._port, timeout=30) as client:
                    for _ in range(NOOPS_IN_A_SESSION):
                        code, text = client.noop()
                        if code != 250:
                            raise smtplib.SMTPResponseException(code, text)
                        self._note(time.perf_counter() - started)
                        threading.Event().wait(PAUSE_SECONDS)
                        started = time.perf_counter()
        except (OSError, smtplib.SMTPException) as error:
            with self._changed:
                self._failure = repr(error)
                self._changed.notify()

    def _note(self, seconds: float) -> None:
        with self._changed:
            self._answers += 1
            self._worst = max(self._worst, seconds)
            self._changed.notify()

    def take(self) -> tuple[int, float, str]:
        """The figures since the last call."""
        with self._changed:
            self._changed.wait_for(lambda: self._answers or self._failure, 40)
            figures = self._answers, self._worst, self._failure
            self._answers, self._worst = 0, 0.0
            return figures


def main(port: int) -> None:
    """The process that `Probe` starts."""
    worker = _Worker(port)
    threading.Thread(target=worker.work, daemon=True).start()
    for _ in sys.stdin:
        print(json.dumps(worker.take()), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]))
