# SPDX-License-Identifier: MIT
"""CATENATE's URLs: parts of messages that are here already.

RFC 4469 §2. A URL that names nothing is answered BADURL, whatever was wrong with it.
"""

from __future__ import annotations

from mailserver.errors import Kind, MailError
from mailserver.store.interface import Entry
from mailserver.store.spool import SpoolWriter
from protocols.imap.message_url import MessageUrl, parse_message_url
from protocols.imap.session import Session
from protocols.imap.stored_message import StoredMessage, Streamed, needs_structure


class BadUrl(Exception):
    """The URL names nothing that this user can read here."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.url = url


async def copy_url(session: Session, url: str, spool: SpoolWriter, limit: int) -> None:
    """Append the bytes to the spool. Raises BadUrl, TOO_BIG above `limit`, STORAGE_FULL, UNAVAILABLE."""
    logins = frozenset({session.owner.name.lower(), session.owner.address.lower()})
    named = parse_message_url(url, hostname=session.snapshot().hostname, logins=logins)
    if named is None:
        raise BadUrl(url)
    try:
        folder = await session.open_mailbox(named.mailbox, "r")
    except MailError as error:
        raise BadUrl(url) from error
    if named.uid_validity not in (None, folder.mailbox.uid_validity):
        raise BadUrl(url)
    found = await session.offload(session.connection.store.list_entries, folder.mailbox.id, named.uid - 1, 1)
    if not found or found[0].uid != named.uid:
        raise BadUrl(url)
    if not await session.offload(_copy, session, named, found[0], spool, limit):
        raise BadUrl(url)


def _copy(session: Session, named: MessageUrl, entry: Entry, spool: SpoolWriter, limit: int) -> bool:
    store = session.connection.store
    contents = store.read_contents([entry.content])
    if not contents:
        return False
    structure = None
    if needs_structure(named.section, contents[0]):
        stored = store.read_structures([entry.content]).get(entry.content)
        structure = stored.structure if stored else None
    part = StoredMessage(contents[0], structure).read_section(named.section, named.extent)
    if part is None:
        return False
    size = part.size if isinstance(part, Streamed) else len(part)
    if limit and spool.size + size > limit:
        raise MailError(Kind.TOO_BIG, f"{spool.size + size} bytes, the limit is {limit}")
    for piece in part.pieces if isinstance(part, Streamed) else (part,):
        spool.write(piece)
    return True
