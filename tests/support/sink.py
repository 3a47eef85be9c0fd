# SPDX-License-Identifier: MIT
"""Postfix's smtp-sink: a server that takes everything and counts it."""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from pathlib import Path

from tests.support.installation import free_port, is_free
from tests.support.waiting import wait_until

SMTP_SINK = "/usr/sbin/smtp-sink"
_COUNT = re.compile(rb"mesg=(\d+)")


class Sink:
    """Use as a context manager; `options` are smtp-sink's own."""

    def __init__(self, *options: str) -> None:
        self.port = free_port()
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None
        self._folder = tempfile.TemporaryDirectory(prefix="pillarbox-sink-")

    def __enter__(self) -> Sink:
        user = ("-u", "postfix") if os.geteuid() == 0 else ()
        command = [SMTP_SINK, *user, "-c", *self._options, f"127.0.0.1:{self.port}", "1000"]
        with self._file.open("wb") as output:
            self._process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
        wait_until(lambda: not is_free(self.port), 10, "smtp-sink")
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process is not None
        self._process.terminate()
        self._process.wait(10)
        self._folder.cleanup()

    @property
    def _file(self) -> Path:
        return Path(self._folder.name) / "counts"

    def count(self) -> int:
        """Messages taken so far."""
        with self._file.open("rb") as file:
            file.seek(max(0, self._file.stat().st_size - 200))
            found = _COUNT.findall(file.read())
        return int(found[-1]) if found else 0
