# SPDX-License-Identifier: MIT
"""SORT and UID SORT, plain and with RETURN.

RFC 5256 §3 and §4, RFC 5957 (DISPLAYFROM, DISPLAYTO), RFC 5267 §3 (ESORT) and §4 (CONTEXT).
"""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet

from mailserver.mime.sorting import SortCriterion, SortMessage, sort_messages
from mailserver.store.interface import Entry
from protocols.imap import replies, untagged
from protocols.imap.commands import Sort
from protocols.imap.contexts import Context, UidPlaces, reuses_tag, start_context
from protocols.imap.handlers.handler import Handlers
from protocols.imap.handlers.search import find_for, name_messages, send_extended
from protocols.imap.matching import mentions
from protocols.imap.ordering import additions, removals
from protocols.imap.replies import Completion
from protocols.imap.search_keys import HasModSeq
from protocols.imap.search_results import highest_modseq
from protocols.imap.searching import SLICE, patiently
from protocols.imap.session import Session
from protocols.imap.sort_data import read_sort_messages

MAX_FOLLOWED = 10_000
"""Messages in a sorted result that is kept up to date: what they are sorted by stays in memory."""


async def _sort(session: Session, command: Sort) -> Completion:
    if reuses_tag(session, command):
        return replies.tag_in_use(command)
    found = await find_for(session, command)
    messages = await _read(session, command.tag, found, command.criteria)
    order = await session.offload(sort_messages, messages, command.criteria)
    by_uid = {int(entry.uid): entry for entry in found}
    ordered = [by_uid[uid] for uid in order]
    if command.returns is None:
        modseq = highest_modseq(ordered) if mentions(command.key, HasModSeq) else None
        await session.send_untagged(untagged.sort(name_messages(session, command, ordered), modseq))
    else:
        await send_extended(session, command, ordered)
        await start_context(session, command, lambda: _follow(session, command, messages, order))
    return replies.completed(command)


async def _read(
    session: Session, tag: str, entries: Sequence[Entry], criteria: Sequence[SortCriterion]
) -> list[SortMessage]:
    """What to sort by, of messages named by UID; those whose content is gone meanwhile count as empty."""
    store = session.connection.store
    messages: list[SortMessage] = []
    for start in range(0, len(entries), SLICE):
        part = entries[start : start + SLICE]
        messages += await patiently(session, tag, (start, len(entries)), read_sort_messages, store, part, criteria)
    return messages


# ---------------------------------------------------------------- kept up to date


def _follow(session: Session, command: Sort, messages: Sequence[SortMessage], order: Sequence[int]) -> Context | None:
    return _SortContext(session, command, messages, order) if len(order) <= MAX_FOLLOWED else None


class _SortContext(Context):
    def __init__(self, session: Session, command: Sort, messages: Sequence[SortMessage], order: Sequence[int]) -> None:
        super().__init__(session, command)
        self._criteria = command.criteria
        self._messages = {message.number: message for message in messages}
        self._order = list(order)

    def holds(self, uid: int) -> bool:
        return uid in self._messages

    def take_out(self, uids: AbstractSet[int]) -> UidPlaces:
        places = removals(self._order, uids)
        self._order = [uid for uid in self._order if uid not in uids]
        for uid in uids:
            del self._messages[uid]
        return places

    async def put_in(self, entries: Sequence[Entry]) -> UidPlaces:
        if not entries:
            return []
        fresh = await _read(self._session, "", entries, self._criteria)
        self._messages |= {message.number: message for message in fresh}
        self._order = sort_messages(self._messages.values(), self._criteria)
        return additions(self._order, {message.number for message in fresh})


HANDLERS: Handlers = {Sort: _sort}
