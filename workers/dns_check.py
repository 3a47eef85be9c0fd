# SPDX-License-Identifier: MIT
"""The test of the DNS servers that the settings name: each of them is asked, by itself. Spec senders 9."""

from __future__ import annotations

import asyncio

from mailserver.connectors.values import Outcome, TaskLog, TaskResult
from protocols.net.dns import Resolver
from protocols.net.dns_check import Answered, try_resolver
from workers.sending.sessions import RESOLVERS
from workers.tools import WorkerTools

NO_SERVERS = "This machine has no DNS servers configured, and none are named in the settings."


async def check_dns(name: str, log: TaskLog, tools: WorkerTools) -> TaskResult:
    """Mail servers and addresses of this name, as each server tells them."""
    servers = RESOLVERS.get(tools.snapshot()).servers
    if not servers:
        return TaskResult(Outcome.FAILED, NO_SERVERS)
    tried = await asyncio.gather(*(try_resolver(Resolver([server]), name) for server in servers))
    good = 0
    for server, answers in zip(servers, tried, strict=True):
        log.wire(f"DNS server {server}")
        for answer in answers:
            log.wire(f"  {answer}")
        good += all(answer.ok for answer in answers)
        log.note(f"DNS server {server}: {_summarise(answers)}")
    if good == len(servers):
        return TaskResult(Outcome.OK)
    if good:
        return TaskResult(Outcome.PARTLY, "Not every DNS server answers as it should.")
    return TaskResult(Outcome.FAILED, "No DNS server answers as it should.")


def _summarise(answers: tuple[Answered, ...]) -> str:
    wrong = sum(not answer.ok for answer in answers)
    if wrong:
        return f"{wrong} of {len(answers)} answers are not as they should be."
    return f"answers as it should, within {max(answer.milliseconds for answer in answers)} ms."
