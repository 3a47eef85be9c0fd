# SPDX-License-Identifier: MIT
"""APPEND and REPLACE: messages on their way in.

RFC 9051 §6.3.12; RFC 3502 (MULTIAPPEND), RFC 4469 (CATENATE), RFC 7889 (APPENDLIMIT), RFC 8508 (REPLACE), RFC 4315 §3
(APPENDUID), RFC 3516 §4.4 (literal8). Bytes go piece by piece into the spool; all messages of a command, and what
REPLACE removes, are one unit.
"""

from __future__ import annotations

from collections.abc import Sequence

from mailserver import clock
from mailserver.config.catalog import MAX_APPEND_BYTES
from mailserver.errors import Kind, MailError
from mailserver.journey.records import JourneyRecord, JourneyStep, JourneyStepRecord, next_ref
from mailserver.mime.envelope import find_envelope
from mailserver.mime.headers import header_section, summarise
from mailserver.store.folders import Folder
from mailserver.store.interface import Entry, Filing, NewContent, NewEntry, Removal, Unit, UnitResult
from mailserver.store.rights import right_for
from mailserver.store.spool import SpoolWriter
from mailserver.values import Body
from protocols.imap import replies
from protocols.imap.append import Offer
from protocols.imap.arguments import NewMessage, TextPart, UrlPart
from protocols.imap.commands import Append, Replace
from protocols.imap.handlers.catenate import BadUrl, copy_url
from protocols.imap.handlers.expunge import deletion_steps
from protocols.imap.handlers.fetch_reading import remember_filed
from protocols.imap.replies import Completion, Proceed, untagged_ok
from protocols.imap.sequence import NumberSet
from protocols.imap.session import Session
from protocols.imap.tidings import RECENT


class Intake:
    """The messages of one APPEND or REPLACE; used again for the next."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._folder: Folder | None = None
        self._spools: list[SpoolWriter] = []
        self._parts_done = 0
        self._failure: MailError | BadUrl | None = None
        self._holds_nul = False

    def drop(self) -> None:
        """Forget everything that has come."""
        for spool in self._spools:
            spool.discard()
        self._spools.clear()
        self._folder = None
        self._failure = None
        self._holds_nul = False

    async def offer(self, offer: Offer) -> Proceed | Completion:
        """The next message, or part of one: take it or not, before the client sends it."""
        try:
            if self._folder is None:
                self._folder = await self._session.open_mailbox(offer.mailbox, "i")
            limit = self._session.connection.service.get(MAX_APPEND_BYTES)
            if limit and offer.size + self._size_so_far(offer) > limit:
                raise MailError(Kind.TOO_BIG, f"{offer.size} bytes, the limit is {limit}")
            await self._begin(offer)
        except MailError as error:
            self.drop()
            return replies.append_refused(offer.tag, error)
        return Proceed()

    def add(self, data: bytes) -> None:
        """Some bytes of what was offered. What goes wrong is told at the end."""
        if self._failure is not None:
            return
        self._holds_nul |= b"\x00" in data
        try:
            self._spools[-1].write(data)
        except MailError as error:
            self._failure = error

    async def finish(self, command: Append | Replace) -> Completion:
        """Everything has come: store it. Raises MailError."""
        try:
            return await self._store(command)
        except BadUrl as error:
            return replies.bad_url(command, error.url)
        finally:
            self.drop()

    # ------------------------------------------------------------ taking in

    def _size_so_far(self, offer: Offer) -> int:
        return self._spools[-1].size if len(self._spools) == offer.index + 1 else 0

    async def _begin(self, offer: Offer) -> None:
        """Get ready for the bytes; URLs that stand before them are read now."""
        await self._open_spools(offer.index)
        await self._copy_urls(offer.message.parts)
        self._parts_done += 1

    async def _open_spools(self, index: int) -> None:
        """A message of URLs alone was never offered, and begins here."""
        while len(self._spools) <= index:
            self._spools.append(self._session.connection.store.open_spool())
            self._parts_done = 0

    async def _copy_urls(self, parts: Sequence[TextPart | UrlPart]) -> None:
        limit = self._session.connection.service.get(MAX_APPEND_BYTES)
        for part in parts[self._parts_done :]:
            if isinstance(part, UrlPart) and self._failure is None:
                try:
                    await copy_url(self._session, part.url, self._spools[-1], limit)
                except (MailError, BadUrl) as error:
                    self._failure = error
            self._parts_done += 1

    # ------------------------------------------------------------ storing

    async def _store(self, command: Append | Replace) -> Completion:
        messages = command.messages if isinstance(command, Append) else (command.message,)
        for index, message in enumerate(messages):
            if index >= len(self._spools) - 1:
                await self._open_spools(index)
                await self._copy_urls(message.parts)
        if self._folder is None:
            self._folder = await self._session.open_mailbox(command.mailbox, "i")
        if self._failure is not None:
            raise self._failure
        if self._holds_nul:
            return replies.holds_nul(command)
        bodies = [spool.finish() for spool in self._spools]
        if isinstance(command, Append):
            result = await self._submit(self._folder, messages, bodies)
            return replies.completed(command, _append_code(result))
        return await self._replace(command, self._folder, bodies)

    async def _submit(
        self, folder: Folder, messages: Sequence[NewMessage], bodies: Sequence[Body], replaced: Entry | None = None
    ) -> UnitResult:
        session = self._session
        filings = tuple(_filing(folder, message, body) for message, body in zip(messages, bodies, strict=True))
        removals: tuple[Removal, ...] = ()
        steps = tuple(_filed_step(session, folder, filing) for filing in filings)
        if replaced is not None:
            source = session.current.index.mailbox
            removals = (Removal(source, (replaced.uid,)),)
            steps += await deletion_steps(session, [replaced])
        journeys = tuple(_journey(session, filing.content) for filing in filings)
        unit = Unit(filings=filings, removals=removals, journeys=journeys, steps=steps)
        result = await session.submit(unit)
        for content, filing in zip(result.contents, filings, strict=True):
            remember_filed(session, content, filing.content)
        return result

    async def _replace(self, command: Replace, folder: Folder, bodies: Sequence[Body]) -> Completion:
        """RFC 8508 §3: APPENDUID untagged, then the expunge, then OK."""
        session, selected = self._session, self._session.current
        if selected.read_only:
            return replies.read_only(command)
        if not selected.may("te"):
            return replies.not_permitted(command)
        uid = command.number if command.uid else selected.view.uid_at(command.number)
        if uid is None:
            return replies.no_such_message(command)
        entry = selected.index.get(uid)
        if entry is None or selected.view.number_of(uid) is None:
            return replies.some_expunged(command)
        result = await self._submit(folder, (command.message,), bodies, entry)
        await session.send_untagged(untagged_ok(replies.REPLACED, _append_code(result)))
        return replies.completed(command)


def _filing(folder: Folder, message: NewMessage, body: Body) -> Filing:
    """Flags that the user has no right to set are left out (RFC 4314 §4)."""
    flags = frozenset(flag for flag in message.flags if flag != RECENT and right_for(flag) in folder.rights)
    start = body.head()
    fields = summarise(header_section(start)).fields
    entry = NewEntry(folder.mailbox.id, flags, message.internal_date)
    return Filing(NewContent(next_ref(), body, fields=fields, envelope=find_envelope(start)), (entry,))


def _journey(session: Session, content: NewContent) -> JourneyRecord:
    fields = content.fields
    return JourneyRecord(
        ref=content.ref,
        started=clock.now(),
        source="imap4",
        client=session.client.address,
        login=session.owner.address,
        header_from=fields.get("from", ""),
        subject=fields.get("subject", ""),
        message_id=fields.get("message-id", ""),
        size=content.size,
    )


def _filed_step(session: Session, folder: Folder, filing: Filing) -> JourneyStepRecord:
    detail = f"{folder.shown_name}, by {session.owner.address} over IMAP4, session {session.client.session}"
    return JourneyStepRecord(filing.content.ref, clock.now(), JourneyStep.FILED, session.owner.address, detail)


def _append_code(result: UnitResult) -> bytes:
    uids = NumberSet.from_numbers(filed.uid for filed in result.filed)
    return replies.append_uid_code(result.filed[0].uid_validity, uids)
