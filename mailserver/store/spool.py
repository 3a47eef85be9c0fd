# SPDX-License-Identifier: MIT
"""Where the bytes of a message wait between the wire and the store: in memory while small, then in a temporary file.

The file lies in the data folder's `spool`, on the same filesystem as local bodies, so that the store takes it over by
renaming. It is not synced here: whoever adopts it does that before its row is written (design section 4).
"""

from __future__ import annotations

import contextlib
import hashlib
import secrets
from pathlib import Path
from typing import IO, Self

from mailserver.store.disk import storage_error
from mailserver.values import MEMORY_BODY_BYTES, Body

FILE_BUFFER_BYTES = 64 * 1024
"""Pieces off the wire are a few KB: gathered so that a large message costs a write for each 64 KB."""


class SpoolWriter:
    """Takes one message in pieces, counting and hashing as it goes.

    `write` and `finish` raise MailError(STORAGE_FULL) or (UNAVAILABLE) when the disk refuses; the file is then gone.
    As a context manager it discards on leaving, which harms nothing once a store has taken the file over.
    """

    def __init__(self, directory: Path, memory_bytes: int = MEMORY_BODY_BYTES) -> None:
        self.size = 0
        self._directory = directory
        self._memory_bytes = memory_bytes
        self._memory = bytearray()
        self._digest = hashlib.sha256()
        self._file: IO[bytes] | None = None
        self._path: Path | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.discard()

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Append these bytes; they may be changed afterwards."""
        self.size += len(data)
        self._digest.update(data)
        try:
            if self._file is not None:
                self._file.write(data)
            else:
                self._memory += data
                if self.size > self._memory_bytes:
                    self._spill()
        except OSError as error:
            self.discard()
            raise storage_error(error) from error

    def finish(self) -> Body:
        """The message, complete; nothing may be written afterwards. A spool file is the caller's to give to a store."""
        digest = self._digest.hexdigest()
        if self._file is None:
            return Body(size=self.size, sha256=digest, data=bytes(self._memory))
        try:
            self._file.close()
        except OSError as error:
            self.discard()
            raise storage_error(error) from error
        return Body(size=self.size, sha256=digest, path=self._path)

    def discard(self) -> None:
        """Forget the bytes and remove the file, unless a store took it over. May be called at any time, and twice."""
        self._memory = bytearray()
        if self._file is not None and self._path is not None:
            with contextlib.suppress(OSError):  # What could not be written is being thrown away.
                self._file.close()
            self._path.unlink(missing_ok=True)

    def _spill(self) -> None:
        self._directory.mkdir(parents=True, exist_ok=True)
        self._path = self._directory / secrets.token_hex(16)
        self._file = self._path.open("xb", buffering=FILE_BUFFER_BYTES)
        self._file.write(self._memory)
        self._memory = bytearray()
