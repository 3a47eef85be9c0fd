# SPDX-License-Identifier: MIT
"""The order of the stages, and the loop check; filing is shown by the receptions in tests/unit/smtp."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from mailserver.config.snapshot import Snapshot
from mailserver.hooks.events import MessageReceived
from mailserver.hooks.interface import Hooks
from mailserver.mime.headers import HeaderSummary
from mailserver.pipeline.filing import RefusedMessage, build_refusal
from mailserver.pipeline.message import IncomingMessage, Origin, Refusal
from mailserver.pipeline.stages import run_pipeline
from mailserver.pipeline.verdict import ACCEPT, Refuse, Verdict
from mailserver.values import Address, Body, Client, Envelope, Protocol

MOMENT = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
ORIGIN = Origin("smtp", Client(Protocol.SMTP, 1, 1, "192.0.2.7", 40000), "client.example")


class Counting(Hooks):
    """Says yes, and counts how often it was asked."""

    def __init__(self) -> None:
        self.asked = 0

    async def on_message(self, event: MessageReceived) -> Verdict | None:
        self.asked += 1
        return None


def make_message(hops: int) -> IncomingMessage:
    body = Body(2, "", b"\r\n")
    return IncomingMessage("01X", MOMENT, ORIGIN, Envelope(None), (), body, b"", HeaderSummary({}, hops))


@pytest.mark.parametrize(("hops", "taken"), [(0, True), (30, True), (31, False)])
async def test_loop_is_refused_before_scripts_are_asked(hops: int, taken: bool) -> None:
    hooks = Counting()
    verdict = await run_pipeline(make_message(hops), Snapshot(), hooks)
    assert isinstance(verdict, Refuse) != taken
    assert hooks.asked == taken
    if taken:
        assert verdict is ACCEPT


def test_refusal_is_a_journey_and_nothing_else() -> None:
    refusals = (Refusal("bob@x", "550 no", MOMENT),)
    sender = Address("a", "b")
    refused = RefusedMessage("01X", MOMENT, ORIGIN, sender, refusals, HeaderSummary({"subject": "one"}), 7)
    unit = build_refusal(refused)
    assert (unit.filings, unit.work) == ((), ())
    (journey,), (step,) = unit.journeys, unit.steps
    assert (journey.sender, journey.subject, journey.size, journey.helo) == ("a@b", "one", 7, "client.example")
    assert (step.kind.value, step.recipient, step.detail) == ("refused", "bob@x", "550 no")
