# SPDX-License-Identifier: MIT
"""An ordinary client that goes on working while others misbehave, and knows how long it was kept waiting."""

from __future__ import annotations

import smtplib
import threading
import time


class Probe:
    """Sends NOOP on one session, over and over, and opens a new session now and then; a context manager."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._ask, daemon=True)
        self.worst_seconds = 0.0
        self.answers = 0
        self.failure: Exception | None = None

    def __enter__(self) -> Probe:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join(30)

    def _ask(self) -> None:
        try:
            while not self._stopping.is_set():
                started = time.perf_counter()
                with smtplib.SMTP("127.0.0.1", self._port, timeout=20) as client:
                    self._note(started)
                    for _ in range(50):
                        started = time.perf_counter()
                        code, text = client.noop()
                        if code != 250:
                            raise AssertionError(f"NOOP was answered {code} {text!r}")
                        self._note(started)
                        if self._stopping.wait(0.01):
                            return
        except Exception as error:  # noqa: BLE001 - whatever it was, the test says so
            self.failure = error

    def _note(self, started: float) -> None:
        self.worst_seconds = max(self.worst_seconds, time.perf_counter() - started)
        self.answers += 1

    def assert_undisturbed(self, within_seconds: float = 2.0) -> None:
        """It got all its answers, each in time."""
        assert self.failure is None, f"the other session failed: {self.failure}"
        assert self.answers > 0
        assert self.worst_seconds < within_seconds
