# SPDX-License-Identifier: MIT
"""What the letters of an access list mean, and what a list comes to for one user.

RFC 4314 §2 and §5.1. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable

from mailserver.store.folder_data import AccessEntry
from mailserver.values import Flag, UserId

ALL_RIGHTS = "lrswipkxtea"
"""RFC 4314 §2.1: lookup, read, keep seen, write flags, insert, post, create below, delete the mailbox, delete messages,
expunge, administer."""

FLAG_RIGHTS = frozenset("swt")
"""Those that are about flags."""

_OLD_RIGHTS = {"c": "kx", "d": "xte"}
"""RFC 4314 §2.1.1: what older clients mean by two letters of RFC 2086."""


def sort_rights(letters: Iterable[str]) -> str:
    """Each right once, in the order of `ALL_RIGHTS`; the two old ones as what they stand for, unknown ones left out."""
    wanted = {right for letter in letters for right in _OLD_RIGHTS.get(letter, letter)}
    return "".join(right for right in ALL_RIGHTS if right in wanted)


def right_for(flag: str) -> str:
    """What it takes to set or clear this flag (RFC 4314 §4)."""
    return {Flag.SEEN.value: "s", Flag.DELETED.value: "t"}.get(flag, "w")


def effective_rights(entries: Iterable[AccessEntry], user: UserId) -> frozenset[str]:
    """What the list gives this user and anyone, less what it takes from either."""
    given: set[str] = set()
    taken: set[str] = set()
    for entry in entries:
        if entry.user in (user, None):
            (taken if entry.negative else given).update(entry.rights)
    return frozenset(given - taken)
