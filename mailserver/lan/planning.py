# SPDX-License-Identifier: MIT
"""What scripts say of LAN forwarding: other rules for a recipient, another return path. Spec senders 10.4."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from mailserver.addressing.resolve import Lan, Local, Target, Unknown, resolve
from mailserver.config.snapshot import Snapshot
from mailserver.connectors import sealing
from mailserver.connectors.values import CollectMethod
from mailserver.hooks.events import LanQueued, LanRulesAsked, LanRuleView
from mailserver.hooks.interface import Hooks
from mailserver.lan.matching import NO_RULE, LanRule
from mailserver.mime.mailboxes import find_address
from mailserver.pipeline.message import Delivery, IncomingMessage
from mailserver.values import Address, Protocol

FROM_OUTSIDE = frozenset((Protocol.SMTP.value, *CollectMethod))
"""Sources of mail that this server has not made itself."""
BY_SMTP = -1
"""The number of the collector of mail that no collector fetched."""


async def ask_rules(
    address: Address,
    snapshot: Snapshot,
    hooks: Hooks,
    reverse_path: Address | None,
    *,
    check: bool,
    internal: bool = False,
    collector: int = BY_SMTP,
) -> Target:
    """Where the address goes when scripts have looked at the rules."""
    collected = collector != BY_SMTP
    target = resolve(address, snapshot, collected=collected)
    if isinstance(target, Local):
        return target
    views = tuple(view for rule in snapshot.lan_rules for view in _views(rule))
    changed = await hooks.on_lan_rules(LanRulesAsked(reverse_path, address, check, internal, collector, views))
    if changed is None:
        return target
    return resolve(address, replace(snapshot, lan_rules=_rules(changed)), collected=collected)


async def plan_lan(message: IncomingMessage, snapshot: Snapshot, hooks: Hooks) -> IncomingMessage:
    """The message with what scripts make of its recipients in our own network."""
    if not any(isinstance(delivery.target, Lan) for delivery in message.deliveries):
        return message
    deliveries = [await _plan(delivery, message, snapshot, hooks) for delivery in message.deliveries]
    return replace(message, deliveries=tuple(deliveries))


async def _plan(delivery: Delivery, message: IncomingMessage, snapshot: Snapshot, hooks: Hooks) -> Delivery:
    if not isinstance(delivery.target, Lan):
        return delivery
    if delivery.target.rule.id == NO_RULE:
        return replace(delivery, target=_sealed(delivery.target))
    address, path = delivery.recipient.address, message.envelope.reverse_path
    origin = message.origin
    internal = origin.source not in FROM_OUTSIDE
    collector = BY_SMTP if origin.collector_id is None else origin.collector_id
    target = await ask_rules(address, snapshot, hooks, path, check=False, internal=internal, collector=collector)
    if isinstance(target, Unknown):
        return delivery
    if not isinstance(target, Lan):
        return replace(delivery, target=target)
    rule = target.rule
    event = LanQueued(path, address, target.address, collector, _named(rule), rule.id, rule.comment, rule.extra)
    answer = await hooks.on_lan_queued(event)
    if answer is not None and (found := find_address(answer)) is not None:
        target = replace(target, return_path=found)
    return replace(delivery, target=target)


def _sealed(target: Lan) -> Lan:
    """Passwords lie in the queue sealed."""
    rule = target.rule
    secret = sealing.seal(rule.password, sealing.LAN_PASSWORD)
    return replace(target, rule=replace(rule, secret=secret, password=""))


def _views(rule: LanRule) -> list[LanRuleView]:
    password = sealing.unseal(rule.secret, sealing.LAN_PASSWORD)
    return [
        LanRuleView(rule.id, pattern, rule.server, rule.login, password, rule.rewrite, rule.comment, rule.extra)
        for pattern in rule.addresses
    ]


def _rules(views: Sequence[LanRuleView]) -> tuple[LanRule, ...]:
    return tuple(
        LanRule(
            view.id,
            (view.in_address,),
            view.server,
            view.username,
            sealing.seal(view.password, sealing.LAN_PASSWORD),
            view.out_address,
            comment=view.comment,
            extra=view.extra,
        )
        for view in views
    )


def _named(rule: LanRule) -> str:
    """Spec senders 10.4: `server:port`, with the user in front where there is one; a password is not shown about."""
    return f"{rule.login}@{rule.server}" if rule.login else rule.server
