# SPDX-License-Identifier: MIT
"""THREAD and UID THREAD: conversations among the messages that a search finds.

RFC 5256 §3 and §4; REFS as in draft-ietf-morg-inthread §5.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from mailserver.mime.threads import (
    ThreadMessage,
    ThreadNode,
    thread_by_references,
    thread_by_refs,
    thread_by_subject,
)
from protocols.imap import replies, untagged
from protocols.imap.arguments import ThreadAlgorithm
from protocols.imap.commands import Thread
from protocols.imap.handlers.handler import Handlers
from protocols.imap.handlers.search import name_messages
from protocols.imap.matching import mentions
from protocols.imap.replies import Completion
from protocols.imap.search_keys import HasModSeq
from protocols.imap.searching import SLICE, find_messages, patiently
from protocols.imap.session import Session
from protocols.imap.sort_data import read_thread_messages

Algorithm = Callable[[Iterable[ThreadMessage]], list[ThreadNode]]

_ALGORITHMS: Mapping[ThreadAlgorithm, Algorithm] = {
    ThreadAlgorithm.ORDEREDSUBJECT: thread_by_subject,
    ThreadAlgorithm.REFERENCES: thread_by_references,
    ThreadAlgorithm.REFS: thread_by_refs,
}


async def _thread(session: Session, command: Thread) -> Completion:
    if mentions(command.key, HasModSeq):
        session.enable({"CONDSTORE"})
    found = await find_messages(session, command.tag, command.key)
    numbers = name_messages(session, command, found)
    store = session.connection.store
    messages: list[ThreadMessage] = []
    for start in range(0, len(found), SLICE):
        part = slice(start, start + SLICE)
        progress = (start, len(found))
        messages += await patiently(
            session, command.tag, progress, read_thread_messages, store, found[part], numbers[part]
        )
    await session.send_untagged(await session.offload(_arrange, _ALGORITHMS[command.algorithm], messages))
    return replies.completed(command)


def _arrange(algorithm: Algorithm, messages: Iterable[ThreadMessage]) -> bytes:
    return untagged.thread(algorithm(messages))


HANDLERS: Handlers = {Thread: _thread}
