# SPDX-License-Identifier: MIT
"""Searches whose results are kept up to date: RETURN (UPDATE).

RFC 5267 §4.3. A result follows the view: what has gone is taken out while it still has its number, that is before
EXPUNGE; what has come or has changed is looked at after the client has been told of it.
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from collections.abc import Set as AbstractSet

from mailserver.errors import MailError
from mailserver.store.interface import Entry
from protocols.imap import replies, untagged
from protocols.imap.commands import Search, Sort
from protocols.imap.matching import mentions
from protocols.imap.search_keys import And, InNumbers, InUids, IsWithin, Not, Or, ReturnOption, SearchKey
from protocols.imap.searching import make_matcher, match_entries, uids_of
from protocols.imap.sequence import SequenceSet
from protocols.imap.session import Session
from protocols.imap.untagged import Places

log = logging.getLogger("pillarbox.imap")

MAX_CONTEXTS = 10
"""In one session. Each is tried on whatever changes; a mail program keeps one for each list that it shows."""

UidPlaces = list[tuple[int, list[int]]]
"""As `untagged.Places`, of UIDs."""


class Context(ABC):
    """One such search; a `Follower`. What is found is kept by those derived from it."""

    def __init__(self, session: Session, command: Search | Sort) -> None:
        self._session = session
        self._command = command
        self._key = pin_numbers(session, command.key)
        self._modseq = session.current.view.modseq
        """Up to where changes have been looked at."""

    @abstractmethod
    def holds(self, uid: int) -> bool:
        """Whether the client believes that it is in the result."""

    @abstractmethod
    def take_out(self, uids: AbstractSet[int]) -> UidPlaces:
        """Remove these; gives what the client is to remove, in this order."""

    @abstractmethod
    async def put_in(self, entries: Sequence[Entry]) -> UidPlaces:
        """Add these, which match; gives what the client is to add, in this order. Raises MailError."""

    async def before_updates(self) -> None:
        gone = {uid for uid in self._session.current.view.gone if self.holds(uid)}
        if gone:
            await self._tell(self.take_out(gone), [])

    async def after_updates(self) -> None:
        """Trouble with the store leaves the changes for the next time."""
        selected = self._session.current
        reached = selected.view.modseq
        if reached <= self._modseq:
            return
        changed = [
            entry
            for entry in selected.index.changed_since(self._modseq)
            if selected.view.number_of(entry.uid) is not None and not selected.view.is_gone(entry.uid)
        ]
        try:
            await self._look_at(changed)
        except MailError as error:
            log.info("IMAP4 session %d: a search is not up to date: %s", self._session.client.session, error)
            return
        self._modseq = reached

    async def _look_at(self, changed: Sequence[Entry]) -> None:
        matching = await match_entries(self._session, "", make_matcher(self._session, self._key), changed)
        uids = {entry.uid for entry in matching}
        added = await self.put_in([entry for entry in matching if not self.holds(entry.uid)])
        removed = self.take_out({entry.uid for entry in changed if entry.uid not in uids and self.holds(entry.uid)})
        await self._tell(removed, added)

    async def _tell(self, removed: UidPlaces, added: UidPlaces) -> None:
        if removed or added:
            command = self._command
            line = untagged.search_update(
                command.tag, uid=command.uid, removed=self._named(removed), added=self._named(added)
            )
            await self._session.send_untagged(line)

    def _named(self, places: UidPlaces) -> Places:
        if self._command.uid:
            return places
        view = self._session.current.view
        return [(place, view.numbers_of(uids)) for place, uids in places]


class SearchContext(Context):
    """In mailbox order, so that no places are needed."""

    def __init__(self, session: Session, command: Search, found: Iterable[Entry]) -> None:
        super().__init__(session, command)
        self._uids: set[int] = {entry.uid for entry in found}

    def holds(self, uid: int) -> bool:
        return uid in self._uids

    def take_out(self, uids: AbstractSet[int]) -> UidPlaces:
        self._uids -= uids
        return [(0, sorted(uids))] if uids else []

    async def put_in(self, entries: Sequence[Entry]) -> UidPlaces:
        uids = [int(entry.uid) for entry in entries]
        self._uids.update(uids)
        return [(0, sorted(uids))] if uids else []


# ---------------------------------------------------------------- beginning


def reuses_tag(session: Session, command: Search | Sort) -> bool:
    """RFC 5267 §4.3: updates are told apart by the tag, so it must not be used for two."""
    return _wants_updates(command) and command.tag in session.current.followers


def _wants_updates(command: Search | Sort) -> bool:
    return command.returns is not None and ReturnOption.UPDATE in command.returns.options


async def start_context(session: Session, command: Search | Sort, make: Callable[[], Context | None]) -> None:
    """Follow the result from now on, if the client asks for it; or say that it will not be followed (§4.3.1).

    A search for messages of a certain age is not: its result changes with nothing happening.
    """
    if not _wants_updates(command):
        return
    followers = session.current.followers
    possible = len(followers) < MAX_CONTEXTS and not mentions(command.key, IsWithin)
    context = make() if possible else None
    if context is None:
        code = replies.no_update_code(command.tag)
        await session.send_untagged(replies.untagged_no(replies.WILL_NOT_UPDATE, code))
    else:
        followers[command.tag] = context


def pin_numbers(session: Session, key: SearchKey) -> SearchKey:
    """Message numbers and `$` mean for good the messages that they mean now (RFC 5267 §4.3)."""
    if isinstance(key, And):
        return And(tuple(pin_numbers(session, part) for part in key.keys))
    if isinstance(key, Or):
        return Or(tuple(pin_numbers(session, part) for part in key.keys))
    if isinstance(key, Not):
        return Not(pin_numbers(session, key.key))
    if isinstance(key, InNumbers) or (isinstance(key, InUids) and key.uids.saved):
        numbers = key.numbers if isinstance(key, InNumbers) else key.uids
        return InUids(SequenceSet(uids_of(session, numbers, by_uid=False).ranges))
    return key
