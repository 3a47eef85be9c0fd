# SPDX-License-Identifier: MIT
"""What a FETCH reads for its items: from what is remembered, and the rest from the store, with one query of each kind.

Answers that are made of a content alone (ENVELOPE, BODYSTRUCTURE, PREVIEW) are remembered as they are sent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from mailserver.mime.envelope import MessageEnvelope
from mailserver.mime.structure import Part, parse_structure
from mailserver.store.interface import Entry, NewContent, StoredContent
from mailserver.store.message_data import StoredStructure
from mailserver.values import MEMORY_BODY_BYTES, ContentId
from protocols.imap import fetch_data as data
from protocols.imap.fetch_items import Attribute, BinarySection, BinarySize, BodySection, FetchItem, Preview
from protocols.imap.message_fields import MessageFields
from protocols.imap.object_ids import format_thread_id
from protocols.imap.session import Session
from protocols.imap.stored_message import needs_structure

_STRUCTURED = (Attribute.BODY, Attribute.BODYSTRUCTURE)
_WHOLE = (Attribute.ENVELOPE, *_STRUCTURED, Attribute.THREADID)
PART_BYTES = 1000
"""About what a part of a structure takes."""
FIELDS_BYTES = 1500
"""The same for the fields that come with a content."""


@dataclass(frozen=True, slots=True)
class Material:
    """What the items are made from, beside the index."""

    envelopes: bool
    structures: bool
    """Also those that are answered as a whole."""
    parts: bool
    """Sections of parts are asked for, which are found by the structure."""
    previews: bool
    threads: bool
    contents: bool

    @staticmethod
    @lru_cache(maxsize=200)
    def of(items: tuple[FetchItem, ...]) -> Material:
        """A mail program asks for the same few things all day long."""
        parts = any(map(_names_part, items))
        return Material(
            envelopes=Attribute.ENVELOPE in items,
            structures=parts or any(item in _STRUCTURED for item in items),
            parts=parts,
            previews=any(isinstance(item, Preview) for item in items),
            threads=Attribute.THREADID in items,
            contents=any(isinstance(item, BodySection | BinarySection | BinarySize) for item in items),
        )

    @property
    def stored(self) -> bool:
        return self.envelopes or self.structures or self.previews or self.threads

    @property
    def any(self) -> bool:
        """False: the index has it all."""
        return self.stored or self.contents


def _names_part(item: FetchItem) -> bool:
    if isinstance(item, BodySection):
        return bool(item.section.part)
    return isinstance(item, BinarySection | BinarySize) and bool(item.part)


Whole = Attribute | Preview
"""An item that is answered from a content and nothing else."""


@dataclass(slots=True)
class Readings:
    """What is known of a batch of messages."""

    contents: dict[ContentId, StoredContent] = field(default_factory=dict)
    structures: dict[ContentId, StoredStructure] = field(default_factory=dict)
    answers: dict[Whole, dict[ContentId, bytes]] = field(default_factory=dict)


@dataclass(slots=True)
class _Missing:
    """Of which contents something is to be read."""

    contents: list[ContentId] = field(default_factory=list)
    structures: list[ContentId] = field(default_factory=list)
    answers: dict[Whole, list[ContentId]] = field(default_factory=dict)

    @property
    def any(self) -> bool:
        return bool(self.contents or self.structures or self.answers)

    def of(self, *items: Whole) -> list[ContentId]:
        return list(dict.fromkeys(content for item in items for content in self.answers.get(item, ())))


class Reader:
    """For one command."""

    def __init__(self, session: Session, items: tuple[FetchItem, ...], material: Material) -> None:
        self._session = session
        self._store = session.connection.store
        self._remembered = session.indexes.remembered
        self._utf8 = session.utf8
        self._material = material
        self._sections = [item.section for item in items if isinstance(item, BodySection)]
        self._labels = _labels(items, utf8=self._utf8)

    async def read(self, entries: Sequence[Entry]) -> Readings:
        """Everything that the items need. Raises MailError."""
        readings = Readings()
        missing = self._recall([entry.content for entry in entries], readings)
        if missing.any:
            read = await self._session.offload(self._read, missing)
            self._take(read, readings)
        return readings

    def _recall(self, wanted: Sequence[ContentId], readings: Readings) -> _Missing:
        missing = _Missing()
        for item, label in self._labels.items():
            readings.answers[item], unknown = self._find(wanted, label)
            if unknown:
                missing.answers[item] = unknown
        if self._material.contents:
            readings.contents, missing.contents = self._find(wanted, "content")
        if self._material.parts:
            readings.structures, missing.structures = self._find(wanted, "structure")
        elif readings.contents:
            unstructured = [id_ for id_, content in readings.contents.items() if self._wants_structure(content)]
            readings.structures, missing.structures = self._find(unstructured, "structure")
        return missing

    def _find(self, wanted: Sequence[ContentId], label: str) -> tuple[dict[ContentId, Any], list[ContentId]]:
        found, unknown = self._remembered.find_all([(content, label) for content in wanted])
        return {content: value for (content, _), value in found.items()}, [content for content, _ in unknown]

    def _read(self, missing: _Missing) -> Readings:
        """In a thread."""
        store, read = self._store, Readings()
        if missing.contents:
            read.contents = {content.id: content for content in store.read_contents(missing.contents)}
        unstructured = [id_ for id_, content in read.contents.items() if self._wants_structure(content)]
        structures = list(dict.fromkeys([*missing.structures, *unstructured, *missing.of(*_STRUCTURED)]))
        if structures:
            read.structures = store.read_structures(structures)
        envelopes = missing.of(Attribute.ENVELOPE)
        if envelopes:
            found = store.read_envelopes(envelopes)
            read.answers[Attribute.ENVELOPE] = {id_: self._envelope(envelope) for id_, envelope in found.items()}
        for item in missing.answers:
            if item in _STRUCTURED:
                read.answers[item] = {
                    id_: self.format_structure(item, read.structures[id_])
                    for id_ in missing.answers[item]
                    if id_ in read.structures
                }
            elif item is Attribute.THREADID:
                fields = MessageFields(store).read(missing.answers[item])
                read.answers[item] = {
                    id_: data.format_thread_id_item(format_thread_id(id_, kept)) for id_, kept in fields.items()
                }
            elif isinstance(item, Preview):
                previews = store.read_previews(missing.answers[item])
                read.answers[item] = {
                    id_: data.format_preview_item(text, utf8=self._utf8) for id_, text in previews.items()
                }
        return read

    def _take(self, read: Readings, readings: Readings) -> None:
        """Add what was read to what was known, and remember it."""
        readings.contents |= read.contents
        readings.structures |= read.structures
        keep = self._remembered.keep
        for item, answers in read.answers.items():
            readings.answers.setdefault(item, {}).update(answers)
            for content, answer in answers.items():
                keep((content, self._labels[item]), answer, len(answer))
        for content, stored in read.contents.items():
            if stored.body is not None:
                keep((content, "content"), stored, stored.size + FIELDS_BYTES)
        for content, structure in read.structures.items():
            keep((content, "structure"), structure, PART_BYTES * _count_parts(structure.structure))

    def _wants_structure(self, content: StoredContent) -> bool:
        return self._material.parts or any(needs_structure(section, content) for section in self._sections)

    def _envelope(self, envelope: MessageEnvelope) -> bytes:
        return data.format_envelope_item(envelope, utf8=self._utf8)

    def format_structure(self, item: Whole, stored: StoredStructure | None) -> bytes:
        """A message whose content has just gone has an empty text."""
        part = stored.structure if stored else parse_structure(b"")
        form = data.format_body_item if item is Attribute.BODY else data.format_body_structure_item
        return form(part, utf8=self._utf8)

    def format_absent(self, item: Whole) -> bytes:
        """The answer for a message whose content has just gone."""
        if isinstance(item, Preview):
            return data.format_preview_item(None, utf8=self._utf8)
        if item is Attribute.ENVELOPE:
            return self._envelope(MessageEnvelope())
        if item is Attribute.THREADID:
            return data.format_thread_id_item(None)
        return self.format_structure(item, None)


@lru_cache(maxsize=200)
def _labels(items: tuple[FetchItem, ...], *, utf8: bool) -> Mapping[Whole, str]:
    """Of those items that are remembered, the names under which they are."""
    return {item: _label(item, utf8=utf8) for item in items if isinstance(item, Preview) or item in _WHOLE}


def _label(item: Whole, *, utf8: bool) -> str:
    """What is lazy about a preview is not what it says."""
    return f"{'PREVIEW' if isinstance(item, Preview) else item.value} {utf8:d}"


def remember_filed(session: Session, id_: ContentId, new: NewContent) -> None:
    """Mail programs look at what they have just filed."""
    remembered, utf8 = session.indexes.remembered, session.utf8
    if new.envelope is not None:
        answer = data.format_envelope_item(new.envelope, utf8=utf8)
        remembered.keep((id_, _label(Attribute.ENVELOPE, utf8=utf8)), answer, len(answer))
    body = new.body.data
    if body is not None and len(body) <= MEMORY_BODY_BYTES:
        content = StoredContent(id_, new.ref, new.head, new.return_path_size, new.size, body, None, new.fields)
        remembered.keep((id_, "content"), content, new.size + FIELDS_BYTES)


def _count_parts(part: Part) -> int:
    return 1 + sum(map(_count_parts, part.children))
