# SPDX-License-Identifier: MIT
r"""EXPUNGE and UID EXPUNGE, and what CLOSE does without a word.

RFC 9051 §6.4.3, §6.4.9; RFC 4315 §2.1. Messages marked \Deleted go in units of bounded size: an expunge of 100,000
does not keep everybody else from writing.
"""

from __future__ import annotations

from collections.abc import Sequence

from mailserver import clock
from mailserver.journey.records import JourneyStep, JourneyStepRecord
from mailserver.store.interface import Entry, Removal, Unit
from mailserver.values import Flag
from protocols.imap import replies
from protocols.imap.commands import Expunge
from protocols.imap.handlers.handler import Handlers
from protocols.imap.replies import Completion
from protocols.imap.selected import Selected
from protocols.imap.sequence import SequenceSet
from protocols.imap.session import Session

AT_ONCE = 1000
"""Messages in one unit: a few hundredths of a second."""


async def _expunge(session: Session, command: Expunge) -> Completion:
    selected = session.current
    if selected.read_only:
        return replies.read_only(command)
    if not selected.may("e"):
        return replies.not_permitted(command)
    await remove_deleted(session, selected, command.uids, tag=command.tag)
    # RFC 7162 §3.2.4 and §3.2.7: once the client knows mod-sequences, the new one goes along.
    if not session.has_enabled("QRESYNC"):
        return replies.completed(command)
    await session.send_updates(may_expunge=True)
    return replies.completed(command, replies.highest_modseq_code(selected.view.told_modseq))


async def remove_deleted(
    session: Session, selected: Selected, only: SequenceSet | None = None, *, tag: str = ""
) -> None:
    r"""Remove what is marked \Deleted, of all messages or of those UIDs, as far as the client knows of them."""
    await selected.refresh()
    wanted = selected.view.uids if only is None else selected.resolve(only, uid=True, saved=session.saved_result)
    assert wanted is not None
    marked = selected.index.entries(wanted, lambda flags: Flag.DELETED in flags)
    for start in range(0, len(marked), AT_ONCE):
        await _remove(session, selected, marked[start : start + AT_ONCE])
        if tag:
            await session.report_progress(tag, start, len(marked))


async def _remove(session: Session, selected: Selected, entries: Sequence[Entry]) -> None:
    mailbox = selected.index.mailbox
    removal = Removal(mailbox, tuple(entry.uid for entry in entries))
    steps = await deletion_steps(session, entries)
    await session.submit(Unit(removals=(removal,), steps=steps))


async def deletion_steps(session: Session, entries: Sequence[Entry]) -> tuple[JourneyStepRecord, ...]:
    """What the journeys of these messages tell about their removal."""
    refs = await session.offload(session.connection.store.read_refs, [entry.content for entry in entries])
    user, now = session.owner.address, clock.now()
    detail = f"by {user} over IMAP4, session {session.client.session}"
    return tuple(JourneyStepRecord(ref, now, JourneyStep.DELETED, user, detail) for ref in dict.fromkeys(refs.values()))


HANDLERS: Handlers = {Expunge: _expunge}
