# SPDX-License-Identifier: MIT
"""Names of mailboxes: which can be, and what renaming does to those below.

RFC 9051 §5.1 (INBOX in any case, hierarchy), §6.3.6 (RENAME). Pure.
"""

from __future__ import annotations

from mailserver.errors import Kind, MailError

INBOX = "INBOX"
SEPARATOR = "/"
MAX_NAME_CHARACTERS = 255
"""The width of the column; Dovecot's limit is the same."""
MAX_SUBSCRIPTION_CHARACTERS = 400
"""A name with the namespace and the owner's address in front."""
PRIVATE = "/private/"


def normal_name(name: str) -> str:
    """The name as it is stored: INBOX at the first level in capitals. Raises FORBIDDEN for one that cannot be."""
    first, separator, rest = name.partition(SEPARATOR)
    if first.upper() == INBOX:
        name = INBOX + separator + rest
    if not all(name.split(SEPARATOR)) or not name.isprintable() or len(name) > MAX_NAME_CHARACTERS:
        raise MailError(Kind.FORBIDDEN, f"not a mailbox name: {name[:80]!r}")
    return name


def is_below(name: str, parent: str) -> bool:
    """Whether `name` stands anywhere under `parent`."""
    return name.startswith(parent + SEPARATOR)


def renamed(name: str, old: str, new: str) -> str:
    """What `name`, which is `old` or below it, is called once `old` has become `new`."""
    return normal_name(new + name[len(old) :])


def show_order(name: str) -> tuple[bool, str]:
    """Sorts Inbox first, then by name."""
    return (name != INBOX, name)


def check_subscription(name: str) -> None:
    """Raises FORBIDDEN for a name that no folder of anybody can ever have."""
    if not name or not name.isprintable() or len(name) > MAX_SUBSCRIPTION_CHARACTERS:
        raise MailError(Kind.FORBIDDEN, f"not a mailbox name: {name[:80]!r}")


def is_private(entry: str) -> bool:
    """Whether an annotation's entry name says that it is one user's own (RFC 5464 §3.2)."""
    return entry.startswith(PRIVATE)
