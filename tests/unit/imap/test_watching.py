# SPDX-License-Identifier: MIT
"""What a NOTIFY client is told when two pictures of its folders differ."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mailserver.store.folders import Folder
from mailserver.store.interface import MailboxCounts
from mailserver.store.values import Mailbox
from mailserver.values import MailboxId, ModSeq, Uid, UserId
from protocols.imap.notify import Event, EventGroup, Watch
from protocols.imap.watching import MESSAGE_EVENTS, Listener, Picture, describe_changes, watched_mailboxes

ME, KAREN = UserId(1), UserId(2)
NEW_AND_GONE = frozenset({Event.MESSAGE_NEW, Event.MESSAGE_EXPUNGE})
EVERYTHING = frozenset(Event)


def folder(number: int, name: str, *, owner: UserId = ME, rights: str = "lr", modseq: int = 1) -> Folder:
    mailbox = Mailbox(MailboxId(number), owner, name, None, 7, Uid(1), ModSeq(modseq))
    return Folder(mailbox, owner, frozenset(rights), name)


def picture(*folders: Folder, messages: int = 0, subscriptions: frozenset[str] = frozenset()) -> Picture:
    counts = {shown.mailbox.id: MailboxCounts(messages, messages, 0, 0) for shown in folders}
    return Picture({shown.mailbox.id: shown for shown in folders}, counts, subscriptions)


def told(
    old: Picture,
    new: Picture,
    *,
    watch: Watch = Watch.PERSONAL,
    events: frozenset[Event] = EVERYTHING,
    selected: int | None = None,
    modseq: bool = False,
) -> list[str]:
    listener = Listener(ME, (EventGroup(watch, (), events),), modseq=modseq)
    return describe_changes(old, new, listener, MailboxId(selected) if selected else None).decode().splitlines()


INBOX, SENT = folder(1, "INBOX"), folder(2, "Sent")
SHARED = folder(3, "#users/karen/Work", owner=KAREN)


@pytest.mark.parametrize(
    ("watch", "mailboxes", "expected"),
    [
        (Watch.INBOXES, (), {1}),
        (Watch.PERSONAL, (), {1, 2}),
        (Watch.SUBSCRIBED, (), {2, 3}),
        (Watch.SUBTREE, ("#users",), {3}),
        (Watch.MAILBOXES, ("Sent", "nothing"), {2}),
        (Watch.SELECTED, (), set()),
    ],
)
def test_which_mailboxes_are_watched(watch: Watch, mailboxes: tuple[str, ...], expected: set[int]) -> None:
    shown = picture(INBOX, SENT, SHARED, subscriptions=frozenset({"Sent", SHARED.shown_name}))
    listener = Listener(ME, (EventGroup(watch, mailboxes, NEW_AND_GONE),))
    assert set(watched_mailboxes(shown, listener)) == expected


def test_the_first_group_counts_and_who_may_not_read_hears_nothing_of_messages() -> None:
    groups = (EventGroup(Watch.MAILBOXES, ("Sent",)), EventGroup(Watch.PERSONAL, (), NEW_AND_GONE))
    shown = picture(INBOX, SENT, folder(4, "Locked", rights="l"))
    assert set(watched_mailboxes(shown, Listener(ME, groups))) == {1}


def test_nothing_has_changed() -> None:
    assert told(picture(INBOX, SENT), picture(INBOX, SENT)) == []


def test_messages_that_came_are_told_unless_the_mailbox_is_selected() -> None:
    old, new = picture(INBOX), picture(INBOX, messages=2)
    assert told(old, new, events=NEW_AND_GONE) == ['* STATUS "INBOX" (MESSAGES 2 UIDNEXT 1 UIDVALIDITY 7)']
    assert told(old, new, selected=1) == []


def test_flags_are_told_only_to_those_who_want_them() -> None:
    old, new = picture(INBOX), picture(folder(1, "INBOX", modseq=5))
    assert told(old, new, events=NEW_AND_GONE) == []
    assert told(old, new, events=MESSAGE_EVENTS, modseq=True) == [
        '* STATUS "INBOX" (MESSAGES 0 UIDNEXT 1 UIDVALIDITY 7 UNSEEN 0 HIGHESTMODSEQ 5)'
    ]


def test_folders_that_come_go_and_change_their_names() -> None:
    assert told(picture(INBOX), picture(INBOX, SENT)) == ['* LIST () "/" "Sent"']
    assert told(picture(INBOX, SENT), picture(INBOX)) == ['* LIST (\\NonExistent) "/" "Sent"']
    assert told(picture(SENT), picture(folder(2, "Post"))) == ['* LIST () "/" "Post" ("OLDNAME" ("Sent"))']
    assert told(picture(INBOX), picture(INBOX, SENT), events=NEW_AND_GONE) == []


def test_subscriptions() -> None:
    old, new = picture(SENT), picture(SENT, subscriptions=frozenset({"Sent", "Gone"}))
    assert told(old, new) == ['* LIST (\\NonExistent \\Subscribed) "/" "Gone"', '* LIST (\\Subscribed) "/" "Sent"']
    assert told(new, old) == ['* LIST (\\NonExistent) "/" "Gone"', '* LIST () "/" "Sent"']


def test_annotations_are_named_without_their_values() -> None:
    one: dict[MailboxId | None, dict[str, bytes]] = {MailboxId(1): {"/shared/a": b"1", "/shared/b": b"2"}, None: {}}
    other: dict[MailboxId | None, dict[str, bytes]] = {MailboxId(1): {"/shared/b": b"3"}, None: {"/shared/c": b""}}
    old, new = replace(picture(INBOX), annotations=one), replace(picture(INBOX), annotations=other)
    assert told(old, new) == ['* METADATA "INBOX" /shared/a /shared/b', '* METADATA "" /shared/c']
    assert told(old, new, events=NEW_AND_GONE) == []
