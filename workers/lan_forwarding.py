# SPDX-License-Identifier: MIT
"""Working the LAN forwarding queue: in the background, whatever the schedule says. Spec senders 10.

The target is always given, so there is no MX lookup; several servers are served at the same time, each by a few
sessions. Encryption is used where a server offers it.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from mailserver.connectors import sealing
from mailserver.connectors.values import (
    Credentials,
    Encryption,
    LoginMethod,
    Outcome,
    SenderSettings,
    SendMethod,
    TaskLog,
    TaskResult,
)
from mailserver.errors import Kind, MailError
from mailserver.hooks.events import SendStarted, TargetDetails
from mailserver.lan.matching import split_server
from mailserver.outqueue.recording import record_lan
from mailserver.outqueue.routes import Host, NoRoute
from mailserver.outqueue.taking import take_lan
from mailserver.outqueue.values import QueuedMessage, QueuedOne
from mailserver.store.interface import LanTarget
from protocols.smtp.client import CannotSend, SessionOptions, Stage
from workers.sending.direct import Candidate, DirectRun, Job
from workers.sending.feed import Feed
from workers.sending.leaving import leave, stopping_gently
from workers.sending.recorder import Recorder
from workers.sending.sessions import SendingRun, find_addresses
from workers.tools import WorkerTools

NAME = "LAN forwarding"
SETTINGS = SenderSettings(
    id=0,
    name=NAME,
    connection=0,
    connection_name=NAME,
    default=False,
    enabled=True,
    method=SendMethod.DIRECT,
    send_immediately=True,
)
"""What LAN forwarding has in common with Senders: as many sessions, and nothing that only they have."""


async def forward(owner: str, log: TaskLog, tools: WorkerTools) -> TaskResult:
    """Send what waits. `owner` holds LAN_LEASE. Raises MailError when the database is away."""
    recorder = Recorder(tools.offload, lambda attempts: record_lan(attempts, owner))
    started = SendStarted(0, NAME, direct=True)
    run = SendingRun(SETTINGS, owner, log, tools, recorder, started, tools.snapshot(), "lanforward", scripts=False)

    def take_some(limit: int, leave_out: Collection[int]) -> Sequence[QueuedMessage]:
        return take_lan(owner, limit, leave_out=leave_out)

    feed = Feed(run, take_some, ask_scripts=False)
    forwarding = LanRun(run, feed)
    try:
        return await stopping_gently(forwarding, forwarding.perform())
    except MailError as error:
        if error.kind is Kind.IN_USE:
            return TaskResult(Outcome.FAILED, "Somebody else works the LAN forwarding queue by now.")
        raise
    finally:
        await leave(run, feed)


class LanRun(DirectRun):
    """Servers in the place of domains."""

    def group_of(self, one: QueuedOne) -> str:
        """What shares a session: the same server with the same log-in."""
        target = _target(one)
        return f"{target.server} {target.login}".strip()

    async def find_candidates(self, job: Job) -> list[Candidate]:
        target = _target(job.recipients[0])
        name, port = split_server(target.server)
        host = Host(name, port, login=target.login)
        try:
            addresses = await find_addresses(self._run, name)
        except CannotSend as error:
            return [Candidate(host, (), f"451 4.4.4 {error.text}")]
        if any(self._is_own(address, port) for address in addresses):
            raise NoRoute(f"554 5.4.6 {host.label} is this server itself: mail would go round in circles")
        return [Candidate(host, addresses)]

    async def ask_details(self, job: Job, host: Host) -> TargetDetails | None:
        """Scripts of direct sending have no say here."""
        return None

    def options(self, job: Job, host: Host, details: TargetDetails | None) -> SessionOptions:
        target = _target(job.recipients[0])
        credentials = Credentials()
        if target.login:
            try:
                password = sealing.unseal(target.secret, sealing.LAN_PASSWORD)
            except MailError as error:
                text = f"The password for {host.label} was stored with another key file. Enter it again in its rule."
                raise CannotSend(Stage.LOGIN, text) from error
            credentials = Credentials(LoginMethod.AUTOMATIC, target.login, password)
        return SessionOptions(host.name, self._run.ehlo_name, Encryption.OPPORTUNISTIC, credentials=credentials)

    def warn(self, domain: str, text: str) -> None:
        self._run.note_once(f"{domain}: {text}")


def _target(one: QueuedOne) -> LanTarget:
    assert one.lan is not None
    return one.lan
