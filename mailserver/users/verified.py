# SPDX-License-Identifier: MIT
"""Passwords that were right a moment ago, so that a program that polls each minute does not cost a hash each time.

Pure. A memory dump gives no password away: what is kept is a keyed digest, and the key dies with the process. The
stored hash is part of it, so a changed password is forgotten at once.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections import OrderedDict
from threading import Lock

from mailserver import clock

LIFE_SECONDS = 300.0
MAX_REMEMBERED = 10_000
"""About 2 MB; beyond it the one used longest ago is forgotten."""


class VerifiedPasswords:
    """Safe to use from several threads."""

    def __init__(self, life_seconds: float = LIFE_SECONDS, limit: int = MAX_REMEMBERED) -> None:
        self._life = life_seconds
        self._limit = limit
        self._secret = secrets.token_bytes(32)
        self._until: OrderedDict[bytes, float] = OrderedDict()
        self._lock = Lock()

    def remember(self, user_id: int, password_hash: str, password: str) -> None:
        """This password has just been found right for this hash."""
        key = self._key(user_id, password_hash, password)
        with self._lock:
            self._until[key] = clock.monotonic() + self._life
            self._until.move_to_end(key)
            while len(self._until) > self._limit:
                self._until.popitem(last=False)

    def knows(self, user_id: int, password_hash: str, password: str) -> bool:
        """Whether it was found right within the last `life_seconds`."""
        key = self._key(user_id, password_hash, password)
        with self._lock:
            until = self._until.get(key)
            if until is None:
                return False
            if until <= clock.monotonic():
                del self._until[key]
                return False
            self._until.move_to_end(key)
            return True

    def __len__(self) -> int:
        return len(self._until)

    def _key(self, user_id: int, password_hash: str, password: str) -> bytes:
        message = b"\0".join((str(user_id).encode(), password_hash.encode(), password.encode("utf-8", "surrogatepass")))
        return hmac.new(self._secret, message, hashlib.sha256).digest()
