# SPDX-License-Identifier: MIT
"""A whole installation for tests: `manage.py run` in a folder of its own, on free ports of loopback.

What a person does at the keyboard, and nothing else: options, environment, output, signals, commands. `errors()`
gives what the processes logged as our own faults, so that a test can insist on none.
"""

from __future__ import annotations

import ctypes
import os
import random
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import psycopg

from mailserver.config.catalog import SERVICE_TEMPLATES
from tests.support.full_disk import SmallDisk
from tests.support.processes import descendants, proportional_bytes, read_proc
from tests.support.sources import ROOT
from tests.support.waiting import wait_until

STANDARD_PORTS = {kind.value: template.port for kind, template in SERVICE_TEMPLATES.items()}
OFFSETS = range(12000, 31000)
"""Below the ports that Linux gives to outgoing connections."""
READY_SECONDS = 60
STOP_SECONDS = 30
FOREIGN_SETTINGS = re.compile(r"^(PILLARBOX_|DATABASE_URL|CELERY_BROKER_URL|DJANGO_SETTINGS_MODULE|CI$)")


class Installation:
    """A data folder and, between `start` and `stop`, the processes on it."""

    def __init__(self, data: Path, *, within: SmallDisk | None = None, **environment: str) -> None:
        """`environment` is added to what every test installation has; `within` is where its processes live."""
        self.data = data
        self._within = within
        self.offset = free_offset()
        self.web_port = free_port()
        self.log = data.with_name(f"{data.name}-output.txt")
        self.environment = {
            **{name: value for name, value in os.environ.items() if not FOREIGN_SETTINGS.match(name)},
            "PILLARBOX_DATA": str(data),
            "PILLARBOX_PORT_OFFSET": str(self.offset),
            "PILLARBOX_WEB_PORT": str(self.web_port),
            "PYTHONUNBUFFERED": "1",
            **environment,
        }
        self.process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Installation:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def port(self, service: str) -> int:
        return STANDARD_PORTS[service] + self.offset

    def start(self, *options: str) -> str:
        """Run it and wait for the line that says it is ready; the output up to there."""
        with self.log.open("wb") as output:
            self.process = subprocess.Popen(
                [*(self._within.enter() if self._within else ()), sys.executable, "manage.py", "run", *options],
                cwd=ROOT,
                env=self.environment,
                stdout=output,
                preexec_fn=_end_with_parent,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            wait_until(self._is_ready, READY_SECONDS, "`Pillarbox is ready`")
        except AssertionError as error:
            self.stop()
            raise AssertionError(f"{error}; it said:\n{self.output()}") from None
        return self.output()

    def _is_ready(self) -> bool:
        assert self.process is not None
        if self.process.poll() is not None:
            raise AssertionError(f"it ended with status {self.process.returncode}")
        return "\nPillarbox is ready" in f"\n{self.output()}"

    def output(self) -> str:
        return self.log.read_text(errors="replace")

    def stop(self) -> int:
        """SIGTERM, as systemd would; the exit status. What does not stop in time is killed, with status -9."""
        if self.process is None:
            return 0
        process, self.process = self.process, None
        with suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        try:
            return process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            return process.wait(STOP_SECONDS)

    def manage(self, *arguments: str, check: bool = True) -> str:
        """Run a command on it as an administrator would; its output."""
        beside = self._within.join(self.process.pid) if self._within and self.process else ()
        command = [*beside, sys.executable, "manage.py", *arguments]
        done = subprocess.run(
            command, cwd=ROOT, env=self.environment, capture_output=True, text=True, check=False, timeout=120
        )
        if check and done.returncode:
            raise AssertionError(f"manage.py {' '.join(arguments)}: {done.stdout}{done.stderr}")
        return done.stdout + done.stderr

    def rows(self, question: str) -> list[tuple[Any, ...]]:
        """What the database answers to a SELECT, asked without Django: a command costs half a second of processor time,
        too much for what is asked again and again."""
        url = self.environment.get("DATABASE_URL")
        if url is not None:
            with psycopg.connect(url) as database:
                return database.execute(question).fetchall()
        with closing(sqlite3.connect(f"file:{self.data / 'pillarbox.sqlite3'}?mode=ro", uri=True)) as file:
            return file.execute(question).fetchall()

    def workers(self) -> int:
        """How many are there; one comes a little later than `Pillarbox is ready`."""
        return int(self.rows("SELECT count(*) FROM activity_process WHERE kind = 'worker'")[0][0])

    def add_users(self, names: Sequence[str], password: str) -> None:
        """Many at once, by `importconfig`."""
        listed = "".join(f'  - {{name: {name}, password: "{password}"}}\n' for name in names)
        with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
            file.write(f"users:\n{listed}")
            file.flush()
            self.manage("importconfig", file.name)

    def processes(self) -> list[int]:
        """Everything that runs for it: the supervisor and its descendants."""
        return [] if self.process is None else list(descendants(self.process.pid))

    def daemons(self) -> list[int]:
        """The processes that answer on the wire: their command line contains `manage.py serve`."""
        return [pid for pid in self.processes() if b"manage.py\0serve" in read_proc(pid, "cmdline")]

    def errors(self) -> str:
        """What was logged as an error of ours."""
        file = self.data / "logs" / "errors.log"
        return file.read_text(errors="replace") if file.exists() else ""

    def memory_bytes(self, pids: Sequence[int] | None = None) -> int:
        """Proportional set size: what these processes take, shared pages counted once."""
        return sum(proportional_bytes(pid) for pid in (self.processes() if pids is None else pids))


def _end_with_parent() -> None:
    """Linux sends SIGTERM when the test run is killed, so that nothing is left running (prctl PR_SET_PDEATHSIG)."""
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)


def free_offset() -> int:
    """An offset at which every standard port is free."""
    for _ in range(200):
        offset = random.choice(OFFSETS)
        if all(is_free(port + offset) for port in STANDARD_PORTS.values()):
            return offset
    raise AssertionError("no free range of ports was found")


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
