# SPDX-License-Identifier: MIT
"""How passwords are kept: Argon2 with an office's memory, SCRAM-SHA-256 verifiers, and what makes one good enough.

RFC 9106 §4 (second recommended choice scaled down: 19 MiB, 2 passes, 1 lane: 39 ms here), RFC 5802 §3, RFC 7677 §4
(at least 4096 iterations), RFC 5803 §2 (the stored parts), RFC 4013 (one spelling for each password).
"""

from __future__ import annotations

import base64
import secrets
from dataclasses import dataclass, field
from threading import BoundedSemaphore

from django.contrib.auth.hashers import Argon2PasswordHasher, identify_hasher, make_password, verify_password
from django.contrib.auth.password_validation import CommonPasswordValidator
from django.core.exceptions import ValidationError

from mailserver import vault
from mailserver.errors import InvalidInput
from mailserver.users.authentication import ScramVerifier
from mailserver.users.saslprep import saslprep
from mailserver.users.scram import derive_scram_verifier

SCRAM_ITERATIONS = 10_000
SALT_BYTES = 16
HASHES_AT_ONCE = 2
"""Each takes 19 MiB and a core; more would starve the sessions that are at work."""
MAX_PASSWORD_LENGTH = 128
"""Long enough for any phrase; short enough that no log-in line is refused for its length."""
SECRET_USE = "password"
UNUSABLE = "!"
"""A hash that no password fits."""

_hashing = BoundedSemaphore(HASHES_AT_ONCE)


class OfficeArgon2Hasher(Argon2PasswordHasher):
    """Django's default took 1.4 GB for 16 log-ins at once; this takes 19 MiB each."""

    time_cost = 2
    memory_cost = 19 * 1024
    parallelism = 1


@dataclass(frozen=True, slots=True)
class Secrets:
    """Everything that is stored of one password."""

    password_hash: str = field(repr=False)
    scram_verifier: str = field(repr=False)
    recoverable: bytes | None = field(default=None, repr=False)


NO_PASSWORD = Secrets(UNUSABLE, "")
"""Nobody logs in with it."""


def make_secrets(password: str, *, keep_recoverable: bool = False) -> Secrets:
    """What to store of this password. Takes tens of milliseconds: call it outside of any transaction."""
    password_hash = make_hash(password)
    verifier = derive_scram_verifier(password, secrets.token_bytes(SALT_BYTES), SCRAM_ITERATIONS)
    recoverable = vault.encrypt(password.encode(), SECRET_USE) if keep_recoverable else None
    return Secrets(password_hash, format_scram(verifier), recoverable)


def restore_secrets(password_hash: str, scram_verifier: str, recoverable_password: str | None) -> Secrets:
    """What another installation exported; raises InvalidInput for what this one could not check a password with."""
    if password_hash != UNUSABLE and not _is_hash(password_hash):
        raise InvalidInput({"password_hash": ["This is not a password hash that this server can check."]})
    if scram_verifier:
        try:
            parse_scram(scram_verifier)
        except ValueError:
            raise InvalidInput({"scram_verifier": ["This is not a SCRAM-SHA-256 verifier."]}) from None
    kept = vault.encrypt(recoverable_password.encode(), SECRET_USE) if recoverable_password is not None else None
    return Secrets(password_hash, scram_verifier, kept)


def make_hash(password: str) -> str:
    """The Argon2 hash, in Django's form."""
    with _hashing:
        return make_password(saslprep(password))


def verify(password: str, password_hash: str) -> tuple[bool, bool]:
    """Whether the password fits, and whether its hash was made with other parameters than today's.

    `UNUSABLE` takes as long as a wrong password does.
    """
    if not _is_text(password):
        password_hash = UNUSABLE
    with _hashing:
        return verify_password(saslprep(password), password_hash)


def open_recoverable(stored: bytes | memoryview) -> str:
    """The password itself; raises MailError when another key file wrote it."""
    return vault.decrypt(bytes(stored), SECRET_USE).decode()


def format_scram(verifier: ScramVerifier) -> str:
    """`iterations:salt:stored key:server key`, the last three in base 64."""
    parts = (verifier.salt, verifier.stored_key, verifier.server_key)
    return ":".join((str(verifier.iterations), *(base64.b64encode(part).decode() for part in parts)))


def parse_scram(text: str) -> ScramVerifier:
    """What `format_scram` wrote; raises ValueError."""
    iterations, *parts = text.split(":")
    salt, stored_key, server_key = (base64.b64decode(part, validate=True) for part in parts)
    if int(iterations) < 1 or not salt or len(stored_key) != 32 or len(server_key) != 32:
        raise ValueError("not a SCRAM-SHA-256 verifier")
    return ScramVerifier(salt, int(iterations), stored_key, server_key)


def check_strength(password: str, *, name: str, address: str, minimum_length: int) -> None:
    """Raises InvalidInput saying, in plain words, everything that is wrong with a new password."""
    problems = []
    if len(password) < minimum_length:
        problems.append(f"A password needs at least {minimum_length} characters.")
    if len(password) > MAX_PASSWORD_LENGTH:
        problems.append(f"A password may have at most {MAX_PASSWORD_LENGTH} characters.")
    if any(character.isspace() or not character.isprintable() for character in password):
        problems.append("A password may not contain spaces or control characters.")
    if password.lower() in (name.lower(), address.lower()):
        problems.append("A password may not be the same as the name or the address.")
    if _is_common(password):
        problems.append("This is one of the passwords that attackers try first. Choose another one.")
    if problems:
        raise InvalidInput({"password": problems})


def _is_text(password: str) -> bool:
    """False for bytes that a client sent and that are no UTF-8: they arrive as halves of surrogate pairs."""
    try:
        password.encode()
    except UnicodeEncodeError:
        return False
    return True


def _is_hash(text: str) -> bool:
    try:
        identify_hasher(text)
    except ValueError:
        return False
    return True


def _is_common(password: str) -> bool:
    try:
        CommonPasswordValidator().validate(password)
    except ValidationError:
        return True
    return False
