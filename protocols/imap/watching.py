# SPDX-License-Identifier: MIT
"""What a NOTIFY client is told about mailboxes that it has not selected: which are watched, and what has changed.

RFC 5465 §4 to §6. Pure: compares two pictures of the user's folders. Changes that the client made itself are told like
any others, which costs it nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from mailserver.store.folders import Folder
from mailserver.store.interface import MailboxCounts
from mailserver.store.names import INBOX, is_below
from mailserver.values import MailboxId, UserId
from protocols.imap import untagged
from protocols.imap.arguments import StatusItem
from protocols.imap.notify import Event, EventGroup, Watch
from protocols.imap.untagged import ListedMailbox

MESSAGE_EVENTS = frozenset({Event.MESSAGE_NEW, Event.MESSAGE_EXPUNGE, Event.FLAG_CHANGE})


@dataclass(frozen=True, slots=True)
class Picture:
    """The folders of a user at one moment, as far as they are watched."""

    folders: Mapping[MailboxId, Folder] = field(default_factory=dict)
    counts: Mapping[MailboxId, MailboxCounts] = field(default_factory=dict)
    subscriptions: frozenset[str] = frozenset()
    annotations: Mapping[MailboxId | None, Mapping[str, bytes]] = field(default_factory=dict)
    """Of the server under None."""


@dataclass(frozen=True, slots=True)
class Listener:
    """Who is told."""

    user: UserId
    groups: tuple[EventGroup, ...]
    utf8: bool = False
    modseq: bool = False
    """HIGHESTMODSEQ is told as well (RFC 5465 §5.3)."""

    def events_of(self, folder: Folder, subscriptions: frozenset[str]) -> frozenset[Event]:
        """The first group that names the mailbox counts; only who may read it hears of its messages."""
        events = self.events_named(folder.shown_name, subscriptions, own=folder.owner == self.user)
        return events if "r" in folder.rights else events - MESSAGE_EVENTS

    def events_named(self, name: str, subscriptions: frozenset[str], *, own: bool) -> frozenset[Event]:
        for group in self.groups:
            if _concerns(group, name, subscriptions, own):
                return group.events
        return frozenset()

    def wants(self, event: Event) -> bool:
        return any(event in group.events for group in self.groups)

    @property
    def selected_group(self) -> EventGroup | None:
        """What it wants to know of the selected mailbox."""
        return next((group for group in self.groups if group.watch.is_selected), None)


def _concerns(group: EventGroup, name: str, subscriptions: frozenset[str], own: bool) -> bool:
    match group.watch:
        case Watch.INBOXES:
            return own and name == INBOX
        case Watch.PERSONAL:
            return own
        case Watch.SUBSCRIBED:
            return name in subscriptions
        case Watch.SUBTREE:
            return any(name == top or is_below(name, top) for top in group.mailboxes)
        case Watch.MAILBOXES:
            return name in group.mailboxes
    return False


def watched_mailboxes(picture: Picture, listener: Listener) -> dict[MailboxId, frozenset[Event]]:
    """The mailboxes whose messages are watched."""
    found = {
        mailbox: listener.events_of(folder, picture.subscriptions) & MESSAGE_EVENTS
        for mailbox, folder in picture.folders.items()
    }
    return {mailbox: events for mailbox, events in found.items() if events}


def describe_all(picture: Picture, listener: Listener, selected: MailboxId | None) -> bytes:
    """The figures that NOTIFY SET STATUS asks for (RFC 5465 §4)."""
    watched = watched_mailboxes(picture, listener)
    return b"".join(
        _status(picture, mailbox, listener, flags=True)
        for mailbox in watched
        if mailbox != selected and mailbox in picture.counts
    )


def describe_changes(old: Picture, new: Picture, listener: Listener, selected: MailboxId | None) -> bytes:
    """What the client is told; the selected mailbox's messages are told elsewhere (RFC 5465 §6.1)."""
    lines = [*_names(old, new, listener), *_subscriptions(old, new, listener), *_annotations(old, new, listener)]
    for mailbox, events in watched_mailboxes(new, listener).items():
        if mailbox != selected:
            lines.append(_messages(old, new, mailbox, events, listener))
    return b"".join(lines)


def _messages(old: Picture, new: Picture, mailbox: MailboxId, events: frozenset[Event], listener: Listener) -> bytes:
    before, after = old.folders.get(mailbox), new.folders[mailbox].mailbox
    if before is None or mailbox not in new.counts:
        return b""
    past, present = old.counts.get(mailbox), new.counts[mailbox]
    came_or_went = before.mailbox.uid_next != after.uid_next or (past and past.messages != present.messages)
    flags = Event.FLAG_CHANGE in events and before.mailbox.modseq != after.modseq
    if not came_or_went and not flags:
        return b""
    return _status(new, mailbox, listener, flags=Event.FLAG_CHANGE in events)


def _status(picture: Picture, mailbox: MailboxId, listener: Listener, *, flags: bool) -> bytes:
    """RFC 5465 §5.1 to §5.3."""
    folder, counts = picture.folders[mailbox], picture.counts[mailbox]
    figures: dict[StatusItem, int | str | None] = {
        StatusItem.MESSAGES: counts.messages,
        StatusItem.UIDNEXT: folder.mailbox.uid_next,
        StatusItem.UIDVALIDITY: folder.mailbox.uid_validity,
    }
    if flags:
        figures[StatusItem.UNSEEN] = counts.unseen
    if listener.modseq:
        figures[StatusItem.HIGHESTMODSEQ] = max(folder.mailbox.modseq, 1)
    return untagged.status(folder.shown_name, figures, utf8=listener.utf8)


def _names(old: Picture, new: Picture, listener: Listener) -> Iterator[bytes]:
    """RFC 5465 §5.4: created, deleted and renamed mailboxes, and those whose rights came or went."""
    for mailbox in old.folders.keys() - new.folders.keys():
        folder = old.folders[mailbox]
        if Event.MAILBOX_NAME in listener.events_of(folder, old.subscriptions):
            yield _listed(folder.shown_name, ("\\NonExistent",), listener)
    for mailbox, folder in new.folders.items():
        before = old.folders.get(mailbox)
        if before is not None and before.shown_name == folder.shown_name:
            continue
        events = listener.events_of(folder, new.subscriptions)
        if before is not None:
            events |= listener.events_of(before, old.subscriptions)
        if Event.MAILBOX_NAME in events:
            yield _listed(folder.shown_name, (), listener, before.shown_name if before else None)


def _subscriptions(old: Picture, new: Picture, listener: Listener) -> Iterator[bytes]:
    """RFC 5465 §5.5."""
    shown = {folder.shown_name: folder for folder in new.folders.values()}
    for name in sorted(old.subscriptions ^ new.subscriptions):
        folder = shown.get(name)
        own = folder.owner == listener.user if folder else not name.startswith("#")
        events = listener.events_named(name, old.subscriptions | new.subscriptions, own=own)
        if Event.SUBSCRIPTION_CHANGE in events:
            missing = () if folder else ("\\NonExistent",)
            subscribed = ("\\Subscribed",) if name in new.subscriptions else ()
            yield _listed(name, missing + subscribed, listener)


def _annotations(old: Picture, new: Picture, listener: Listener) -> Iterator[bytes]:
    """RFC 5465 §5.6 and §5.7: the names of the entries, without their values."""
    for mailbox, values in new.annotations.items():
        before = old.annotations.get(mailbox)
        if before is None or before == values:
            continue
        if mailbox is None:
            name, told = "", listener.wants(Event.SERVER_METADATA_CHANGE)
        else:
            folder = new.folders[mailbox]
            name = folder.shown_name
            told = Event.MAILBOX_METADATA_CHANGE in listener.events_of(folder, new.subscriptions)
        if told:
            yield untagged.metadata_changed(name, _differing(before, values), utf8=listener.utf8)


def _differing(one: Mapping[str, bytes], other: Mapping[str, bytes]) -> Iterable[str]:
    return sorted(name for name in one.keys() | other.keys() if one.get(name) != other.get(name))


def _listed(name: str, attributes: tuple[str, ...], listener: Listener, old_name: str | None = None) -> bytes:
    return untagged.listed(ListedMailbox(name, attributes, old_name=old_name), utf8=listener.utf8)
