# SPDX-License-Identifier: MIT
"""Collecting from an IMAP4 server: folder by folder, and nothing goes at the provider before it is safe here.

Spec connectors 4.1 (our fourth method: routing, sizes, rules and duplicates as for POP3), design section 6. In each
folder: what is there, what of it is known, what rules and limits say; then windows of messages, streamed into the
spool and filed while the next ones come in; at last, what was committed is deleted, moved, or left for some days.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from mailserver import clock
from mailserver.config.catalog import HOLD_UIDL_DAYS
from mailserver.connectors.download_rules import DOWNLOAD, Decision
from mailserver.connectors.imap_memory import find_renumbered, match_renumbered, message_key, rename_remembered
from mailserver.connectors.remembering import Listed, Step, forget_obsolete, note_deleted, plan
from mailserver.connectors.values import CollectorSettings, Outcome, TaskLog, TaskResult
from mailserver.errors import MailError
from mailserver.hooks.events import CollectStarted, MessageListed
from mailserver.mime.headers import summarise
from mailserver.pipeline.collected import Provider, message_digest
from mailserver.pipeline.collected_notice import format_size
from mailserver.pipeline.collected_text import MAX_MESSAGE_BYTES
from mailserver.values import Protocol
from protocols.imap.client import ImapClient, ListedUid, Selected, split_windows
from protocols.imap.client_dialogue import ImapFailure
from protocols.imap.client_grammar import FetchedItems
from protocols.imap.client_machine import BodyBegins, BodyPiece
from protocols.net.outgoing import CannotConnect
from workers.collect_screening import Screening
from workers.collected_filing import CollectedFiler, Incoming
from workers.oauth import NoToken, token_source
from workers.tools import WorkerTools

WINDOW = 100
"""Messages in one FETCH: enough that the way to the provider and back costs little."""
WINDOW_BYTES = 16 * 1024 * 1024
MAX_SESSIONS = 4
"""Of one run: after so many broken ones the rest waits for the next run."""
REMOVED_AT_ONCE = 500
"""UIDs in one command; a line of them stays below 8,000 bytes, which every server takes."""
FOR_EVER_DAYS = 1_000_000
"""Leave days of what is never taken away."""
OTHERS_MARKED = (
    "Somebody else has marked messages in {folder} as deleted, and the server can only remove all of them together:"
    " what was collected is marked, too, and goes with them."
)
RENUMBERED = "The provider has numbered the messages in {folder} anew meanwhile: they are moved in the next run."
FAILURES = (ImapFailure, CannotConnect, NoToken)


@dataclass(slots=True)
class _Story:
    """What the sessions of one run come to."""

    fetched: int = 0
    folders: set[str] = field(default_factory=set)
    """Those that were looked at to their end."""
    problems: list[str] = field(default_factory=list)
    skip: set[str] = field(default_factory=set)
    """Messages in which a session broke."""
    connect_error: bool = False

    def result(self) -> TaskResult:
        if not self.problems:
            return TaskResult(Outcome.OK)
        outcome = Outcome.PARTLY if self.fetched or self.folders else Outcome.FAILED
        return TaskResult(outcome, " ".join(self.problems[:5]), self.connect_error)


async def collect_imap(collector: CollectorSettings, owner: str, log: TaskLog, tools: WorkerTools) -> TaskResult:
    """Everything that is there."""
    story = _Story()
    event = CollectStarted(collector.id, collector.name)
    await tools.hooks.on_collect_started(event)
    try:
        for _ in range(MAX_SESSIONS):
            if not await _collect_once(collector, log, tools, story):
                break
    finally:
        await tools.hooks.on_collect_ended(event)
    return story.result()


async def _collect_once(collector: CollectorSettings, log: TaskLog, tools: WorkerTools, story: _Story) -> bool:
    """One session; whether it is worth while to begin another one at once."""
    try:
        client = await open_mailbox(collector, log, tools)
    except FAILURES as error:
        log.note(str(error))
        story.problems.append(str(error))
        story.connect_error = isinstance(error, CannotConnect)
        return False
    try:
        return await _Session(collector, client, log, tools, story).run()
    finally:
        client.close()


async def check_imap(collector: CollectorSettings, owner: str, log: TaskLog, tools: WorkerTools) -> TaskResult:
    """Connect, log in, look how much is there."""
    try:
        client = await open_mailbox(collector, log, tools)
    except FAILURES as error:
        return TaskResult(Outcome.FAILED, str(error), isinstance(error, CannotConnect))
    try:
        found = []
        for folder in collector.folders:
            await client.select(folder)
            messages = await client.list_messages()
            size = format_size(sum(message.size for message in messages))
            found.append(f"{folder}: {len(messages)} messages ({size})")
        await client.logout()
        idle = " It offers no IDLE, so nobody is told of news." if collector.idle and not client.can_idle else ""
        return TaskResult(Outcome.OK, f"Logged in. {'; '.join(found)}.{idle}")
    except ImapFailure as error:
        return TaskResult(Outcome.FAILED, str(error), client.lost)
    finally:
        client.close()


async def open_mailbox(collector: CollectorSettings, log: TaskLog, tools: WorkerTools) -> ImapClient:
    """Connected and logged in. Raises one of FAILURES."""
    client = await ImapClient.connect(collector.server, log.wire)
    try:
        await client.login(collector.credentials, token_source(collector.credentials, tools.offload))
    except BaseException:
        client.close()
        raise
    return client


@dataclass(slots=True)
class _Folder:
    """The one that is open."""

    name: str
    selected: Selected
    listed: dict[str, ListedUid] = field(default_factory=dict)
    done: list[str] = field(default_factory=list)
    """Keys of what is to be deleted or moved, as the collector's settings say."""
    left_over: frozenset[str] = frozenset()
    """Of `done`, what an earlier session may have begun to move."""
    gone: list[str] = field(default_factory=list)
    """Keys of what a rule or a script wants deleted."""

    def key(self, uid: int) -> str:
        return message_key(self.name, self.selected.uid_validity, uid)


class _Session:
    """One connection to the server."""

    def __init__(
        self, collector: CollectorSettings, client: ImapClient, log: TaskLog, tools: WorkerTools, story: _Story
    ) -> None:
        self._collector = collector
        if collector.after == "keep":
            self._collector = replace(collector, leave_on_server_days=FOR_EVER_DAYS)
        self._client = client
        self._log = log
        self._tools = tools
        self._story = story
        address, port = client.peer
        provider = Provider(Protocol.IMAP4, collector.server.host, address, port, client.tls)
        self._filer = CollectedFiler(self._collector, provider, log, tools)
        self._screening: Screening
        self._broke_in = ""
        """The message that was coming in when the session broke."""
        self._started = clock.now()
        self._expected = self._expected_bytes = 0

    async def run(self) -> bool:
        """Whether another session may get further: this one broke in a message, which is passed over then."""
        try:
            self._screening = await Screening.open(self._collector, self._log, self._tools)
            async with self._filer:
                try:
                    for folder in self._collector.folders:
                        await self._collect(folder)
                finally:
                    await asyncio.shield(self._filer.settle())
                    self._take_results()
            await self._client.logout()
            await self._forget()
        except ImapFailure as error:
            return self._broken(error)
        except MailError as error:
            self._problem(f"This server could not go on, and nothing is deleted at the provider: {error}.")
        return False

    def _take_results(self) -> None:
        results = self._filer.results.values()
        self._story.fetched += sum(result.error is None for result in results)
        failed = [result.error for result in results if result.error is not None]
        if failed:
            self._problem(f"{len(failed)} messages could not be stored and stay at the provider: {failed[0]}.")

    def _broken(self, error: ImapFailure) -> bool:
        self._story.connect_error = self._client.lost
        if not self._broke_in:
            self._problem(str(error))
            return False
        self._story.skip.add(self._broke_in)
        self._problem(f"{str(error).removesuffix('.')} (in a message, which stays at the provider).")
        return True

    def _problem(self, text: str) -> None:
        self._log.note(text)
        self._story.problems.append(text)

    async def _collect(self, name: str) -> None:
        """One folder. What is wrong with it does not keep the others from being collected."""
        try:
            await self._collect_folder(_Folder(name, await self._client.select(name)))
        except ImapFailure as error:
            if self._client.lost:
                raise
            self._problem(str(error))
        else:
            self._story.folders.add(name)

    async def _collect_folder(self, folder: _Folder) -> None:
        messages = await self._client.list_messages()
        folder.listed = {folder.key(message.uid): message for message in messages}
        await self._know_again(folder)
        listed = [Listed(key, message.size) for key, message in folder.listed.items()]
        steps = await self._tools.offload(plan, self._collector, listed, self._started)
        folder.done = [key for key, step in steps.items() if step is Step.DELETE]
        folder.left_over = frozenset(folder.done)
        await self._fetch_all(folder, steps)
        await self._filer.settle()
        self._sort_results(folder)
        if self._filer.failure is not None:
            raise self._filer.failure
        await self._take_away(folder)

    async def _know_again(self, folder: _Folder) -> None:
        """After a change of UIDVALIDITY: what is known by its Message-ID is not fetched a second time."""
        old = await self._tools.offload(find_renumbered, self._collector.id, folder.name, folder.selected.uid_validity)
        if not old or not folder.listed:
            return
        self._log.note(
            f"The provider has numbered the messages in {folder.name} anew; they are compared by Message-ID."
        )
        found: list[tuple[str, str, int]] = []
        messages = list(folder.listed.values())
        for start in range(0, len(messages), REMOVED_AT_ONCE):
            uids = [message.uid for message in messages[start : start + REMOVED_AT_ONCE]]
            headers = await self._client.fetch_headers(uids, "MESSAGE-ID")
            found += [
                (folder.key(uid), digest, folder.listed[folder.key(uid)].size)
                for uid, header in headers.items()
                if folder.key(uid) in folder.listed and (digest := message_digest(summarise(header)))
            ]
        await self._tools.offload(rename_remembered, self._collector.id, match_renumbered(old, found))

    # ------------------------------------------------------------ fetching

    async def _fetch_all(self, folder: _Folder, steps: dict[str, Step]) -> None:
        wanted = [
            message
            for key, message in folder.listed.items()
            if steps[key] in (Step.FETCH, Step.FETCH_WANTED)
            and key not in self._story.skip
            and self._may_be_fetched(message)
        ]
        self._expected += len(wanted)  # Of all folders: what is done is counted through as well.
        self._expected_bytes += sum(message.size for message in wanted)
        self._log.expect(self._expected, self._expected_bytes)
        for window in split_windows(wanted, WINDOW, WINDOW_BYTES):
            if self._filer.failure is not None:
                return
            await self._fetch_window(folder, await self._screen(folder, window, steps))

    def _may_be_fetched(self, message: ListedUid) -> bool:
        if message.size > MAX_MESSAGE_BYTES:
            self._problem(f"A message of {format_size(message.size)} is larger than any that can be fetched.")
            return False
        return "\\Deleted" not in message.flags  # Somebody else has done with it.

    async def _screen(
        self, folder: _Folder, window: Sequence[ListedUid], steps: dict[str, Step]
    ) -> dict[int, Decision]:
        """What is to be fetched, by UID; what is not is dealt with."""
        listed = {message.uid: Listed(folder.key(message.uid), message.size) for message in window}
        asked = [uid for uid, message in listed.items() if steps[message.key] is Step.FETCH]
        headers = await self._client.fetch_headers([uid for uid in asked if self._screening.needs_header(listed[uid])])
        fetched: dict[int, Decision] = {}
        for uid, message in listed.items():
            if steps[message.key] is Step.FETCH_WANTED:
                fetched[uid] = DOWNLOAD
                continue
            if uid not in headers and self._screening.needs_header(message):
                continue  # Gone meanwhile, or not given: no rule can decide about it.
            header = headers.get(uid, b"")
            decision = await self._screening.decide(message, header)
            if decision.action.fetches:
                fetched[uid] = decision
            elif await self._screening.carry_out(message, header, decision):
                folder.gone.append(message.key)
        return fetched

    async def _fetch_window(self, folder: _Folder, wanted: dict[int, Decision]) -> None:
        if not wanted:
            return
        hooks = self._tools.hooks
        for uid in wanted:
            await hooks.on_message_start(self._event(folder, uid))
        incoming: Incoming | None = None
        try:
            async for event in self._client.fetch_messages(wanted):
                if isinstance(event, BodyBegins):
                    if incoming is not None:
                        incoming.discard()
                    incoming = self._filer.begin(Listed(""))
                elif isinstance(event, BodyPiece) and incoming is not None:
                    self._feed(incoming, event.data)
                elif isinstance(event, FetchedItems) and incoming is not None:
                    complete, incoming = incoming, None
                    await self._put(folder, complete, event.uid, wanted)
        finally:
            if incoming is not None:  # Servers give them in the order of their UIDs, though they need not.
                self._broke_in = folder.key(min(wanted)) if wanted else ""
                incoming.discard()

    def _feed(self, incoming: Incoming, data: bytes) -> None:
        """A message without end: nothing behind it can be reached in this session."""
        try:
            incoming.feed(data)
        except MailError:
            self._client.close()
            raise ImapFailure(f"{self._collector.server.host} sends a message that does not end.") from None

    async def _put(self, folder: _Folder, incoming: Incoming, uid: int | None, wanted: dict[int, Decision]) -> None:
        """A whole message. Its UID is known at the end only; one that nobody asked for is none of ours."""
        decision = wanted.pop(uid, None) if uid is not None else None
        if uid is None or decision is None:
            incoming.discard()
            return
        key = folder.key(uid)
        incoming.listed = Listed(key, folder.listed[key].size)
        incoming.decision = decision
        await self._tools.hooks.on_message_end(self._event(folder, uid), incoming.text.size)
        await self._filer.put(incoming)

    def _event(self, folder: _Folder, uid: int) -> MessageListed:
        key = folder.key(uid)
        return MessageListed(self._collector.id, key, folder.listed[key].size, b"")

    # ------------------------------------------------------------ afterwards

    def _sort_results(self, folder: _Folder) -> None:
        """What was filed and need not stay."""
        for key in folder.listed:
            result = self._filer.results.get(key)
            if result is not None and result.error is None and result.delete:
                (folder.gone if self._collector.after == "keep" else folder.done).append(key)

    async def _take_away(self, folder: _Folder) -> None:
        if not (folder.done or folder.gone):
            return
        if not folder.selected.writable:
            self._problem(f"The folder {folder.name} may only be read: what was collected stays in it.")
            return
        moves = self._collector.after == "move" and self._collector.move_to
        await self._remove(folder, [*folder.gone, *([] if moves else folder.done)])
        if moves:
            await self._move(folder, folder.done)

    async def _remove(self, folder: _Folder, keys: Sequence[str]) -> None:
        for chunk in _chunks(keys):
            if not await self._client.remove([folder.listed[key].uid for key in chunk]):
                self._problem(OTHERS_MARKED.format(folder=folder.name))
            await self._tools.offload(note_deleted, self._collector.id, chunk, clock.now())

    async def _move(self, folder: _Folder, keys: Sequence[str]) -> None:
        copied = set() if self._client.can_move else await self._find_copied(folder, keys)
        await self._remove(folder, [key for key in keys if key in copied])
        for chunk in _chunks([key for key in keys if key not in copied]):
            if not await self._client.move([folder.listed[key].uid for key in chunk], self._collector.move_to):
                self._problem(OTHERS_MARKED.format(folder=folder.name))
            await self._tools.offload(note_deleted, self._collector.id, chunk, clock.now())

    async def _find_copied(self, folder: _Folder, keys: Sequence[str]) -> set[str]:
        """What an earlier session copied and could not take away any more: it is marked as deleted, or the target has a
        message of this Message-ID and size. One without a Message-ID is copied once more."""
        marked = {key for key in keys if "\\Deleted" in folder.listed[key].flags}
        ids: dict[str, str] = {}
        for chunk in _chunks([key for key in keys if key in folder.left_over and key not in marked]):
            headers = await self._client.fetch_headers([folder.listed[key].uid for key in chunk], "MESSAGE-ID")
            for uid, header in headers.items():
                if (message_id := summarise(header).fields.get("message-id", "")) and message_id.isascii():
                    ids[folder.key(uid)] = message_id
        if not ids:
            return marked
        there = await self._client.find_in(self._collector.move_to, set(ids.values()))
        if (await self._client.select(folder.name)).uid_validity != folder.selected.uid_validity:
            raise ImapFailure(RENUMBERED.format(folder=folder.name))
        found = set()
        for key, message_id in ids.items():
            copy = message_id, folder.listed[key].size
            if there[copy]:
                there[copy] -= 1
                found.add(key)
        return marked | found

    async def _forget(self) -> None:
        """Only after all folders were looked at: what was not listed is gone then."""
        if self._story.folders >= set(self._collector.folders):
            days = self._tools.snapshot().get(HOLD_UIDL_DAYS)
            await self._tools.offload(forget_obsolete, self._collector.id, days, self._started)


def _chunks(keys: Sequence[str]) -> list[Sequence[str]]:
    unique = list(dict.fromkeys(keys))
    return [unique[start : start + REMOVED_AT_ONCE] for start in range(0, len(unique), REMOVED_AT_ONCE)]
