# SPDX-License-Identifier: MIT
"""Where mail for an address goes. Pure: asks the snapshot and nothing else.

Mappings, lists and forwards slot in here: each is one more kind of target.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from mailserver.config.snapshot import Snapshot, User
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


Target = Local | Remote | Unknown | Answer
Deliverable = Local | Remote | Answer

REMOTE = Remote()
UNKNOWN = Unknown()


def resolve(address: Address, snapshot: Snapshot) -> Target:
    """RFC 5321 §4.5.1: postmaster always has somebody behind it, at every local domain and without one."""
    directory = snapshot.directory
    if address.domain and not directory.is_local(address.domain):
        return REMOTE
    user = directory.find(address)
    if user is None and address.local.lower() == POSTMASTER:
        user = _find_postmaster(snapshot)
    if user is not None:
        return Local(user)
    answer = _ANSWER.fullmatch(address.local)
    return UNKNOWN if answer is None else Answer(answer[1].lower())


def _find_postmaster(snapshot: Snapshot) -> User | None:
    """The main administrator; where the setting names nobody, the first user who administers, or the first at all."""
    users = snapshot.directory.users.values()
    return (
        snapshot.main_administrator
        or next((user for user in users if user.admin and user.active), None)
        or next(iter(users), None)
    )
