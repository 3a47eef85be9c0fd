# SPDX-License-Identifier: MIT
"""Which commands speak of message numbers, and so are refused once UIDONLY is enabled.

RFC 9586 §3.1 to §3.3. Pure.
"""

from __future__ import annotations

from protocols.imap.commands import Command, Copy, Fetch, Move, Replace, Search, Select, Sort, Store, Thread
from protocols.imap.search_keys import And, InNumbers, Not, Or, SearchKey


def needs_numbers(command: Command) -> bool:
    """Message numbers in the command, or asked for in its answer; `$` is neither."""
    if isinstance(command, Fetch | Store | Copy | Move | Replace):
        return not command.uid
    if isinstance(command, Search | Sort | Thread):
        return not command.uid or _names_numbers(command.key)
    # RFC 9586 §3.4: the sequence match data of QRESYNC.
    return isinstance(command, Select) and command.resync is not None and command.resync.sequence_match is not None


def _names_numbers(key: SearchKey) -> bool:
    if isinstance(key, InNumbers):
        return not key.numbers.saved
    if isinstance(key, And | Or):
        return any(_names_numbers(part) for part in key.keys)
    return isinstance(key, Not) and _names_numbers(key.key)
