# SPDX-License-Identifier: MIT
"""The arithmetic of SCRAM-SHA-256: from a password to what the server keeps, and from there to proofs.

RFC 5802 §3, RFC 7677 §3. Pure. The exchange itself is in `protocols.sasl.mechanisms`.
"""

from __future__ import annotations

import hashlib
import hmac

from mailserver.users.authentication import ScramVerifier
from mailserver.users.saslprep import saslprep

MIN_ITERATIONS = 4096
"""RFC 7677 §4 asks for at least so many."""


def derive_scram_verifier(password: str, salt: bytes, iterations: int) -> ScramVerifier:
    """What is stored instead of the password. Slow by design (`iterations` rounds of PBKDF2)."""
    if iterations < MIN_ITERATIONS:
        raise ValueError(f"SCRAM needs at least {MIN_ITERATIONS} iterations, not {iterations}")
    salted = hashlib.pbkdf2_hmac("sha256", saslprep(password).encode(), salt, iterations)
    stored_key = hashlib.sha256(_hmac(salted, b"Client Key")).digest()
    return ScramVerifier(salt, iterations, stored_key, _hmac(salted, b"Server Key"))


def is_proof_right(verifier: ScramVerifier, exchange: bytes, proof: bytes) -> bool:
    """Whether `proof` shows knowledge of the password; `exchange` is RFC 5802's AuthMessage."""
    signature = _hmac(verifier.stored_key, exchange)
    if len(proof) != len(signature):
        return False
    client_key = bytes(one ^ other for one, other in zip(proof, signature, strict=True))
    return hmac.compare_digest(hashlib.sha256(client_key).digest(), verifier.stored_key)


def server_signature(verifier: ScramVerifier, exchange: bytes) -> bytes:
    """What shows the client that this server knows the verifier."""
    return _hmac(verifier.server_key, exchange)


def _hmac(key: bytes, message: bytes) -> bytes:
    return hmac.digest(key, message, "sha256")
