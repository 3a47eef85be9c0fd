# SPDX-License-Identifier: MIT
"""Carrying out a search on the selected mailbox: in slices, so that neither the loop nor the threads are held up.

RFC 9051 §6.4.4, RFC 5182 (`$`), RFC 9585 (INPROGRESS). What matches is decided in `matching.py`.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from collections.abc import Callable, Sequence
from itertools import compress
from typing import TypeVar

from mailserver import clock
from mailserver.store.interface import Entry
from mailserver.values import ContentId
from protocols.imap.matching import Circumstances, Matcher
from protocols.imap.message_fields import MessageFields
from protocols.imap.search_keys import SearchKey
from protocols.imap.sequence import NumberSet, SequenceSet
from protocols.imap.session import PROGRESS_SECONDS, Session

SLICE = 5000
"""Messages looked at in one go: their fields take some megabytes."""

T = TypeVar("T")


async def find_messages(session: Session, tag: str, key: SearchKey) -> list[Entry]:
    """Those that match, in mailbox order; only such as the client knows of. Raises MailError."""
    selected = session.current
    if selected.index.stale:
        await selected.refresh()
    matcher = make_matcher(session, key)
    within = matcher.within
    uids = selected.view.uids if within is None else selected.view.intersect_uids(within)
    if matcher.needle is not None and len(uids) > SLICE:
        uids = await _narrow(session, tag, matcher.needle, uids)
    return await match_entries(session, tag, matcher, selected.index.entries(uids, matcher.flags))


async def _narrow(session: Session, tag: str, needle: str, uids: Sequence[int]) -> list[int]:
    """Those of very many messages that the text index does not rule out: usually few, and only they are looked at."""
    index, store = session.current.index, session.connection.store
    numbers, contents = index.uids[:], index.contents[:]

    def look() -> list[int]:
        possible = store.narrow_text(list(map(ContentId, contents)), needle)
        return list(compress(numbers, map(possible.__contains__, contents)))

    found = await patiently(session, tag, (0, len(uids)), look)
    return [uid for uid in found if (place := bisect_left(uids, uid)) < len(uids) and uids[place] == uid]


def make_matcher(session: Session, key: SearchKey) -> Matcher:
    """The search as it is meant now: message numbers and `$` stand for what they stand for at this moment."""

    def name(numbers: SequenceSet, by_uid: bool) -> NumberSet:
        return uids_of(session, numbers, by_uid=by_uid)

    return Matcher(key, Circumstances(clock.now(), session.current.view.is_recent, name))


def uids_of(session: Session, numbers: SequenceSet, *, by_uid: bool) -> NumberSet:
    """The UIDs that a set in a search names, and perhaps others that the client does not know of.

    A message number beyond the last names none, where FETCH would call it an error: clients search for 1:* in
    mailboxes that are empty.
    """
    view = session.current.view
    if numbers.saved:
        return session.saved_result
    if by_uid:
        return numbers.resolve(view.largest_uid)
    count = len(view)
    ranges = numbers.resolve(count).ranges
    return NumberSet.from_ranges(
        (view.uids[first - 1], view.uids[min(last, count) - 1]) for first, last in ranges if first <= count
    )


async def match_entries(session: Session, tag: str, matcher: Matcher, entries: Sequence[Entry]) -> list[Entry]:
    """Those of the entries that match. The tag is that of the command which is going on, if one is."""
    found: list[Entry] = []
    for start in range(0, len(entries), SLICE):
        part = entries[start : start + SLICE]
        fields = MessageFields(session.connection.store)
        if matcher.asks:
            found += await patiently(session, tag, (start, len(entries)), matcher.find, part, fields.having)
        else:
            found += matcher.find(part, fields.having)
            await asyncio.sleep(0)
    return found


async def patiently(
    session: Session, tag: str, progress: tuple[int, int], function: Callable[..., T], *arguments: object
) -> T:
    """Run something that blocks, and tell the client now and then how far its command is."""
    task = asyncio.ensure_future(session.offload(function, *arguments))
    try:
        while not task.done():
            await asyncio.wait({task}, timeout=PROGRESS_SECONDS)
            if tag:
                await session.report_progress(tag, *progress)
        return task.result()
    finally:
        task.cancel()
