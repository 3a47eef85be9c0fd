# SPDX-License-Identifier: MIT
"""One frozen record per hook point: what the script is told."""

from __future__ import annotations

from dataclasses import dataclass

from mailserver.values import Address, Client, Envelope


@dataclass(frozen=True, slots=True)
class Connected:
    """A connection was accepted; nothing has been sent. Numbers as in spec services 5.3."""

    client: Client
    service_bandwidth: int
    bandwidth: int


@dataclass(frozen=True, slots=True)
class LoggedIn:
    """A user logged in."""

    client: Client
    service_bandwidth: int
    bandwidth: int
    user: int
    user_name: str


@dataclass(frozen=True, slots=True)
class MailFromGiven:
    """MAIL FROM, found good."""

    client: Client
    login: str
    helo: str
    reverse_path: Address | None


@dataclass(frozen=True, slots=True)
class RecipientGiven:
    """RCPT TO, found good."""

    client: Client
    login: str
    helo: str
    reverse_path: Address | None
    recipient: Address


@dataclass(frozen=True, slots=True)
class MessageReceived:
    """A whole message, about to be filed."""

    client: Client
    login: str
    helo: str
    envelope: Envelope
    header: bytes
    size: int


@dataclass(frozen=True, slots=True)
class NuisanceSeen:
    """A client broke its protocol again and again, or once beyond bearing, and its session is being ended for that."""

    client: Client
    reason: str
    """For the log and for administrators."""
