# SPDX-License-Identifier: MIT
"""The trace lines that a receiving server puts in front of a message.

RFC 5321 §4.4, RFC 3848 and RFC 6531 §4.3 (the `with` keywords). Pure.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from ipaddress import ip_address

from mailserver.addressing.syntax import format_mailbox
from mailserver.mime.dates import format_date
from mailserver.values import Address

# Domain / address-literal, as EHLO should give them; "_" as in addressing.syntax.
_HELO = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_])?|\[[!-Z^-~]+\]")


@dataclass(frozen=True, slots=True)
class Hop:
    """What is known of the step from the client to this server."""

    client_address: str
    helo: str
    hostname: str
    product: str
    keyword: str
    ref: str
    received: datetime
    tls: str = ""
    only_recipient: Address | None = None
    """Named in `for` only when there is no other, so that no blind copy shows (RFC 5321 §7.2)."""


def transmission_keyword(*, extended: bool, encrypted: bool, authenticated: bool, smtputf8: bool) -> str:
    """What stands behind `with`: SMTP, ESMTP, ESMTPS, ESMTPSA, UTF8SMTPSA ..."""
    if smtputf8:
        base = "UTF8SMTP"
    elif not extended:
        return "SMTP"
    else:
        base = "ESMTP"
    return base + ("S" if encrypted else "") + ("A" if authenticated else "")


def format_received(hop: Hop) -> bytes:
    """One Received field, folded."""
    literal = address_literal(hop.client_address)
    source = f"{hop.helo} ({literal})" if _HELO.fullmatch(hop.helo) else f"{literal} (HELO {_comment(hop.helo)})"
    lines = [f"Received: from {source}", f"\tby {hop.hostname} ({hop.product}) with {hop.keyword}"]
    if hop.tls:
        lines.append(f"\t({_comment(hop.tls)})")
    recipient = f" for <{format_mailbox(hop.only_recipient)}>" if hop.only_recipient is not None else ""
    lines.append(f"\tid {hop.ref}{recipient};")
    lines.append(f"\t{format_date(hop.received)}\r\n")
    return "\r\n".join(lines).encode("utf-8")


def format_return_path(reverse_path: Address | None) -> bytes:
    """RFC 5321 §4.4: the reverse path as it came, for whoever wants to answer or to report."""
    path = format_mailbox(reverse_path) if reverse_path is not None else ""
    return f"Return-Path: <{path}>\r\n".encode()


@lru_cache(1024)
def address_literal(address: str) -> str:
    """RFC 5321 §4.1.3: `[192.0.2.1]` or `[IPv6:2001:db8::1]`."""
    try:
        version = ip_address(address).version
    except ValueError:
        return "[unknown]"
    return f"[IPv6:{address}]" if version == 6 else f"[{address}]"


def _comment(text: str) -> str:
    """RFC 5322 §3.2.2: parentheses and backslashes are quoted, and nothing but printable ASCII stands in it."""
    plain = "".join(c if " " <= c <= "~" else "?" for c in text)
    return re.sub(r"([()\\])", r"\\\1", plain)
