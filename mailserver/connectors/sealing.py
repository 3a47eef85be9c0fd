# SPDX-License-Identifier: MIT
"""Secrets of Connections, Collectors and OAuth2 accounts: sealed when they are stored, opened when they are used.

Each use has a name of its own, so that what was sealed for one place does not open in another.
"""

from __future__ import annotations

from mailserver import vault

SENDER_PASSWORD = "connectors.sender"
COLLECTOR_PASSWORD = "connectors.collector"
LAN_PASSWORD = "connectors.lan"
OAUTH_CLIENT = "connectors.oauth-client"
OAUTH_REFRESH = "connectors.oauth-refresh"
OAUTH_ACCESS = "connectors.oauth-access"
REMOTE_TEST = "connectors.test"


def seal(text: str, use: str) -> bytes | None:
    """For a column; an empty text is no secret."""
    return vault.encrypt(text.encode(), use) if text else None


def unseal(stored: bytes | memoryview[int] | None, use: str) -> str:
    """What was sealed, or nothing; raises MailError(INTERNAL) when another key file sealed it."""
    return vault.decrypt(bytes(stored), use).decode() if stored else ""
