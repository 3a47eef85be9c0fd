# SPDX-License-Identifier: MIT
"""MailStore in dictionaries: the twin of `database.py` for dialogues and fast tests.

Futures are done when `submit` returns. It passes the contract suite of the real store and shares its `Ledger`; what it
leaves out is other processes. `failure` makes it fail on purpose, as the real one does when the database is away.
"""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from pathlib import Path

from mailserver import clock
from mailserver.errors import Kind, MailError
from mailserver.journey.records import JourneyRecord, JourneyStepRecord
from mailserver.mime.envelope import MessageEnvelope
from mailserver.store.disk import storage_error
from mailserver.store.interface import (
    Alteration,
    Changes,
    Collected,
    Copying,
    Entry,
    EntryTable,
    LockToken,
    Mailbox,
    MailboxCounts,
    NewContent,
    NewQueued,
    NewWork,
    Reported,
    StoredContent,
    Unit,
    UnitResult,
)
from mailserver.store.ledger import EntryState, Gone, Ledger, MailboxState
from mailserver.store.memory_folders import MemoryFolders
from mailserver.store.message_data import StoredStructure
from mailserver.store.names import INBOX, is_below, normal_name, renamed, show_order
from mailserver.store.picture import FolderPicture
from mailserver.store.reading import make
from mailserver.store.spool import SpoolWriter
from mailserver.store.textindex import NoTextIndex
from mailserver.store.textsearch import TextSearch
from mailserver.values import PUBLIC, SPECIAL_MAILBOXES, ContentId, MailboxId, ModSeq, SpecialUse, Uid, UserId


@dataclass(frozen=True, slots=True)
class _Lock:
    user: UserId
    exclusive: bool


class MemoryStore(MemoryFolders):
    """A MailStore that forgets everything. Users are made known with `add_user`.

    `journeys`, `steps`, `work`, `queued`, `collected`, `seen` and `reported` hold what units have recorded, for tests
    to look at; `collectors` are those that `Collected` may name, for tests to fill.
    """

    def __init__(self, spool: Path | None = None) -> None:
        super().__init__()
        self.journeys: list[JourneyRecord] = []
        self.steps: list[JourneyStepRecord] = []
        self.work: list[NewWork] = []
        self.queued: list[tuple[ContentId, NewQueued]] = []
        self.collectors: set[int] = set()
        self.collected: dict[tuple[int, str], Collected] = {}
        self.seen: set[tuple[UserId, str]] = set()
        self.reported: list[Reported] = []
        self._spool = spool or Path(tempfile.gettempdir())
        self._numbers = itertools.count(1)
        self._contents: dict[ContentId, StoredContent] = {}
        self._former: dict[tuple[UserId, str], int] = {}
        self._gone: list[Gone] = []
        self._locks: dict[int, _Lock] = {}
        self._entries: dict[MailboxId, dict[Uid, EntryState]] = {}
        self._listeners: list[Callable[[Sequence[Alteration]], None]] = []

    def add_user(self, user: UserId) -> Mailbox:
        """Make a user known, with all special mailboxes; gives the Inbox."""
        self._users.add(user)
        made = [self.create_mailbox(user, name, use) for name, use in SPECIAL_MAILBOXES]
        for mailbox in made:
            self.set_subscribed(user, mailbox.name, True)
        return made[0]

    # ------------------------------------------------------------ writing

    def open_spool(self) -> SpoolWriter:
        return SpoolWriter(self._spool)

    def submit(self, unit: Unit) -> Future[UnitResult]:
        future: Future[UnitResult] = Future()
        future.set_running_or_notify_cancel()
        try:
            with self._mutex:
                result, alterations = self._write(unit)
        except MailError as error:
            future.set_exception(error)
        except OSError as error:
            future.set_exception(storage_error(error))
        else:
            for tell in self._listeners:
                tell(alterations)
            future.set_result(result)
        return future

    def watch(self, listener: Callable[[Sequence[Alteration]], None]) -> None:
        self._listeners.append(listener)

    def _write(self, unit: Unit) -> tuple[UnitResult, Sequence[Alteration]]:
        self._fail_if_told()
        ledger = Ledger(self._states, self._entries, clock.now())
        ledger.check(unit)
        self._claim(unit)
        contents = [self._keep(filing.content) for filing in unit.filings]
        result = ledger.carry_out(unit, contents)
        self._gone += ledger.gone
        for filing, content in zip(unit.filings, contents, strict=True):
            self.queued += [(content, queued) for queued in filing.queued]
            if filing.content.body.path is not None:
                filing.content.body.path.unlink(missing_ok=True)
        self.journeys += unit.journeys
        self.steps += unit.steps
        self.work += unit.work
        return result, ledger.alterations()

    def _claim(self, unit: Unit) -> None:
        """As `foreign.Claims` does, then `foreign.write_foreign`."""
        for new in unit.collected:
            if new.collector not in self.collectors:
                raise MailError(Kind.NOT_FOUND)
            present = self.collected.get((new.collector, new.key))
            if present is not None and (new.query_token or not present.query_token):
                raise MailError(Kind.EXISTS)
        told = {(row, reported.delay) for reported in self.reported for row in reported.rows}
        if any((row, reported.delay) in told for reported in unit.reported for row in reported.rows):
            raise MailError(Kind.EXISTS)
        self.collected |= {(new.collector, new.key): new for new in unit.collected}
        self.seen |= {(digest.user, digest.digest) for digest in unit.seen}
        self.reported += unit.reported

    def _keep(self, new: NewContent) -> ContentId:
        content = ContentId(next(self._numbers))
        self._contents[content] = StoredContent(
            id=content,
            ref=new.ref,
            head=new.head,
            return_path_size=new.return_path_size,
            size=new.size,
            body=b"".join(new.body.chunks()),
            path=None,
            fields=dict(new.fields),
        )
        return content

    # ------------------------------------------------------------ mailboxes

    def list_mailboxes(self, user: UserId) -> list[Mailbox]:
        with self._mutex:
            self._fail_if_told()
            mine = [self._present(mailbox) for mailbox in self._mailboxes.values() if mailbox.user == user]
        return sorted(mine, key=lambda mailbox: show_order(mailbox.name))

    def get_mailbox(self, user: UserId, name: str) -> Mailbox:
        with self._mutex:
            self._fail_if_told()
            found = self._find(user, normal_name(name))
            if found is None:
                raise MailError(Kind.NOT_FOUND, f"mailbox {name!r}")
            return self._present(found)

    def get_mailbox_by_id(self, mailbox: MailboxId) -> Mailbox:
        with self._mutex:
            return self._present(self._get(mailbox))

    def create_mailbox(self, user: UserId, name: str, special_use: SpecialUse | None = None) -> Mailbox:
        with self._mutex:
            self._fail_if_told()
            name = normal_name(name)
            if user != PUBLIC:
                self._require_user(user)
            if self._find(user, name) is not None:
                raise MailError(Kind.EXISTS, name)
            made = MailboxId(next(self._numbers))
            state = MailboxState(made, self._next_uid_validity(user, name))
            self._states[made] = state
            self._entries[made] = {}
            self._mailboxes[made] = Mailbox(
                made, user, name, special_use, state.uid_validity, Uid(state.uid_next), ModSeq(state.modseq)
            )
            return self._mailboxes[made]

    def rename_mailbox(self, mailbox: MailboxId, name: str) -> Mailbox:
        with self._mutex:
            old = self._get(mailbox)
            name = normal_name(name)
            if old.name == INBOX:
                return self._move_inbox(old, name)
            if is_below(name, old.name):
                raise MailError(Kind.FORBIDDEN, "a mailbox cannot go below itself")
            mine = sorted(self.list_mailboxes(old.user), key=lambda found: found.name)
            moving = [found for found in mine if found.name == old.name or is_below(found.name, old.name)]
            names = {found.id: renamed(found.name, old.name, name) for found in moving}
            staying = {found.name for found in mine if found.id not in names}
            if name == old.name or not staying.isdisjoint(names.values()):
                raise MailError(Kind.EXISTS, name)
            for found in moving:
                self._rename_one(found, names[found.id])
            return self._present(self._mailboxes[mailbox])

    def _rename_one(self, mailbox: Mailbox, name: str) -> None:
        state = self._states[mailbox.id]
        self._former[mailbox.user, mailbox.name] = state.uid_validity
        if state.uid_validity <= self._former.get((mailbox.user, name), 0):
            state.uid_validity = self._next_uid_validity(mailbox.user, name)
        self._mailboxes[mailbox.id] = replace(mailbox, name=name)

    def _move_inbox(self, inbox: Mailbox, name: str) -> Mailbox:
        target = self.create_mailbox(inbox.user, name)
        everything = tuple(sorted(self._entries[inbox.id]))
        self.submit(Unit(copies=(Copying(inbox.id, everything, target.id, move=True),))).result()
        return self._present(target)

    def delete_mailbox(self, mailbox: MailboxId) -> None:
        with self._mutex:
            found = self._get(mailbox)
            if found.name == INBOX:
                raise MailError(Kind.FORBIDDEN, "the Inbox stays")
            self._former[found.user, found.name] = self._states[mailbox].uid_validity
            del self._mailboxes[mailbox], self._states[mailbox], self._entries[mailbox]
            self._forget_folder(mailbox)
            self._gone = [gone for gone in self._gone if gone.mailbox != mailbox]

    def _next_uid_validity(self, user: UserId, name: str) -> int:
        return max(int(clock.now().timestamp()), self._former.get((user, name), 0) + 1)

    def _find(self, user: UserId, name: str) -> Mailbox | None:
        return next((found for found in self._mailboxes.values() if (found.user, found.name) == (user, name)), None)

    # ------------------------------------------------------------ reading

    def read_picture(self, user: UserId, *, public: bool) -> FolderPicture:
        with self._mutex:
            granted = self.list_granted(user)
            mailboxes = self.list_mailboxes(user) + [entry.mailbox for entry in granted]
            if public:
                mailboxes += self.list_mailboxes(PUBLIC)
            counted = [(mailbox, self._states[mailbox.id].counts()) for mailbox in mailboxes]
            access = {entry.mailbox.id: entry.entries for entry in granted}
            return FolderPicture(user, counted, access, self.list_subscriptions(user))

    def count(self, mailboxes: Sequence[MailboxId]) -> dict[MailboxId, MailboxCounts]:
        with self._mutex:
            self._fail_if_told()
            return {id_: self._states[id_].counts() for id_ in mailboxes if id_ in self._states}

    def list_entries(self, mailbox: MailboxId, after_uid: int = 0, limit: int | None = None) -> list[Entry]:
        with self._mutex:
            self._fail_if_told()
            entries = self._entries.get(mailbox, {})
            uids = sorted(uid for uid in entries if uid > after_uid)[:limit]
            return [entries[uid].as_entry() for uid in uids]

    def read_table(self, mailbox: MailboxId, after_uid: int = 0, limit: int | None = None) -> EntryTable:
        return EntryTable.of(self.list_entries(mailbox, after_uid, limit))

    def get_changes(self, mailbox: MailboxId, since: ModSeq) -> Changes:
        with self._mutex:
            self._get(mailbox)
            changed = [entry for entry in self._entries[mailbox].values() if entry.modseq > since]
            gone = {gone.uid for gone in self._gone if gone.mailbox == mailbox and gone.modseq > since}
            return Changes(
                tuple(entry.as_entry() for entry in sorted(changed, key=lambda entry: entry.uid)),
                tuple(sorted(gone)),
                ModSeq(self._states[mailbox].modseq),
            )

    def read_contents(self, contents: Sequence[ContentId]) -> list[StoredContent]:
        with self._mutex:
            self._fail_if_told()
            return [self._contents[content] for content in contents if content in self._contents]

    def read_fields(self, contents: Sequence[ContentId]) -> dict[ContentId, Mapping[str, str]]:
        return {content.id: content.fields for content in self.read_contents(contents)}

    def read_refs(self, contents: Sequence[ContentId]) -> dict[ContentId, str]:
        return {content.id: content.ref for content in self.read_contents(contents)}

    # ------------------------------------------------------------ what is made of messages

    def read_envelopes(self, contents: Sequence[ContentId]) -> dict[ContentId, MessageEnvelope]:
        return {content: stored.envelope for content, stored in self.read_structures(contents).items()}

    def read_structures(self, contents: Sequence[ContentId]) -> dict[ContentId, StoredStructure]:
        return {content.id: make(content).as_stored() for content in self.read_contents(contents)}

    def read_previews(self, contents: Sequence[ContentId]) -> dict[ContentId, str]:
        return {content.id: make(content).preview for content in self.read_contents(contents)}

    def narrow_text(self, contents: Sequence[ContentId], text: str) -> set[ContentId]:
        return set(contents)

    def search_text(self, contents: Sequence[ContentId], text: str, *, body_only: bool) -> set[ContentId]:
        return TextSearch(self.read_contents, NoTextIndex()).search(contents, text, body_only=body_only)

    # ------------------------------------------------------------ locks

    def lock_maildrop(self, user: UserId, session: int, *, exclusive: bool, limit: int = 0) -> LockToken:
        with self._mutex:
            self._fail_if_told()
            if user not in self._users:
                raise MailError(Kind.NOT_FOUND, f"user {user}")
            if any(lock.user == user and (exclusive or lock.exclusive) for lock in self._locks.values()):
                raise MailError(Kind.IN_USE, f"maildrop of user {user}")
            if limit and sum(lock.user == user for lock in self._locks.values()) >= limit:
                raise MailError(Kind.LIMIT_REACHED, f"user {user} is logged in {limit} times")
            token = LockToken(next(self._numbers), user)
            self._locks[token.id] = _Lock(user, exclusive)
            return token

    def unlock_maildrop(self, token: LockToken) -> None:
        with self._mutex:
            self._locks.pop(token.id, None)

    def close(self) -> None:
        """Nothing waits here."""
