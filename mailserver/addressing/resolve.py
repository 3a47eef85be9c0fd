# SPDX-License-Identifier: MIT
"""Where mail for an address goes. Pure: asks the snapshot and nothing else.

Mappings, lists and forwards slot in here: each is one more kind of target.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from mailserver.config.catalog import LAN_BARE_ADDRESSES
from mailserver.config.snapshot import Snapshot, User
from mailserver.lan.matching import LanRule, find_match, rewrite
from mailserver.values import Address

POSTMASTER = "postmaster"
ANSWER_PREFIX = "fetch-"
"""Answers to the question whether a message shall be fetched go to `fetch-<token>` (spec connectors 4.7): nobody has
to recognise a subject, whatever a mail program makes of it."""
_ANSWER = re.compile(rf"{ANSWER_PREFIX}([0-9a-f]{{20}})", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Local:
    """Into this user's Inbox."""

    user: User


@dataclass(frozen=True, slots=True)
class Remote:
    """Out, to whoever receives for the domain."""


@dataclass(frozen=True, slots=True)
class Unknown:
    """The domain is ours, and nobody of this name is in it."""


@dataclass(frozen=True, slots=True)
class Answer:
    """To a question of this server's own: no mailbox gets it, the token says what was asked."""

    token: str


@dataclass(frozen=True, slots=True)
class Lan:
    """To a server of our own network, for this address there (spec senders 10)."""

    rule: LanRule
    address: Address
    for_strangers: bool = False
    """The rule is for certain domains: mail for them is taken from anybody."""
    return_path: Address | None = None
    """What a script wants instead of the message's own."""


Target = Local | Remote | Unknown | Answer | Lan
Deliverable = Local | Remote | Answer | Lan

REMOTE = Remote()
UNKNOWN = Unknown()


def resolve(address: Address, snapshot: Snapshot, *, collected: bool = False) -> Target:
    """RFC 5321 §4.5.1: postmaster always has somebody behind it, at every local domain and without one.

    Users come first, then the rules of LAN forwarding, those of the last resort behind the others (spec users 2.2).
    """
    directory = snapshot.directory
    here = not address.domain or directory.is_local(address.domain)
    if here:
        user = directory.find(address)
        if user is None and address.local.lower() == POSTMASTER:
            user = _find_postmaster(snapshot)
        if user is not None:
            return Local(user)
        if answer := _ANSWER.fullmatch(address.local):
            return Answer(answer[1].lower())
    if snapshot.lan_rules:
        forwarded = _find_lan(address, snapshot, collected)
        if forwarded is not None:
            return forwarded
    return UNKNOWN if here else REMOTE


def _find_lan(address: Address, snapshot: Snapshot, collected: bool) -> Lan | None:
    for last_resort in (False, True):
        match = find_match(
            snapshot.lan_rules,
            address,
            last_resort=last_resort,
            collected=collected,
            is_local=snapshot.directory.is_local,
            bare=snapshot.get(LAN_BARE_ADDRESSES),
        )
        if match is not None:
            return Lan(match.rule, rewrite(address, match.rule.rewrite), match.names_a_domain)
    return None


def _find_postmaster(snapshot: Snapshot) -> User | None:
    """The main administrator; where the setting names nobody, the first user who administers, or the first at all."""
    users = snapshot.directory.users.values()
    return (
        snapshot.main_administrator
        or next((user for user in users if user.admin and user.active), None)
        or next(iter(users), None)
    )
