# SPDX-License-Identifier: MIT
"""The page 'Where is my mail?': find a message by any words, and see all that happened to it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.http import Http404, HttpRequest

from admin_ui.pages import Page
from mailserver.config.catalog import JOURNEY_KEEP_DAYS
from mailserver.config.stored import get_setting
from mailserver.journey.records import JourneyStep, JourneyStepRecord
from mailserver.journey.services import SEARCH_LIMIT, FoundJourney, find_journey, search

SOURCE_WORDS: dict[str, str] = {
    "smtp": "by SMTP",
    "pop3": "collected from a POP3 server",
    "imap": "collected from an IMAP server",
    "odmr": "collected by ODMR",
    "console": "written by this console",
    "notice": "written by this server to tell of a problem",
    "question": "written by this server to ask whether a message is wanted",
    "welcome": "written by this server to greet a new user",
    "report": "written by this server about another message",
}
"""Where a message came from, in words."""

STEP_WORDS: dict[JourneyStep, tuple[str, str]] = {
    JourneyStep.ACCEPTED: ("ok", "Accepted by this server"),
    JourneyStep.REFUSED: ("bad", "Refused"),
    JourneyStep.QUEUED: ("wait", "Waiting in the outgoing queue"),
    JourneyStep.SENT: ("ok", "Sent"),
    JourneyStep.DEFERRED: ("wait", "Could not be sent yet"),
    JourneyStep.BOUNCED: ("bad", "Could not be sent"),
    JourneyStep.HELD: ("off", "Held back by an administrator"),
    JourneyStep.REPORTED: ("note", "The sender was told"),
    JourneyStep.RELEASED: ("wait", "Released"),
    JourneyStep.FILED: ("ok", "Put into a mailbox"),
    JourneyStep.FETCHED: ("done", "Collected by a mail program"),
    JourneyStep.DELETED: ("off", "Deleted"),
    JourneyStep.ANSWERED: ("done", "Understood by this server"),
    JourneyStep.RULE: ("off", "A download rule decided"),
    JourneyStep.UNROUTED: ("bad", "No recipient found"),
    JourneyStep.DROPPED: ("off", "Not put into a mailbox"),
}
"""How each step is coloured and called on screen."""


@dataclass(frozen=True, slots=True)
class ShownStep:
    """A step in words."""

    at: datetime
    tone: str
    title: str
    recipient: str
    detail: str


@dataclass(frozen=True, slots=True)
class ShownJourney:
    """A journey in the list: who wrote to whom, and how far it has come."""

    found: FoundJourney
    tone: str
    state: str

    @property
    def recipients(self) -> str:
        """The first recipients by name, the rest by number."""
        shown, rest = self.found.recipients[:3], len(self.found.recipients) - 3
        return ", ".join(shown) + (f" and {rest} more" if rest > 0 else "")


def journeys_page(request: HttpRequest) -> Page:
    """The search, and what it found; without words the newest messages."""
    words = request.GET.get("q", "").strip()
    found = [_shown(journey) for journey in search(words)]
    context = {
        "words": words,
        "found": found,
        "limit": SEARCH_LIMIT,
        "is_cut": len(found) == SEARCH_LIMIT,
        "keep_days": get_setting(JOURNEY_KEEP_DAYS),
    }
    return Page("console/journeys.html", "Where is my mail?", context)


def journey_page(request: HttpRequest, ref: str) -> Page:
    """One message's timeline."""
    found = find_journey(ref)
    if found is None:
        raise Http404("There is no message with this number, or its record has been cleaned away.")
    context = {
        "journey": found,
        "steps": [_step(step) for step in found.steps],
        "source": SOURCE_WORDS.get(found.record.source, f"by {found.record.source}"),
    }
    return Page("console/journey.html", found.record.subject or "Message", context)


def _shown(found: FoundJourney) -> ShownJourney:
    if not found.steps:
        return ShownJourney(found, "wait", "Under way")
    refused = sum(step.kind is JourneyStep.REFUSED for step in found.steps)
    last = found.steps[-1]
    if refused and last.kind is not JourneyStep.REFUSED:
        return ShownJourney(found, "wait", "Refused in part")
    return ShownJourney(found, *STEP_WORDS[last.kind])


def _step(step: JourneyStepRecord) -> ShownStep:
    tone, title = STEP_WORDS[step.kind]
    return ShownStep(step.at, tone, title, step.recipient, step.detail)
