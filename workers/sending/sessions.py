# SPDX-License-Identifier: MIT
"""Opening sessions: names become addresses, addresses are tried in turn, and this server is never its own next one.

RFC 5321 §5.1. What a run has in common is its `SendingRun`.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from mailserver import clock, logs
from mailserver.config.catalog import DNS_DETECT
from mailserver.config.snapshot import Snapshot
from mailserver.connectors.values import Encryption, SenderSettings, TaskLog
from mailserver.hooks.events import RemoteReplied, SendStarted
from mailserver.outqueue.routes import is_address
from mailserver.outqueue.values import Attempt, AttemptResult
from mailserver.values import Protocol
from protocols.net.dns import LookupFailed, NoSuchName, Resolver, Resolvers, is_own_address
from protocols.smtp.client import CannotSend, SessionOptions, SmtpClient, Stage, open_session
from workers.sending.claims import Claims
from workers.sending.recorder import Recorder
from workers.tools import WorkerTools

log = logging.getLogger("pillarbox.sending")

ANY_ADDRESS = ("", "0.0.0.0", "::")  # noqa: S104 - what a service's binding may say, nothing is bound here
MAX_ADDRESSES = 6
"""Of one name; as many as are tried, so that a host with dozens of dead ones does not hold up the others."""

RESOLVERS = Resolvers()
"""Of this process: what was looked up in one run is known in the next."""


@dataclass(slots=True)
class SendingRun:
    """What all parts of one run of one Sender share."""

    sender: SenderSettings
    owner: str
    told: TaskLog
    tools: WorkerTools
    recorder: Recorder
    started: SendStarted
    snapshot: Snapshot
    log_file: str
    scripts: bool = True
    """The scripts of Senders have a say; LAN forwarding has its own."""
    sessions: int = 0
    sent: int = 0
    """Messages of which something was said so far."""
    notes: set[str] = field(default_factory=set)
    claims: Claims = field(init=False)

    def __post_init__(self) -> None:
        self.claims = Claims(self.tools.offload, self.owner)

    @property
    def ehlo_name(self) -> str:
        return self.sender.ehlo_name or self.snapshot.hostname

    def resolver(self) -> Resolver:
        return RESOLVERS.get(self.snapshot, self.sender.dns_servers, self.sender.dns_cache_size)

    def note_once(self, text: str) -> None:
        """A line on the run; the same trouble with a thousand messages is told once."""
        if text not in self.notes:
            self.notes.add(text)
            self.told.note(text)

    async def record(self, ref: str, attempts: Sequence[Attempt], size: int = 0) -> None:
        """What became of a message: in the queue, on the run, and a line for each recipient in the log."""
        await self.record_many(attempts)
        tried = [attempt for attempt in attempts if attempt.result is not AttemptResult.UNTRIED]
        for attempt in tried:
            reply = attempt.reply.replace("\n", " ")
            logs.session(self.log_file, f"{ref} {attempt.result.value} {attempt.server or '-'}: {reply}")
        if tried:
            self.sent += 1
            self.told.advance(1, size)

    async def record_many(self, attempts: Sequence[Attempt]) -> None:
        """What became of recipients of several messages, in the queue alone."""
        await self.recorder.record(attempts)
        self.claims.end(attempt.id for attempt in attempts)

    async def open(self, address: str, port: int, options: SessionOptions) -> SmtpClient:
        """A session whose dialogue is on the run. Raises CannotSend."""
        self.sessions += 1
        number = self.sessions
        self.told.wire(f"-- [{number}] {options.name} ({address}) port {port}, {clock.now():%H:%M:%S} UTC")

        def say(line: str) -> None:
            self.told.wire(f"[{number}] {line}")

        async def ask(command: str, reply: str) -> str | None:
            if not self.scripts:
                return None
            return await self.tools.hooks.on_remote_reply(RemoteReplied(self.started, command, reply))

        return await open_session(address, port, options, say, ask)


async def find_addresses(run: SendingRun, name: str) -> tuple[str, ...]:
    """Of a server that is named in the settings: by the system, which knows names of the local network, unless there
    are DNS servers to ask instead. Raises CannotSend."""
    if is_address(name):
        return (name,)
    if run.sender.dns_servers or not run.snapshot.get(DNS_DETECT):
        try:
            if found := await run.resolver().find_addresses(name):
                return found[:MAX_ADDRESSES]
        except (LookupFailed, NoSuchName) as error:
            log.debug("%s: %s", name, error)
    try:
        answers = await asyncio.get_running_loop().getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise CannotSend(Stage.CONNECT, f"The server {name} cannot be found: its name is not known.") from error
    return tuple(dict.fromkeys(str(answer[4][0]) for answer in answers))[:MAX_ADDRESSES]


async def open_any(
    addresses: Sequence[str], port: int, options: SessionOptions, run: SendingRun, is_own: Callable[[str, int], bool]
) -> SmtpClient:
    """A session with the first address that answers. Raises the CannotSend of the last."""
    problem = CannotSend(Stage.CONNECT, f"The server {options.name} has no address.")
    for address in addresses:
        if is_own(address, port):
            text = f"{options.name} port {port} is this server itself. Mail would go round in circles."
            problem = CannotSend(Stage.CONNECT, text)
            continue
        try:
            return await open_or_plain(address, port, options, run)
        except CannotSend as error:
            problem = error
            if error.answered:
                break
    raise problem


async def open_or_plain(address: str, port: int, options: SessionOptions, run: SendingRun) -> SmtpClient:
    """Under "if available", encryption that fails is gone without, once (spec senders 11.5); but a password is never
    sent in clear because somebody disturbed the handshake."""
    try:
        return await run.open(address, port, options)
    except CannotSend as error:
        plain = options.encryption is Encryption.OPPORTUNISTIC and not options.credentials.username
        if error.stage is not Stage.TLS or not plain or options.verify_certificate or options.newest_tls:
            raise
        run.told.wire(f"-- {error.text} Trying without.")
        return await run.open(address, port, replace(options, encryption=Encryption.NONE))


def make_own_check(snapshot: Snapshot) -> Callable[[str, int], bool]:
    """Whether an address and port are one of our own SMTP services'."""
    bindings = [
        binding
        for service in snapshot.services
        if service.enabled and service.protocol is Protocol.SMTP
        for binding in service.bindings
    ]

    def is_own(address: str, port: int) -> bool:
        listening = [binding.address for binding in bindings if binding.port == port]
        if address in listening:
            return True
        return any(bound in ANY_ADDRESS for bound in listening) and is_own_address(address)

    return is_own
