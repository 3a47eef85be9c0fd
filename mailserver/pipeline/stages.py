# SPDX-License-Identifier: MIT
"""What happens to an incoming message between its last byte and its filing: the stages, in order.

Each stage is a coroutine that gives a verdict; the first one that does not accept decides. Spec smtp-server 6.5,
step 11.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from mailserver.config.catalog import MAX_HOPS
from mailserver.config.snapshot import Snapshot
from mailserver.hooks.events import MessageReceived
from mailserver.hooks.interface import Hooks
from mailserver.pipeline.message import IncomingMessage
from mailserver.pipeline.verdict import ACCEPT, Accept, Refuse, Verdict

Stage = Callable[[IncomingMessage, Snapshot, Hooks], Awaitable[Verdict]]


async def check_hops(message: IncomingMessage, snapshot: Snapshot, hooks: Hooks) -> Verdict:
    """RFC 5321 §6.3: a message that has been everywhere already is going round in circles."""
    if message.summary.received_count > snapshot.get(MAX_HOPS):
        return Refuse(554, "5.4.6", "Routing loop detected: too many Received lines")
    return ACCEPT


async def ask_scripts(message: IncomingMessage, snapshot: Snapshot, hooks: Hooks) -> Verdict:
    """The administrator has the last word."""
    origin = message.origin
    event = MessageReceived(
        origin.client, origin.login, origin.helo, message.envelope, message.header, message.body.size
    )
    return await hooks.on_message(event) or ACCEPT


STAGES: tuple[Stage, ...] = (check_hops, ask_scripts)
"""Authentication checks, spam, viruses, attachments and rules come in between, in that order."""


COLLECTED_STAGES: tuple[Stage, ...] = STAGES[:-1]
"""For what Collectors fetch: scripts of theirs are asked after routing (spec connectors 4.11)."""


async def run_pipeline(
    message: IncomingMessage, snapshot: Snapshot, hooks: Hooks, stages: tuple[Stage, ...] = STAGES
) -> Verdict:
    """The verdict on the message."""
    for stage in stages:
        verdict = await stage(message, snapshot, hooks)
        if not isinstance(verdict, Accept):
            return verdict
    return ACCEPT
