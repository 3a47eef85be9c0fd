# SPDX-License-Identifier: MIT
"""Mail between a user's folder and files: the work behind `importmail` and `exportmail`.

Goes through the same store as every other message, so it may be done while the server runs: mail programs see what
arrives at once. An import can be repeated: what the folder has already, byte for byte, is not filed again.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from mailserver.errors import Kind, MailError
from mailserver.journey.records import next_ref
from mailserver.mime.headers import MAX_HEADER_BYTES, header_section, summarise
from mailserver.store.interface import Filing, Mailbox, MailStore, NewContent, NewEntry, Unit, UnitResult
from mailserver.store.mailfiles import FileMessage, MaildirWriter, MboxWriter
from mailserver.store.models import Entry
from mailserver.store.names import SEPARATOR, normal_name
from mailserver.values import Body, UserId

MESSAGES_AT_ONCE = 100
UNITS_UNDER_WAY = 4
READ_AT_ONCE = 32


@dataclass(slots=True)
class Progress:
    """How far it has come."""

    done: int = 0
    skipped: int = 0
    size: int = 0


Report = Callable[[Progress], None]


def ensure_folder(store: MailStore, user: UserId, name: str) -> Mailbox:
    """The folder, made and subscribed to, with those above it, if it was missing."""
    name = normal_name(name)
    levels = name.split(SEPARATOR)
    for depth in range(1, len(levels) + 1):
        path = SEPARATOR.join(levels[:depth])
        try:
            mailbox = store.get_mailbox(user, path)
        except MailError as error:
            if error.kind is not Kind.NOT_FOUND:
                raise
            mailbox = store.create_mailbox(user, path)
            store.set_subscribed(user, path, True)
    return mailbox


def import_messages(store: MailStore, mailbox: Mailbox, messages: Iterable[FileMessage], report: Report) -> Progress:
    """File every message that the folder does not have. Raises MailError; what was filed before stays."""
    progress = Progress()
    known = _count_bodies(mailbox)
    under_way: deque[Future[UnitResult]] = deque()
    source = iter(messages)
    while filings := [_filing(store, mailbox, message, known) for message in islice(source, MESSAGES_AT_ONCE)]:
        wanted = tuple(filing for filing in filings if filing is not None)
        if wanted:
            under_way.append(store.submit(Unit(filings=wanted)))
        progress.skipped += len(filings) - len(wanted)
        progress.done += len(wanted)
        progress.size += sum(filing.content.size for filing in wanted)
        while len(under_way) >= UNITS_UNDER_WAY:
            under_way.popleft().result()
        report(progress)
    for future in under_way:
        future.result()
    return progress


def _count_bodies(mailbox: Mailbox) -> Counter[str]:
    """How often each body is in the folder, by its digest."""
    return Counter(Entry.objects.filter(mailbox=mailbox.id).values_list("content__sha256", flat=True))


def _filing(store: MailStore, mailbox: Mailbox, message: FileMessage, known: Counter[str]) -> Filing | None:
    """None for a message that is there. Two equal ones in the file stay two."""
    body = _spool(store, message.lines)
    if known[body.sha256] > 0:
        known[body.sha256] -= 1
        if body.path is not None:
            body.path.unlink(missing_ok=True)
        return None
    fields = summarise(header_section(body.head(MAX_HEADER_BYTES))).fields
    return Filing(NewContent(next_ref(), body, fields=fields), (NewEntry(mailbox.id, message.flags, message.date),))


def _spool(store: MailStore, lines: Iterable[bytes]) -> Body:
    writer = store.open_spool()
    for line in lines:
        writer.write(line)
    return writer.finish()


def export_messages(store: MailStore, mailbox: Mailbox, path: Path, report: Report, *, as_mbox: bool) -> Progress:
    """Write every message of the folder. Raises OSError, among them FileExistsError for an mbox file."""
    writer = MboxWriter(path) if as_mbox else MaildirWriter(path)
    progress = Progress()
    entries = store.list_entries(mailbox.id)
    for start in range(0, len(entries), READ_AT_ONCE):
        some = entries[start : start + READ_AT_ONCE]
        contents = {content.id: content for content in store.read_contents([entry.content for entry in some])}
        for entry in some:
            content = contents.get(entry.content)
            if content is None:
                continue
            key = f"{int(entry.internal_date.timestamp())}.V{mailbox.uid_validity}U{entry.uid}.pillarbox"
            if writer.write(key, entry.flags, entry.internal_date, content.chunks()):
                progress.done += 1
                progress.size += content.size
            else:
                progress.skipped += 1
        report(progress)
    writer.close()
    return progress
