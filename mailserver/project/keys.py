# SPDX-License-Identifier: MIT
"""The installation's key file: one secret from which every other key of the installation is derived.

The same file must be given to every machine of an installation (design section 2). Losing it loses the stored
secrets (connector passwords, the TLS key), never the mail.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import secrets
from dataclasses import dataclass
from pathlib import Path

KEY_BYTES = 32


@dataclass(frozen=True, slots=True)
class InstallationKey:
    """The secret and what is derived from it; each use has a key of its own (HMAC-SHA256 with the use's name)."""

    secret: bytes

    def derive(self, use: str) -> bytes:
        """32 bytes that belong to this use alone."""
        return hmac.new(self.secret, use.encode(), hashlib.sha256).digest()

    @property
    def django(self) -> str:
        return base64.urlsafe_b64encode(self.derive("django")).decode()


def read_or_make_key(path: Path) -> InstallationKey:
    """The key in the file; made, with access for its owner only, when there is none yet.

    Raises SystemExit with a plain sentence when the file cannot be read or does not hold a key.
    """
    try:
        text = path.read_text(encoding="ascii").strip()
    except FileNotFoundError:
        return _make_key(path)
    except (OSError, UnicodeDecodeError) as error:
        raise SystemExit(f"The key file {path} cannot be read: {error}") from None
    try:
        secret = base64.b64decode(text, validate=True)
    except ValueError:
        secret = b""
    if len(secret) != KEY_BYTES:
        raise SystemExit(f"The key file {path} is damaged: put back the one of your backup")
    return InstallationKey(secret)


def _make_key(path: Path) -> InstallationKey:
    """Two processes that start together agree on one key: whoever links its file first wins."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    temporary = path.with_name(f"{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(base64.b64encode(secrets.token_bytes(KEY_BYTES)) + b"\n")
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(temporary, path)
    except FileExistsError:
        pass
    finally:
        temporary.unlink()
    return read_or_make_key(path)
