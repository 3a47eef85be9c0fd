# SPDX-License-Identifier: MIT
"""The log files in the data folder: `pillarbox.log`, `errors.log`, `security.log`, and the session logs.

Spec services 6.1: a file that reaches its maximum is renamed `.lbk` and a new one started. Lines are handed to one
thread in each process, so that no event loop waits for a disk, and appended whole, so that several processes may
share a file. A disk that is full costs log lines, never mail.
"""

from __future__ import annotations

import atexit
import fcntl
import logging
import os
import queue
import sys
import threading
from collections.abc import Iterable
from pathlib import Path

from mailserver import clock

MAIN = "pillarbox"
ERRORS = "errors"
SECURITY = "security"

CHATTERS = {
    "celery": logging.WARNING,
    "kombu": logging.WARNING,
    "kombu.connection": logging.ERROR,
    "kombu.transport.virtual.base": logging.ERROR,
}
"""Libraries that report each step. kombu also wonders that a broker of files has no host name, and that a worker which
stops gives back the wake-up that it has just taken."""

MAX_WAITING_LINES = 50_000
"""Lines beyond this are dropped and counted: memory stays bounded when the disk hangs."""

_security = logging.getLogger("pillarbox.security")


class LogFile:
    """One file that several processes append to and rotate. Used by one thread of each."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor = -1
        self._inode = 0

    def append(self, text: str, max_bytes: int) -> None:
        """Write whole lines; rotate when the file is full. Raises OSError."""
        self._reopen_if_renamed()
        os.write(self._descriptor, text.encode("utf-8", "backslashreplace"))
        if os.fstat(self._descriptor).st_size >= max_bytes:
            self._rotate(max_bytes)

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _reopen_if_renamed(self) -> None:
        """Another process may have rotated the file, or a person removed it."""
        try:
            inode = os.stat(self._path).st_ino if self._descriptor >= 0 else 0
        except FileNotFoundError:
            inode = 0
        if inode == self._inode and self._descriptor >= 0:
            return
        self.close()
        self._descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)
        self._inode = os.fstat(self._descriptor).st_ino

    def _rotate(self, max_bytes: int) -> None:
        """Under a lock on the old file, so that of several processes only one renames it."""
        fcntl.flock(self._descriptor, fcntl.LOCK_EX)
        try:
            present = os.stat(self._path)
            if present.st_ino == self._inode and present.st_size >= max_bytes:
                os.replace(self._path, self._path.with_suffix(".lbk"))
        except FileNotFoundError:
            pass
        finally:
            self.close()


class LogWriter:
    """The thread that writes, and the queue in front of it."""

    def __init__(self, folder: Path, max_kilobytes: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._files: dict[str, LogFile] = {}
        self._lines: queue.SimpleQueue[tuple[str, str] | threading.Event | None] = queue.SimpleQueue()
        self._dropped = 0
        self.max_bytes = max_kilobytes * 1024
        self._thread = threading.Thread(target=self._run, name="logs", daemon=True)
        self._thread.start()

    def write(self, name: str, text: str) -> None:
        """Append `text`, which may be several lines, to `<name>.log`, each time with the moment in front."""
        if self._lines.qsize() >= MAX_WAITING_LINES:
            self._dropped += 1
            return
        self._lines.put((name, f"{clock.now():%Y-%m-%d %H:%M:%S.%f}Z {text}\n"))

    def flush(self, timeout_seconds: float = 5.0) -> None:
        """Wait until what was written so far is in the files."""
        done = threading.Event()
        self._lines.put(done)
        done.wait(timeout_seconds)

    def close(self) -> None:
        """Write what waits, then stop."""
        self._lines.put(None)
        self._thread.join(timeout=5.0)

    def _run(self) -> None:
        while True:
            batch = [self._lines.get()]
            while not self._lines.empty():
                batch.append(self._lines.get())
            self._write_batch(batch)
            if None in batch:
                break
        for file in self._files.values():
            file.close()

    def _write_batch(self, batch: Iterable[tuple[str, str] | threading.Event | None]) -> None:
        texts: dict[str, list[str]] = {}
        waiting = []
        for item in batch:
            if isinstance(item, threading.Event):
                waiting.append(item)
            elif item is not None:
                texts.setdefault(item[0], []).append(item[1])
        if self._dropped:
            texts.setdefault(ERRORS, []).append(f"{self._dropped} log lines were dropped: the disk is too slow\n")
            self._dropped = 0
        for name, lines in texts.items():
            self._append(name, "".join(lines))
        for event in waiting:
            event.set()

    def _append(self, name: str, text: str) -> None:
        file = self._files.get(name)
        if file is None:
            file = self._files[name] = LogFile(self._folder / f"{name}.log")
        try:
            file.append(text, self.max_bytes)
        except OSError as error:
            print(f"The log file {name}.log cannot be written: {error}", file=sys.stderr)  # noqa: T201


class _FileHandler(logging.Handler):
    """Python's logging into one of the files."""

    def __init__(self, writer: LogWriter, name: str, level: int) -> None:
        super().__init__(level)
        self._writer = writer
        self._file = name

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._writer.write(self._file, self.format(record))
        except (ValueError, TypeError):
            self.handleError(record)


class _ShortFormatter(logging.Formatter):
    """For the terminal: one sentence, and where the rest stands."""

    def __init__(self, role: str, folder: Path) -> None:
        super().__init__()
        self._role = role
        self._folder = folder

    def format(self, record: logging.LogRecord) -> str:
        more = f" (the details are in {self._folder / 'errors.log'})" if record.exc_info else ""
        return f"{self._role}: {record.getMessage()}{more}"


_writer: LogWriter | None = None


def start(role: str, folder: Path, max_kilobytes: int) -> LogWriter:
    """Send this process's logging to the files; warnings and errors also, in short, to standard error.

    Called once by each long-running process; commands that come and go log as Python does by default.
    """
    global _writer
    writer = LogWriter(folder, max_kilobytes)
    root = logging.getLogger()
    for handler in list(root.handlers):
        root.removeHandler(handler)
    root.setLevel(logging.INFO)
    for name, level in CHATTERS.items():
        logging.getLogger(name).setLevel(level)
    line = logging.Formatter(f"%(levelname)s {role}[{os.getpid()}] %(name)s: %(message)s")
    for name, level in ((MAIN, logging.INFO), (ERRORS, logging.WARNING)):
        handler = _FileHandler(writer, name, level)
        handler.setFormatter(line)
        root.addHandler(handler)
    terminal = logging.StreamHandler(sys.stderr)
    terminal.setLevel(logging.ERROR)
    terminal.setFormatter(_ShortFormatter(role, folder))
    root.addHandler(terminal)
    secured = _FileHandler(writer, SECURITY, logging.INFO)
    secured.setFormatter(logging.Formatter("%(message)s"))
    _security.handlers[:] = [secured]
    _security.propagate = False
    _writer = writer
    atexit.register(writer.close)
    return writer


def security(text: str) -> None:
    """A line for `security.log`: log-ins, with the true reason of a failure (spec services 1.7).

    What a peer typed may be part of it: control characters become blanks, so that nobody forges a line.
    """
    _security.info("%s", "".join(letter if letter.isprintable() else " " for letter in text))


def session(name: str, text: str) -> None:
    """A line for a session log such as `pop3svr`; nothing happens in a process that has not called `start`."""
    if _writer is not None:
        _writer.write(name, text)


def set_max_kilobytes(max_kilobytes: int) -> None:
    """Take over a changed LOG_MAX_KILOBYTES."""
    if _writer is not None:
        _writer.max_bytes = max_kilobytes * 1024
