# SPDX-License-Identifier: MIT
"""Password hashes that cost next to nothing: a third of the database tests' time went into honest ones."""

from __future__ import annotations

from mailserver.users.passwords import OfficeArgon2Hasher


class CheapArgon2Hasher(OfficeArgon2Hasher):
    """The same algorithm and form, with hardly any memory."""

    time_cost = 1
    memory_cost = 64
