# SPDX-License-Identifier: MIT
"""How many sessions of this process are logged in from each address. Spec services 2.2."""

from __future__ import annotations

from collections import Counter

from mailserver.errors import Kind, MailError
from mailserver.values import Client
from protocols.sasl.login import is_loopback


class Logins:
    """One per process."""

    def __init__(self) -> None:
        self._addresses: Counter[str] = Counter()

    def enter(self, client: Client, limit: int) -> None:
        """Raises LIMIT_REACHED; a limit of 0 is none, and this machine itself has none."""
        if limit and self._addresses[client.address] >= limit and not is_loopback(client.address):
            raise MailError(Kind.LIMIT_REACHED, f"{limit} logins from {client.address}")
        self._addresses[client.address] += 1

    def leave(self, client: Client) -> None:
        """To be called once for each `enter` that did not raise."""
        self._addresses[client.address] -= 1
        if not self._addresses[client.address]:
            del self._addresses[client.address]
