# SPDX-License-Identifier: MIT
"""Out of a stored content: its structure, its first words, its text. Both stores make them so."""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mailserver.mime.preview import find_text_part, make_preview
from mailserver.mime.raw_fields import Buffer
from mailserver.mime.structure import Part, parse_structure
from mailserver.mime.text import MessageText, extract_text
from mailserver.store.message_data import StoredStructure

if TYPE_CHECKING:
    from mailserver.store.interface import StoredContent


@dataclass(frozen=True, slots=True)
class Made:
    """Everything that is made of a message at its first reading."""

    structure: Part
    preview: str

    def as_stored(self) -> StoredStructure:
        """A whole message always has an envelope."""
        assert self.structure.envelope is not None
        return StoredStructure(self.structure.envelope, self.structure)


@contextmanager
def open_message(content: StoredContent) -> Iterator[Buffer]:
    """All of its bytes. A large body with no lines of ours before it is not read into memory, but mapped."""
    if content.path is None or content.head:
        yield b"".join(content.chunks())
        return
    with content.path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        yield mapped


def make(content: StoredContent) -> Made:
    """Never fails for what is in the message."""
    with open_message(content) as message:
        structure = parse_structure(message)
        part = find_text_part(structure)
        preview = make_preview(part, bytes(message[part.body_start : part.end])) if part else ""
    return Made(structure, preview)


def make_text(content: StoredContent) -> MessageText:
    """What SEARCH looks into."""
    with open_message(content) as message:
        return extract_text(parse_structure(message, envelopes=False), message)
