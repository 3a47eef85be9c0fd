# SPDX-License-Identifier: MIT
"""Mailbox names: INBOX in any case, what a new name may hold, and the wildcards of LIST.

RFC 9051 §5.1 (naming), §6.3.9 (wildcards), RFC 6855 §3 (UTF-8 names). Names are text with "/" between levels. Pure.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

from protocols.imap.mutf7 import decode_mutf7, encode_mutf7

DELIMITER = "/"

MAX_NAME_CHARACTERS = 255
"""What the store keeps; Dovecot allows as much for each level, Cyrus 490 bytes in all."""


def parse_mailbox_name(name: bytes, *, utf8: bool) -> str:
    """A name as typed: UTF-8 once the client has enabled it, else modified UTF-7. Raises ValueError."""
    return normalise_inbox(name.decode("utf-8") if utf8 else decode_mutf7(name))


def format_mailbox_name(name: str, *, utf8: bool) -> bytes:
    """The bytes inside the string on the wire."""
    return name.encode("utf-8") if utf8 else encode_mutf7(name)


def normalise_inbox(name: str) -> str:
    """RFC 9051 §5.1: INBOX is the same in any case, also as the top of a hierarchy."""
    if name[:5].upper() == "INBOX" and (len(name) == 5 or name[5] == DELIMITER):
        return "INBOX" + name[5:]
    return name


def find_fault(name: str) -> str:
    """Why a mailbox cannot be created under this name; empty when it can.

    RFC 9051 §5.1: no control characters (RFC 5198 §2 names U+2028 and U+2029 with them), and no wildcards, which
    clients could not name again in LIST. Names are in normalisation form C, so that what looks the same is the same.
    """
    if not name or len(name) > MAX_NAME_CHARACTERS:
        return "the name is empty or too long"
    if any(unicodedata.category(character) in ("Cc", "Zl", "Zp", "Cs") for character in name):
        return "control characters"
    if "%" in name or "*" in name:
        return "wildcards"
    if not all(name.split(DELIMITER)):
        return "an empty level"
    return "" if unicodedata.is_normalized("NFC", name) else "not in normalisation form C"


def matches_pattern(name: str, pattern: str) -> bool:
    """RFC 9051 §6.3.9: `*` is anything, `%` anything but the delimiter; INBOX matches in any case.

    Takes time proportional to name times pattern, whatever the pattern (a regular expression would not promise that).
    """
    inbox = name == "INBOX" or name.startswith("INBOX" + DELIMITER)
    return _matches(name, _collapse_stars(pattern), caseless=5 if inbox else 0)


def _collapse_stars(pattern: str) -> str:
    while "**" in pattern:
        pattern = pattern.replace("**", "*")
    return pattern


def _matches(name: str, pattern: str, caseless: int) -> bool:
    """Keeps the set of places in the pattern that can be reached after each character of the name.

    The first `caseless` characters of the name match in any case.
    """
    places = _skip_wildcards({0}, pattern)
    for index, character in enumerate(name):
        following: set[int] = set()
        for place in places:
            if place == len(pattern):
                continue
            wanted = pattern[place]
            if wanted == "*" or (wanted == "%" and character != DELIMITER):
                following.add(place)
            if wanted == character or (index < caseless and wanted.upper() == character):
                following.add(place + 1)
        places = _skip_wildcards(following, pattern)
        if not places:
            return False
    return len(pattern) in places


def _skip_wildcards(places: set[int], pattern: str) -> set[int]:
    reached = set(places)
    for place in places:
        while place < len(pattern) and pattern[place] in "*%":
            place += 1
            reached.add(place)
    return reached


def list_parents(name: str) -> Iterable[str]:
    """Every level above, the nearest first: `a/b/c` gives `a/b`, then `a`."""
    while DELIMITER in name:
        name = name.rpartition(DELIMITER)[0]
        yield name
