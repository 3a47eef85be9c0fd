# SPDX-License-Identifier: MIT
"""What connections that this server opens itself look at in a certificate (RFC 6125 §6), and what that costs."""

from __future__ import annotations

import ssl

from mailserver.connectors.values import Encryption, RemoteServer
from protocols.net.outgoing import client_context


def test_a_certificate_is_looked_at_where_that_is_wanted() -> None:
    context = client_context(RemoteServer("pop.example.net", 995, Encryption.TLS, verify_certificate=True))
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)


def test_any_certificate_costs_no_look_at_authorities() -> None:
    context = client_context(RemoteServer("pop.example.net", 995, Encryption.TLS))
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_NONE, False)
    assert context.cert_store_stats()["x509_ca"] == 0
    assert client_context(RemoteServer("imap.example.net", 143)) is context
