# SPDX-License-Identifier: MIT
"""The index of message text on PostgreSQL: a table with the numbers of each text's pieces, under a GIN index.

Its table is no model: arrays exist only here, and what is in it can be made again from the messages at any time.
"""

from __future__ import annotations

import logging
import threading
import zlib
from collections.abc import Iterator, Mapping, Sequence

from django.db import DatabaseError, InterfaceError, connection, transaction

from mailserver.store.chunks import in_chunks
from mailserver.store.textindex import GRAM, READ_AT_ONCE, Candidates, IndexedText, joined, pack, pieces, unpack
from mailserver.values import ContentId

logger = logging.getLogger(__name__)

_SCHEMA = """
CREATE TABLE IF NOT EXISTS store_text (
    content bigint PRIMARY KEY, header_size integer NOT NULL,
    packed bytea NOT NULL, pieces integer[] NOT NULL
);
CREATE INDEX IF NOT EXISTS store_text_pieces ON store_text USING gin (pieces);
"""
_LOCK = 0x70_69_6C_74
"""Two processes that make the table at the same moment would otherwise fail."""


def numbers(text: str) -> list[int]:
    """The text's pieces as numbers; that two share one only makes the search look closer."""
    found = {text[start : start + GRAM] for start in range(len(text) - GRAM + 1)}
    return [_number(piece) for piece in found]


def _number(piece: str) -> int:
    return zlib.crc32(piece.encode("utf-8", "surrogatepass")) - (1 << 31)


class PostgresTextIndex:
    """Uses the connection of the calling thread."""

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._made = False

    def find(self, contents: Sequence[ContentId], needle: str) -> Candidates:
        self._make()
        asked = set(contents)
        ids = sorted(asked)
        with connection.cursor() as cursor:
            cursor.execute("SELECT content FROM store_text WHERE content = ANY(%s)", [ids])
            known = {ContentId(content) for (content,) in cursor.fetchall()}
            wanted = [_number(piece) for piece in pieces(needle)]
            if not wanted:
                return Candidates(known, asked - known)
            cursor.execute("SELECT content FROM store_text WHERE pieces @> %s::integer[]", [wanted])
            possible = {ContentId(content) for (content,) in cursor.fetchall()}
        return Candidates(possible & known, asked - known)

    def read(self, contents: Sequence[ContentId]) -> Iterator[tuple[ContentId, IndexedText]]:
        for chunk in in_chunks(contents, READ_AT_ONCE):
            with connection.cursor() as cursor:
                statement = "SELECT content, packed, header_size FROM store_text WHERE content = ANY(%s)"
                cursor.execute(statement, [list(chunk)])
                rows = cursor.fetchall()
            for content, packed, header_size in rows:
                yield ContentId(content), unpack(bytes(packed), header_size)

    def add(self, texts: Mapping[ContentId, IndexedText]) -> None:
        rows = [(content, len(text.header), pack(text), numbers(joined(text))) for content, text in texts.items()]
        try:
            self._make()
            with transaction.atomic(), connection.cursor() as cursor:
                cursor.executemany(
                    "INSERT INTO store_text VALUES (%s, %s, %s, %s::integer[]) ON CONFLICT DO NOTHING", rows
                )
        except (DatabaseError, InterfaceError) as error:
            logger.warning("the text index cannot be used: %s", error)

    def forget(self, contents: Sequence[ContentId]) -> None:
        try:
            self._make()
            with connection.cursor() as cursor:
                cursor.execute("DELETE FROM store_text WHERE content = ANY(%s)", [list(contents)])
        except (DatabaseError, InterfaceError) as error:
            logger.warning("the text index cannot be used: %s", error)

    def close(self) -> None:
        """The connections are Django's."""

    def _make(self) -> None:
        with self._mutex:
            if self._made:
                return
            with transaction.atomic(), connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
                cursor.execute(_SCHEMA)
            self._made = True
