# SPDX-License-Identifier: MIT
"""A collected message on its way in: stages, routing, download rules, scripts, routing errors; then the unit.

Spec connectors 4.4, 4.5, 4.8, 4.11 and 6. Nobody can be told that it was refused, so nothing is: what the stages will
not have, and what is for nobody here, goes where the collector's routing errors say.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from datetime import datetime

from mailserver.addressing.resolve import POSTMASTER, Answer, Local, Unknown, resolve
from mailserver.config.snapshot import Snapshot
from mailserver.connectors.download_rules import DOWNLOAD, Decision
from mailserver.connectors.routing import Route, deliver_to, find_target, route
from mailserver.connectors.values import CollectorSettings, Routing
from mailserver.errors import Kind, MailError
from mailserver.hooks.events import CollectVerdict, MessageCollected
from mailserver.hooks.interface import Hooks
from mailserver.journey.records import JourneyStep, JourneyStepRecord, next_ref
from mailserver.mime.headers import HeaderSummary, summarise
from mailserver.mime.mailboxes import list_fields
from mailserver.pipeline.collected_text import CollectedText
from mailserver.pipeline.filing import build_unit
from mailserver.pipeline.message import Delivery, IncomingMessage, Origin
from mailserver.pipeline.queueing import plan_queueing
from mailserver.pipeline.stages import COLLECTED_STAGES, run_pipeline
from mailserver.pipeline.verdict import Refuse
from mailserver.store.interface import Collected, SeenDigest, Unit
from mailserver.values import Address, Client, Envelope, Protocol, Recipient, UserId


@dataclass(frozen=True, slots=True)
class Provider:
    """The server that the mail is fetched from, as trace lines and journeys name it."""

    protocol: Protocol
    host: str
    address: str
    port: int
    tls: str = ""


@dataclass(frozen=True, slots=True)
class Fetched:
    """A message as it came. `key` is what the collector remembers it by, `size` what the provider said it has."""

    key: str
    text: CollectedText
    size: int
    received: datetime
    decision: Decision = DOWNLOAD


@dataclass(frozen=True, slots=True)
class Report:
    """A notice to write about a message that nobody gets: to somebody here, or back to its sender."""

    to: Delivery
    problem: str
    bounce: bool = False
    unknown: tuple[Address, ...] = ()
    """Accepted addresses behind which nobody is."""


@dataclass(frozen=True, slots=True)
class Placed:
    """Where a message goes, before anybody has looked for duplicates.

    `delete` is what a script or the rule wants of the copy at the provider, None for what the collector's settings say;
    `problem` is why it was for nobody here.
    """

    fetched: Fetched
    message: IncomingMessage
    steps: tuple[JourneyStepRecord, ...] = ()
    problem: str = ""
    report: Report | None = None
    delete: bool | None = None
    digest: str = ""
    """What the message is known by to the memory for duplicates."""

    @property
    def users(self) -> tuple[UserId, ...]:
        """Who gets it here, if no duplicate is found."""
        return tuple(d.target.user.id for d in self.message.deliveries if isinstance(d.target, Local))


def message_digest(summary: HeaderSummary) -> str:
    """What a message is known by to the memory for duplicates; empty for one without Message-ID (spec 4.8)."""
    message_id = summary.fields.get("message-id", "").strip()
    return hashlib.sha256(message_id.encode("utf-8", "replace")).hexdigest() if message_id else ""


@dataclass(frozen=True, slots=True)
class Source:
    """Where a session's messages come from, made once: with and without a Return-Path of the provider's."""

    collector: CollectorSettings
    origin: Origin
    without_return_path: Origin


def make_source(collector: CollectorSettings, provider: Provider) -> Source:
    """What all messages of a session have in common."""
    client = Client(
        provider.protocol, 0, 0, provider.address, provider.port, encrypted=bool(provider.tls), tls=provider.tls
    )
    origin = Origin(
        source=collector.method.value,
        client=client,
        helo=provider.host,
        keyword=collector.method.value.upper(),
        collector=collector.name,
        collector_id=collector.id,
    )
    return Source(collector, origin, replace(origin, return_path_known=False))


async def place(fetched: Fetched, source: Source, snapshot: Snapshot, hooks: Hooks) -> Placed:
    """Decide who gets the message. Asks no database: duplicates are the caller's to look up."""
    placed = await _place(fetched, source, snapshot, hooks)
    message = await plan_queueing(placed.message, snapshot, hooks)
    return placed if message is placed.message else replace(placed, message=message)


async def _place(fetched: Fetched, source: Source, snapshot: Snapshot, hooks: Hooks) -> Placed:
    collector = source.collector
    message = _make_message(fetched, source)
    digest = message_digest(message.summary)
    verdict = await run_pipeline(message, snapshot, hooks, COLLECTED_STAGES)
    if isinstance(verdict, Refuse):
        return _with_errors(
            Placed(fetched, message, problem=f"{verdict.text}.", digest=digest), collector.routing, (), snapshot
        )
    found = _apply_rule(route(message.header, collector.routing, snapshot), fetched.decision, snapshot)
    placed = Placed(fetched, replace(message, deliveries=found.deliveries), problem=found.problem, digest=digest)
    event = MessageCollected(
        collector.id,
        fetched.key,
        fetched.text.reverse_path,
        message.summary.fields.get("subject", ""),
        tuple(delivery.recipient.address for delivery in found.deliveries),
        message.header,
        message.body.size,
    )
    opinion = await hooks.on_message_collected(event)
    if opinion is not None:
        placed = _heed(placed, opinion, snapshot)
        if opinion.ignore:
            return placed
    steps = (*placed.steps, *_rule_steps(placed), *_unknown_steps(placed, found))
    if steps or placed.problem:
        placed = replace(placed, steps=steps, problem="" if placed.message.deliveries else placed.problem)
    if placed.message.deliveries:
        return placed
    return _with_errors(placed, collector.routing, found.unknown, snapshot)


def build_collected_unit(
    placed: Placed, collector: CollectorSettings, hostname: str, seen: Collection[tuple[UserId, str]]
) -> Unit:
    """All that one message comes to: entries, queue rows, journey, what the collector remembers, and for whom its
    Message-ID is known from now on. Whoever is in `seen` with it has it already and gets no second copy."""
    message, digest = placed.message, placed.digest if collector.detect_duplicates else ""
    again = [] if placed.problem else [d for d in message.deliveries if _is_again(d, digest, seen)]
    kept = message.deliveries
    if again:
        kept = tuple(delivery for delivery in kept if delivery not in again)
        message = replace(message, deliveries=kept)
    unit = build_unit(message, hostname)
    dropped = (
        JourneyStepRecord(
            message.ref,
            message.received,
            JourneyStep.DROPPED,
            str(delivery.recipient.address),
            "Already there: a message with the same Message-ID was collected before",
        )
        for delivery in again
    )
    users = {delivery.target.user.id for delivery in kept if isinstance(delivery.target, Local)}
    return replace(
        unit,
        steps=(*unit.steps, *placed.steps, *dropped),
        collected=(_memory(placed, collector),),
        seen=tuple(SeenDigest(user, digest) for user in sorted(users)) if digest and not placed.problem else (),
    )


def _memory(placed: Placed, collector: CollectorSettings) -> Collected:
    wanted = placed.delete
    if wanted is None and placed.fetched.decision.action.deletes:
        wanted = True
    afterwards = "" if wanted is None else "delete" if wanted else "keep"
    return Collected(
        collector.id, placed.fetched.key, placed.message.ref, placed.fetched.size, afterwards, digest=placed.digest
    )


def _is_again(delivery: Delivery, digest: str, seen: Collection[tuple[UserId, str]]) -> bool:
    return bool(digest) and isinstance(delivery.target, Local) and (delivery.target.user.id, digest) in seen


def _make_message(fetched: Fetched, source: Source) -> IncomingMessage:
    text = fetched.text
    return IncomingMessage(
        ref=next_ref(),
        received=fetched.received,
        origin=source.origin if text.return_path_known else source.without_return_path,
        envelope=Envelope(text.reverse_path, eight_bit=True),
        deliveries=(),
        body=text.body,
        header=text.header,
        summary=summarise(text.header),
    )


def _apply_rule(found: Route, decision: Decision, snapshot: Snapshot) -> Route:
    """Redirect and copy. A rule whose targets do not exist redirects nothing: the message must get somewhere."""
    if not (decision.action.copies or decision.action.redirects):
        return found
    named = [find_target(target, snapshot) for target in decision.targets]
    deliveries = tuple(delivery for delivery in named if delivery is not None)
    if decision.action.redirects:
        return replace(found, deliveries=deliveries, problem="") if deliveries else found
    return replace(found, deliveries=merge_deliveries(found.deliveries, deliveries))


def merge_deliveries(first: Iterable[Delivery], more: Iterable[Delivery]) -> tuple[Delivery, ...]:
    """Each once."""
    merged: dict[object, Delivery] = {}
    for delivery in (*first, *more):
        target = delivery.target
        merged.setdefault(target.user.id if isinstance(target, Local) else delivery.recipient.address, delivery)
    return tuple(merged.values())


def _heed(placed: Placed, opinion: CollectVerdict, snapshot: Snapshot) -> Placed:
    """What a script wants (spec 4.11, ProcessMessage)."""
    message = placed.message
    if opinion.ignore:
        step = _step(message, JourneyStep.DROPPED, opinion.reason or "A script said that nobody gets it")
        empty = replace(message, deliveries=())
        return replace(placed, message=empty, steps=(*placed.steps, step), problem="", delete=opinion.delete)
    named = (find_target(text, snapshot) for text in opinion.recipients)
    more = [delivery for delivery in named if delivery is not None]
    first = message.deliveries if opinion.to_original_recipients else ()
    steps = (*placed.steps, _step(message, JourneyStep.DROPPED, opinion.reason)) if opinion.reason else placed.steps
    return replace(
        placed,
        message=replace(message, deliveries=merge_deliveries(first, more)),
        steps=steps,
        problem=placed.problem or "A script left no recipient.",
        delete=opinion.delete,
    )


def _rule_steps(placed: Placed) -> tuple[JourneyStepRecord, ...]:
    rule = placed.fetched.decision.rule
    if not rule:
        return ()
    return (_step(placed.message, JourneyStep.RULE, f"{rule} ({placed.fetched.decision.action.value})"),)


def _unknown_steps(placed: Placed, found: Route) -> Iterable[JourneyStepRecord]:
    """Accepted addresses behind which nobody is, where others got the message (spec 4.4, item 6)."""
    if placed.message.deliveries:
        for address in found.unknown[:20]:
            yield replace(
                _step(placed.message, JourneyStep.UNROUTED, "Nobody here has this address"), recipient=str(address)
            )


def _step(message: IncomingMessage, kind: JourneyStep, detail: str) -> JourneyStepRecord:
    return JourneyStepRecord(message.ref, message.received, kind, "", detail)


# ---------------------------------------------------------------- routing errors


def _with_errors(placed: Placed, routing: Routing, unknown: tuple[Address, ...], snapshot: Snapshot) -> Placed:
    """Spec connectors 4.5. Whoever shall get it and does not exist is replaced by the main administrator."""
    message = placed.message
    problem = placed.problem or "Nobody here is named in its header."
    placed = replace(placed, problem=problem)
    action = routing.errors_action
    if action == "remote":
        step = _step(
            message, JourneyStep.DROPPED, f"For another site, as the collector's routing errors say. {problem}"
        )
        return replace(placed, steps=(*placed.steps, step), delete=False)
    named = find_target(routing.errors_to, snapshot) if action in ("error-to", "message-to") else None
    target = named or find_administrator(snapshot)
    placed = replace(placed, steps=(*placed.steps, _step(message, JourneyStep.UNROUTED, problem)))
    sender = _find_sender(message, snapshot) if action == "bounce" else None
    if sender is not None:
        return replace(placed, report=Report(sender, problem, bounce=True, unknown=unknown))
    if action in ("message-to", "message-to-admin"):
        return replace(placed, message=replace(message, deliveries=(target,)))
    return replace(placed, report=Report(target, problem))


def find_administrator(snapshot: Snapshot) -> Delivery:
    """Who gets what nobody else gets: the main administrator. Raises NOT_FOUND where there is no user at all."""
    target = resolve(Address(POSTMASTER, ""), snapshot)
    if not isinstance(target, Local):
        raise MailError(Kind.NOT_FOUND, "there is no user who could get the message")
    return deliver_to(target.user)


def _find_sender(message: IncomingMessage, snapshot: Snapshot) -> Delivery | None:
    """Where a failure may be reported: never to a null path, nor for list, bulk, automatic or spam mail (spec 4.5)."""
    reverse_path = message.envelope.reverse_path
    if reverse_path is None or any(
        pattern.match(value) for name, value in list_fields(message.header, _NO_BOUNCE) if (pattern := _NO_BOUNCE[name])
    ):
        return None
    target = resolve(reverse_path, snapshot)
    return None if isinstance(target, Unknown | Answer) else Delivery(Recipient(reverse_path), target)


_NO_BOUNCE: dict[str, re.Pattern[str]] = {
    "list-id": re.compile(""),
    "list-unsubscribe": re.compile(""),
    "precedence": re.compile(r"\s*(bulk|list|junk)", re.IGNORECASE),
    "auto-submitted": re.compile(r"\s*(?!no\b)", re.IGNORECASE),  # RFC 3834 §5
    "x-spam-flag": re.compile(r"\s*yes", re.IGNORECASE),
}
"""Fields by which a message shows that nobody wants to hear of its fate, and the values that mean it."""
