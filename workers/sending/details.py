# SPDX-License-Identifier: MIT
"""How a script wants a server to be spoken to (`mxout.lua`, ServerDetails; spec senders 5.3)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from mailserver.connectors.values import Credentials, Encryption, LoginMethod
from mailserver.hooks.events import TargetDetails
from protocols.smtp.client import SessionOptions


def apply_details(options: SessionOptions, details: TargetDetails) -> SessionOptions:
    """The options as a script changed them."""
    if details.try_tls is False:
        options = replace(options, encryption=Encryption.NONE)
    if details.force_tls:
        options = replace(options, encryption=Encryption.STARTTLS)
    if details.tls_from_start:
        options = replace(options, encryption=Encryption.TLS)
    if details.username:
        options = replace(
            options, credentials=Credentials(LoginMethod.AUTOMATIC, details.username, details.password or "")
        )
    if details.verify_certificate is not None:
        options = replace(options, verify_certificate=details.verify_certificate)
    return replace(
        options,
        ehlo_name=details.ehlo_name or options.ehlo_name,
        local_address=details.local_address or "",
        timeout_seconds=details.timeout_seconds or options.timeout_seconds,
        newest_tls=details.min_tls == "1.3",
        avoided=frozenset(_avoided(details)),
    )


def _avoided(details: TargetDetails) -> Iterator[str]:
    if details.use_chunking is False:
        yield "CHUNKING"
    if details.use_8bitmime is False:
        yield "8BITMIME"
    if details.use_pipelining is False:
        yield "PIPELINING"
