# SPDX-License-Identifier: MIT
"""One FETCH's answers: what must be read for its items, and the items of each message.

RFC 9051 §7.5.2. A large body goes out in pieces: the response is begun before all of it has been read.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field

from mailserver.errors import Kind, MailError
from mailserver.mime.envelope import MessageEnvelope
from mailserver.mime.structure import parse_structure
from mailserver.store.interface import Entry, StoredContent
from mailserver.store.message_data import StoredStructure
from mailserver.values import ContentId
from protocols.imap import fetch_data as data
from protocols.imap.commands import Fetch
from protocols.imap.fetch_items import Attribute, BinarySection, BinarySize, BodySection, FetchItem, Preview
from protocols.imap.message_fields import MessageFields
from protocols.imap.object_ids import format_email_id, format_thread_id
from protocols.imap.session import Session
from protocols.imap.stored_message import StoredMessage, Streamed, UnknownEncoding, needs_structure
from protocols.imap.tidings import RECENT
from protocols.net.stream import ConnectionLost

log = logging.getLogger("pillarbox.imap")

_STRUCTURED = (Attribute.BODY, Attribute.BODYSTRUCTURE)


@dataclass(frozen=True, slots=True)
class Material:
    """What the items are made from, beside the index."""

    envelopes: bool
    structures: bool
    previews: bool
    threads: bool
    contents: bool

    @classmethod
    def of(cls, items: Sequence[FetchItem]) -> Material:
        return cls(
            envelopes=Attribute.ENVELOPE in items,
            structures=any(item in _STRUCTURED or _names_part(item) for item in items),
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


@dataclass(slots=True)
class Readings:
    """What was read for a batch of messages."""

    envelopes: dict[ContentId, MessageEnvelope] = field(default_factory=dict)
    structures: dict[ContentId, StoredStructure] = field(default_factory=dict)
    previews: dict[ContentId, str] = field(default_factory=dict)
    threads: dict[ContentId, str] = field(default_factory=dict)
    contents: dict[ContentId, StoredContent] = field(default_factory=dict)


class Answerer:
    """For one command."""

    def __init__(self, session: Session, command: Fetch) -> None:
        self._session = session
        self._selected = session.current
        self._items = command.items
        self._with_uid = command.uid and not session.uid_only and Attribute.UID not in command.items
        self._with_modseq = command.changed_since is not None and Attribute.MODSEQ not in command.items
        self._utf8 = session.utf8
        self.material = Material.of(command.items)
        self.sets_seen = any(isinstance(item, BodySection | BinarySection) and not item.peek for item in command.items)

    # ------------------------------------------------------------ reading

    async def read(self, entries: Sequence[Entry]) -> Readings:
        """Everything that the items need. Raises MailError."""
        return await self._session.offload(self._read, [entry.content for entry in entries])

    def _read(self, wanted: Sequence[ContentId]) -> Readings:
        store, material, readings = self._session.connection.store, self.material, Readings()
        if material.contents:
            readings.contents = {content.id: content for content in store.read_contents(wanted)}
        if material.structures:
            readings.structures = store.read_structures(wanted)
        else:
            unstructured = [id_ for id_, content in readings.contents.items() if self._wants_structure(content)]
            readings.structures = store.read_structures(unstructured) if unstructured else {}
        if material.envelopes:
            readings.envelopes = store.read_envelopes(wanted)
        if material.previews:
            readings.previews = store.read_previews(wanted)
        if material.threads:
            fields = MessageFields(store).read(wanted)
            readings.threads = {content: format_thread_id(content, kept) for content, kept in fields.items()}
        return readings

    def _wants_structure(self, content: StoredContent) -> bool:
        sections = (item.section for item in self._items if isinstance(item, BodySection))
        return any(needs_structure(section, content) for section in sections)

    # ------------------------------------------------------------ writing

    async def write(self, entry: Entry, readings: Readings, *, tell_flags: bool) -> bool:
        """The message's response; false when a part could not be decoded, and was left out."""
        number = self._selected.view.number_of(entry.uid)
        assert number is not None
        complete = True
        message = self._message(entry, readings)
        answers: list[bytes | tuple[str, Streamed]] = [data.format_uid_item(entry.uid)] if self._with_uid else []
        for item in self._items:
            try:
                answers.append(await self._produce(item, entry, readings, message))
            except UnknownEncoding:
                complete = False
        if tell_flags and Attribute.FLAGS not in self._items:
            answers.append(self._flags(entry))
        if self._with_modseq or (tell_flags and self._session.knows_modseq and Attribute.MODSEQ not in self._items):
            answers.append(data.format_modseq_item(entry.modseq))
        if tell_flags or Attribute.FLAGS in self._items:
            self._selected.view.note_known(entry.uid, entry.modseq)
        await self._send(entry.uid if self._session.uid_only else number, answers)
        return complete

    def format_plain(self, entry: Entry) -> bytes:
        """The response for items that the index has, as fast as it goes: many ask for the flags of 100,000 messages."""
        number = entry.uid if self._session.uid_only else self._selected.view.number_of(entry.uid)
        assert number is not None
        answers = [self._attribute(item, entry) for item in self._items if isinstance(item, Attribute)]
        if self._with_uid:
            answers.insert(0, data.format_uid_item(entry.uid))
        if self._with_modseq:
            answers.append(data.format_modseq_item(entry.modseq))
        if Attribute.FLAGS in self._items:
            self._selected.view.note_known(entry.uid, entry.modseq)
        return data.format_fetch(number, answers, uid_only=self._session.uid_only)

    def _message(self, entry: Entry, readings: Readings) -> StoredMessage | None:
        content = readings.contents.get(entry.content)
        if content is None:
            return None
        structure = readings.structures.get(entry.content)
        return StoredMessage(content, structure.structure if structure else None)

    async def _produce(
        self, item: FetchItem, entry: Entry, readings: Readings, message: StoredMessage | None
    ) -> bytes | tuple[str, Streamed]:
        """A large message is not read on the event loop."""
        if message is None or not message.in_file:
            return self._answer(item, entry, readings, message)
        try:
            return await self._session.offload(self._answer, item, entry, readings, message)
        except OSError as error:
            raise MailError(Kind.UNAVAILABLE, str(error)) from error

    def _flags(self, entry: Entry) -> bytes:
        recent = not self._session.rev2 and self._selected.view.is_recent(entry.uid)
        return data.format_flags_item(entry.flags | {RECENT} if recent else entry.flags)

    def _answer(
        self, item: FetchItem, entry: Entry, readings: Readings, message: StoredMessage | None
    ) -> bytes | tuple[str, Streamed]:
        match item:
            case Attribute.ENVELOPE:
                envelope = readings.envelopes.get(entry.content, MessageEnvelope())
                return data.format_envelope_item(envelope, utf8=self._utf8)
            case Attribute.BODY | Attribute.BODYSTRUCTURE:
                return self._structure(item, readings.structures.get(entry.content))
            case Attribute.THREADID:
                return data.format_thread_id_item(readings.threads.get(entry.content))
            case Attribute():
                return self._attribute(item, entry)
            case Preview():
                return data.format_preview_item(readings.previews.get(entry.content), utf8=self._utf8)
            case BodySection(section, label, _, extent):
                found = message.read_section(section, extent) if message else None
                return (label, found) if isinstance(found, Streamed) else data.format_section(label, found)
            case BinarySection(part, label, _, extent):
                found = message.read_decoded(part, extent) if message else None
                return (label, found) if isinstance(found, Streamed) else _format_binary(label, found)
            case BinarySize(part, label):
                return data.format_binary_size(label, (message.decoded_size(part) if message else None) or 0)

    def _attribute(self, item: Attribute, entry: Entry) -> bytes:
        match item:
            case Attribute.UID:
                return data.format_uid_item(entry.uid)
            case Attribute.INTERNALDATE:
                return data.format_internal_date_item(entry.internal_date)
            case Attribute.SIZE:
                return data.format_size_item(entry.size)
            case Attribute.MODSEQ:
                return data.format_modseq_item(entry.modseq)
            case Attribute.EMAILID:
                return data.format_email_id_item(format_email_id(entry.content))
            case Attribute.SAVEDATE:
                return data.format_save_date_item(entry.saved)
            case _:
                return self._flags(entry)

    def _structure(self, item: Attribute, stored: StoredStructure | None) -> bytes:
        """A message whose content has just gone has an empty text."""
        part = stored.structure if stored else parse_structure(b"")
        form = data.format_body_item if item is Attribute.BODY else data.format_body_structure_item
        return form(part, utf8=self._utf8)

    async def _send(self, number: int, answers: Sequence[bytes | tuple[str, Streamed]]) -> None:
        session = self._session
        if all(isinstance(answer, bytes) for answer in answers):
            await session.send_untagged(data.format_fetch(number, answers, uid_only=session.uid_only))  # type: ignore[arg-type]
            return
        await session.send_untagged(data.begin_fetch(number, uid_only=session.uid_only))
        for place, answer in enumerate(answers):
            await session.send_untagged(b" " if place else b"")
            if isinstance(answer, bytes):
                await session.send_untagged(answer)
            else:
                await self._stream(*answer)
        await session.send_untagged(data.END_FETCH)

    async def _stream(self, label: str, streamed: Streamed) -> None:
        """What has been announced must come whole; if it cannot, the connection ends."""
        session = self._session
        await session.send_untagged(data.begin_section(label, streamed.size, binary=label.startswith("BINARY")))
        try:
            while piece := await session.offload(next, streamed.pieces, b""):
                await session.send_untagged(piece)
        except OSError as error:
            log.error("IMAP4 session %d: a message could not be read: %s", session.client.session, error)
            session.connection.stream.abort()
            raise ConnectionLost from error


def _format_binary(label: str, value: bytes | None) -> bytes:
    return data.format_section(label, value, binary=value is not None and b"\x00" in value)
