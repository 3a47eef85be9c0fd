# SPDX-License-Identifier: MIT
"""What SEARCH, SORT and THREAD look at in messages: header fields and text, by what the store keeps of them.

RFC 9051 §6.4.4. Blocks: to be used in a thread, for one slice of messages, whose fields are read once however many
keys ask for them. Bytes of a message are read only for fields that are not kept.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet

from mailserver.mime.casemap import casemap
from mailserver.mime.dates import find_written_day
from mailserver.mime.decoded_fields import decode_fields
from mailserver.mime.headers import MAX_FIELD_CHARACTERS, MAX_HEADER_BYTES
from mailserver.store.interface import MailStore, StoredContent
from mailserver.values import ContentId
from protocols.imap.matching import ContentKey
from protocols.imap.object_ids import format_thread_id
from protocols.imap.search_keys import HasBody, HasDate, HasHeader, HasText, HasThreadId, When

KEPT = frozenset({"subject", "from", "to", "cc", "date", "message-id", "in-reply-to", "references"})
"""Fields that the store keeps, decoded (mailserver/mime/headers.py)."""
FEW = 1000
"""The kept fields of so many messages are looked at before the index could be asked."""
READ_AT_ONCE = 32
"""Messages whose bytes are in memory together."""


class MessageFields:
    """Of a slice of messages; asked by one thread at a time."""

    def __init__(self, store: MailStore) -> None:
        self._store = store
        self._known: dict[ContentId, Mapping[str, str]] = {}

    def read(self, contents: Sequence[ContentId]) -> dict[ContentId, Mapping[str, str]]:
        """The kept fields, whole; messages that are gone are missing."""
        missing = [content for content in contents if content not in self._known]
        if missing:
            fields = self._store.read_fields(missing)
            doubtful = [content for content in missing if content in fields and _may_be_partial(fields[content])]
            for content, everything in self._read_headers(doubtful).items():
                fields[content] = {name: value for name, value in reversed(everything) if name in KEPT}
            self._known |= fields
        return {content: self._known[content] for content in contents if content in self._known}

    def having(self, key: ContentKey, contents: Sequence[ContentId]) -> AbstractSet[ContentId]:
        """`Ask` of matching.py."""
        match key:
            case HasText(text):
                return self._store.search_text(contents, text, body_only=False)
            case HasBody(text):
                return self._store.search_text(contents, text, body_only=True)
            case HasHeader(name, text):
                return self._having_header(name.lower(), text, contents)
            case HasDate():
                sent = self.read(contents)
                return {content for content in contents if _was_sent(key, sent.get(content, {}).get("date", ""))}
            case HasThreadId(identifier):
                kept = self.read(contents)
                return {content for content, fields in kept.items() if format_thread_id(content, fields) == identifier}

    def _having_header(self, name: str, text: str, contents: Sequence[ContentId]) -> set[ContentId]:
        needle = casemap(text)
        possible: Sequence[ContentId] = contents
        if name not in KEPT or len(contents) > FEW:
            # The text index knows every field, though not by its name.
            possible = sorted(self._store.narrow_text(contents, text or name))
        if name in KEPT:
            kept = self.read(possible)
            return {content for content, fields in kept.items() if name in fields and needle in casemap(fields[name])}
        return {
            content
            for content, fields in self._read_headers(possible).items()
            if any(found == name and needle in casemap(value) for found, value in fields)
        }

    def _read_headers(self, contents: Sequence[ContentId]) -> dict[ContentId, list[tuple[str, str]]]:
        found: dict[ContentId, list[tuple[str, str]]] = {}
        for start in range(0, len(contents), READ_AT_ONCE):
            for content in self._store.read_contents(contents[start : start + READ_AT_ONCE]):
                found[content.id] = decode_fields(_first_bytes(content))
        return found


def _may_be_partial(fields: Mapping[str, str]) -> bool:
    """A message that was filed without its fields, or has one that was cut."""
    return not fields or max(map(len, fields.values())) >= MAX_FIELD_CHARACTERS


def _first_bytes(content: StoredContent) -> bytes:
    data = b""
    for chunk in content.chunks():
        data += chunk
        if len(data) >= MAX_HEADER_BYTES or b"\r\n\r\n" in data:
            break
    return data


def _was_sent(key: HasDate, date_field: str) -> bool:
    """False for a message without a date that can be read."""
    day = find_written_day(date_field) if date_field else None
    if day is None:
        return False
    if key.when is When.BEFORE:
        return day < key.date
    return day >= key.date if key.when is When.SINCE else day == key.date
