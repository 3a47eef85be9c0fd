# SPDX-License-Identifier: MIT
"""Envelopes, structures and previews: made at the first reading, kept in the content's row a little later.

Keeping them must hold up neither the reader nor the group commit. A thread that lives as long as there is something to
keep writes many at a time; until then they are remembered here. What cannot be kept is made again next time.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from django.db import DatabaseError, InterfaceError, connection, transaction

from mailserver.mime.envelope import MessageEnvelope
from mailserver.mime.structure import Part
from mailserver.store import statements
from mailserver.store.bulk import Row, Table
from mailserver.store.chunks import in_chunks
from mailserver.store.message_data import StoredStructure
from mailserver.store.models import Content
from mailserver.store.reading import Made, make
from mailserver.store.records import clean
from mailserver.values import ContentId

if TYPE_CHECKING:
    from mailserver.store.interface import StoredContent

logger = logging.getLogger(__name__)
T = TypeVar("T")

KEEP_AFTER_SECONDS = 0.3
"""A client that opens a folder asks for many messages in several commands; their rows are then written together."""
KEEP_AT_ONCE = 100
"""Rows in a transaction: some milliseconds, so that mail which is being filed does not wait for long."""
LOAD_AT_ONCE = 32
"""Bodies in memory, each of at most 64 KiB; larger ones are mapped."""
REMEMBER_AT_MOST = 5000
"""Not yet kept; more are made again when somebody asks."""
DERIVED = Table(Content, "id", "envelope", "structure", "preview")

Load = Callable[[Sequence[ContentId]], "list[StoredContent]"]


class Derived:
    """Reads what is kept, makes what is not. May be called from any thread."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._mutex = threading.Lock()
        self._unkept: dict[ContentId, Made] = {}
        self._thread: threading.Thread | None = None
        self._closed = False

    def read_envelopes(self, contents: Sequence[ContentId]) -> dict[ContentId, MessageEnvelope]:
        return self._read(contents, statements.ENVELOPES, _envelope, lambda made: made.as_stored().envelope)

    def read_structures(self, contents: Sequence[ContentId]) -> dict[ContentId, StoredStructure]:
        return self._read(contents, statements.STRUCTURES, _structure, Made.as_stored)

    def read_previews(self, contents: Sequence[ContentId]) -> dict[ContentId, str]:
        return self._read(contents, statements.PREVIEWS, str, lambda made: made.preview)

    def close(self) -> None:
        """Keep what is still to be kept."""
        with self._mutex:
            self._closed = True
            thread = self._thread
        if thread is not None:
            thread.join()

    def _read(
        self,
        contents: Sequence[ContentId],
        rows: statements.Select,
        from_kept: Callable[..., T],
        from_made: Callable[[Made], T],
    ) -> dict[ContentId, T]:
        found: dict[ContentId, T] = {}
        for content, *kept in rows.read_among(contents):
            found[content] = from_kept(*kept)
        missing = [content for content in contents if content not in found]
        for content, made in self._make(missing):
            found[content] = from_made(made)
        return found

    def _make(self, contents: Sequence[ContentId]) -> Iterable[tuple[ContentId, Made]]:
        with self._mutex:
            remembered = {content: self._unkept[content] for content in contents if content in self._unkept}
        yield from remembered.items()
        for chunk in in_chunks([content for content in contents if content not in remembered], LOAD_AT_ONCE):
            made = {content.id: make(content) for content in self._load(chunk)}
            self._remember(made)
            yield from made.items()

    # ------------------------------------------------------------ keeping

    def _remember(self, made: dict[ContentId, Made]) -> None:
        with self._mutex:
            if self._closed or len(self._unkept) + len(made) > REMEMBER_AT_MOST:
                return
            self._unkept |= made
            if self._thread is None and made:
                self._thread = threading.Thread(target=self._keep_all, name="store-derived", daemon=True)
                self._thread.start()

    def _keep_all(self) -> None:
        """In the thread: until nothing is left."""
        try:
            while self._keep_some():
                pass
        finally:
            connection.close()

    def _keep_some(self) -> bool:
        """A transaction's worth; false, and the thread is to end, when there was nothing."""
        with self._mutex:
            if not self._unkept:
                self._thread = None
                return False
        if not self._closed:
            time.sleep(KEEP_AFTER_SECONDS)
        with self._mutex:
            everything = list(self._unkept.items())
        for chunk in in_chunks(everything, KEEP_AT_ONCE):
            try:
                with transaction.atomic():
                    DERIVED.update(_row(content, made) for content, made in chunk)
            except (DatabaseError, InterfaceError) as error:
                logger.warning("structures of %d messages are not kept: %s", len(chunk), error)
                connection.close()
            with self._mutex:
                for content, _ in chunk:
                    self._unkept.pop(content, None)
        return True


def _envelope(envelope: Any) -> MessageEnvelope:
    return MessageEnvelope.from_json(statements.read_json(envelope))


def _structure(envelope: Any, structure: Any) -> StoredStructure:
    shown = _envelope(envelope)
    return StoredStructure(shown, Part.from_json(statements.read_json(structure), shown))


def _row(content: ContentId, made: Made) -> Row:
    envelope = json.dumps(made.as_stored().envelope.to_json(), separators=(",", ":"))
    structure = json.dumps(made.structure.to_json(), separators=(",", ":"))
    return (content, envelope, structure, clean(made.preview))
