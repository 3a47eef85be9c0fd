# SPDX-License-Identifier: MIT
"""The bodies of large messages, outside the database: a folder here, an object store in `s3.py`.

A body is durable before its row is submitted: kept, synced and named first (design section 4). Rows and files are
joined by the name alone, so a crash in between leaves a file that nobody names, which housekeeping removes, and never
a row without its file.
"""

from __future__ import annotations

import errno
import os
import secrets
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Protocol

from mailserver.store.disk import sync_directory
from mailserver.values import Body

NAME_BYTES = 16
FOLDER_CHARACTERS = 2
"""256 folders, so that none holds more than some thousands of files."""
NO_LINKS = frozenset({errno.EXDEV, errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK})
"""The body lies on another filesystem, or this one has no hard links."""


@dataclass(frozen=True, slots=True)
class KeptBlob:
    """A body in the store, and since when it has been there."""

    name: str
    kept: datetime


class BlobStore(Protocol):
    """Failures are OSError."""

    def keep(self, body: Body) -> str:
        """Store these bytes and give their name; they are durable on return. A spool file stays where it is."""
        ...

    def path(self, name: str) -> Path:
        """A local file with the bytes, to be opened soon: it stays for `housekeeping.GRACE` after its row is gone."""
        ...

    def delete(self, name: str) -> None:
        """Forget it; one that is not there is forgotten already."""
        ...

    def list_kept(self) -> Iterator[KeptBlob]:
        """Everything that is there, in no order."""
        ...

    def tidy(self, before: datetime) -> int:
        """Remove leftovers of this process's machine that nobody has used since; how many."""
        ...


def new_name() -> str:
    """Names are chance, so two processes never choose the same."""
    return secrets.token_hex(NAME_BYTES)


class LocalBlobs:
    """Bodies as files of one folder, which several machines may share.

    A spool file is taken over by a second link to it, not by a rename: should the row then fail, the file is still the
    caller's, and may be filed again.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._durable: set[Path] = set()

    def keep(self, body: Body) -> str:
        name = new_name()
        path = self.path(name)
        self._make_folder(path.parent)
        if body.path is None or not self._link(body.path, path):
            self._write(body, path)
        sync_directory(path.parent)
        return name

    def path(self, name: str) -> Path:
        return self._folder / name[:FOLDER_CHARACTERS] / name

    def delete(self, name: str) -> None:
        self.path(name).unlink(missing_ok=True)

    def list_kept(self) -> Iterator[KeptBlob]:
        """Since when is told by the inode's change: a link to an old file is young."""
        for folder in self._folders():
            for entry in os.scandir(folder):
                if entry.is_file() and len(entry.name) == 2 * NAME_BYTES:
                    yield KeptBlob(entry.name, datetime.fromtimestamp(entry.stat().st_ctime, UTC))

    def tidy(self, before: datetime) -> int:
        """Copies that were being written when their process died."""
        leftovers = [path for folder in self._folders() for path in folder.glob("*.new")]
        old = [path for path in leftovers if path.stat().st_mtime < before.timestamp()]
        for path in old:
            path.unlink(missing_ok=True)
        return len(old)

    def _make_folder(self, folder: Path) -> None:
        """There, and durable. One that is there already may be left by a process that died before it could sync."""
        if folder in self._durable and folder.exists():
            return
        if not self._folder.exists():
            self._folder.mkdir(parents=True, exist_ok=True)
            sync_directory(self._folder.parent)
        folder.mkdir(exist_ok=True)
        sync_directory(self._folder)
        self._durable.add(folder)

    def _folders(self) -> Iterator[Path]:
        if self._folder.is_dir():
            yield from (path for path in self._folder.iterdir() if path.is_dir())

    @staticmethod
    def _link(source: Path, path: Path) -> bool:
        """Whether the file could be linked; its bytes are then synced."""
        with source.open("rb") as file:
            os.fsync(file.fileno())
        try:
            os.link(source, path)
        except OSError as error:
            if error.errno not in NO_LINKS:
                raise
            return False
        return True

    @staticmethod
    def _write(body: Body, path: Path) -> None:
        """A copy, which has its name only once it is whole."""
        new = path.with_name(path.name + ".new")
        try:
            with new.open("xb") as file:
                _copy(body, file)
                file.flush()
                os.fsync(file.fileno())
            new.rename(path)
        except OSError:
            new.unlink(missing_ok=True)
            raise


def _copy(body: Body, file: IO[bytes]) -> None:
    if body.path is None:
        assert body.data is not None
        file.write(body.data)
        return
    with body.path.open("rb") as source:
        shutil.copyfileobj(source, file, 1024 * 1024)
