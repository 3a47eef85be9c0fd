# SPDX-License-Identifier: MIT
"""The broker for an installation that has none: messages as files in the data folder.

kombu's filesystem transport with its channel made safe. As it stands a reader may find a half-written file, which
ends the worker, and of two readers that look at once one may lose a message (design section 2). Here a message is
written under a temporary name, synced and renamed; a reader owns it by renaming it into a folder of its own; and a
file that cannot be understood is set aside.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from queue import Empty
from typing import Any

from kombu.exceptions import ChannelError
from kombu.transport import TRANSPORT_ALIASES, filesystem
from kombu.utils.json import dumps, loads

log = logging.getLogger("pillarbox.broker")

SCHEME = "pillarboxfiles"
POLLING_SECONDS = 0.1
"""From call to run 20 to 75 ms (tried); a listing of an empty folder ten times a second costs nothing."""
ROUND_SECONDS = 0.3
LEFTOVER_SECONDS = 24 * 3600.0
"""What a reader or writer that died left behind is kept so long, for whoever wants to know what happened."""

TRANSPORT_ALIASES[SCHEME] = "mailserver.project.broker:Transport"


def transport_options(folder: Path) -> dict[str, Any]:
    """The folders below `folder`, made if need be."""
    waiting, control = folder / "waiting", folder / "control"
    for made in (waiting, control, folder / "taken", folder / "unreadable"):
        made.mkdir(parents=True, exist_ok=True)
    return {
        "data_folder_in": str(waiting),
        "data_folder_out": str(waiting),
        "control_folder": str(control),
        "polling_interval": POLLING_SECONDS,
    }


def clear_leftovers(folder: Path, older_than: float) -> int:
    """Remove what was taken but not finished, half written, or set aside, last touched before the POSIX time given."""
    removed = 0
    leftovers = [*folder.glob("taken/*.msg"), *folder.glob("unreadable/*.msg"), *folder.glob("waiting/*.new")]
    for path in leftovers:
        with contextlib.suppress(FileNotFoundError):
            if path.stat().st_mtime < older_than:
                path.unlink()
                removed += 1
    return removed


class Channel(filesystem.Channel):
    """One connection's view of the folders. Names are `<nanoseconds>_<unique>.<queue>.msg`, so they sort by time."""

    def _put(self, queue: str, payload: Any, **kwargs: Any) -> None:  # type: ignore[override]
        name = f"{time.time_ns():020d}_{uuid.uuid4().hex}.{queue}.msg"
        temporary = self._folder / f"{name}.new"
        try:
            with temporary.open("wb") as file:
                file.write(dumps(payload).encode())
            os.replace(temporary, self._folder / name)
        except OSError as error:
            temporary.unlink(missing_ok=True)
            raise ChannelError(f"cannot put a message into {self._folder}: {error}") from error

    def _get(self, queue: str, timeout: float | None = None) -> Any:
        for name in self._names(queue):
            taken = self._beside("taken") / name
            try:
                os.rename(self._folder / name, taken)
            except FileNotFoundError:  # another reader was quicker
                continue
            payload = self._read(taken)
            if payload is not None:
                return payload
        raise Empty

    def _read(self, taken: Path) -> Any:
        """The message, whose file goes; None when it is not one, and its file is set aside."""
        try:
            payload = loads(taken.read_bytes().decode())
            if not isinstance(payload, dict) or "body" not in payload:
                raise ValueError("not a message")
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            aside = self._beside("unreadable") / taken.name
            os.replace(taken, aside)
            log.error("an unreadable broker file was set aside as %s: %s", aside, error)
            return None
        taken.unlink()
        return payload

    def _size(self, queue: str) -> int:
        return len(self._names(queue))

    def _purge(self, queue: str) -> int:
        names = self._names(queue)
        for name in names:
            (self._folder / name).unlink(missing_ok=True)
        return len(names)

    def get_table(self, exchange: str) -> list[filesystem.exchange_queue_t]:  # type: ignore[override]
        """Which queues an exchange feeds; none when its file is missing or makes no sense, so that it is made anew."""
        try:
            return [_row(*row) for row in loads(self._table_file(exchange).read_text())]
        except (FileNotFoundError, ValueError, TypeError):
            return []

    def _queue_bind(self, exchange: str, routing_key: str | None, pattern: str | None, queue: str) -> None:
        row = _row(routing_key, pattern, queue)
        with self._exchange_locked():
            table = self.get_table(exchange)
            if row not in table:
                self._write_table(exchange, [row, *table])

    def _delete(self, queue: str, exchange: str, routing_key: str, pattern: str, *args: Any, **kwargs: Any) -> None:
        self._purge(queue)
        row = _row(routing_key, pattern, queue)
        with self._exchange_locked():
            self._write_table(exchange, [other for other in self.get_table(exchange) if other != row])

    def _table_file(self, exchange: str) -> Path:
        """Our exchanges have names of our own making; anything else would be a path into somewhere else."""
        if not exchange.replace("-", "").replace("_", "").replace(".", "").isalnum() or exchange.startswith("."):
            raise ChannelError(f"not a name for an exchange: {exchange!r}")
        return Path(self.control_folder) / f"{exchange}.exchange"

    def _write_table(self, exchange: str, table: list[filesystem.exchange_queue_t]) -> None:
        file = self._table_file(exchange)
        temporary = file.with_suffix(f".{uuid.uuid4().hex}.new")
        temporary.write_text(dumps(table))
        os.replace(temporary, file)

    @contextlib.contextmanager
    def _exchange_locked(self) -> Iterator[None]:
        """Changing a table is reading and writing it: one process at a time."""
        with (Path(self.control_folder) / "lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _names(self, queue: str) -> list[str]:
        ending = f".{queue}.msg"
        return sorted(name for name in os.listdir(self._folder) if name.partition(".")[2] == ending[1:])

    @property
    def _folder(self) -> Path:
        return Path(self.data_folder_in)

    def _beside(self, name: str) -> Path:
        folder = self._folder.parent / name
        folder.mkdir(exist_ok=True)
        return folder


def _row(routing_key: str | None, pattern: str | None, queue: str | None) -> filesystem.exchange_queue_t:
    return filesystem.exchange_queue_t(routing_key or "", pattern or "", queue or "")


class Transport(filesystem.Transport):
    """For broker URLs that start with SCHEME."""

    Channel = Channel

    def drain_events(self, connection: Any, timeout: float | None = None, **kwargs: Any) -> None:
        """As kombu's, in shorter rounds: between them the worker sees that it shall stop."""
        super().drain_events(connection, timeout=min(timeout or ROUND_SECONDS, ROUND_SECONDS), **kwargs)
