# SPDX-License-Identifier: MIT
"""What connections that this server opens itself look at in a certificate (RFC 6125 §6), and what that costs."""

from __future__ import annotations

import ssl

import pytest

from protocols.net.outgoing import client_context


@pytest.mark.parametrize("verify", [True, False])
def test_nothing_older_than_tls_1_2(verify: bool) -> None:
    assert client_context(verify).minimum_version is ssl.TLSVersion.TLSv1_2


def test_a_certificate_is_looked_at_where_that_is_wanted() -> None:
    context = client_context(True)
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)


def test_any_certificate_costs_no_look_at_authorities() -> None:
    context = client_context(False)
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_NONE, False)
    assert context.cert_store_stats()["x509_ca"] == 0


def test_the_authorities_are_read_once() -> None:
    assert client_context(True) is client_context(True)
