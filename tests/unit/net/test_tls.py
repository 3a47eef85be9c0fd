# SPDX-License-Identifier: MIT
"""TLS contexts: made once for each certificate, and kept when the next certificate is no good."""

from __future__ import annotations

import ssl

import pytest

from mailserver.config.snapshot import TlsMaterial
from protocols.net.tls import TlsContexts, make_context
from tests.support.certificates import make_certificate

GOOD = TlsMaterial(*make_certificate())


def test_old_versions_are_not_spoken() -> None:
    assert make_context(GOOD).minimum_version is ssl.TLSVersion.TLSv1_2


def test_same_certificate_keeps_its_context() -> None:
    contexts = TlsContexts()
    contexts.take(GOOD)
    first = contexts.current()
    contexts.take(TlsMaterial(GOOD.chain_pem, GOOD.key_pem))
    assert contexts.current() is first
    assert first is not None


@pytest.mark.parametrize(
    "bad",
    [
        TlsMaterial("nonsense", GOOD.key_pem),
        TlsMaterial(GOOD.chain_pem, "nonsense"),
        TlsMaterial(GOOD.chain_pem, "not ASCII: \u00e4"),
    ],
)
def test_bad_certificate_leaves_the_former_one_in_force(bad: TlsMaterial) -> None:
    contexts = TlsContexts()
    contexts.take(GOOD)
    kept = contexts.current()
    contexts.take(bad)
    assert contexts.current() is kept
    assert contexts.problem.startswith("the TLS certificate cannot be used: ")
    assert "PRIVATE" not in contexts.problem
    contexts.take(GOOD)
    assert contexts.problem == ""


def test_no_certificate_no_context() -> None:
    contexts = TlsContexts()
    contexts.take(GOOD)
    contexts.take(None)
    assert contexts.current() is None
