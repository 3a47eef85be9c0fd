# SPDX-License-Identifier: MIT
"""Sending for a Sender: what waits in the queue goes out, by relay or directly. Spec senders 2 to 7, 13.

RFC 5321 §4.5.4. The caller holds the Sender's lease. Being cancelled is how a run is stopped: messages on the wire
are finished, when that does not take long, and everything else goes back into the queue.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from mailserver import clock
from mailserver.connectors.dns_servers import BadDnsServer
from mailserver.connectors.remote_tests import EXISTING_NAME
from mailserver.connectors.values import Outcome, SenderSettings, SendMethod, TaskLog, TaskResult
from mailserver.errors import Kind, MailError
from mailserver.hooks.events import SendStarted
from mailserver.outqueue.recording import record
from mailserver.outqueue.sent_lately import count_sent_since
from mailserver.outqueue.taking import count_due, take
from mailserver.outqueue.values import QueuedMessage
from protocols.net.dns import Resolver
from protocols.net.dns_check import try_resolver
from protocols.smtp.client import CannotSend, SessionOptions
from workers.oauth import NoToken, fetch_access_token
from workers.sending.direct import DirectRun
from workers.sending.feed import Feed, Take, judge_everything
from workers.sending.leaving import leave, stopping_gently
from workers.sending.outbound import unreached
from workers.sending.recorder import Recorder
from workers.sending.relay import NO_SERVER, RelayRun, changed
from workers.sending.sessions import RESOLVERS, SendingRun, find_addresses, make_own_check, open_any
from workers.tools import WorkerTools

LEASE_LOST = "Somebody else sends for this Sender by now."


async def run_sender(sender: SenderSettings, owner: str, log: TaskLog, tools: WorkerTools) -> TaskResult:
    """Send what waits. `owner` holds the Sender's lease. Raises MailError when the database is away."""
    run = await _prepare(sender, owner, log, tools)
    began = clock.now()
    feed = Feed(run, _taking(sender, owner, began))
    log.expect(await tools.offload(count_due, sender.id))
    try:
        if sender.method is SendMethod.DIRECT:
            RESOLVERS.get(run.snapshot, sender.dns_servers, sender.dns_cache_size)
            direct = DirectRun(run, feed)
            return await stopping_gently(direct, direct.perform())
        token = await _fetch_token(sender, tools)
        relay = RelayRun(run, feed, await _rate_left(sender, tools))
        return await stopping_gently(relay, relay.perform(token))
    except (NoToken, NoPassword, BadDnsServer) as error:
        reply = f"451 {'4.4.3' if isinstance(error, BadDnsServer) else '4.7.8'} {error}"
        await judge_everything(run, feed, lambda recipients: unreached(recipients, reply, clock.now()))
        return TaskResult(Outcome.FAILED, str(error))
    except MailError as error:
        if error.kind is Kind.IN_USE:
            return TaskResult(Outcome.FAILED, LEASE_LOST)
        raise
    finally:
        await leave(run, feed)


async def check_sender(sender: SenderSettings, owner: str, log: TaskLog, tools: WorkerTools) -> TaskResult:
    """Connect and log in, and send nothing: what a *Test* button does."""
    run = await _prepare(sender, owner, log, tools)
    try:
        if sender.method is SendMethod.DIRECT:
            return await _check_dns(RESOLVERS.get(run.snapshot, sender.dns_servers, sender.dns_cache_size), log)
        token = await _fetch_token(sender, tools)
    except (NoToken, NoPassword, BadDnsServer) as error:
        return TaskResult(Outcome.FAILED, str(error))
    if not sender.servers:
        return TaskResult(Outcome.FAILED, NO_SERVER.format(name=sender.connection_name))
    good = 0
    is_own = make_own_check(run.snapshot)
    for server in sender.servers:
        where = f"{server.host} port {server.port}"
        verify = server.verify_certificate or sender.verify_certificate
        options = SessionOptions(
            server.host, run.ehlo_name, server.encryption, verify, sender.credentials, token, timeout_seconds=30
        )
        try:
            addresses = await find_addresses(run, server.host)
            try:
                client = await open_any(addresses, server.port, options, run, is_own)
            except CannotSend as error:
                if not token or not error.login_refused:
                    raise
                token = await _fetch_token(sender, tools, token)
                client = await open_any(addresses, server.port, replace(options, token=token), run, is_own)
        except NoToken as error:
            log.note(f"{where}: {error}")
            continue
        except CannotSend as error:
            log.note(error.text_at(server.host, server.port))
            continue
        good += 1
        log.note(f"{where}: connected{f', encrypted ({client.tls})' if client.tls else ', not encrypted'}.")
        await client.quit()
    if good == len(sender.servers):
        return TaskResult(Outcome.OK)
    text = "None of the servers can be used." if not good else "Not every server of the list can be used."
    return TaskResult(Outcome.PARTLY if good else Outcome.FAILED, text)


async def _check_dns(resolver: Resolver, log: TaskLog) -> TaskResult:
    """Direct sending needs names; whether port 25 is open to the outside is only known when there is mail."""
    results = await try_resolver(resolver, EXISTING_NAME)
    for result in results:
        log.note(str(result))
    if all(result.ok for result in results):
        return TaskResult(Outcome.OK)
    return TaskResult(Outcome.FAILED, "The DNS servers do not answer as they should.")


async def _prepare(sender: SenderSettings, owner: str, log: TaskLog, tools: WorkerTools) -> SendingRun:
    """With the limits that scripts set at the start (spec senders 6.2)."""
    direct = sender.method is SendMethod.DIRECT
    started = SendStarted(
        sender.id,
        sender.name,
        direct,
        sender.max_messages_per_session,
        sender.max_recipients_per_session,
        sender.max_recipients_per_message,
        sender.verify_certificate,
    )
    limits = await tools.hooks.on_send_started(started)
    if limits is not None:
        started = changed(started, limits)
    recorder = Recorder(tools.offload, lambda attempts: record(attempts, owner, sender))
    file = "smtpmx" if direct else "smtprelay"
    return SendingRun(sender, owner, log, tools, recorder, started, tools.snapshot(), file)


def _taking(sender: SenderSettings, owner: str, began: datetime) -> Take:
    """`take` as a Feed wants it."""
    before = began if sender.only_waiting_at_start else None

    def take_some(limit: int, leave_out: Collection[int]) -> Sequence[QueuedMessage]:
        return take(sender, owner, limit, queued_before=before, leave_out=leave_out)

    return take_some


async def _rate_left(sender: SenderSettings, tools: WorkerTools) -> int | None:
    """How many recipients the limit within a time still allows, counted from what was sent (spec senders 3)."""
    if not (sender.rate_recipients and sender.rate_minutes):
        return None
    since = clock.now() - timedelta(minutes=sender.rate_minutes)
    return max(0, sender.rate_recipients - await tools.offload(count_sent_since, sender.id, since))


class NoPassword(Exception):
    """There is one, and it cannot be read; the text is a sentence for the administrator."""


async def _fetch_token(sender: SenderSettings, tools: WorkerTools, refused: str = "") -> str:
    """Empty where there is no account that has tokens. Raises NoToken, NoPassword."""
    if sender.credentials.problem:
        raise NoPassword(sender.credentials.problem)
    if sender.credentials.oauth is None:
        return ""
    return await tools.offload(fetch_access_token, sender.credentials.oauth, refused)
