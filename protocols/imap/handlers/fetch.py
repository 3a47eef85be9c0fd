# SPDX-License-Identifier: MIT
r"""FETCH and UID FETCH.

RFC 9051 §6.4.5, §7.5.2; RFC 7162 §3.1.4 (CHANGEDSINCE), §3.2.6 (VANISHED); RFC 9394 §3.2 (PARTIAL); RFC 9586 (UIDONLY).
Messages are answered in batches: what a batch needs is read with one query each, then written message by message.
What comes from the index alone (flags, sizes, dates) needs no query.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence

from mailserver import clock
from mailserver.errors import MailError
from mailserver.journey.records import JourneyStep, JourneyStepRecord
from mailserver.store.interface import Entry, FlagChange, StoredContent, Unit
from mailserver.values import MEMORY_BODY_BYTES, ContentId, Flag, ModSeq
from protocols.imap import replies, untagged
from protocols.imap.commands import Fetch
from protocols.imap.fetch_items import Attribute
from protocols.imap.handlers.fetch_answer import Answerer
from protocols.imap.handlers.fetch_reading import Material, Readings
from protocols.imap.handlers.handler import Handlers
from protocols.imap.replies import Completion
from protocols.imap.selected import Selected
from protocols.imap.sequence import NumberSet
from protocols.imap.session import Session

log = logging.getLogger("pillarbox.imap")

BATCH_PLAIN = 1000
"""Messages answered from the index at a time."""
BATCH_STORED = 200
"""Envelopes and structures read with one query."""
BATCH_CONTENTS = 64
"""Contents read with one query: one each gave 2,480/s, batches of 32 gave 49,000/s (design section 4)."""
BATCH_BYTES = 512 * 1024
"""And never more than this of small messages in memory for one session."""


async def _fetch(session: Session, command: Fetch) -> Completion:
    selected = session.current
    if command.vanished and not (session.has_enabled("QRESYNC") and command.uid and command.changed_since is not None):
        return replies.needs_uid_and_changed_since(command)
    if command.changed_since is not None or Attribute.MODSEQ in command.items:
        session.enable({"CONDSTORE"})
    uids = selected.resolve(command.messages, uid=command.uid, saved=session.saved_result)
    if uids is None:
        return replies.no_such_message(command)
    if command.vanished:
        await _tell_vanished(session, command)
    if command.changed_since is not None:
        entries = selected.index.entries(uids)
        uids = [entry.uid for entry in entries if entry.modseq > command.changed_since]
    if command.partial is not None:
        uids = list(command.partial.pick(uids))
    return await answer_fetch(session, command, uids)


async def _tell_vanished(session: Session, command: Fetch) -> None:
    """RFC 7162 §3.2.6: which of the UIDs asked for have been expunged since."""
    selected = session.current
    assert command.changed_since is not None
    store = session.connection.store
    changes = await session.offload(store.get_changes, selected.index.mailbox, ModSeq(command.changed_since))
    largest = max(selected.mailbox.uid_next - 1, selected.view.largest_uid)
    wanted = session.saved_result if command.messages.saved else command.messages.resolve(largest)
    gone = NumberSet.from_numbers(
        uid for uid in changes.vanished if uid in wanted and selected.view.number_of(uid) is None
    )
    await session.send_untagged(untagged.vanished(gone, earlier=True))


async def answer_fetch(session: Session, command: Fetch, uids: Sequence[int]) -> Completion:
    """What the command asks for, of these messages of the selected mailbox."""
    answerer = Answerer(session, command)
    lost = False
    for batch in _batches(session.current, uids, answerer.material):
        there, unknown = await _answer_batch(session, command, answerer, batch)
        lost |= there < len(batch)
        if unknown:
            return replies.unknown_encoding(command)
        await session.report_progress(command.tag)
    if lost and not command.uid:
        return replies.some_expunged(command)
    return replies.completed(command)


def _batches(selected: Selected, uids: Sequence[int], material: Material) -> Iterator[Sequence[int]]:
    """Pieces of the list, as large as what must be read for them allows."""
    if not material.contents:
        size = BATCH_STORED if material.stored else BATCH_PLAIN
        yield from (uids[start : start + size] for start in range(0, len(uids), size))
        return
    start = held = 0
    for place, uid in enumerate(uids):
        entry = selected.index.get(uid)
        held += min(entry.size, MEMORY_BODY_BYTES) if entry else 0
        if place > start and (held > BATCH_BYTES or place - start == BATCH_CONTENTS):
            yield uids[start:place]
            start, held = place, 0
    if start < len(uids):
        yield uids[start:]


async def _answer_batch(session: Session, command: Fetch, answerer: Answerer, uids: Sequence[int]) -> tuple[int, bool]:
    """How many of the messages were there, and whether one has an encoding that nobody knows."""
    selected = session.current
    entries = selected.index.entries(uids)
    readings = await answerer.read(entries) if answerer.material.any else Readings()
    if not answerer.material.contents:
        await session.tell_keywords()
        await session.send_untagged(answerer.format_all(entries, readings))
        return len(entries), False
    fresh: set[int] = set()
    if answerer.sets_seen and selected.may("s"):
        fresh = await _set_seen(session, entries, readings.contents)
        entries = selected.index.entries(uids)
    await session.tell_keywords()
    answered, unknown = 0, False
    for entry in entries:
        answered += 1
        if not await answerer.write(entry, readings, tell_flags=entry.uid in fresh):
            unknown = True
    return answered, unknown


async def _set_seen(session: Session, entries: Sequence[Entry], contents: dict[ContentId, StoredContent]) -> set[int]:
    r"""RFC 9051 §6.4.5: reading a text without PEEK sets \Seen; the UIDs of which that is news.

    A disk that is full must not keep anybody from reading.
    """
    unseen = [entry for entry in entries if Flag.SEEN not in entry.flags]
    if not unseen:
        return set()
    mailbox = session.current.index.mailbox
    change = FlagChange(mailbox, tuple(entry.uid for entry in unseen), add=frozenset({Flag.SEEN.value}))
    user, now = session.owner.address, clock.now()
    detail = f"IMAP4 session {session.client.session}"
    refs = dict.fromkeys(contents[entry.content].ref for entry in unseen if entry.content in contents)
    steps = tuple(JourneyStepRecord(ref, now, JourneyStep.FETCHED, user, detail) for ref in refs)
    try:
        await session.submit(Unit(flag_changes=(change,), steps=steps))
    except MailError as error:
        log.warning("IMAP4 session %d: \\Seen is not kept: %s", session.client.session, error)
        return set()
    return {entry.uid for entry in unseen}


HANDLERS: Handlers = {Fetch: _fetch}
