# SPDX-License-Identifier: MIT
"""SMTP Direct: to each recipient domain's own servers, many domains at the same time. Spec senders 4, 5.

RFC 5321 §5. Servers are tried in their order until one takes the message: a server that cannot be reached, does not
greet, or breaks off before it has the text is followed by the next one; what it said about sender and recipients
counts. Encryption is used where it is offered, and gone without where it fails. A session is kept for the
next message to the same domain. Trouble of a domain is normal here: it is told on the run, never to the administrator.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace

from mailserver import clock
from mailserver.connectors.overrides import (
    BadOverride,
    Override,
    OverrideFacts,
    find_overrides,
    parse_server,
    read_overrides,
)
from mailserver.connectors.values import Credentials, Encryption, LoginMethod, Outcome, TaskResult
from mailserver.errors import MailError
from mailserver.hooks.events import ServersSought, TargetDetails, TargetFound
from mailserver.outqueue.routes import (
    Host,
    NoRoute,
    drop_ourselves,
    in_order,
    is_address,
    route_literal,
    route_records,
)
from mailserver.outqueue.values import Attempt, QueuedOne
from protocols.net.dns import LookupFailed, NoSuchName
from protocols.smtp.client import CannotSend, SessionOptions, SmtpClient, Stage
from workers.sending.details import apply_details
from workers.sending.feed import Feed
from workers.sending.outbound import (
    OUR_BUG,
    Outbound,
    attempts_of,
    make_transaction,
    unreached,
    untried,
)
from workers.sending.return_paths import return_path
from workers.sending.sessions import MAX_ADDRESSES, SendingRun, make_own_check, open_or_plain
from workers.sending.transacting import transact

log = logging.getLogger("pillarbox.sending")

MAX_HOSTS = 10
"""Of one domain; RFC 5321 §5.1 asks for two at least."""
MOST_PENDING_FACTOR = 20
"""Messages that wait for their domain's turn, for each that is being sent: then no more are taken for the moment."""
LOOK_SECONDS = 1.0
"""While messages are being sent, a queue that was found empty is asked again so often, not after each of them."""
DEAD_SECONDS = 300.0
"""How long a server that could not be reached is passed over: not each of a thousand messages waits for it."""
FILTERED_HOLD_MINUTES = 10
"""A script wants none of a domain's servers and does not say for how long (spec senders 5.7)."""

_chance = random.SystemRandom()


@dataclass(frozen=True, slots=True)
class Job:
    """The recipients of one message that are at one domain."""

    outbound: Outbound
    domain: str
    recipients: tuple[QueuedOne, ...]

    @property
    def tries(self) -> int:
        return max(one.tries for one in self.recipients)


class Held(Exception):
    """The message stays in the queue for so long, without an error."""

    def __init__(self, minutes: int) -> None:
        super().__init__(minutes)
        self.minutes = minutes


@dataclass(frozen=True, slots=True)
class Candidate:
    """A host, and what it is called in the DNS at the moment."""

    host: Host
    addresses: tuple[str, ...]
    problem: str = ""


class DirectRun:
    """One run."""

    def __init__(self, run: SendingRun, feed: Feed) -> None:
        self._run = run
        self._feed = feed
        self._is_own = make_own_check(run.snapshot)
        self._overrides, problems = read_overrides(run.sender.dns_overrides)
        for problem in problems:
            run.note_once(f"DNS overrides, {problem}")
        self._pending: dict[str, deque[Job]] = {}
        self._workers: dict[str, int] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._slots = asyncio.Semaphore(run.sender.threads)
        self._progress = asyncio.Event()
        self._dead: dict[tuple[str, int], tuple[float, str]] = {}
        self._count = 0
        self.stopping = False

    async def perform(self) -> TaskResult:
        """Send until nothing waits. Raises MailError."""
        loop, most = asyncio.get_running_loop(), self._run.sender.threads * MOST_PENDING_FACTOR
        look_at = loop.time()
        while not self.stopping:
            if self._count < most and (not self._tasks or loop.time() >= look_at):
                outbound = await self._feed.next()
                if outbound is not None:
                    self._add(outbound)
                    continue
                look_at = loop.time() + LOOK_SECONDS
            if not self._tasks:
                break
            self._progress.clear()
            if not self._reap():
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(LOOK_SECONDS):
                        await self._progress.wait()
        await self._join()
        return TaskResult(Outcome.OK)

    async def finish(self) -> None:
        """Somebody wants it to stop: let what is on the wire come to its end."""
        self.stopping = True
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def group_of(self, one: QueuedOne) -> str:
        """What the recipients of one transaction have in common."""
        return one.address.domain

    def _add(self, outbound: Outbound) -> None:
        by_domain: dict[str, list[QueuedOne]] = {}
        for one in outbound.queued.recipients:
            by_domain.setdefault(self.group_of(one), []).append(one)
        for domain, recipients in by_domain.items():
            self._count += 1
            self._pending.setdefault(domain, deque()).append(Job(outbound, domain, tuple(recipients)))
            busy = self._workers.get(domain, 0)
            if busy < self._run.sender.max_per_domain:
                self._workers[domain] = busy + 1
                task = asyncio.create_task(self._work(domain))
                self._tasks.add(task)
                task.add_done_callback(lambda _: self._progress.set())

    def _reap(self) -> int:
        """How many have come to their end. Raises what one of them raised."""
        done = {task for task in self._tasks if task.done()}
        self._tasks -= done
        for task in done:
            task.result()
        return len(done)

    async def _join(self) -> None:
        while self._tasks:
            await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)
            self._reap()

    # ------------------------------------------------------------ one domain

    async def _work(self, domain: str) -> None:
        """One of a domain's sessions: its messages one after the other, while there are any."""
        session = _KeptSession()
        try:
            while not self.stopping and self._pending.get(domain):
                async with self._slots:
                    if not self.stopping and self._pending[domain]:
                        job = self._pending[domain].popleft()
                        self._count -= 1
                        await self._send_safely(job, session)
                self._progress.set()
        except asyncio.CancelledError:  # It takes too long to wait for what is on the wire.
            session.abort()
            raise
        finally:
            self._workers[domain] -= 1
            if not self._workers[domain] and not self._pending.get(domain):
                self._workers.pop(domain)
                self._pending.pop(domain, None)
            await session.end()

    async def _send_safely(self, job: Job, session: _KeptSession) -> None:
        """A message that meets an error of ours is tried again later, and the others go out. Raises MailError."""
        try:
            await self._send(job, session)
        except MailError:
            raise
        except Exception:  # the task wrapper
            log.exception("our bug in sending %s", job.outbound.queued.ref)
            session.abort()
            await self._record(job, unreached(job.recipients, OUR_BUG, clock.now()))

    async def _send(self, job: Job, session: _KeptSession) -> None:
        started = clock.now()
        try:
            candidates = await self.find_candidates(job)
        except Held as held:
            self._feed.leave(job.recipients)
            await self._record(job, untried(job.recipients, held.minutes))
            return
        except NoRoute as error:
            last = job.outbound.last_try
            attempts = unreached(job.recipients, error.reply, started, server=job.domain, last_try=last)
            self.warn(job.domain, error.reply)
            await self._record(job, attempts)
            return
        await self._record(job, await self._try_candidates(job, candidates, session))

    async def _record(self, job: Job, attempts: Sequence[Attempt]) -> None:
        await self._run.record(job.outbound.queued.ref, attempts, job.outbound.size)

    def warn(self, domain: str, text: str) -> None:
        """Spec senders 4.2, item 4."""
        self._run.note_once(f"MX Send Warning - {domain}: {text}")

    # ------------------------------------------------------------ which servers

    async def find_candidates(self, job: Job) -> list[Candidate]:
        """Hosts that may be used, with their addresses. Raises NoRoute, Held."""
        hosts = await self._replace(job, await self._filter(job, await self._find_hosts(job)))
        fresh = await self._wants_fresh(job)
        candidates = await asyncio.gather(*(self._look_up(host, fresh) for host in hosts[:MAX_HOSTS]))
        if all(_has_nothing(candidate, job.domain) for candidate in candidates):
            raise NoRoute(f"550 5.1.2 The domain {job.domain} has neither mail servers nor an address")
        own = {candidate.host for candidate in candidates if self._is_ours(candidate)}
        better = drop_ourselves(job.domain, hosts[:MAX_HOSTS], own.__contains__)
        return [candidate for candidate in candidates if candidate.host in better]

    async def _find_hosts(self, job: Job) -> tuple[Host, ...]:
        """Spec senders 4.1: scripts, then overrides, then the DNS."""
        port = self._run.sender.direct_port
        wanted = await self._run.tools.hooks.on_mx_overrides(self._sought(job))
        if wanted is not None and (wanted.servers or wanted.only):
            named = [_scripted(preference, server) for preference, server in wanted.servers]
            if not named:
                raise NoRoute(f"550 5.4.4 A script says that {job.domain} has no mail servers")
            return in_order(named, _chance.shuffle)
        found = find_overrides(self._overrides, _facts(job))
        if found:
            return in_order([_overriding(override) for override in found], _chance.shuffle)
        if literal := route_literal(job.domain, port):
            return literal
        try:
            fresh = await self._wants_fresh(job)
            records = await self._run.resolver().find_mail_servers(job.domain, fresh=fresh)
        except NoSuchName:
            raise NoRoute(f"550 5.1.2 The domain {job.domain} does not exist") from None
        except LookupFailed as error:
            raise NoRoute(f"451 4.4.3 {error}") from None
        pairs = [(record.preference, record.host) for record in records]
        return route_records(job.domain, pairs, port, _chance.shuffle)

    async def _wants_fresh(self, job: Job) -> bool:
        return await self._run.tools.hooks.on_mx_cache(self._sought(job)) is False

    def _sought(self, job: Job) -> ServersSought:
        return ServersSought(self._run.started, job.domain, job.tries, job.outbound.size)

    async def _filter(self, job: Job, hosts: Sequence[Host]) -> list[Host]:
        """Spec senders 5.7: scripts may pass servers over; when none is left, the message is held."""
        usable, hold = [], 0
        for host in hosts:
            verdict = await self._run.tools.hooks.on_mx_server(self._sought(job), host.label, True)
            if verdict is None or verdict.use:
                usable.append(host)
            else:
                hold = max(hold, verdict.hold_minutes or 0)
        if not usable:
            raise Held(hold or FILTERED_HOLD_MINUTES)
        return usable

    async def _replace(self, job: Job, hosts: Sequence[Host]) -> Sequence[Host]:
        """Spec senders 5.7: a script may name other servers, which are tried in its order."""
        wanted = await self._run.tools.hooks.on_mx_final(self._sought(job), tuple(host.label for host in hosts))
        if wanted is None:
            return hosts
        if not wanted:
            raise Held(FILTERED_HOLD_MINUTES)
        known = {host.label: host for host in hosts}
        return [
            replace(known[text], preference=place) if text in known else _scripted(place, text)
            for place, text in enumerate(wanted)
        ]

    async def _look_up(self, host: Host, fresh: bool) -> Candidate:
        if is_address(host.name):
            return Candidate(host, (host.name,))
        try:
            addresses = await self._run.resolver().find_addresses(host.name, fresh=fresh)
        except NoSuchName:
            return Candidate(host, (), f"451 4.4.4 The mail server {host.name} does not exist in the DNS")
        except LookupFailed as error:
            return Candidate(host, (), f"451 4.4.3 {error}")
        problem = "" if addresses else f"451 4.4.4 The mail server {host.name} has no address"
        return Candidate(host, addresses[:MAX_ADDRESSES], problem)

    def _is_ours(self, candidate: Candidate) -> bool:
        """By name where mail servers usually listen, or by an address and port at which we do."""
        host = candidate.host
        named = host.name.lower() == self._run.snapshot.hostname.lower() and host.port == 25
        return named or any(self._is_own(address, host.port) for address in candidate.addresses)

    # ------------------------------------------------------------ sending

    async def _try_candidates(
        self, job: Job, candidates: Sequence[Candidate], session: _KeptSession
    ) -> Sequence[Attempt]:
        """Until one has taken it or had its say."""
        started = clock.now()
        last = job.outbound.last_try
        nobody = f"451 4.4.1 No mail server of {job.domain} can be reached"
        attempts: Sequence[Attempt] = unreached(job.recipients, nobody, started, server=job.domain, last_try=last)
        for candidate in candidates:
            host = candidate.host
            if candidate.problem:
                attempts = unreached(job.recipients, candidate.problem, started, server=host.label, last_try=last)
            for address in candidate.addresses:
                try:
                    attempts, over = await self._try_address(job, host, address, session)
                except CannotSend as error:
                    attempts = _unreachable(job, host, error)
                    self.warn(job.domain, f"{host.label}: {error.text}")
                    continue
                if over:
                    return attempts
        return attempts

    async def _try_address(
        self, job: Job, host: Host, address: str, session: _KeptSession
    ) -> tuple[Sequence[Attempt], bool]:
        """As `_transact`; where a session that has served others ends, in a new one. Raises CannotSend."""
        client = await self._session_with(job, host, address, session)
        used = client.sent > 0
        attempts, over = await self._transact(job, host, client)
        if over or not used:
            return attempts, over
        return await self._transact(job, host, await self._session_with(job, host, address, session))

    async def _transact(self, job: Job, host: Host, client: SmtpClient) -> tuple[Sequence[Attempt], bool]:
        """What came of it, and whether that is final for this run."""
        run, outbound = self._run, job.outbound
        recipients = await run.claims.begin(job.recipients)
        if not recipients:
            return [], True
        started = clock.now()
        path = await return_path(run, outbound, recipients)
        message = make_transaction(outbound, path, recipients)
        delivery = await transact(client, message, run.tools.offload)
        attempts = attempts_of(delivery, recipients, host.label, client, started, last_try=outbound.last_try)
        return attempts, not (delivery.stale or delivery.broken)

    async def _session_with(self, job: Job, host: Host, address: str, session: _KeptSession) -> SmtpClient:
        """The one that is kept, where it fits; else a new one. Raises CannotSend."""
        details = await self.ask_details(job, host)
        options = self.options(job, host, details)
        port = details.port or host.port if details is not None else host.port
        if (kept := session.fitting(address, port, options)) is not None:
            return kept
        await session.end()
        until, problem = self._dead.get((address, port), (0.0, ""))
        now = asyncio.get_running_loop().time()
        if until > now:
            raise CannotSend(Stage.CONNECT, problem)
        try:
            client = await open_or_plain(address, port, options, self._run)
        except CannotSend as error:
            if error.stage is Stage.CONNECT:
                self._dead[address, port] = (now + DEAD_SECONDS, error.text)
            raise
        if client.greeting.split(" ")[0].lower() == self._run.ehlo_name.lower():
            await client.quit()
            raise CannotSend(Stage.HELLO, f"{host.label} calls itself as this server does: mail would go in circles.")
        session.keep(client, address, port, options)
        return client

    async def ask_details(self, job: Job, host: Host) -> TargetDetails | None:
        queued = job.outbound.queued
        return await self._run.tools.hooks.on_target_found(
            TargetFound(
                self._run.started,
                queued.login,
                queued.reverse_path,
                host.label,
                job.domain,
                job.outbound.size,
                job.outbound.header,
            )
        )

    def options(self, job: Job, host: Host, details: TargetDetails | None) -> SessionOptions:
        """What an override or a script says of this server (spec senders 4.3, 5.3)."""
        credentials = Credentials(LoginMethod.AUTOMATIC, host.login, host.password) if host.login else Credentials()
        options = SessionOptions(
            host.name,
            self._run.ehlo_name,
            Encryption.OPPORTUNISTIC,
            self._run.started.verify_certificate,
            credentials,
        )
        return options if details is None else apply_details(options, details)


class _KeptSession:
    """The session that a domain's worker used last."""

    def __init__(self) -> None:
        self._client: SmtpClient | None = None
        self._key: tuple[str, int, SessionOptions] | None = None

    def fitting(self, address: str, port: int, options: SessionOptions) -> SmtpClient | None:
        if self._client is not None and self._client.usable and self._key == (address, port, options):
            return self._client
        return None

    def keep(self, client: SmtpClient, address: str, port: int, options: SessionOptions) -> None:
        self._client, self._key = client, (address, port, options)

    def abort(self) -> None:
        if self._client is not None:
            self._client.abort()

    async def end(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await client.quit()


def _facts(job: Job) -> OverrideFacts:
    queued = job.outbound.queued
    minutes = int((clock.now() - queued.queued).total_seconds() // 60)
    path = "" if queued.reverse_path is None else str(queued.reverse_path)
    return OverrideFacts(job.domain, job.outbound.size, job.tries, minutes, queued.login, path)


def _overriding(override: Override) -> Host:
    server = override.server
    return Host(server.host, server.port, override.priority, server.login, server.password)


def _scripted(preference: int, text: str) -> Host:
    """Raises NoRoute for what is no server: the message waits until the script is mended."""
    try:
        server = parse_server(text)
    except BadOverride as error:
        raise NoRoute(f"451 4.3.5 A script names a server that is none: {error}") from None
    return Host(server.host, server.port, preference, server.login, server.password)


def _unreachable(job: Job, host: Host, error: CannotSend) -> list[Attempt]:
    """A session that did not come about: another of the domain's servers may think otherwise."""
    last, reached = job.outbound.last_try, error.reply is not None
    return unreached(job.recipients, error.deferral, clock.now(), server=host.label, reached=reached, last_try=last)


def _has_nothing(candidate: Candidate, domain: str) -> bool:
    """RFC 5321 §5.1: the domain stands for its own mail server, and the DNS knows no address of it."""
    own = candidate.host.name.rstrip(".").lower() == domain.lower()
    return own and not candidate.addresses and candidate.problem.startswith("451 4.4.4")
