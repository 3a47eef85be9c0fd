# SPDX-License-Identifier: MIT
"""How much a client may send: of a command, and of what is refused.

Each limit with its reason. Message sizes are not limited here but by whoever is offered the message. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """How much of a command is kept."""

    line_bytes: int
    literal_bytes: int
    """One literal that is an argument; messages have no limit here."""
    command_bytes: int
    literals: int
    passed_over_bytes: int
    """As much of something refused is read and forgotten; whoever sends more is disconnected."""


STRANGER = Limits(
    line_bytes=16 * 1024, literal_bytes=4096, command_bytes=32 * 1024, literals=4, passed_over_bytes=64 * 1024
)
"""Before login: enough for the longest SASL response (12,288 octets, RFC 4954 §4) and LOGIN by literals."""

USER = Limits(
    line_bytes=256 * 1024,
    literal_bytes=256 * 1024,
    command_bytes=1024 * 1024,
    literals=1000,
    passed_over_bytes=256 * 1024 * 1024,
)
"""After login. RFC 7162 §4 asks for lines of 8,192 octets at least, Dovecot takes 64 KiB; 256 KiB hold a set of
40,000 single UIDs. Messages refused after a LITERAL+ client has begun to send them are passed over up to 256 MiB."""

MAX_SASL_LINE_BYTES = 12288
MAX_IDLE_LINE_BYTES = 1000
MAX_PIECE_BYTES = 64 * 1024
"""The largest piece of a message in one event."""

LITERAL_MINUS_BYTES = 4096
"""RFC 7888 §5: what LITERAL- allows without waiting."""
