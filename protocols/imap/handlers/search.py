# SPDX-License-Identifier: MIT
"""SEARCH and UID SEARCH, plain and with RETURN; CANCELUPDATE.

RFC 9051 §6.4.4, §7.3.4; RFC 3501 §7.2.5; RFC 4731 (ESEARCH), RFC 5182 (SEARCHRES), RFC 5267 (CONTEXT), RFC 7162 §3.1.5
(MODSEQ), RFC 9394 (PARTIAL).
"""

from __future__ import annotations

from collections.abc import Sequence

from mailserver.errors import MailError
from mailserver.store.interface import Entry
from protocols.imap import replies, untagged
from protocols.imap.commands import CancelUpdate, Search, Sort, Thread
from protocols.imap.contexts import SearchContext, reuses_tag, start_context
from protocols.imap.handlers.handler import Handlers
from protocols.imap.matching import mentions
from protocols.imap.replies import Completion
from protocols.imap.search_keys import HasModSeq, ReturnOption
from protocols.imap.search_results import EVERYTHING, asks_for_data, chosen, effective, highest_modseq, make_result
from protocols.imap.searching import find_messages
from protocols.imap.sequence import NumberSet
from protocols.imap.session import Session


async def _search(session: Session, command: Search) -> Completion:
    if reuses_tag(session, command):
        return replies.tag_in_use(command)
    found = await find_for(session, command)
    if command.returns is None and not session.rev2:
        modseq = highest_modseq(found) if mentions(command.key, HasModSeq) else None
        await session.send_untagged(untagged.search(name_messages(session, command, found), modseq))
    else:
        await send_extended(session, command, found)
        await start_context(session, command, lambda: SearchContext(session, command, found))
    return replies.completed(command)


async def find_for(session: Session, command: Search | Sort) -> list[Entry]:
    """What the command's search finds, in mailbox order.

    MODSEQ in it enables CONDSTORE (RFC 7162 §3.1). If it fails, and was to be saved, nothing is saved any more
    (RFC 5182 §2.1).
    """
    if mentions(command.key, HasModSeq):
        session.enable({"CONDSTORE"})
    try:
        return await find_messages(session, command.tag, command.key)
    except MailError:
        if command.returns is not None and ReturnOption.SAVE in command.returns.options:
            session.saved_result = NumberSet()
        raise


def name_messages(session: Session, command: Search | Sort | Thread, entries: Sequence[Entry]) -> list[int]:
    """UIDs or message numbers, in the order given."""
    if command.uid:
        return [entry.uid for entry in entries]
    return session.current.view.numbers_of(entry.uid for entry in entries)


async def send_extended(session: Session, command: Search | Sort, found: Sequence[Entry]) -> None:
    """ESEARCH, as far as it is asked for, and `$`. For SORT `found` is in the order asked for."""
    returns = effective(command.returns or EVERYTHING)
    if ReturnOption.SAVE in returns.options:
        session.saved_result = NumberSet.from_numbers(entry.uid for entry in chosen(returns, found))
    if asks_for_data(returns):
        result = make_result(
            returns,
            found,
            name_messages(session, command, found),
            in_order=isinstance(command, Sort),
            with_modseq=mentions(command.key, HasModSeq),
        )
        await session.send_untagged(untagged.extended_search(command.tag, result, uid=command.uid))


async def _cancel_update(session: Session, command: CancelUpdate) -> Completion:
    """RFC 5267 §4.3.5."""
    followers = session.current.followers
    if any(tag not in followers for tag in command.tags):
        return replies.unknown_context(command)
    for tag in command.tags:
        followers.pop(tag, None)
    return replies.completed(command)


HANDLERS: Handlers = {Search: _search, CancelUpdate: _cancel_update}
