# SPDX-License-Identifier: MIT
"""What commands carry beyond numbers and names: options, messages, kinds of change. Pure.

RFC 9051 §6.3 and §6.4, and the extensions that each class names.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from datetime import datetime

from protocols.imap.sequence import SequenceSet


@dataclass(frozen=True, slots=True)
class Resync:
    """RFC 7162 §3.2.5: what a QRESYNC client knew: the mailbox it saw, how far, and which UIDs.

    `sequence_match` pairs message numbers with UIDs, of the same count.
    """

    uid_validity: int
    modseq: int
    known_uids: SequenceSet | None = None
    sequence_match: tuple[SequenceSet, SequenceSet] | None = None


class ListSelection(enum.Enum):
    """RFC 5258 §3.1, RFC 6154 §2."""

    SUBSCRIBED = "SUBSCRIBED"
    REMOTE = "REMOTE"
    RECURSIVEMATCH = "RECURSIVEMATCH"
    SPECIAL_USE = "SPECIAL-USE"


class StatusItem(enum.Enum):
    """RFC 9051 §6.3.11, RFC 3501 §6.3.10, RFC 7162 §3.1.7, RFC 7889 §3.2, RFC 8474 §4.3, RFC 9208 §4.1.4."""

    MESSAGES = "MESSAGES"
    RECENT = "RECENT"
    UIDNEXT = "UIDNEXT"
    UIDVALIDITY = "UIDVALIDITY"
    UNSEEN = "UNSEEN"
    DELETED = "DELETED"
    DELETED_STORAGE = "DELETED-STORAGE"
    SIZE = "SIZE"
    HIGHESTMODSEQ = "HIGHESTMODSEQ"
    APPENDLIMIT = "APPENDLIMIT"
    MAILBOXID = "MAILBOXID"


@dataclass(frozen=True, slots=True)
class MetadataOptions:
    """RFC 5464 §4.2: values above `max_size` octets are left out; `depth` is 0, 1, or None for infinity."""

    max_size: int | None = None
    depth: int | None = 0


@dataclass(frozen=True, slots=True)
class ListReturn:
    """RFC 5258 §3.2, with LIST-STATUS (RFC 5819), LIST-MYRIGHTS (RFC 8440) and LIST-METADATA (RFC 9590)."""

    subscribed: bool = False
    children: bool = False
    special_use: bool = False
    my_rights: bool = False
    status: tuple[StatusItem, ...] = ()
    metadata: tuple[str, ...] = ()
    metadata_options: MetadataOptions = MetadataOptions()


@dataclass(frozen=True, slots=True)
class TextPart:
    """So many octets that came as a literal; they were handed out as they arrived."""

    size: int


@dataclass(frozen=True, slots=True)
class UrlPart:
    """RFC 4469 §2: octets that an IMAP URL names."""

    url: str


@dataclass(frozen=True, slots=True)
class NewMessage:
    """One message of APPEND or REPLACE. Unless `catenated`, it has exactly one part, a text.

    `utf8` is RFC 6855 §4's form, which allows UTF-8 headers; `binary` tells a literal8 (RFC 3516 §4.4).
    """

    flags: frozenset[str] = frozenset()
    internal_date: datetime | None = None
    parts: tuple[TextPart | UrlPart, ...] = ()
    catenated: bool = False
    utf8: bool = False
    binary: bool = False


class RightsChange(enum.Enum):
    """RFC 4314 §3.1."""

    REPLACE = ""
    ADD = "+"
    REMOVE = "-"


class ThreadAlgorithm(enum.Enum):
    ORDEREDSUBJECT = "ORDEREDSUBJECT"
    REFERENCES = "REFERENCES"
    REFS = "REFS"


class FlagsChange(enum.Enum):
    """RFC 9051 §6.4.6."""

    REPLACE = "FLAGS"
    ADD = "+FLAGS"
    REMOVE = "-FLAGS"
