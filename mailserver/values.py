# SPDX-License-Identifier: MIT
"""Values that every layer speaks in; plain Python, importable without Django.

RFC 5321 §4.1.2 (paths), RFC 3461 §4 (delivery status parameters), RFC 9051 §2.3.2 (flags).
Parsing of wire syntax lives in each protocol's grammar; what is here has been parsed.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NewType

UserId = NewType("UserId", int)
MailboxId = NewType("MailboxId", int)
ContentId = NewType("ContentId", int)
Uid = NewType("Uid", int)
ModSeq = NewType("ModSeq", int)

PUBLIC = UserId(0)
"""Whose the public folders are: nobody's."""


@dataclass(frozen=True, slots=True)
class Address:
    """A mailbox as RFC 5321 §4.1.2 means it: the local part unquoted, the domain lower case, without a final dot.

    The local part keeps its case; whoever compares it decides (local names compare without case).
    """

    local: str
    domain: str

    def __str__(self) -> str:
        return f"{self.local}@{self.domain}"


class DsnReturn(enum.Enum):
    """RFC 3461 §4.3: what a failure report gives back."""

    FULL = "FULL"
    HEADERS = "HDRS"


class DsnNotify(enum.Enum):
    """RFC 3461 §4.1: what a sender wants to be told about one recipient."""

    NEVER = "NEVER"
    SUCCESS = "SUCCESS"
    FAILURE = "FAILURE"
    DELAY = "DELAY"


@dataclass(frozen=True, slots=True)
class Recipient:
    """One accepted RCPT TO: the address as typed (angle brackets off) and its RFC 3461 parameters, kept verbatim."""

    address: Address
    notify: frozenset[DsnNotify] = frozenset()
    original_recipient: str = ""


@dataclass(frozen=True, slots=True)
class Envelope:
    """What travels beside a message. `reverse_path` is None for the null path `<>` (RFC 5321 §4.5.5)."""

    reverse_path: Address | None
    recipients: tuple[Recipient, ...] = ()
    dsn_return: DsnReturn | None = None
    envelope_id: str = ""
    smtputf8: bool = False
    eight_bit: bool = False


class Flag(enum.StrEnum):
    """System flags of RFC 9051 §2.3.2; keywords are any other string without a backslash."""

    SEEN = "\\Seen"
    ANSWERED = "\\Answered"
    FLAGGED = "\\Flagged"
    DELETED = "\\Deleted"
    DRAFT = "\\Draft"


class SpecialUse(enum.StrEnum):
    """What a mailbox is for: RFC 6154 §2, and the Inbox."""

    INBOX = "inbox"
    SENT = "sent"
    DRAFTS = "drafts"
    JUNK = "junk"
    TRASH = "trash"
    ARCHIVE = "archive"


SPECIAL_MAILBOXES: tuple[tuple[str, SpecialUse], ...] = (
    ("INBOX", SpecialUse.INBOX),
    ("Sent", SpecialUse.SENT),
    ("Drafts", SpecialUse.DRAFTS),
    ("Spam", SpecialUse.JUNK),
    ("Trash", SpecialUse.TRASH),
    ("Archive", SpecialUse.ARCHIVE),
)
"""The folders that every new user gets, in the order in which they are shown."""

MEMORY_BODY_BYTES = 64 * 1024
"""Bodies up to this size live in the content row; larger ones in a file (design section 4)."""


@dataclass(frozen=True, slots=True)
class Body:
    """The bytes of a message as received, every line ended by CRLF: in memory, or in a spool file when large.

    Exactly one of `data` and `path` is set. `sha256` is the hex digest of the bytes. Whoever made the spool
    file owns it until a store takes it over by submit(); the store renames it away.
    """

    size: int
    sha256: str
    data: bytes | None = None
    path: Path | None = None

    def chunks(self, chunk_bytes: int = 65536) -> Iterator[bytes]:
        if self.data is not None:
            yield self.data
            return
        assert self.path is not None
        with self.path.open("rb") as file:
            while chunk := file.read(chunk_bytes):
                yield chunk

    def head(self, limit_bytes: int = 256 * 1024) -> bytes:
        """The first bytes, enough for the header section."""
        if self.data is not None:
            return self.data[:limit_bytes]
        assert self.path is not None
        with self.path.open("rb") as file:
            return file.read(limit_bytes)


class Protocol(enum.StrEnum):
    """What a user may be allowed to use; also the kind of a session."""

    SMTP = "smtp"
    POP3 = "pop3"
    IMAP4 = "imap4"
    STATUS = "status"
    WEB = "web"


@dataclass(frozen=True, slots=True)
class Client:
    """Who is at the other end of a session, as services and hooks need to know it."""

    protocol: Protocol
    service_id: int
    session: int
    address: str
    port: int
    encrypted: bool = False
    tls: str = ""
    local_address: str = ""
    local_port: int = 0
    trusted: bool = False
    """The access rule that admitted it allows work without logging in (spec services 1.4, Allow Unauth)."""
    may_relay: bool = True
    """SMTP: the access list lets this address send to others at all (spec smtp-server 2.1, item 5)."""
    rule_users: frozenset[int] | None = field(default=None)
    """When set, the access rule admits only these user ids at login (spec services 1.4, rule 5)."""
