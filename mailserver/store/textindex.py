# SPDX-License-Identifier: MIT
"""The index of message text: which messages have all the three-letter pieces of what is searched, and their text.

It only ever narrows down; `textsearch.py` looks at the text itself. What is in it can be made again from the messages
at any time. Kept by `textindex_sqlite.py` or `textindex_postgres.py`; `textindex_opening.py` says by which. Pure.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from mailserver.values import ContentId

GRAM = 3
"""Characters in a piece: what FTS5's trigram tokenizer takes."""
MAX_PIECES = 12
"""Of one needle. They narrow down quickly; each costs the reading of one list."""
READ_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class IndexedText:
    """Both texts casemapped."""

    header: str
    body: str


@dataclass(frozen=True, slots=True)
class Candidates:
    """Of the contents asked for: those which may contain the needle, and those of which the index knows nothing."""

    possible: set[ContentId]
    unknown: set[ContentId]


class TextIndex(Protocol):
    """May be called from any thread, in several processes at once."""

    def find(self, contents: Sequence[ContentId], needle: str) -> Candidates:
        """A needle shorter than a piece is possibly in everything."""
        ...

    def read(self, contents: Sequence[ContentId]) -> Iterator[tuple[ContentId, IndexedText]]: ...

    def add(self, texts: Mapping[ContentId, IndexedText]) -> None:
        """Those that are known already stay as they are. Never fails: what is not added is read again next time."""
        ...

    def forget(self, contents: Sequence[ContentId]) -> None:
        """Contents that have been deleted. Never fails."""
        ...

    def close(self) -> None: ...


def pieces(needle: str) -> list[str]:
    """Three-letter pieces that a text with the needle in it has: side by side, and the last one."""
    if len(needle) < GRAM:
        return []
    starts = [*range(0, len(needle) - GRAM, GRAM), len(needle) - GRAM]
    return list(dict.fromkeys(needle[start : start + GRAM] for start in starts))[:MAX_PIECES]


def pack(text: IndexedText) -> bytes:
    """As a row keeps it."""
    return zlib.compress(f"{text.header}\0{text.body}".encode("utf-8", "surrogatepass"), 1)


def unpack(packed: bytes, header_size: int) -> IndexedText:
    text = zlib.decompress(packed).decode("utf-8", "surrogatepass")
    return IndexedText(text[:header_size], text[header_size + 1 :])


def joined(text: IndexedText) -> str:
    """What is cut into pieces."""
    return f"{text.header}\n{text.body}"


def clean_text(text: str) -> str:
    """Without what would end the text for the tokenizer, or cannot be written as UTF-8."""
    return text.replace("\0", " ").encode("utf-8", "replace").decode("utf-8")


class NoTextIndex:
    """For a database without one: every message is read each time."""

    def find(self, contents: Sequence[ContentId], needle: str) -> Candidates:
        return Candidates(set(), set(contents))

    def read(self, contents: Sequence[ContentId]) -> Iterator[tuple[ContentId, IndexedText]]:
        return iter(())

    def add(self, texts: Mapping[ContentId, IndexedText]) -> None:
        """Nothing is kept."""

    def forget(self, contents: Sequence[ContentId]) -> None:
        """Nothing was kept."""

    def close(self) -> None:
        """Nothing is open."""
