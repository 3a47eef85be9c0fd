# SPDX-License-Identifier: MIT
"""Collecting from a POP3 server: what to fetch, in which order, and what to delete there once it is safe here.

Spec connectors 4.3 and 6. Messages are fetched many commands ahead where the server allows it, and filed while the
next ones come in. Nothing is deleted before its commit, and a deletion counts only after QUIT's +OK. A session that
breaks in the middle of a message is taken up again without that message: it must not keep the others waiting.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections import Counter
from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace

from mailserver import clock
from mailserver.config.catalog import FASTEST_POP3, HOLD_UIDL_DAYS
from mailserver.connectors import remembering
from mailserver.connectors.download_rules import DOWNLOAD, Decision
from mailserver.connectors.remembering import Listed, Step
from mailserver.connectors.values import CollectorSettings, Outcome, TaskLog, TaskResult
from mailserver.errors import MailError
from mailserver.hooks.events import CollectStarted, MessageListed
from mailserver.pipeline.collected import Provider
from mailserver.values import Protocol
from protocols.net.outgoing import CannotConnect
from protocols.pop3.client import Begun, Complete, NotGiven, Piece, Pop3Client, ServerRefused, SessionBroken
from protocols.sasl.client import LoginImpossible
from workers.collect_screening import Screening
from workers.collected_filing import CollectedFiler, Incoming
from workers.message_lines import MessageLines
from workers.oauth import NoToken, fetch_access_token
from workers.tools import WorkerTools

MAX_SESSIONS = 4
"""Of one run: after so many broken ones the rest waits for the next run."""
MAX_KEY_LENGTH = 300
"""RFC 1939 §7 allows 70 characters; a longer unique id is remembered by its hash."""
NO_SESSION = (CannotConnect, ServerRefused, SessionBroken, LoginImpossible, NoToken)
"""Why there is none; the text of each is a sentence for the administrator."""


@dataclass(frozen=True, slots=True)
class _Message:
    """A message as the server numbers it in this session."""

    number: int
    listed: Listed


@dataclass(slots=True)
class _Story:
    """What the sessions of one run come to."""

    fetched: int = 0
    problems: list[str] = field(default_factory=list)
    skip: set[str] = field(default_factory=set)
    """Messages in which a session broke."""
    connect_error: bool = False

    def result(self) -> TaskResult:
        if not self.problems:
            return TaskResult(Outcome.OK)
        outcome = Outcome.PARTLY if self.fetched else Outcome.FAILED
        return TaskResult(outcome, " ".join(self.problems[:5]), self.connect_error)


async def collect_pop3(collector: CollectorSettings, owner: str, log: TaskLog, tools: WorkerTools) -> TaskResult:
    """Everything that is there."""
    story = _Story()
    event = CollectStarted(collector.id, collector.name)
    await tools.hooks.on_collect_started(event)
    try:
        for _ in range(MAX_SESSIONS):
            if not await _Session(collector, log, tools, story).run():
                break
    finally:
        await tools.hooks.on_collect_ended(event)
    return story.result()


async def check_pop3(collector: CollectorSettings, owner: str, log: TaskLog, tools: WorkerTools) -> TaskResult:
    """Connect, log in, look how much is there."""
    try:
        client = await _log_in(collector, log, tools)
        try:
            count, size = await client.stat()
            await client.quit()
        finally:
            client.close()
    except NO_SESSION as error:
        return TaskResult(Outcome.FAILED, str(error), isinstance(error, CannotConnect | SessionBroken))
    protected = f"encrypted with {client.tls}" if client.tls else "not encrypted"
    return TaskResult(Outcome.OK, f"{count} messages ({size} bytes) are there. The session was {protected}.")


async def _log_in(collector: CollectorSettings, log: TaskLog, tools: WorkerTools) -> Pop3Client:
    """A session that is logged in. Raises one of NO_SESSION.

    A token may have been withdrawn before its time: one that is refused is renewed, once, for another session.
    """
    oauth = collector.credentials.oauth
    token = await tools.offload(fetch_access_token, oauth) if oauth is not None else ""
    try:
        return await _log_in_with(token, collector, log)
    except ServerRefused:
        if oauth is None:
            raise
    return await _log_in_with(await tools.offload(fetch_access_token, oauth, token), collector, log)


async def _log_in_with(token: str, collector: CollectorSettings, log: TaskLog) -> Pop3Client:
    client = await Pop3Client.connect(collector.server, log.wire)
    try:
        await client.login(collector.credentials, token)
    except BaseException:
        client.close()
        raise
    return client


class _Session:
    """One connection to the server."""

    def __init__(self, collector: CollectorSettings, log: TaskLog, tools: WorkerTools, story: _Story) -> None:
        self._collector = collector
        self._log = log
        self._tools = tools
        self._story = story
        self._coming: tuple[_Message, Incoming] | None = None
        """The message that has begun and is not Complete."""
        self._lines: MessageLines | None = None
        """Its lines, if scripts want to see them."""
        self._deletable: dict[str, int] = {}
        self._started = clock.now()
        self._again = False
        """The session broke over one message's header: without that message another one may do."""

    async def run(self) -> bool:
        """Whether it is worth while to begin another one at once."""
        try:
            client = await _log_in(self._collector, self._log, self._tools)
        except NO_SESSION as error:
            self._story.connect_error = isinstance(error, CannotConnect | SessionBroken)
            self._problem(str(error))
            return False
        try:
            return await self._collect(client)
        finally:
            client.close()
            if self._coming is not None:
                self._coming[1].discard()

    async def _collect(self, client: Pop3Client) -> bool:
        provider = Provider(
            Protocol.POP3, self._collector.server.host, client.address, self._collector.server.port, client.tls
        )
        async with CollectedFiler(self._collector, provider, self._log, self._tools) as filer:
            try:
                try:
                    messages = await self._list(client)
                    self._note_unknowable(messages)
                    await self._fetch_all(client, filer, messages)
                finally:
                    await asyncio.shield(filer.settle())
                    self._take_results(filer)
                if filer.failure is not None:
                    raise filer.failure
                await self._finish(client, messages, filer)
            except SessionBroken as error:
                self._story.connect_error = True
                return self._broken(error, filer)
            except ServerRefused as error:
                self._problem(f"{error}.")
            except MailError as error:
                self._problem(f"This server could not go on, and nothing is deleted at the provider: {error}.")
            return False

    def _broken(self, error: SessionBroken, filer: CollectedFiler) -> bool:
        """The message in which it broke is left for another run; the others are fetched in a new session."""
        if self._coming is None:
            self._problem(str(error))
            return self._again or bool(filer.results)
        message, incoming = self._coming
        incoming.discard()
        self._coming = None
        self._story.skip.add(message.listed.key)
        where = f"in message {message.number}, which stays at the provider"
        self._problem(f"{str(error).removesuffix('.')} ({where}).")
        return True

    # ------------------------------------------------------------ what is there

    async def _list(self, client: Pop3Client) -> list[_Message]:
        """All messages with a key of their own each, in the server's order."""
        fastest = self._tools.snapshot().get(FASTEST_POP3)
        ids = await client.unique_ids()
        sizes = {} if fastest and ids is not None else await client.sizes()
        if ids is None:
            return self._tell_apart(await self._by_headers(client, sizes))
        often = {unique_id for unique_id, times in Counter(ids.values()).items() if times > 1}
        if often:
            self._log.note(
                f"{self._collector.server.host} gives the same id to several messages; they are told apart by their"
                " headers."
            )
        unclear = {number: sizes.get(number, 0) for number, unique_id in ids.items() if unique_id in often}
        told = {message.number: message for message in await self._by_headers(client, unclear)}
        return self._tell_apart(
            [
                told.get(number) or _Message(number, Listed(_key(unique_id), sizes.get(number, 0)))
                for number, unique_id in ids.items()
            ]
        )

    def _tell_apart(self, messages: list[_Message]) -> list[_Message]:
        """Messages whose headers are the same as well, or that have none: each is fetched, so that none can be deleted
        in place of another. What is deleted right after needs no memory; what stays is numbered."""
        often = Counter(message.listed.key for message in messages)
        nth: Counter[str] = Counter()
        told: list[_Message] = []
        for message in messages:
            key = message.listed.key
            if often[key] > 1:
                nth[key] += 1
                keeps = self._collector.leave_on_server_days
                key = f"{key}#{nth[key]}" if keeps else f"once:{secrets.token_hex(16)}"
            told.append(_Message(message.number, replace(message.listed, key=key)))
        return told

    def _note_unknowable(self, messages: Sequence[_Message]) -> None:
        """What cannot be known again would be fetched at every visit: the filer has it go at once."""
        count = sum(not message.listed.lasting for message in messages)
        if count and (days := self._collector.leave_on_server_days):
            self._log.note(
                f"{self._collector.server.host} gives {count} messages neither an id (UIDL) nor a header to tell them"
                f" by (TOP). They cannot be left there for {days} days, because they would be fetched again each time:"
                " they are deleted there as soon as they are safe here."
            )

    async def _by_headers(self, client: Pop3Client, sizes: dict[int, int]) -> list[_Message]:
        """Without a unique id the header's hash is the key (spec connectors 4.3); without TOP none lasts."""
        numbers = iter(sizes)
        found = []
        async for answer in client.headers(list(sizes)):
            number = next(numbers)
            header = b"" if isinstance(answer, ServerRefused) else answer.strip()
            if header:
                listed = Listed(f"top:{hashlib.sha256(header).hexdigest()}", sizes[number])
            else:
                listed = Listed(f"once:{secrets.token_hex(16)}", sizes[number], lasting=False)
            found.append(_Message(number, listed))
        return found

    # ------------------------------------------------------------ fetching

    async def _fetch_all(self, client: Pop3Client, filer: CollectedFiler, messages: Sequence[_Message]) -> None:
        steps = await self._tools.offload(
            remembering.plan, self._collector, [message.listed for message in messages], self._started
        )
        self._deletable = {m.listed.key: m.number for m in messages if steps[m.listed.key] is Step.DELETE}
        wanted = await self._choose(client, messages, steps)
        self._log.expect(len(wanted), sum(message.listed.size for message, _ in wanted))
        by_number = {message.number: (message, decision) for message, decision in wanted}
        async for event in client.retrieve(list(by_number)):
            match event:
                case Piece(data):
                    assert self._coming is not None
                    self._feed(client, await self._lines.take(data) if self._lines is not None else data)
                case Begun(number):
                    message, decision = by_number[number]
                    self._coming = (message, filer.begin(message.listed, decision))
                    hooks, told = self._tools.hooks, self._event(message)
                    self._lines = MessageLines(hooks, told) if hooks.wants_lines else None
                    await hooks.on_message_start(told)
                case Complete():
                    if self._lines is not None:
                        self._feed(client, await self._lines.finish())
                    await self._complete(filer)
                case NotGiven(number, text):
                    self._problem(f"The server did not give message {number}: {text}.")

    def _feed(self, client: Pop3Client, data: bytes) -> None:
        """A message without end: nothing behind it can be reached in this session."""
        assert self._coming is not None
        try:
            self._coming[1].feed(data)
        except MailError:
            client.close()
            raise SessionBroken(f"{self._collector.server.host} sends a message that does not end.") from None

    async def _complete(self, filer: CollectedFiler) -> None:
        assert self._coming is not None
        message, incoming = self._coming
        self._coming = None
        await self._tools.hooks.on_message_end(self._event(message), incoming.text.size)
        await filer.put(incoming)
        if filer.failure is not None:
            raise filer.failure

    async def _choose(
        self, client: Pop3Client, messages: Sequence[_Message], steps: dict[str, Step]
    ) -> list[tuple[_Message, Decision]]:
        """What is to be fetched, each message once; what rules and limits say of the rest is done."""
        screening = await Screening.open(self._collector, self._log, self._tools)
        fresh: list[_Message] = []
        chosen: list[tuple[_Message, Decision]] = []
        keys: set[str] = set(self._story.skip)
        for message in messages:
            key = message.listed.key
            if key not in keys and steps[key] in (Step.FETCH, Step.FETCH_WANTED):
                keys.add(key)
                fresh.append(message)
        if screening.wants_sizes:
            fresh = await self._with_sizes(client, fresh)
        fetched = {m.listed.key for m in fresh if steps[m.listed.key] is Step.FETCH_WANTED}
        asked = [m for m in fresh if m.listed.key not in fetched and screening.needs_header(m.listed)]
        by_header = {message.listed.key for message in asked}
        async with aclosing(client.headers([message.number for message in asked])) as headers:
            for message in fresh:
                if message.listed.key in fetched:
                    chosen.append((message, DOWNLOAD))
                    continue
                header = await self._next_header(message, headers) if message.listed.key in by_header else b""
                if header is not None and (decision := await self._screen(screening, message, header)) is not None:
                    chosen.append((message, decision))
        return chosen

    async def _next_header(self, message: _Message, headers: AsyncGenerator[bytes | ServerRefused]) -> bytes | None:
        """None where the server does not give it: the message stays there."""
        try:
            answer = await anext(headers)
        except SessionBroken:
            self._story.skip.add(message.listed.key)
            self._again = True
            raise
        if isinstance(answer, ServerRefused):
            self._problem(f"Message {message.number} is left at the provider. {answer}.")
            return None
        return answer

    async def _screen(self, screening: Screening, message: _Message, header: bytes) -> Decision | None:
        """The decision if it is to be fetched; otherwise what it asks for is done."""
        decision = await screening.decide(message.listed, header)
        if decision.action.fetches:
            return decision
        if await screening.carry_out(message.listed, header, decision):
            self._deletable[message.listed.key] = message.number
        return None

    async def _with_sizes(self, client: Pop3Client, fresh: Iterable[_Message]) -> list[_Message]:
        """With the fastest method nobody has asked for sizes yet."""
        messages = list(fresh)
        missing = [message.number for message in messages if not message.listed.size]
        sizes = await client.sizes_of(missing) if missing else {}
        return [_Message(m.number, replace(m.listed, size=m.listed.size or sizes.get(m.number, 0))) for m in messages]

    def _event(self, message: _Message) -> MessageListed:
        return MessageListed(self._collector.id, message.listed.key, message.listed.size, b"")

    # ------------------------------------------------------------ the end

    def _take_results(self, filer: CollectedFiler) -> None:
        self._story.fetched += sum(result.error is None for result in filer.results.values())
        failed = [result.error for result in filer.results.values() if result.error is not None]
        if failed:
            self._problem(f"{len(failed)} messages could not be stored and stay at the provider: {failed[0]}.")

    async def _finish(self, client: Pop3Client, messages: Sequence[_Message], filer: CollectedFiler) -> None:
        """Delete what is safe here, and believe it only after QUIT's +OK."""
        numbers = {message.listed.key: message.number for message in messages}
        gone = {result.key for result in filer.results.values() if result.delete and result.error is None}
        doomed = {**self._deletable, **{key: numbers[key] for key in gone}}
        agreed = set(await client.delete(sorted(doomed.values())))
        if len(agreed) < len(doomed):
            self._problem(f"The server would not delete {len(doomed) - len(agreed)} messages.")
        await client.quit()
        now = clock.now()
        deleted = [key for key, number in doomed.items() if number in agreed]
        await self._tools.offload(remembering.note_deleted, self._collector.id, deleted, now)
        days = self._tools.snapshot().get(HOLD_UIDL_DAYS)
        await self._tools.offload(remembering.forget_obsolete, self._collector.id, days, self._started)

    def _problem(self, text: str) -> None:
        self._log.note(text)
        self._story.problems.append(text)


def _key(unique_id: str) -> str:
    if len(unique_id) <= MAX_KEY_LENGTH and not unique_id.startswith(("top:", "once:")):
        return unique_id
    return f"id:{hashlib.sha256(unique_id.encode()).hexdigest()}"
