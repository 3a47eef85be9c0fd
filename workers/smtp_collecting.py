# SPDX-License-Identifier: MIT
"""Collecting by SMTP: asking the provider to send (ETRN) and waiting until it has, and ODMR, where it sends at once.

Spec connectors 4.9, 4.10; RFC 1985, RFC 2645. Envelopes name the recipients, so nothing is routed and no download rules
apply: what comes goes the way of all incoming mail.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime

from mailserver import clock
from mailserver.activity.services import SessionBrief, list_sessions
from mailserver.connectors.values import CollectorSettings, Outcome, TaskLog, TaskResult
from mailserver.hooks.events import CollectStarted
from mailserver.journey.services import count_arrivals
from mailserver.users.authenticator import DatabaseAuthenticator
from mailserver.values import Protocol
from protocols.net.outgoing import CannotConnect
from protocols.smtp.feed_client import FeedClient, FeedFailure, split_nodes
from protocols.smtp.turned import Surroundings, serve_turned
from workers.oauth import NoToken, token_source
from workers.tools import WorkerTools

LOOK_SECONDS = 0.5
"""Daemons write down their sessions once a second."""
SETTLE_SECONDS = 2.0
"""A provider with several connections opens the next one within this."""
LONGEST_FEED_SECONDS = 3600
"""However long sessions go on, the Connection is not kept up for more."""
FAILURES = (FeedFailure, CannotConnect, NoToken)


async def collect_feed(collector: CollectorSettings, owner: str, log: TaskLog, tools: WorkerTools) -> TaskResult:
    """Incoming SMTP: ETRN if wanted, then the provider calls, or has nothing and does not."""
    event = CollectStarted(collector.id, collector.name)
    await tools.hooks.on_collect_started(event)
    started = clock.now()
    try:
        if collector.use_etrn and not await _ask_by_etrn(collector, log, tools):
            log.note("The server says that nothing is waiting.")
            return TaskResult(Outcome.OK)
        await _await_feed(started, collector.wait_seconds, log, tools)
        return TaskResult(Outcome.OK)
    except FAILURES as error:
        return TaskResult(Outcome.FAILED, str(error), isinstance(error, CannotConnect))
    finally:
        await tools.hooks.on_collect_ended(event)


async def check_feed(collector: CollectorSettings, owner: str, log: TaskLog, tools: WorkerTools) -> TaskResult:
    """Whether the server is there and knows ETRN; nothing is asked for."""
    if not collector.use_etrn:
        return TaskResult(Outcome.OK, "Nothing to try: the provider calls by itself.")
    try:
        nodes = _nodes(collector.etrn_parameters, "ETRN")
        client = await _connect(collector, log, tools)
        await client.quit()
    except FAILURES as error:
        return TaskResult(Outcome.FAILED, str(error))
    if "ETRN" not in client.extensions:
        return TaskResult(Outcome.FAILED, "The server answers, but offers no ETRN.")
    return TaskResult(Outcome.OK, f"The server answers and offers ETRN; it will be asked for {', '.join(nodes)}.")


async def collect_odmr(collector: CollectorSettings, owner: str, log: TaskLog, tools: WorkerTools) -> TaskResult:
    """Log in, ATRN, and be the server on the same connection until the provider has sent everything."""
    event = CollectStarted(collector.id, collector.name)
    await tools.hooks.on_collect_started(event)
    try:
        return await _collect_odmr(collector, log, tools)
    except FAILURES as error:
        return TaskResult(Outcome.FAILED, str(error), isinstance(error, CannotConnect))
    finally:
        await tools.hooks.on_collect_ended(event)


async def check_odmr(collector: CollectorSettings, owner: str, log: TaskLog, tools: WorkerTools) -> TaskResult:
    """Connect and log in; nothing is asked for."""
    try:
        domains = split_nodes(collector.odmr_domains)
        client = await _connect(collector, log, tools)
        await client.quit()
    except FAILURES as error:
        return TaskResult(Outcome.FAILED, str(error))
    if "ATRN" not in client.extensions:
        return TaskResult(Outcome.FAILED, "The server answers and accepts the log-in, but offers no ATRN.")
    asked = ", ".join(domains) or "everything that it holds for this account"
    return TaskResult(Outcome.OK, f"Logged in. The server will be asked for {asked}.")


async def _collect_odmr(collector: CollectorSettings, log: TaskLog, tools: WorkerTools) -> TaskResult:
    domains = split_nodes(collector.odmr_domains)
    client = await _connect(collector, log, tools)
    try:
        if not await client.turn(domains):
            log.note("The server says that nothing is waiting.")
            await client.quit()
            return TaskResult(Outcome.OK)
        around = Surroundings(tools.snapshot, tools.store, tools.hooks, tools.offload, DatabaseAuthenticator())
        transcript = await serve_turned(client.stream, around, log.wire, log.advance)
    finally:
        client.close()
    if transcript.broken:
        text = f"The server broke off the connection after {transcript.count} messages; the rest is still there."
        return TaskResult(Outcome.PARTLY if transcript.count else Outcome.FAILED, text)
    return TaskResult(Outcome.OK)


async def _ask_by_etrn(collector: CollectorSettings, log: TaskLog, tools: WorkerTools) -> bool:
    """Whether anything may come."""
    nodes = _nodes(collector.etrn_parameters, "ETRN")
    client = await _connect(collector, log, tools)
    try:
        answers = [await client.request(node) for node in nodes]
        await client.quit()
    finally:
        client.close()
    return any(answers)


async def _connect(collector: CollectorSettings, log: TaskLog, tools: WorkerTools) -> FeedClient:
    """Connected, and logged in where a user name is given: for ETRN mostly none is. Raises one of FAILURES."""
    client = await FeedClient.connect(collector.server, tools.snapshot().hostname, log.wire)
    try:
        if collector.credentials.username:
            await client.login(collector.credentials, token_source(collector.credentials, tools.offload))
    except BaseException:
        client.close()
        raise
    return client


def _nodes(text: str, command: str) -> list[str]:
    nodes = split_nodes(text)
    if not nodes:
        raise FeedFailure(f"No domain is named for {command}: write it into the collector's settings.")
    return nodes


async def _await_feed(started: datetime, wait_seconds: int, log: TaskLog, tools: WorkerTools) -> None:
    """Until nobody sends any more, or nobody has begun in time: a provider without mail often does not call at all."""
    loop = asyncio.get_running_loop()
    begun = loop.time()
    quiet_since = begun
    arrived, patience = 0, float(wait_seconds)
    while True:
        live = _incoming(await tools.offload(list_sessions), started)
        count = await tools.offload(count_arrivals, started, Protocol.SMTP.value)
        if count > arrived:
            log.advance(count - arrived)
        if live or count > arrived:
            quiet_since, patience = loop.time(), SETTLE_SECONDS
        arrived = max(arrived, count)
        now = loop.time()
        if now - quiet_since >= patience or now - begun >= LONGEST_FEED_SECONDS + wait_seconds:
            return
        await asyncio.sleep(min(LOOK_SECONDS, max(0.0, patience - (now - quiet_since))))


def _incoming(sessions: Sequence[tuple[int, SessionBrief]], started: datetime) -> list[SessionBrief]:
    """SMTP sessions that began since, in which nobody has logged in."""
    return [
        brief
        for _, brief in sessions
        if brief.protocol == Protocol.SMTP.value and not brief.login and _began(brief) >= started.replace(microsecond=0)
    ]


def _began(brief: SessionBrief) -> datetime:
    return datetime.fromisoformat(brief.started)
