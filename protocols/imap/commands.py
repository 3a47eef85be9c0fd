# SPDX-License-Identifier: MIT
"""One frozen class per command. A command is what the client asked for, with its syntax gone.

RFC 9051 §6, RFC 3501 §6, and the extensions that each class names. Mailbox names are text with "/" between levels,
INBOX in capitals. `uid` says that the UID form was used (RFC 9051 §6.4.9). Pure.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from mailserver.mime.sorting import SortCriterion
from protocols.imap.arguments import (
    FlagsChange,
    ListReturn,
    ListSelection,
    MetadataOptions,
    NewMessage,
    Resync,
    RightsChange,
    StatusItem,
    ThreadAlgorithm,
)
from protocols.imap.fetch_items import FetchItem
from protocols.imap.notify import EventGroup
from protocols.imap.search_keys import SearchKey, SearchReturn
from protocols.imap.sequence import PartialRange, SequenceSet


@dataclass(frozen=True, slots=True)
class Command:
    """What all have: the tag that the answer repeats, and the name for the closing text."""

    NAME: ClassVar[str] = ""
    tag: str


# ---------------------------------------------------------------- in any state (RFC 9051 §6.1)


@dataclass(frozen=True, slots=True)
class Capability(Command):
    NAME = "CAPABILITY"


@dataclass(frozen=True, slots=True)
class Noop(Command):
    NAME = "NOOP"


@dataclass(frozen=True, slots=True)
class Logout(Command):
    NAME = "LOGOUT"


@dataclass(frozen=True, slots=True)
class Id(Command):
    """RFC 2971; None for NIL."""

    NAME = "ID"
    parameters: tuple[tuple[str, str | None], ...] | None


# ---------------------------------------------------------------- not authenticated (RFC 9051 §6.2)


@dataclass(frozen=True, slots=True)
class StartTls(Command):
    NAME = "STARTTLS"


@dataclass(frozen=True, slots=True)
class Authenticate(Command):
    """`initial` is the decoded initial response (RFC 4959), None when there was none."""

    NAME = "AUTHENTICATE"
    mechanism: str
    initial: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Login(Command):
    NAME = "LOGIN"
    user: str
    password: str = field(repr=False)


# ---------------------------------------------------------------- authenticated (RFC 9051 §6.3)


@dataclass(frozen=True, slots=True)
class Enable(Command):
    """Names in capitals, known or not (RFC 5161 §3.1)."""

    NAME = "ENABLE"
    capabilities: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Select(Command):
    """SELECT, and EXAMINE when `read_only`."""

    NAME = "SELECT"
    mailbox: str
    read_only: bool = False
    condstore: bool = False
    resync: Resync | None = None


@dataclass(frozen=True, slots=True)
class Create(Command):
    """`special_use` are attributes as `\\Sent` (RFC 6154 §3)."""

    NAME = "CREATE"
    mailbox: str
    special_use: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Delete(Command):
    NAME = "DELETE"
    mailbox: str


@dataclass(frozen=True, slots=True)
class Rename(Command):
    NAME = "RENAME"
    source: str
    target: str


@dataclass(frozen=True, slots=True)
class Subscribe(Command):
    NAME = "SUBSCRIBE"
    mailbox: str


@dataclass(frozen=True, slots=True)
class Unsubscribe(Command):
    NAME = "UNSUBSCRIBE"
    mailbox: str


@dataclass(frozen=True, slots=True)
class List(Command):
    """`extended` tells RFC 5258's forms from the plain one, whose empty pattern asks for the delimiter."""

    NAME = "LIST"
    reference: str
    patterns: tuple[str, ...]
    selection: frozenset[ListSelection] = frozenset()
    returns: ListReturn = field(default_factory=ListReturn)
    extended: bool = False


@dataclass(frozen=True, slots=True)
class Lsub(Command):
    """RFC 3501 §6.3.9."""

    NAME = "LSUB"
    reference: str
    pattern: str


@dataclass(frozen=True, slots=True)
class Namespace(Command):
    NAME = "NAMESPACE"


@dataclass(frozen=True, slots=True)
class Status(Command):
    NAME = "STATUS"
    mailbox: str
    items: tuple[StatusItem, ...]


@dataclass(frozen=True, slots=True)
class Append(Command):
    """Several messages make it MULTIAPPEND (RFC 3502): all or none."""

    NAME = "APPEND"
    mailbox: str
    messages: tuple[NewMessage, ...]


@dataclass(frozen=True, slots=True)
class Idle(Command):
    NAME = "IDLE"


@dataclass(frozen=True, slots=True)
class GetQuota(Command):
    """RFC 9208 §4.1.1."""

    NAME = "GETQUOTA"
    root: str


@dataclass(frozen=True, slots=True)
class GetQuotaRoot(Command):
    NAME = "GETQUOTAROOT"
    mailbox: str


@dataclass(frozen=True, slots=True)
class SetQuota(Command):
    """Limits by resource name, in capitals (RFC 9208 §4.1.3)."""

    NAME = "SETQUOTA"
    root: str
    limits: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class SetAcl(Command):
    """RFC 4314 §3.1; the rights' letters are checked, the virtual `c` and `d` not yet expanded."""

    NAME = "SETACL"
    mailbox: str
    identifier: str
    change: RightsChange
    rights: str


@dataclass(frozen=True, slots=True)
class DeleteAcl(Command):
    NAME = "DELETEACL"
    mailbox: str
    identifier: str


@dataclass(frozen=True, slots=True)
class GetAcl(Command):
    NAME = "GETACL"
    mailbox: str


@dataclass(frozen=True, slots=True)
class ListRights(Command):
    NAME = "LISTRIGHTS"
    mailbox: str
    identifier: str


@dataclass(frozen=True, slots=True)
class MyRights(Command):
    NAME = "MYRIGHTS"
    mailbox: str


@dataclass(frozen=True, slots=True)
class GetMetadata(Command):
    """RFC 5464 §4.2; an empty mailbox name means the server."""

    NAME = "GETMETADATA"
    mailbox: str
    entries: tuple[str, ...]
    options: MetadataOptions = field(default_factory=MetadataOptions)


@dataclass(frozen=True, slots=True)
class SetMetadata(Command):
    """RFC 5464 §4.3; None removes the entry."""

    NAME = "SETMETADATA"
    mailbox: str
    entries: tuple[tuple[str, bytes | None], ...]


@dataclass(frozen=True, slots=True)
class Notify(Command):
    """RFC 5465 §3.1; `groups` is empty for NONE."""

    NAME = "NOTIFY"
    groups: tuple[EventGroup, ...] = ()
    status: bool = False


@dataclass(frozen=True, slots=True)
class Compress(Command):
    """RFC 4978 §3."""

    NAME = "COMPRESS"
    mechanism: str


@dataclass(frozen=True, slots=True)
class Unauthenticate(Command):
    """RFC 8437."""

    NAME = "UNAUTHENTICATE"


# ---------------------------------------------------------------- selected (RFC 9051 §6.4)


@dataclass(frozen=True, slots=True)
class Check(Command):
    """RFC 3501 §6.4.1."""

    NAME = "CHECK"


@dataclass(frozen=True, slots=True)
class Close(Command):
    NAME = "CLOSE"


@dataclass(frozen=True, slots=True)
class Unselect(Command):
    NAME = "UNSELECT"


@dataclass(frozen=True, slots=True)
class Expunge(Command):
    """With `uids`, UID EXPUNGE (RFC 4315 §2.1)."""

    NAME = "EXPUNGE"
    uids: SequenceSet | None = None


@dataclass(frozen=True, slots=True)
class Search(Command):
    """`returns` is None for the plain form, whose answer is SEARCH in IMAP4rev1 and ESEARCH in IMAP4rev2."""

    NAME = "SEARCH"
    uid: bool
    key: SearchKey
    returns: SearchReturn | None = None


@dataclass(frozen=True, slots=True)
class Sort(Command):
    """RFC 5256, RFC 5267 §3 (ESORT)."""

    NAME = "SORT"
    uid: bool
    criteria: tuple[SortCriterion, ...]
    key: SearchKey
    returns: SearchReturn | None = None


@dataclass(frozen=True, slots=True)
class Thread(Command):
    """RFC 5256."""

    NAME = "THREAD"
    uid: bool
    algorithm: ThreadAlgorithm
    key: SearchKey


@dataclass(frozen=True, slots=True)
class Fetch(Command):
    """`changed_since` and `vanished`: RFC 7162 §3.1.4.1 and §3.2.6; `partial`: RFC 9394 §3.2."""

    NAME = "FETCH"
    uid: bool
    messages: SequenceSet
    items: tuple[FetchItem, ...]
    changed_since: int | None = None
    vanished: bool = False
    partial: PartialRange | None = None


@dataclass(frozen=True, slots=True)
class Store(Command):
    """`unchanged_since`: RFC 7162 §3.1.3."""

    NAME = "STORE"
    uid: bool
    messages: SequenceSet
    change: FlagsChange
    flags: frozenset[str]
    silent: bool = False
    unchanged_since: int | None = None


@dataclass(frozen=True, slots=True)
class Copy(Command):
    NAME = "COPY"
    uid: bool
    messages: SequenceSet
    mailbox: str


@dataclass(frozen=True, slots=True)
class Move(Command):
    """RFC 6851."""

    NAME = "MOVE"
    uid: bool
    messages: SequenceSet
    mailbox: str


@dataclass(frozen=True, slots=True)
class Replace(Command):
    """RFC 8508: `number`, a UID if `uid`, goes and `message` comes into `mailbox`, together."""

    NAME = "REPLACE"
    uid: bool
    number: int
    mailbox: str
    message: NewMessage


@dataclass(frozen=True, slots=True)
class CancelUpdate(Command):
    """RFC 5267 §4.3.4."""

    NAME = "CANCELUPDATE"
    tags: tuple[str, ...]
