# SPDX-License-Identifier: MIT
"""What SORT and THREAD go by, read from what the store keeps of each message.

RFC 5256 §2.2 (the date sent), §3; RFC 5957 §3. Blocks: to be called in a thread, for a slice of messages.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from mailserver.mime.addresses import HeaderAddress
from mailserver.mime.dates import find_date
from mailserver.mime.envelope import Addresses, MessageEnvelope
from mailserver.mime.headers import decode_field
from mailserver.mime.sorting import SortCriterion, SortKey, SortMessage
from mailserver.mime.threads import ThreadMessage, find_message_ids, make_references
from mailserver.store.interface import Entry, MailStore
from protocols.imap.message_fields import MessageFields

_BY_FIELDS = frozenset({SortKey.DATE, SortKey.SUBJECT})
_BY_ADDRESSES = frozenset({SortKey.FROM, SortKey.TO, SortKey.CC, SortKey.DISPLAYFROM, SortKey.DISPLAYTO})

_NO_FIELDS: Mapping[str, str] = {}
_NO_ENVELOPE = MessageEnvelope()


def read_sort_messages(
    store: MailStore, entries: Sequence[Entry], criteria: Sequence[SortCriterion]
) -> list[SortMessage]:
    """Named by their UIDs; only what the criteria need is read."""
    keys = {criterion.key for criterion in criteria}
    contents = [entry.content for entry in entries]
    fields = MessageFields(store).read(contents) if keys & _BY_FIELDS else {}
    envelopes = store.read_envelopes(contents) if keys & _BY_ADDRESSES else {}
    return [
        _sort_message(entry, fields.get(entry.content, _NO_FIELDS), envelopes.get(entry.content, _NO_ENVELOPE))
        for entry in entries
    ]


def _sort_message(entry: Entry, fields: Mapping[str, str], envelope: MessageEnvelope) -> SortMessage:
    return SortMessage(
        number=entry.uid,
        arrived=entry.internal_date,
        sent=_sent(entry, fields),
        size=entry.size,
        subject=fields.get("subject", ""),
        from_mailbox=_mailbox(envelope.from_),
        to_mailbox=_mailbox(envelope.to),
        cc_mailbox=_mailbox(envelope.cc),
        from_display=_display(envelope.from_),
        to_display=_display(envelope.to),
    )


def _sent(entry: Entry, fields: Mapping[str, str]) -> datetime:
    """RFC 5256 §2.2: the internal date stands in for a Date that is missing or cannot be read."""
    text = fields.get("date")
    return (find_date(text) if text else None) or entry.internal_date


def _mailbox(addresses: Addresses) -> str:
    return _decoded(addresses[0].mailbox) if addresses else ""


def _display(addresses: Addresses) -> str:
    """RFC 5957 §3: the name, else the address; a group's name is where its mailbox would be."""
    if not addresses:
        return ""
    first = addresses[0]
    return _decoded(first.name) or _address(first)


def _address(address: HeaderAddress) -> str:
    mailbox = _decoded(address.mailbox)
    return f"{mailbox}@{_decoded(address.host)}" if address.host else mailbox


def _decoded(raw: str | None) -> str:
    """From the bytes-as-characters form of the envelope."""
    return decode_field(raw.encode("latin-1")) if raw else ""


def read_thread_messages(store: MailStore, entries: Sequence[Entry], numbers: Sequence[int]) -> list[ThreadMessage]:
    """Named by the number of each."""
    fields = MessageFields(store).read([entry.content for entry in entries])
    return [
        _thread_message(entry, fields.get(entry.content, _NO_FIELDS), number)
        for entry, number in zip(entries, numbers, strict=True)
    ]


def _thread_message(entry: Entry, fields: Mapping[str, str], number: int) -> ThreadMessage:
    identifiers = find_message_ids(fields.get("message-id", ""))
    return ThreadMessage(
        number=number,
        sent=_sent(entry, fields),
        subject=fields.get("subject", ""),
        message_id=identifiers[0] if identifiers else "",
        references=make_references(fields.get("references", ""), fields.get("in-reply-to", "")),
        arrived=entry.internal_date,
    )
