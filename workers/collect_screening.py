# SPDX-License-Identifier: MIT
"""Before a message is fetched: download rules, the size limit, scripts; and what happens to those that are not.

Spec connectors 4.6, 4.7 and 6. Rules come before the size limit, so that a rule can let a large message through.
"""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import replace
from typing import Self
from zoneinfo import ZoneInfo

from mailserver import clock, logs
from mailserver.addressing.resolve import Local
from mailserver.config.catalog import DEFAULT_DOMAIN, TIME_ZONE
from mailserver.config.snapshot import Snapshot
from mailserver.connectors.download_rules import DOWNLOAD, Action, Decision, Facts, Rule, decide
from mailserver.connectors.remembering import Listed, note_left
from mailserver.connectors.routing import Route, find_target, route
from mailserver.connectors.stored_rules import read_rules
from mailserver.connectors.values import CollectorSettings, TaskLog
from mailserver.errors import Kind, MailError
from mailserver.hooks.events import MessageListed
from mailserver.pipeline.collected import find_administrator, merge_deliveries
from mailserver.pipeline.collected_notice import Unfetched, build_deletion, build_question, format_size
from mailserver.pipeline.message import Delivery
from mailserver.store.interface import Unit
from workers.tools import WorkerTools

RULES_LOG = "dlrules"
"""Spec connectors 4.6, rule 7."""


class Screening:
    """For one session of one collector."""

    def __init__(
        self, collector: CollectorSettings, log: TaskLog, tools: WorkerTools, rules: tuple[Rule, ...] = ()
    ) -> None:
        self._collector = collector
        self._log = log
        self._tools = tools
        self._rules = rules

    @classmethod
    async def open(cls, collector: CollectorSettings, log: TaskLog, tools: WorkerTools) -> Self:
        """With the rules as they are now, where the collector uses them."""
        rules = await tools.offload(read_rules) if collector.use_download_rules else ()
        return cls(collector, log, tools, rules)

    @property
    def wants_sizes(self) -> bool:
        """Sizes must be known before anything is fetched."""
        return bool(self._collector.max_kilobytes or self._rules)

    def needs_header(self, listed: Listed) -> bool:
        """The header decides, or is needed to find out whom to ask."""
        return bool(self._rules) or self._is_too_big(listed)

    async def decide(self, listed: Listed, header: bytes = b"") -> Decision:
        """What to do with it. Without `needs_header` the header is not looked at."""
        decision = self._by_rules(listed, header) if self._rules else DOWNLOAD
        event = MessageListed(self._collector.id, listed.key, listed.size, header)
        opinion = await self._tools.hooks.on_message_listed(event)
        if opinion in set(Action):
            decision = replace(decision, action=Action(opinion), rule="a script")
        if decision.rule:
            detail = f"{self._collector.name}: {decision.rule}: {decision.action.value}: {listed.key}"
            logs.session(RULES_LOG, detail)
        elif self._is_too_big(listed):
            return Decision(Action.QUERY)
        return decision

    async def carry_out(self, listed: Listed, header: bytes, decision: Decision) -> bool:
        """For what is not fetched: ask, warn, or leave it. True when it is to be deleted at the provider now."""
        now = clock.now()
        if decision.action is Action.IGNORE:
            await self._tools.offload(note_left, self._collector.id, [listed], now)
            return False
        snapshot = self._tools.snapshot()
        domain = snapshot.get(DEFAULT_DOMAIN) or next(iter(snapshot.directory.domains), snapshot.hostname)
        message = Unfetched(listed.key, listed.size, header, self._reason(listed, decision))
        if decision.action.asks:
            to = self._concerned(header, decision, snapshot)
            token = secrets.token_hex(10)
            await self._submit(build_question(message, self._collector, to, domain, token, now))
            return False
        warned = self._concerned(header, decision, snapshot) if decision.action.warns else ()
        await self._submit(build_deletion(message, self._collector, warned, domain, now))
        return True

    # ------------------------------------------------------------ inside

    def _by_rules(self, listed: Listed, header: bytes) -> Decision:
        snapshot = self._tools.snapshot()
        found = route(header, self._collector.routing, snapshot)
        names = (d.target.user.name for d in found.deliveries if isinstance(d.target, Local))
        facts = Facts(
            header,
            listed.size,
            clock.now().astimezone(ZoneInfo(snapshot.get(TIME_ZONE))),
            self._collector.id,
            self._collector.name,
            tuple(names),
            len(found.deliveries),
            len(found.unknown),
        )
        return decide(self._rules, facts)

    def _is_too_big(self, listed: Listed) -> bool:
        limit = self._collector.max_kilobytes * 1024
        return bool(limit) and listed.size > limit

    def _reason(self, listed: Listed, decision: Decision) -> str:
        if decision.rule:
            return f'The download rule "{decision.rule}" says so.'
        limit = format_size(self._collector.max_kilobytes * 1024)
        return f"It has {format_size(listed.size)}; this collector fetches at most {limit} unasked."

    def _concerned(self, header: bytes, decision: Decision, snapshot: Snapshot) -> tuple[Delivery, ...]:
        """Whom to ask or to warn: the recipients, those that the rule names, or else the main administrator."""
        found: Route = route(header, self._collector.routing, snapshot)
        named = [find_target(target, snapshot) for target in decision.targets]
        more = tuple(delivery for delivery in named if delivery is not None)
        if decision.action.redirects and more:
            return more
        everybody = (*found.deliveries, *(more if decision.action.copies else ()))
        return merge_deliveries(everybody, ()) or (find_administrator(snapshot),)

    async def _submit(self, unit: Unit) -> None:
        try:
            await asyncio.wrap_future(self._tools.store.submit(unit))
        except MailError as error:
            if error.kind is not Kind.EXISTS:  # Asked, or done with, by a session whose end was never heard of.
                raise
