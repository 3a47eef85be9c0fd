# SPDX-License-Identifier: MIT
"""MailStore over Django's ORM: the store of the product.

What is filed goes through the group commit (`writer.py`); reads are single queries without a transaction, so none is
held open while a message is streamed. No model instance is made on the hot paths.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from django.db import InterfaceError, OperationalError, connection

from mailserver.database import translate
from mailserver.errors import Kind, MailError
from mailserver.mime.envelope import MessageEnvelope
from mailserver.store import entry_rows, folder_rows, mailboxes, statements
from mailserver.store.blobs import BlobStore
from mailserver.store.derived import Derived
from mailserver.store.disk import storage_error
from mailserver.store.expunged import read_vanished
from mailserver.store.folder_data import AccessEntry, Granted, Usage
from mailserver.store.interface import (
    Alteration,
    Changes,
    Entry,
    EntryTable,
    LockToken,
    Mailbox,
    MailboxCounts,
    StoredContent,
    Unit,
    UnitResult,
)
from mailserver.store.maildrop import MaildropLocks
from mailserver.store.message_data import StoredStructure
from mailserver.store.picture import FolderPicture
from mailserver.store.remembered import Remembered
from mailserver.store.spool import SpoolWriter
from mailserver.store.textindex_opening import open_text_index
from mailserver.store.textsearch import TextSearch
from mailserver.store.writer import GroupWriter
from mailserver.values import ContentId, MailboxId, ModSeq, SpecialUse, UserId

FIELDS_REMEMBERED_BYTES = 16 * 1024 * 1024
"""Header fields that searches and conversations have asked for: those of some ten thousand messages."""
FIELD_BYTES = 500
"""What the fields of one message take beside their text."""


@contextmanager
def _translated() -> Iterator[None]:
    """A database that is out of reach, or a disk, becomes a MailError; the connection is made anew next time."""
    try:
        yield
    except (OperationalError, InterfaceError) as error:
        if not connection.in_atomic_block:
            connection.close()
        raise translate(error) from error
    except OSError as error:
        raise storage_error(error) from error


class DatabaseStore:
    """A MailStore. `process` is this process's row, which its maildrop locks name."""

    def __init__(self, blobs: BlobStore, spool: Path, process: int | None = None) -> None:
        self._blobs = blobs
        self._spool = spool
        self._writer = GroupWriter(blobs)
        self._locks = MaildropLocks(process)
        self._derived = Derived(self._load)
        self._fields: Remembered[Mapping[str, str]] = Remembered(FIELDS_REMEMBERED_BYTES)
        self._texts = TextSearch(self._load, open_text_index())

    # ------------------------------------------------------------ writing

    def open_spool(self) -> SpoolWriter:
        return SpoolWriter(self._spool)

    def submit(self, unit: Unit) -> Future[UnitResult]:
        return self._writer.submit(unit)

    def watch(self, listener: Callable[[Sequence[Alteration]], None]) -> None:
        self._writer.watch(listener)

    def close(self) -> None:
        self._writer.close()
        self._derived.close()
        self._texts.close()

    # ------------------------------------------------------------ mailboxes

    def list_mailboxes(self, user: UserId) -> list[Mailbox]:
        with _translated():
            return mailboxes.list_mailboxes(user)

    def get_mailbox(self, user: UserId, name: str) -> Mailbox:
        with _translated():
            return mailboxes.get_mailbox(user, name)

    def get_mailbox_by_id(self, mailbox: MailboxId) -> Mailbox:
        with _translated():
            return mailboxes.get_mailbox_by_id(mailbox)

    def create_mailbox(self, user: UserId, name: str, special_use: SpecialUse | None = None) -> Mailbox:
        with _translated():
            return mailboxes.create_mailbox(user, name, special_use)

    def rename_mailbox(self, mailbox: MailboxId, name: str) -> Mailbox:
        with _translated():
            return mailboxes.rename_mailbox(mailbox, name)

    def delete_mailbox(self, mailbox: MailboxId) -> None:
        with _translated():
            mailboxes.delete_mailbox(mailbox)

    # ------------------------------------------------------------ reading

    def read_picture(self, user: UserId, *, public: bool) -> FolderPicture:
        with _translated():
            return folder_rows.read_picture(user, public=public)

    def count(self, mailboxes: Sequence[MailboxId]) -> dict[MailboxId, MailboxCounts]:
        with _translated():
            return {id_: MailboxCounts(*counts) for id_, *counts in statements.COUNTS.read_among(mailboxes)}

    def list_entries(self, mailbox: MailboxId, after_uid: int = 0, limit: int | None = None) -> list[Entry]:
        return list(self.read_table(mailbox, after_uid, limit))

    def read_table(self, mailbox: MailboxId, after_uid: int = 0, limit: int | None = None) -> EntryTable:
        with _translated():
            return entry_rows.read_table(mailbox, after_uid, limit)

    def get_changes(self, mailbox: MailboxId, since: ModSeq) -> Changes:
        """Read in an order in which a change that happens meanwhile is told again next time, never missed."""
        with _translated():
            found = statements.MAILBOX_NUMBERS.read(mailbox)
            if not found:
                raise MailError(Kind.NOT_FOUND, f"mailbox {mailbox} is gone")
            ((modseq, uid_next),) = found
            if modseq <= since:
                return Changes((), (), modseq)
            vanished = read_vanished(mailbox, since, uid_next)
            changed = tuple(entry_rows.read_changed(mailbox, since))
        return Changes(changed, vanished, modseq)

    def read_contents(self, contents: Sequence[ContentId]) -> list[StoredContent]:
        with _translated():
            return self._load(contents)

    def _load(self, contents: Sequence[ContentId]) -> list[StoredContent]:
        """As `read_contents`, for the parts of this store."""
        found = {row[0]: row for row in statements.CONTENTS.read_among(contents)}
        return [self._content(found[content]) for content in contents if content in found]

    def read_fields(self, contents: Sequence[ContentId]) -> dict[ContentId, Mapping[str, str]]:
        found, unknown = self._fields.find_all(contents)
        if unknown:
            with _translated():
                rows = statements.FIELDS.read_among(unknown)
            for content, stored in rows:
                fields = found[content] = statements.read_json(stored)
                self._fields.keep(
                    content, fields, FIELD_BYTES + len(stored if isinstance(stored, str) else str(fields))
                )
        return found

    def read_refs(self, contents: Sequence[ContentId]) -> dict[ContentId, str]:
        with _translated():
            return dict(statements.REFS.read_among(contents))

    def _content(self, row: tuple[Any, ...]) -> StoredContent:
        content, ref, head, return_path_size, size, body, blob, fields = row
        return StoredContent(
            id=ContentId(content),
            ref=ref,
            head=bytes(head),
            return_path_size=return_path_size,
            size=size,
            body=None if body is None else bytes(body),
            path=self._blobs.path(blob) if blob else None,
            fields=statements.read_json(fields),
        )

    # ------------------------------------------------------------ what is made of messages

    def read_envelopes(self, contents: Sequence[ContentId]) -> dict[ContentId, MessageEnvelope]:
        with _translated():
            return self._derived.read_envelopes(contents)

    def read_structures(self, contents: Sequence[ContentId]) -> dict[ContentId, StoredStructure]:
        with _translated():
            return self._derived.read_structures(contents)

    def read_previews(self, contents: Sequence[ContentId]) -> dict[ContentId, str]:
        with _translated():
            return self._derived.read_previews(contents)

    def narrow_text(self, contents: Sequence[ContentId], text: str) -> set[ContentId]:
        with _translated():
            return self._texts.narrow(contents, text)

    def search_text(self, contents: Sequence[ContentId], text: str, *, body_only: bool) -> set[ContentId]:
        with _translated():
            return self._texts.search(contents, text, body_only=body_only)

    def index_texts(self, contents: Sequence[ContentId]) -> None:
        """Put these into the text index, so that the first search is quick as well."""
        with _translated():
            self._texts.add(contents)

    # ------------------------------------------------------------ what is known of folders

    def list_subscriptions(self, user: UserId) -> frozenset[str]:
        with _translated():
            return folder_rows.list_subscriptions(user)

    def set_subscribed(self, user: UserId, name: str, subscribed: bool) -> None:
        with _translated():
            folder_rows.set_subscribed(user, name, subscribed)

    def get_usage(self, user: UserId) -> Usage:
        with _translated():
            return folder_rows.get_usage(user)

    def list_access(self, mailboxes: Sequence[MailboxId]) -> dict[MailboxId, tuple[AccessEntry, ...]]:
        with _translated():
            return folder_rows.list_access(mailboxes)

    def set_access(self, mailbox: MailboxId, entries: Sequence[AccessEntry]) -> None:
        with _translated():
            folder_rows.set_access(mailbox, entries)

    def list_granted(self, user: UserId) -> list[Granted]:
        with _translated():
            return folder_rows.list_granted(user)

    def read_annotations(
        self, user: UserId, mailboxes: Sequence[MailboxId | None]
    ) -> dict[MailboxId | None, dict[str, bytes]]:
        with _translated():
            return folder_rows.read_annotations(user, mailboxes)

    def set_annotations(self, user: UserId, mailbox: MailboxId | None, values: Mapping[str, bytes | None]) -> None:
        with _translated():
            folder_rows.set_annotations(user, mailbox, values)

    # ------------------------------------------------------------ locks

    def lock_maildrop(self, user: UserId, session: int, *, exclusive: bool, limit: int = 0) -> LockToken:
        with _translated():
            return self._locks.lock(user, session, exclusive=exclusive, limit=limit)

    def unlock_maildrop(self, token: LockToken) -> None:
        self._locks.unlock(token)
