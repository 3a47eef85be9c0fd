# SPDX-License-Identifier: MIT
"""ENVELOPE: the parsed header that IMAP clients list mail by.

RFC 9051 §7.5.2. Pure. Made once, when a message is filed or first looked at, and stored as JSON. Text is in the
bytes-as-characters form of `raw_fields.py`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mailserver.mime.addresses import HeaderAddress, parse_addresses
from mailserver.mime.raw_fields import Fields, read_fields

Addresses = tuple[HeaderAddress, ...]
_BLANK_LINE = re.compile(rb"^\r?\n", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class MessageEnvelope:
    """The ten fields in the order of the reply; None and an empty list are NIL."""

    date: str | None = None
    subject: str | None = None
    from_: Addresses = ()
    sender: Addresses = ()
    reply_to: Addresses = ()
    to: Addresses = ()
    cc: Addresses = ()
    bcc: Addresses = ()
    in_reply_to: str | None = None
    message_id: str | None = None

    def to_json(self) -> list[Any]:
        """Values for a JSON column; `sender` and `reply_to` are left out where they repeat `from_`."""
        return [
            self.date, self.subject, _to_json(self.from_),
            None if self.sender == self.from_ else _to_json(self.sender),
            None if self.reply_to == self.from_ else _to_json(self.reply_to),
            _to_json(self.to), _to_json(self.cc), _to_json(self.bcc), self.in_reply_to, self.message_id,
        ]  # fmt: skip

    @classmethod
    def from_json(cls, stored: Sequence[Any]) -> MessageEnvelope:
        date, subject, from_, sender, reply_to, to, cc, bcc, in_reply_to, message_id = stored
        authors = _from_json(from_)
        return cls(
            date, subject, authors,
            authors if sender is None else _from_json(sender),
            authors if reply_to is None else _from_json(reply_to),
            _from_json(to), _from_json(cc), _from_json(bcc), in_reply_to, message_id,
        )  # fmt: skip


def _to_json(addresses: Addresses) -> list[list[str | None]]:
    return [[address.name, address.route, address.mailbox, address.host] for address in addresses]


def _from_json(stored: Sequence[Sequence[str | None]]) -> Addresses:
    return tuple(HeaderAddress(*address) for address in stored)


def find_envelope(start: bytes) -> MessageEnvelope | None:
    """Of a message that begins so, as `parse_structure` has it; None if its header goes on."""
    blank = _BLANK_LINE.search(start)
    return make_envelope(read_fields(start, 0, blank.end(), envelope=True)) if blank else None


def make_envelope(fields: Fields) -> MessageEnvelope:
    """From unfolded header fields by lower-case name.

    RFC 9051 §7.5.2: where Sender or Reply-To is missing or empty, the author stands in its place.
    """
    authors = parse_addresses(fields.get("from", ""))
    return MessageEnvelope(
        date=fields.get("date"),
        subject=fields.get("subject"),
        from_=authors,
        sender=parse_addresses(fields.get("sender", "")) or authors,
        reply_to=parse_addresses(fields.get("reply-to", "")) or authors,
        to=parse_addresses(fields.get("to", "")),
        cc=parse_addresses(fields.get("cc", "")),
        bcc=parse_addresses(fields.get("bcc", "")),
        in_reply_to=fields.get("in-reply-to"),
        message_id=fields.get("message-id"),
    )
