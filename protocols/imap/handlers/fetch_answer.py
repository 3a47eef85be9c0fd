# SPDX-License-Identifier: MIT
"""One FETCH's answers: the items of each message.

RFC 9051 §7.5.2. A large body goes out in pieces: the response is begun before all of it has been read.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache

from mailserver.errors import Kind, MailError
from mailserver.store.entries import moment_of
from mailserver.store.interface import Entry
from mailserver.values import ContentId
from protocols.imap import fetch_data as data
from protocols.imap.commands import Fetch
from protocols.imap.fetch_items import Attribute, BinarySection, BinarySize, BodySection, FetchItem, Preview
from protocols.imap.handlers.fetch_reading import Material, Reader, Readings, Whole
from protocols.imap.object_ids import format_email_id
from protocols.imap.session import Session
from protocols.imap.stored_message import StoredMessage, Streamed, UnknownEncoding
from protocols.imap.tidings import RECENT
from protocols.net.stream import ConnectionLost

log = logging.getLogger("pillarbox.imap")

Answer = bytes | tuple[str, Streamed]
"""An item, or the label of a section and what is to follow it."""


class Answerer:
    """For one command."""

    def __init__(self, session: Session, command: Fetch) -> None:
        self._session = session
        self._selected = session.current
        self._items = command.items
        self._with_uid = command.uid and not session.uid_only and Attribute.UID not in command.items
        self._with_modseq = command.changed_since is not None and Attribute.MODSEQ not in command.items
        self._tells_flags = Attribute.FLAGS in command.items
        self.material = Material.of(command.items)
        self._reader = Reader(session, command.items, self.material)
        self.sets_seen = any(isinstance(item, BodySection | BinarySection) and not item.peek for item in command.items)

    async def read(self, entries: Sequence[Entry]) -> Readings:
        """Everything that the items need. Raises MailError."""
        return await self._reader.read(entries)

    # ------------------------------------------------------------ writing

    async def write(self, entry: Entry, readings: Readings, *, tell_flags: bool) -> bool:
        """The message's response; false when a part could not be decoded, and was left out."""
        number = self._selected.view.number_of(entry.uid)
        assert number is not None
        complete = True
        message = self._message(entry, readings)
        in_file = message is not None and message.in_file
        answers: list[Answer] = [data.format_uid_item(entry.uid)] if self._with_uid else []
        for item in self._items:
            try:
                if in_file:
                    answers.append(await self._read_file(item, entry, readings, message))
                else:
                    answers.append(self._answer(item, entry, readings, message))
            except UnknownEncoding:
                complete = False
        if tell_flags and not self._tells_flags:
            answers.append(self._flags(entry))
        if self._with_modseq or (tell_flags and self._session.knows_modseq and Attribute.MODSEQ not in self._items):
            answers.append(data.format_modseq_item(entry.modseq))
        if tell_flags or self._tells_flags:
            self._selected.view.note_known(entry.uid, entry.modseq)
        await self._send(entry.uid if self._session.uid_only else number, answers)
        return complete

    def format_all(self, entries: Sequence[Entry], readings: Readings) -> bytes:
        """The responses for items that need no bytes of the messages, as fast as it goes: mail programs ask for the
        flags of 100,000 messages, and for the envelopes of those on the screen again and again."""
        makers = self._makers(readings)
        view, uid_only = self._selected.view, self._session.uid_only
        numbers = [entry.uid for entry in entries] if uid_only else view.numbers_for(entries)
        if self._tells_flags:
            view.note_all_known(entries)
        response = b"* %d UIDFETCH (%s)\r\n" if uid_only else b"* %d FETCH (%s)\r\n"
        return b"".join(
            [
                response % (number, b" ".join([make(entry) for make in makers]))
                for number, entry in zip(numbers, entries, strict=True)
            ]
        )

    def _makers(self, readings: Readings) -> list[Callable[[Entry], bytes]]:
        """For each item in order what makes it."""
        makers: list[Callable[[Entry], bytes]] = [_MAKERS[Attribute.UID]] if self._with_uid else []
        for item in self._items:
            if item in readings.answers:
                makers.append(self._finder(item, readings.answers[item]))
            elif isinstance(item, Attribute):
                makers.append(_MAKERS.get(item) or self._flags_maker())
        if self._with_modseq:
            makers.append(_MAKERS[Attribute.MODSEQ])
        return makers

    def _flags_maker(self) -> Callable[[Entry], bytes]:
        """Most often no message is recent, or only the last ones are."""
        first = self._selected.view.first_recent
        if self._session.rev2 or not first:
            return lambda entry: data.format_flags_item(entry.flags)
        return lambda entry: data.format_flags_item(entry.flags) if entry.uid < first else self._flags(entry)

    def _finder(self, item: Whole, answers: Mapping[ContentId, bytes]) -> Callable[[Entry], bytes]:
        return lambda entry: answers.get(entry.content) or self._reader.format_absent(item)

    def _message(self, entry: Entry, readings: Readings) -> StoredMessage | None:
        content = readings.contents.get(entry.content)
        if content is None:
            return None
        structure = readings.structures.get(entry.content)
        return StoredMessage(content, structure.structure if structure else None)

    async def _read_file(
        self, item: FetchItem, entry: Entry, readings: Readings, message: StoredMessage | None
    ) -> Answer:
        """A large message is not read on the event loop."""
        try:
            return await self._session.offload(self._answer, item, entry, readings, message)
        except OSError as error:
            raise MailError(Kind.UNAVAILABLE, str(error)) from error

    def _flags(self, entry: Entry) -> bytes:
        recent = not self._session.rev2 and self._selected.view.is_recent(entry.uid)
        return data.format_flags_item(entry.flags | {RECENT} if recent else entry.flags)

    def _answer(self, item: FetchItem, entry: Entry, readings: Readings, message: StoredMessage | None) -> Answer:
        match item:
            case Attribute() | Preview() if item in readings.answers:
                return readings.answers[item].get(entry.content) or self._reader.format_absent(item)
            case Attribute():
                return self._attribute(item, entry)
            case Preview():
                return self._reader.format_absent(item)
            case BodySection(section, label, _, extent):
                found = message.read_section(section, extent) if message else None
                return (label, found) if isinstance(found, Streamed) else data.format_section(label, found)
            case BinarySection(part, label, _, extent):
                found = message.read_decoded(part, extent) if message else None
                return (label, found) if isinstance(found, Streamed) else _format_binary(label, found)
            case BinarySize(part, label):
                return data.format_binary_size(label, (message.decoded_size(part) if message else None) or 0)

    def _attribute(self, item: Attribute, entry: Entry) -> bytes:
        return _MAKERS.get(item, self._flags)(entry)

    async def _send(self, number: int, answers: Sequence[Answer]) -> None:
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


@lru_cache(maxsize=10_000)
def _format_internal_date(microseconds: int) -> bytes:
    """The same messages are listed again and again."""
    return data.format_internal_date_item(moment_of(microseconds))


_MAKERS: Mapping[Attribute, Callable[[Entry], bytes]] = {
    Attribute.UID: lambda entry: data.format_uid_item(entry.uid),
    Attribute.INTERNALDATE: lambda entry: _format_internal_date(entry.internal_microseconds),
    Attribute.SIZE: lambda entry: data.format_size_item(entry.size),
    Attribute.MODSEQ: lambda entry: data.format_modseq_item(entry.modseq),
    Attribute.EMAILID: lambda entry: data.format_email_id_item(format_email_id(entry.content)),
    Attribute.SAVEDATE: lambda entry: data.format_save_date_item(entry.saved),
}
"""What the index knows of each message; FLAGS depend on the session."""


def _format_binary(label: str, value: bytes | None) -> bytes:
    return data.format_section(label, value, binary=value is not None and b"\x00" in value)
