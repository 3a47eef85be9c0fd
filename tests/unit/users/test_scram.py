# SPDX-License-Identifier: MIT
"""SCRAM arithmetic and SASLprep against the RFCs' examples."""

from __future__ import annotations

import pytest

from mailserver.users.saslprep import saslprep
from mailserver.users.scram import derive_scram_verifier, is_proof_right, server_signature

SALT = b"0123456789abcdef"


@pytest.mark.parametrize(
    ("typed", "prepared"),
    [
        # RFC 4013 §3
        ("I\u00adX", "IX"),
        ("user", "user"),
        ("USER", "USER"),
        ("\u00aa", "a"),
        ("\u2168", "IX"),
        # spaces, compositions
        ("a\u00a0b", "a b"),
        ("e\u0301", "\u00e9"),
        # refused by the profile, so used as typed
        ("\u0627\u0031", "\u0627\u0031"),
        ("a\u0007\u00e9", "a\u0007\u00e9"),
        ("key \U0001f511", "key \U0001f511"),
        ("\u00ad", "\u00ad"),
        ("", ""),
    ],
)
def test_saslprep(typed: str, prepared: str) -> None:
    assert saslprep(typed) == prepared
    assert saslprep(prepared) == prepared


def test_spellings_of_a_password_are_one() -> None:
    assert derive_scram_verifier("caf\u00e9", SALT, 4096) == derive_scram_verifier("cafe\u0301", SALT, 4096)


def test_too_few_iterations() -> None:
    """RFC 7677 §4."""
    with pytest.raises(ValueError, match="4096"):
        derive_scram_verifier("x", SALT, 4095)


def test_proofs_of_any_length_are_only_wrong() -> None:
    verifier = derive_scram_verifier("pencil", SALT, 4096)
    for size in (0, 1, 31, 32, 33, 64):
        assert not is_proof_right(verifier, b"exchange", b"\0" * size)
    assert len(server_signature(verifier, b"exchange")) == 32
