# SPDX-License-Identifier: MIT
"""Finding messages by their text: the index narrows down, then the text itself decides.

RFC 9051 §6.4.4 (BODY, TEXT): a substring, in any case. So the answer does not depend on what the index knows; only
how long it takes does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from mailserver.mime.casemap import casemap
from mailserver.mime.text import MessageText
from mailserver.store.chunks import in_chunks
from mailserver.store.reading import make_text
from mailserver.store.textindex import IndexedText, TextIndex, clean_text
from mailserver.values import ContentId

if TYPE_CHECKING:
    from mailserver.store.interface import StoredContent

READ_AT_ONCE = 32
"""Messages read and put into the index together."""
MAX_KEPT_CHARACTERS = 1024 * 1024
"""Of one message's text: a longer one is no mail that somebody wrote, and is read again at each search."""


class TextSearch:
    """May be called from any thread."""

    def __init__(self, load: Callable[[Sequence[ContentId]], list[StoredContent]], index: TextIndex) -> None:
        self._load = load
        self._index = index

    def search(self, contents: Sequence[ContentId], text: str, *, body_only: bool) -> set[ContentId]:
        """As `MessageData.search_text` promises."""
        needle = casemap(clean_text(text))
        if not needle:
            return set(contents)
        candidates = self._index.find(contents, needle)
        found: set[ContentId] = set()
        missing = set(candidates.possible)
        for content, kept in self._index.read(sorted(candidates.possible)):
            missing.discard(content)
            if _contains(kept, needle, body_only=body_only):
                found.add(content)
        for content, whole in self._read(sorted(candidates.unknown | missing)):
            if _contains(whole, needle, body_only=body_only):
                found.add(content)
        return found

    def narrow(self, contents: Sequence[ContentId], text: str) -> set[ContentId]:
        """As `MessageData.narrow_text` promises."""
        candidates = self._index.find(contents, casemap(clean_text(text)))
        return candidates.possible | candidates.unknown

    def add(self, contents: Sequence[ContentId]) -> None:
        """Put those into the index that it does not know."""
        for _ in self._read(sorted(self._index.find(contents, "").unknown)):
            pass

    def close(self) -> None:
        self._index.close()

    def _read(self, contents: Sequence[ContentId]) -> Iterable[tuple[ContentId, IndexedText]]:
        """The whole text of each; the index learns it on the way."""
        for chunk in in_chunks(contents, READ_AT_ONCE):
            texts = {content.id: _casemapped(make_text(content)) for content in self._load(chunk)}
            self._index.add({content: text for content, text in texts.items() if _is_kept(text)})
            yield from texts.items()


def _contains(text: IndexedText, needle: str, *, body_only: bool) -> bool:
    return needle in text.body or (not body_only and needle in text.header)


def _casemapped(text: MessageText) -> IndexedText:
    return IndexedText(casemap(clean_text(text.header)), casemap(clean_text(text.body)))


def _is_kept(text: IndexedText) -> bool:
    return len(text.header) + len(text.body) <= MAX_KEPT_CHARACTERS
