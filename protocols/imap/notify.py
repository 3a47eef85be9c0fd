# SPDX-License-Identifier: MIT
"""What NOTIFY watches: mailboxes and the events in them.

RFC 5465 §3 to §6 and §8. Pure.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from protocols.imap.fetch_items import FetchItem, parse_fetch_items
from protocols.imap.lexer import GrammarError, Lexer

MAX_EVENT_GROUPS = 100
"""Groups in one NOTIFY; each may name many mailboxes."""


class Watch(enum.Enum):
    """RFC 5465 §6: which mailboxes a group is about."""

    SELECTED = "SELECTED"
    SELECTED_DELAYED = "SELECTED-DELAYED"
    INBOXES = "INBOXES"
    PERSONAL = "PERSONAL"
    SUBSCRIBED = "SUBSCRIBED"
    SUBTREE = "SUBTREE"
    MAILBOXES = "MAILBOXES"

    @property
    def is_selected(self) -> bool:
        return self in (Watch.SELECTED, Watch.SELECTED_DELAYED)


class Event(enum.Enum):
    """RFC 5465 §5."""

    MESSAGE_NEW = "MESSAGENEW"
    MESSAGE_EXPUNGE = "MESSAGEEXPUNGE"
    FLAG_CHANGE = "FLAGCHANGE"
    MAILBOX_NAME = "MAILBOXNAME"
    SUBSCRIPTION_CHANGE = "SUBSCRIPTIONCHANGE"
    MAILBOX_METADATA_CHANGE = "MAILBOXMETADATACHANGE"
    SERVER_METADATA_CHANGE = "SERVERMETADATACHANGE"


OFFERED_EVENTS = (
    "MessageNew", "MessageExpunge", "FlagChange", "MailboxName", "SubscriptionChange", "MailboxMetadataChange",
    "ServerMetadataChange",
)  # fmt: skip
_MESSAGE_EVENTS = {Event.MESSAGE_NEW, Event.MESSAGE_EXPUNGE, Event.FLAG_CHANGE}


@dataclass(frozen=True, slots=True)
class EventGroup:
    """`events` is empty for NONE; `items` is what to fetch of each new message (RFC 5465 §5.2)."""

    watch: Watch
    mailboxes: tuple[str, ...] = ()
    events: frozenset[Event] = frozenset()
    items: tuple[FetchItem, ...] = ()


def parse_event_groups(lexer: Lexer) -> tuple[EventGroup, ...]:
    """RFC 5465 §8: event-group *(SP event-group)."""
    groups = [_parse_group(lexer)]
    while not lexer.at_end() and len(groups) < MAX_EVENT_GROUPS:
        lexer.space()
        groups.append(_parse_group(lexer))
    if sum(group.watch.is_selected for group in groups) > 1:
        raise GrammarError("SELECTED may stand once")
    return tuple(groups)


def _parse_group(lexer: Lexer) -> EventGroup:
    lexer.expect(b"(")
    word = lexer.label().replace("-", "_")
    if word not in Watch.__members__:
        raise GrammarError("unknown mailbox filter")
    watch = Watch[word]
    mailboxes: tuple[str, ...] = ()
    if watch in (Watch.SUBTREE, Watch.MAILBOXES):
        lexer.space()
        mailboxes = lexer.list_of(lexer.mailbox) if lexer.peek() == b"(" else (lexer.mailbox(),)
    lexer.space()
    events, items = _parse_events(lexer)
    lexer.expect(b")")
    _check_events(watch, events)
    return EventGroup(watch, mailboxes, events, items)


def _parse_events(lexer: Lexer) -> tuple[frozenset[Event], tuple[FetchItem, ...]]:
    if lexer.peek() != b"(":
        if lexer.label() != "NONE":
            raise GrammarError("expected events or NONE")
        return frozenset(), ()
    items: tuple[FetchItem, ...] = ()

    def event() -> Event:
        nonlocal items
        word = lexer.label()
        if word not in Event._value2member_map_:
            # RFC 5465 §3.1: events that are not offered are answered with BADEVENT.
            raise GrammarError("unknown event", code=f"BADEVENT ({' '.join(OFFERED_EVENTS)})", no=True)
        if word == Event.MESSAGE_NEW.value and lexer.take(b" ("):
            lexer.position -= 1
            items = parse_fetch_items(lexer)
        return Event(word)

    return frozenset(lexer.list_of(event)), items


def _check_events(watch: Watch, events: frozenset[Event]) -> None:
    """RFC 5465 §6.1: SELECTED is for messages only; §5: new and expunged go together, and flags need both."""
    if watch.is_selected and not events <= _MESSAGE_EVENTS:
        raise GrammarError("SELECTED takes message events only")
    new_and_gone = {Event.MESSAGE_NEW, Event.MESSAGE_EXPUNGE}
    asked = events & _MESSAGE_EVENTS
    if asked and not new_and_gone <= asked:
        raise GrammarError("MessageNew and MessageExpunge go together, and FlagChange needs both")
