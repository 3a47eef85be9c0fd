# SPDX-License-Identifier: MIT
"""Secrets at rest: encrypted with a key derived from the installation's key file (design section 4).

AES-256-GCM. What is stored starts with a version, so that another cipher can follow. The use ("tls-key",
"password" ...) is authenticated with the secret: a value copied into another column does not open there.
"""

from __future__ import annotations

import secrets
from functools import lru_cache
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from django.conf import settings

from mailserver.errors import Kind, MailError
from mailserver.project.keys import InstallationKey, read_or_make_key

VERSION = b"v1:"
NONCE_BYTES = 12


def installation_key() -> InstallationKey:
    """The key of this installation, read once for each process."""
    return _read_key(settings.ENVIRONMENT.key_file)


def encrypt(secret: bytes, use: str) -> bytes:
    """The secret in a form that only this installation can read."""
    nonce = secrets.token_bytes(NONCE_BYTES)
    return VERSION + nonce + _cipher().encrypt(nonce, secret, use.encode())


def decrypt(stored: bytes, use: str) -> bytes:
    """The secret again; raises MailError(INTERNAL) when another key file wrote it, or for another use."""
    if not stored.startswith(VERSION):
        raise MailError(Kind.INTERNAL, "a stored secret has a form that this version does not know")
    nonce, sealed = stored[len(VERSION) :][:NONCE_BYTES], stored[len(VERSION) + NONCE_BYTES :]
    try:
        return _cipher().decrypt(nonce, sealed, use.encode())
    except (InvalidTag, ValueError):
        note = (
            f"a stored secret cannot be decrypted: {settings.ENVIRONMENT.key_file} is not the key file it was made with"
        )
        raise MailError(Kind.INTERNAL, note) from None


def _cipher() -> AESGCM:
    return AESGCM(installation_key().derive("vault"))


@lru_cache(maxsize=4)
def _read_key(path: Path) -> InstallationKey:
    return read_or_make_key(path)
