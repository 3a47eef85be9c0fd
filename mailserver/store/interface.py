# SPDX-License-Identifier: MIT
"""MailStore: the one way to messages.

Plain values in, plain values out: no model and no query set crosses this file. `database.py` and `memory.py`
implement it and pass one contract suite (`tests/contract`).

Reads are synchronous and may block: daemons call them through `protocols.net.offload`. Everything that files or
removes mail is a `Unit` given to `submit()`: all of it happens, or none, and the future is done only after the
commit (and the sync of a body file). RFC 9051 §2.3.1, RFC 7162 §3.1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from mailserver.journey.records import JourneyRecord, JourneyStepRecord
from mailserver.mime.envelope import MessageEnvelope
from mailserver.store.entries import Entry as Entry
from mailserver.store.entries import EntryTable as EntryTable
from mailserver.store.entries import FlagsTest as FlagsTest
from mailserver.store.folder_data import FolderData
from mailserver.store.message_data import MessageData
from mailserver.store.rights import FLAG_RIGHTS
from mailserver.store.spool import SpoolWriter
from mailserver.store.values import Mailbox as Mailbox
from mailserver.values import Body, ContentId, Envelope, MailboxId, ModSeq, SpecialUse, Uid, UserId

if TYPE_CHECKING:
    from mailserver.store.picture import FolderPicture

# ---------------------------------------------------------------- what is written


@dataclass(frozen=True, slots=True)
class NewContent:
    """A message to store: trace lines `head` in front of `body`, and header fields for lists and search.

    `ref` is the journey's id. `return_path_size` is how many bytes of `head` are the Return-Path line. `envelope` saves
    making it when somebody first asks, if whoever files the message expects that soon.
    """

    ref: str
    body: Body
    head: bytes = b""
    return_path_size: int = 0
    fields: Mapping[str, str] = field(default_factory=dict)
    envelope: MessageEnvelope | None = None

    @property
    def size(self) -> int:
        return len(self.head) + self.body.size


@dataclass(frozen=True, slots=True)
class NewEntry:
    """Put the content into this mailbox. `internal_date` None means now."""

    mailbox: MailboxId
    flags: frozenset[str] = frozenset()
    internal_date: datetime | None = None


@dataclass(frozen=True, slots=True)
class LanTarget:
    """A server of our own network: `server[:port]`, and what to log in with; the secret sealed by the vault."""

    server: str
    login: str = ""
    secret: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class NewQueued:
    """Queue the content for the remote recipients of this envelope; `user` is who sent it, where known.

    `lan` None is the outgoing queue, else the server of a LAN target.
    """

    envelope: Envelope
    user: UserId | None = None
    login: str = ""
    client: str = ""
    priority: int = 50
    urgent: bool = False
    hold: bool = False
    hold_seconds: int = 0
    delete_after_seconds: int = 0
    lan: LanTarget | None = None


@dataclass(frozen=True, slots=True)
class Filing:
    """One new content and everything that gets it."""

    content: NewContent
    entries: tuple[NewEntry, ...] = ()
    queued: tuple[NewQueued, ...] = ()


@dataclass(frozen=True, slots=True)
class FlagChange:
    """Set, add or remove flags of these UIDs; UIDs that are gone are passed over.

    `unchanged_since` is RFC 7162 §3.1.3's UNCHANGEDSINCE: entries with a higher mod-sequence stay as they are and
    are named in the result.
    """

    mailbox: MailboxId
    uids: tuple[Uid, ...]
    add: frozenset[str] = frozenset()
    remove: frozenset[str] = frozenset()
    replace: frozenset[str] | None = None
    unchanged_since: ModSeq | None = None


@dataclass(frozen=True, slots=True)
class Copying:
    """Copy (or move) entries into another mailbox; contents are shared. UIDs that are gone are passed over."""

    source: MailboxId
    uids: tuple[Uid, ...]
    target: MailboxId
    move: bool = False
    keep_meta: bool = True
    """Internal date and flags go along (spec services 2.2)."""
    flag_rights: frozenset[str] = FLAG_RIGHTS
    """What whoever copies may set in the target; other flags stay behind (RFC 4314 §4)."""


@dataclass(frozen=True, slots=True)
class Removal:
    """Expunge these UIDs, or with `hold` hide them from every client; UIDs that are gone are passed over."""

    mailbox: MailboxId
    uids: tuple[Uid, ...]
    hold: bool = False


@dataclass(frozen=True, slots=True)
class NewWork:
    """A work row (design section 2)."""

    kind: str
    payload: Mapping[str, object] = field(default_factory=dict)
    not_before: datetime | None = None


@dataclass(frozen=True, slots=True)
class Collected:
    """A collector has the message of this key now; written with the mail, before it is deleted at the provider.

    `ref` is empty for one that nobody gets (a duplicate). When the collector has it already, the unit fails with
    EXISTS.

    With a `query_token` the message is not fetched yet: by this very unit somebody is asked whether it shall be.
    `afterwards` is `keep` or `delete` where what happens at the provider is not what the collector's settings say.
    """

    collector: int
    key: str
    ref: str = ""
    size: int = 0
    afterwards: str = ""
    query_token: str = ""
    digest: str = ""
    """Of its Message-ID: by this it is known again when the provider has numbered everything anew."""


@dataclass(frozen=True, slots=True)
class SeenDigest:
    """This user got a collected message with this Message-ID, given as a hex digest (spec connectors 4.8)."""

    user: UserId
    digest: str


@dataclass(frozen=True, slots=True)
class Reported:
    """The sender of these queue rows is told of their outcome by this very unit; rows that are gone are passed over.

    When he has been told of one of them already, the unit fails with EXISTS.
    """

    rows: tuple[int, ...]
    delay: bool = False
    """A warning that they are late, not a report of the outcome."""


@dataclass(frozen=True, slots=True)
class Unit:
    """All that must happen together. Parts are carried out in the order of the fields."""

    filings: tuple[Filing, ...] = ()
    flag_changes: tuple[FlagChange, ...] = ()
    copies: tuple[Copying, ...] = ()
    removals: tuple[Removal, ...] = ()
    journeys: tuple[JourneyRecord, ...] = ()
    steps: tuple[JourneyStepRecord, ...] = ()
    work: tuple[NewWork, ...] = ()
    collected: tuple[Collected, ...] = ()
    seen: tuple[SeenDigest, ...] = ()
    reported: tuple[Reported, ...] = ()


@dataclass(frozen=True, slots=True)
class Filed:
    """Where an entry landed."""

    mailbox: MailboxId
    uid_validity: int
    uid: Uid
    modseq: ModSeq


@dataclass(frozen=True, slots=True)
class CopyResult:
    """RFC 4315 §3 COPYUID: source and target UIDs, pairwise."""

    uid_validity: int
    source_uids: tuple[Uid, ...]
    target_uids: tuple[Uid, ...]


@dataclass(frozen=True, slots=True)
class UnitResult:
    """What a unit did, in the order of its parts."""

    filed: tuple[Filed, ...] = ()
    contents: tuple[ContentId, ...] = ()
    copied: tuple[CopyResult, ...] = ()
    not_changed: tuple[tuple[Uid, ...], ...] = ()
    """For each flag change, the UIDs that UNCHANGEDSINCE protected."""
    removed: tuple[tuple[Uid, ...], ...] = ()
    """For each removal, the UIDs that were there."""


# ---------------------------------------------------------------- what is read


@dataclass(frozen=True, slots=True)
class MailboxCounts:
    """Held entries are not counted."""

    messages: int
    unseen: int
    deleted: int
    size: int


@dataclass(frozen=True, slots=True)
class Changes:
    """What happened in a mailbox after a mod-sequence: entries new or changed, UIDs gone, and the mod-sequence now."""

    changed: tuple[Entry, ...]
    vanished: tuple[Uid, ...]
    modseq: ModSeq


@dataclass(frozen=True, slots=True)
class Alteration:
    """What one commit of this process has done to a mailbox: everything that happened between two mod-sequences.

    The commit held the mailbox's lock, so who knew it as it was at `since` knows it now without asking.
    """

    mailbox: MailboxId
    since: ModSeq
    changes: Changes
    uid_next: Uid
    uid_validity: int
    counts: MailboxCounts


@dataclass(frozen=True, slots=True)
class StoredContent:
    """A content's bytes: `head`, then either `body`, or the file at `path`."""

    id: ContentId
    ref: str
    head: bytes
    return_path_size: int
    size: int
    body: bytes | None
    path: Path | None
    fields: Mapping[str, str]

    def chunks(self, chunk_bytes: int = 65536, *, relay: bool = False) -> Iterator[bytes]:
        """The message in pieces; `relay` leaves the Return-Path line out (RFC 5321 §4.4)."""
        head = self.head[self.return_path_size :] if relay else self.head
        if self.body is not None:
            yield head + self.body if len(self.body) <= chunk_bytes else head
            if len(self.body) > chunk_bytes:
                for start in range(0, len(self.body), chunk_bytes):
                    yield self.body[start : start + chunk_bytes]
            return
        if head:
            yield head
        assert self.path is not None
        with self.path.open("rb") as file:
            while chunk := file.read(chunk_bytes):
                yield chunk


@dataclass(frozen=True, slots=True)
class LockToken:
    """A held maildrop lock; give it back with `unlock`."""

    id: int
    user: UserId


class MailStore(FolderData, MessageData, Protocol):
    """Failures are MailError: NOT_FOUND, EXISTS, FORBIDDEN, IN_USE, STORAGE_FULL, UNAVAILABLE, INTERNAL."""

    def open_spool(self) -> SpoolWriter:
        """Where a protocol writes the bytes of a message that it receives, on the filesystem of the stored bodies."""
        ...

    def submit(self, unit: Unit) -> Future[UnitResult]:
        """Hand a unit to the group commit. The future fails with MailError; other units are not affected.

        NOT_FOUND when a mailbox has vanished, STORAGE_FULL when the disk is full, UNAVAILABLE when the database is.
        On success the store owns the body's spool file; on failure it is still the caller's.
        """
        ...

    def watch(self, listener: Callable[[Sequence[Alteration]], None]) -> None:
        """Tell the listener of each commit of this process, before the futures of its units are done.

        It is called in whatever thread writes, must not block, and must not fail. Other processes have the notices.
        """
        ...

    def list_mailboxes(self, user: UserId) -> list[Mailbox]:
        """All of a user's mailboxes, Inbox first, then by name; none for a user that is gone.

        Here and below, the user PUBLIC has the public folders.
        """
        ...

    def get_mailbox(self, user: UserId, name: str) -> Mailbox:
        """By name (INBOX in any case); raises NOT_FOUND."""
        ...

    def get_mailbox_by_id(self, mailbox: MailboxId) -> Mailbox:
        """Raises NOT_FOUND."""
        ...

    def create_mailbox(self, user: UserId, name: str, special_use: SpecialUse | None = None) -> Mailbox:
        """Raises EXISTS, NOT_FOUND for a user that is gone, FORBIDDEN for a name that cannot be."""
        ...

    def rename_mailbox(self, mailbox: MailboxId, name: str) -> Mailbox:
        """With everything below it; raises NOT_FOUND, EXISTS, FORBIDDEN for a name that cannot be.

        Renaming the Inbox moves its messages into a new mailbox, which is returned (RFC 9051 §6.3.6).
        """
        ...

    def delete_mailbox(self, mailbox: MailboxId) -> None:
        """With its entries; raises NOT_FOUND, and FORBIDDEN for the Inbox."""
        ...

    def read_picture(self, user: UserId, *, public: bool) -> FolderPicture:
        """The user's folders, and those of others that concern him, all at once; `public`: every public one too."""
        ...

    def count(self, mailboxes: Sequence[MailboxId]) -> dict[MailboxId, MailboxCounts]:
        """Counts of several mailboxes in one query; those that are gone are missing."""
        ...

    def list_entries(self, mailbox: MailboxId, after_uid: int = 0, limit: int | None = None) -> list[Entry]:
        """Entries in UID order, held ones left out; none when the mailbox is gone. Reads no content."""
        ...

    def read_table(self, mailbox: MailboxId, after_uid: int = 0, limit: int | None = None) -> EntryTable:
        """The same by columns: faster, and in less room, for those who keep them all."""
        ...

    def get_changes(self, mailbox: MailboxId, since: ModSeq) -> Changes:
        """What changed after `since` (RFC 7162 §3.1.4.1, §3.2.10); raises NOT_FOUND."""
        ...

    def read_contents(self, contents: Sequence[ContentId]) -> list[StoredContent]:
        """Many contents in one query, in the order asked; one that is gone is left out."""
        ...

    def read_fields(self, contents: Sequence[ContentId]) -> dict[ContentId, Mapping[str, str]]:
        """The stored header fields, without bodies."""
        ...

    def read_refs(self, contents: Sequence[ContentId]) -> dict[ContentId, str]:
        """The ids of their journeys, without bodies."""
        ...

    def lock_maildrop(self, user: UserId, session: int, *, exclusive: bool, limit: int = 0) -> LockToken:
        """POP3 takes the lock alone, IMAP4 together; raises IN_USE, and NOT_FOUND for a user that is gone.

        With a `limit`, raises LIMIT_REACHED when so many hold it already, in all processes together. Locks of dead
        processes do not count.
        """
        ...

    def unlock_maildrop(self, token: LockToken) -> None:
        """Never fails; a lock that is gone is gone."""
        ...

    def close(self) -> None:
        """Write what has been submitted, then stop."""
        ...
