# SPDX-License-Identifier: MIT
"""The worker's own life: its process row, and the notices that there is work, which make it look at once."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from typing import Any

from celery import signals
from django.db import DatabaseError, InterfaceError, connection
from kombu.exceptions import OperationalError

from mailserver import garbage, logs, notices
from mailserver.activity import services as activity
from mailserver.config.catalog import LOG_MAX_KILOBYTES
from mailserver.config.stored import get_setting
from workers.keeping import ending
from workers.performing import begin_what_waits, make_immediate_sending
from workers.tools import close_tools
from workers.work import do_due

log = logging.getLogger("pillarbox.worker")

BEAT_SECONDS = 10.0
SEE_STOP_SECONDS = 0.5


class WorkerLife(threading.Thread):
    """From `worker_ready` to `worker_shutdown`. A database out of reach is waited for.

    It begins by looking for work: what was asked for while no worker ran is not left until the next tick.
    """

    def __init__(self) -> None:
        super().__init__(name="life", daemon=True)
        self._listener = notices.listen()
        self._process: int | None = None
        self._ending = threading.Event()
        self._sending = make_immediate_sending()

    def run(self) -> None:
        beaten = float("-inf")
        self._sending.start()
        self._wake()
        while not self._ending.is_set():
            if time.monotonic() - beaten >= BEAT_SECONDS:
                beaten = time.monotonic()
                self._beat()
            topics = self._listener.receive(BEAT_SECONDS)
            if self._ending.is_set():
                break
            if topics & {notices.WORK, notices.EVERYTHING}:
                self._wake()
            if topics & {notices.QUEUE, notices.CONNECT, notices.EVERYTHING}:
                self._sending.wake()
            if topics & {notices.CONNECT, notices.EVERYTHING}:
                self._connect()
        self._leave()

    def end(self) -> None:
        self._ending.set()
        self._listener.close()
        self._sending.end()
        self.join(timeout=5)
        close_tools()

    def _beat(self) -> None:
        try:
            if self._process is None:
                self._process = activity.register_process(activity.ProcessKind.WORKER)
            activity.heartbeat(self._process, activity.ProcessKind.WORKER)
            logs.set_max_kilobytes(get_setting(LOG_MAX_KILOBYTES))
        except (DatabaseError, InterfaceError) as error:
            log.warning("the database is out of reach: %s", error)
            connection.close()

    def _wake(self) -> None:
        """By the broker, so that the work runs in the pool; the tick makes up for one that is lost."""
        with contextlib.suppress(OperationalError, OSError):
            do_due.delay()

    def _connect(self) -> None:
        with contextlib.suppress(OperationalError, OSError, DatabaseError, InterfaceError):
            begin_what_waits()

    def _leave(self) -> None:
        with contextlib.suppress(DatabaseError, InterfaceError):
            if self._process is not None:
                activity.end_process(self._process)
        connection.close()


_life: WorkerLife | None = None


def _do_nothing() -> None:
    """The consumer looks whether it shall stop each time its loop has come round."""


@signals.worker_ready.connect
def _begin(sender: Any, **_kwargs: Any) -> None:
    """With RabbitMQ and Redis the consumer sleeps in an event loop that signals do not wake: a timer does."""
    global _life
    if getattr(sender, "hub", None) is not None:
        sender.hub.call_repeatedly(SEE_STOP_SECONDS, _do_nothing)
    garbage.settle()
    _life = WorkerLife()
    _life.start()


@signals.worker_shutting_down.connect
def _stop_runs(**_kwargs: Any) -> None:
    """Celery waits for the tasks in its pool: a long run stops where it can go on later."""
    ending.set()


@signals.worker_shutdown.connect
def _end(**_kwargs: Any) -> None:
    if _life is not None:
        _life.end()
