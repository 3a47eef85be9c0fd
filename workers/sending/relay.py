# SPDX-License-Identifier: MIT
"""SMTP Relay: everything goes to one server, the first of a list that answers. Spec senders 3, 6.7.

The list is for connecting only: an error that the chosen server reports never makes the next one be tried. Where the
Sender has no limits, several sessions with that server share the work; a session is used for as many messages as it
lasts, and one that the server ends between messages is replaced.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace

from mailserver import clock
from mailserver.connectors.values import Outcome, RemoteServer, TaskResult
from mailserver.errors import MailError
from mailserver.hooks.events import SendLimits, SendStarted
from mailserver.outqueue.values import QueuedOne
from protocols.smtp.client import CannotSend, SessionOptions, SmtpClient, Stage
from workers.oauth import NoToken, fetch_access_token
from workers.sending.feed import Feed, judge_everything
from workers.sending.outbound import (
    OUR_BUG,
    Outbound,
    attempts_of,
    make_transaction,
    split,
    unreached,
    untried,
)
from workers.sending.return_paths import return_path
from workers.sending.sessions import SendingRun, find_addresses, make_own_check, open_any
from workers.sending.transacting import transact

log = logging.getLogger("pillarbox.sending")

MESSAGES_FOR_A_SESSION = 4
"""A further session is worth while when so many messages wait for each one there is."""
BUSY_MESSAGES = 20
LINGER_SECONDS = (0.05, 0.1, 0.1, 0.1, 0.15, 0.25, 0.25)
NO_SERVER = "No relay server is named in the connection {name}. Name your provider's server for outgoing mail there."


@dataclass(slots=True)
class Allowance:
    """What may still be sent in this session (spec senders 3); None: no limit."""

    messages: int | None
    recipients: int | None
    per_message: int

    @property
    def unlimited(self) -> bool:
        return self.messages is None and self.recipients is None

    def room(self) -> int | None:
        """For how many recipients there is room; 0: the session is over."""
        return 0 if self.messages == 0 else self.recipients

    def use(self, recipients: int) -> None:
        self.messages = None if self.messages is None else self.messages - 1
        self.recipients = None if self.recipients is None else self.recipients - recipients


class RelayRun:
    """One run. `rate_left` is what the limit of recipients in a time still allows; None: there is none."""

    def __init__(self, run: SendingRun, feed: Feed, rate_left: int | None) -> None:
        self._run = run
        self._feed = feed
        self._rate_left = rate_left
        self._is_own = make_own_check(run.snapshot)
        self._server: RemoteServer | None = None
        self._addresses: tuple[str, ...] = ()
        self._token = ""
        self._renewed = False
        self._idle: list[SmtpClient] = []
        self._working: set[asyncio.Task[None]] = set()
        self._allowance = _allowance(run.started, rate_left)
        self._problem = ""
        self.stopping = False

    async def perform(self, token: str) -> TaskResult:
        """Send until nothing waits, or a limit is reached. Raises MailError."""
        self._token = token
        first = await self._feed.next()
        if first is None:
            return TaskResult(Outcome.OK)
        self._feed.put_back(first)
        if self._allowance.room() == 0:
            await self._hold_for_rate()
            return TaskResult(Outcome.OK)
        try:
            self._idle.append(await self._connect())
        except CannotSend as error:
            await self._defer_everything(error)
            return TaskResult(Outcome.FAILED, error.text, bool(self._run.sender.servers) and not error.answered)
        try:
            await self._send_all()
        finally:
            await asyncio.gather(*(client.quit() for client in self._idle))
        if self._problem:
            return TaskResult(Outcome.PARTLY, self._problem, connect_error=True)
        return TaskResult(Outcome.OK)

    async def finish(self) -> None:
        """Somebody wants it to stop: let what is on the wire come to its end."""
        self.stopping = True
        if self._working:
            await asyncio.gather(*self._working, return_exceptions=True)
        await asyncio.gather(*(client.quit() for client in self._idle))

    # ------------------------------------------------------------ connecting

    async def _connect(self) -> SmtpClient:
        """The first server of the list that answers is the one for this run."""
        problem = CannotSend(Stage.CONNECT, NO_SERVER.format(name=self._run.sender.connection_name))
        for server in self._run.sender.servers:
            try:
                addresses = await find_addresses(self._run, server.host)
                client = await self._open(server, addresses)
            except CannotSend as error:
                problem = CannotSend(error.stage, error.text_at(server.host, server.port), error.reply)
                self._run.told.wire(f"-- {problem.text}")
                if error.answered:
                    break
                continue
            self._server, self._addresses = server, addresses
            limits = await self._run.tools.hooks.on_server_connected(self._run.started, server.host)
            if limits is not None:
                self._run.started = changed(self._run.started, limits)
                self._allowance = _allowance(self._run.started, self._rate_left)
            return client
        raise problem

    async def _connect_again(self) -> SmtpClient:
        assert self._server is not None
        return await self._open(self._server, self._addresses)

    async def _open(self, server: RemoteServer, addresses: Sequence[str]) -> SmtpClient:
        """A token may have been withdrawn before its time: one that is refused is renewed, once in a run."""
        token = self._token
        try:
            return await open_any(addresses, server.port, self._options(server), self._run, self._is_own)
        except CannotSend as error:
            if not error.login_refused or not await self._renew(token):
                raise
        return await open_any(addresses, server.port, self._options(server), self._run, self._is_own)

    async def _renew(self, refused: str) -> bool:
        """Whether there is another token to try by now; another session may have got it."""
        oauth = self._run.sender.credentials.oauth
        if oauth is not None and self._token == refused and not self._renewed:
            self._renewed = True
            try:
                self._token = await self._run.tools.offload(fetch_access_token, oauth, refused)
            except NoToken as error:
                self._run.told.note(str(error))
        return self._token != refused

    def _options(self, server: RemoteServer) -> SessionOptions:
        return SessionOptions(
            server.host,
            self._run.ehlo_name,
            server.encryption,
            server.verify_certificate or self._run.started.verify_certificate,
            self._run.sender.credentials,
            self._token,
        )

    async def _defer_everything(self, error: CannotSend) -> None:
        """Whatever could be sent now waits for its next try; its age goes on (spec senders 7.3)."""
        await judge_everything(
            self._run, self._feed, lambda recipients: unreached(recipients, error.deferral, clock.now())
        )

    # ------------------------------------------------------------ sending

    async def _send_all(self) -> None:
        """Sessions until all of them have found nothing more to do."""
        self._begin_session()
        while self._working:
            done, _ = await asyncio.wait(self._working, return_when=asyncio.FIRST_COMPLETED)
            self._working -= done
            self._run.recorder.sessions = max(1, len(self._working))
            for task in done:
                task.result()
            if not self._working and not self._problem and not self._over:
                await self._look_again()

    async def _look_again(self) -> None:
        """What has come in meanwhile is sent, too. After a busy time more is waited for, a moment only: messages that
        come in one by one are then taken together, and find their sessions open."""
        busy = self._run.sent >= BUSY_MESSAGES and not self._run.sender.only_waiting_at_start
        for pause in LINGER_SECONDS if busy else (0.0,):
            await asyncio.sleep(pause)
            found = None if self.stopping else await self._feed.next()
            if found is not None:
                self._feed.put_back(found)
                self._begin_session()
                return

    @property
    def _over(self) -> bool:
        return self.stopping or self._allowance.room() == 0

    def _begin_session(self) -> None:
        self._working.add(asyncio.create_task(self._work()))
        self._run.recorder.sessions = len(self._working)

    def _begin_further_session(self) -> None:
        """Only without limits: those count for one session."""
        busy = len(self._working)
        worth_while = self._feed.waiting >= busy * MESSAGES_FOR_A_SESSION
        if self._allowance.unlimited and busy < self._run.sender.threads and worth_while:
            self._begin_session()

    async def _work(self) -> None:
        """One session, and those that take its place."""
        client = self._idle.pop() if self._idle else None
        try:
            while not self._over and not self._problem and (outbound := await self._feed.next()) is not None:
                try:
                    client = await self._usable(client)
                except CannotSend as error:
                    self._feed.put_back(outbound)
                    self._lose(error)
                    client = None
                    break
                self._begin_further_session()
                client = await self._send_safely(client, outbound)
        except asyncio.CancelledError:  # It takes too long to wait for what is on the wire.
            if client is not None:
                client.abort()
            raise
        if client is not None:
            self._idle.append(client)

    async def _send_safely(self, client: SmtpClient, outbound: Outbound) -> SmtpClient:
        """A message that meets an error of ours is tried again later, and the others go out. Raises MailError."""
        try:
            return await self._send(client, outbound)
        except MailError:
            raise
        except Exception:  # the task wrapper
            log.exception("our bug in sending %s", outbound.queued.ref)
            client.abort()
            attempts = unreached(outbound.queued.recipients, OUR_BUG, clock.now())
            await self._run.record(outbound.queued.ref, attempts)
            return client

    def _lose(self, error: CannotSend) -> None:
        """A further session that the server does not want is no trouble as long as there is another."""
        if len(self._working) <= 1:
            self._problem = f"The connection was lost and cannot be made again. {error.text}"
        else:
            self._run.told.wire(f"-- no further session: {error.text}")

    async def _usable(self, client: SmtpClient | None) -> SmtpClient:
        if client is not None and client.usable:
            return client
        if client is not None:
            client.abort()
        return await self._connect_again()

    async def _send(self, client: SmtpClient, outbound: Outbound) -> SmtpClient:
        """All its recipients, in as many transactions as the limits ask for; the session to go on with."""
        recipients = await self._run.claims.begin(outbound.queued.recipients)
        left: list[QueuedOne] = []
        for part in split(recipients, self._allowance.per_message):
            room = self._allowance.room()
            if left or room == 0:
                left += part
                continue
            now, later = (part, []) if room is None else (part[:room], part[room:])
            left += later
            self._allowance.use(len(now))
            client = await self._send_part(client, outbound, now)
        if left:
            self._feed.leave(left)
            await self._run.record(outbound.queued.ref, untried(left, self._rate_hold()))
        return client

    async def _send_part(self, client: SmtpClient, outbound: Outbound, recipients: Sequence[QueuedOne]) -> SmtpClient:
        run = self._run
        transaction = make_transaction(outbound, await return_path(run, outbound, recipients), recipients)
        started = clock.now()
        delivery = await transact(client, transaction, run.tools.offload)
        if delivery.stale and client.sent:
            try:
                client = await self._usable(client)
                delivery = await transact(client, transaction, run.tools.offload)
            except CannotSend as error:
                run.told.wire(f"-- {error.text}")
        assert self._server is not None
        server = f"{self._server.host}:{self._server.port}" if self._server.port != 25 else self._server.host
        attempts = attempts_of(delivery, recipients, server, client, started, last_try=outbound.last_try)
        await run.record(outbound.queued.ref, attempts, outbound.size)
        return client

    async def _hold_for_rate(self) -> None:
        """The limit of recipients in a time is used up: again in a minute, when some of it is free."""
        await judge_everything(self._run, self._feed, lambda recipients: untried(recipients, self._rate_hold()))
        self._run.told.note(
            f"The limit of {self._run.sender.rate_recipients} recipients in {self._run.sender.rate_minutes} minutes is"
            " reached. The rest is sent later."
        )

    def _rate_hold(self) -> int | None:
        return 1 if self._rate_left is not None else None


def changed(started: SendStarted, limits: SendLimits) -> SendStarted:
    """What scripts made of the limits (spec senders 6.1)."""
    values = {
        "max_messages": limits.max_messages,
        "max_recipients": limits.max_recipients,
        "max_recipients_per_message": limits.max_recipients_per_message,
        "verify_certificate": limits.verify_certificate,
    }
    return replace(started, **{name: value for name, value in values.items() if value is not None})  # type: ignore[arg-type]


def _allowance(started: SendStarted, rate_left: int | None) -> Allowance:
    recipients = started.max_recipients or None
    if rate_left is not None:
        recipients = rate_left if recipients is None else min(recipients, rate_left)
    return Allowance(started.max_messages or None, recipients, started.max_recipients_per_message)
