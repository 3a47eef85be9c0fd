# SPDX-License-Identifier: MIT
"""Who may send what to whom: each question answered with the reply that refuses, or None.

Spec smtp-server 1.1, 1.2, 2.3 and 2.5, with one rule of our own: mail for others is only ever taken from somebody
who has logged in, or whom an access rule lets work without. An empty access list therefore never makes an open
relay. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass

from mailserver.addressing.resolve import Answer, Lan, Local, Target, Unknown
from mailserver.config.catalog import (
    AUTHENTICATION,
    LOCAL_WITHOUT_LOGIN,
    MAX_MESSAGE_BYTES,
    MAX_RECIPIENTS,
    REFUSE_HELO,
    REFUSE_PERCENT,
)
from mailserver.config.snapshot import Service, User
from mailserver.values import Address, Client
from protocols.smtp import replies

RECIPIENT_OVERSHOOT = 1000
"""Recipients over the limit that do not count as errors, for a pipelining client cannot know; as in Postfix
(`smtpd_recipient_overshoot_limit`)."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What a client has shown of itself."""

    client: Client
    logged_in: bool

    @property
    def vouched_for(self) -> bool:
        """Somebody answers for what it sends: it has logged in, or an access rule exempts it."""
        return self.logged_in or self.client.trusted


def login_offered(service: Service, client: Client) -> bool:
    """Whether AUTH is there at all: not before TLS where TLS is required."""
    return service.get(AUTHENTICATION) != "off" and not tls_missing(service, client)


def tls_missing(service: Service, client: Client) -> bool:
    return service.encryption == "tls" and not client.encrypted


def refuse_hello(service: Service, name: str) -> bytes | None:
    """Spec smtp-server 2.5: a text that unwanted clients have in their names."""
    unwanted = service.get(REFUSE_HELO).lower()
    return replies.HELLO_REFUSED if unwanted and unwanted in name.lower() else None


def refuse_sender(service: Service, standing: Standing, size: int | None) -> bytes | None:
    """At MAIL FROM: where even mail to local users needs a login, and what is announced as too large."""
    if _login_missing(service, standing) and not service.get(LOCAL_WITHOUT_LOGIN):
        return replies.AUTHENTICATION_REQUIRED
    limit = service.get(MAX_MESSAGE_BYTES)
    return replies.MESSAGE_TOO_LARGE if size and limit and size > limit else None


def refuse_recipient(
    service: Service, standing: Standing, address: Address, target: Target, sender: User | None, size: int | None
) -> bytes | None:
    """At RCPT TO, in the order of spec smtp-server 2.3."""
    if "%" in address.local and service.get(REFUSE_PERCENT):
        return replies.PERCENT_REFUSED
    if isinstance(target, Unknown):
        return replies.USER_UNKNOWN
    if isinstance(target, Local | Answer) or (isinstance(target, Lan) and target.for_strangers):
        return None
    if not standing.client.may_relay:
        return replies.RELAYING_DENIED
    if not standing.vouched_for:
        return replies.AUTHENTICATION_REQUIRED if _login_missing(service, standing) else replies.RELAYING_DENIED
    return refuse_outgoing(sender, size or 0)


def refuse_outgoing(sender: User | None, size: int) -> bytes | None:
    """Limits of the sending user, which hold for mail to others only (spec smtp-server 1.2)."""
    if sender is None:
        return None
    if not sender.may_send_out:
        return replies.INTERNAL_MAIL_ONLY
    limit = sender.max_outgoing_bytes
    return replies.MESSAGE_TOO_LARGE if limit and size > limit else None


def is_full(service: Service, recipients: int) -> bool:
    """Whether a message has as many recipients as the service allows (RFC 5321 §4.5.3.1.8)."""
    limit = service.get(MAX_RECIPIENTS)
    return bool(limit) and recipients >= limit


def _login_missing(service: Service, standing: Standing) -> bool:
    return service.get(AUTHENTICATION) == "required" and not standing.vouched_for
