# SPDX-License-Identifier: MIT
"""Secrets at rest open with the key file they were made with, for the use they were made for, and not otherwise."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mailserver import vault
from mailserver.errors import Kind, MailError


@pytest.mark.parametrize("secret", [b"", b"secret", bytes(range(256)) * 40])
def test_round_trip(secret: bytes) -> None:
    stored = vault.encrypt(secret, "password")
    assert vault.decrypt(stored, "password") == secret
    assert stored.startswith(b"v1:")


def test_the_same_secret_never_looks_the_same() -> None:
    assert vault.encrypt(b"secret", "password") != vault.encrypt(b"secret", "password")


@pytest.mark.parametrize("damaged", [b"", b"v1:", b"v1:short", b"v2:whatever", b"plain text"])
def test_what_is_no_secret(damaged: bytes) -> None:
    with pytest.raises(MailError) as caught:
        vault.decrypt(damaged, "password")
    assert caught.value.kind is Kind.INTERNAL


def test_a_changed_byte_is_noticed() -> None:
    stored = bytearray(vault.encrypt(b"secret", "password"))
    stored[-1] ^= 1
    with pytest.raises(MailError):
        vault.decrypt(bytes(stored), "password")


def test_it_opens_only_for_its_use() -> None:
    with pytest.raises(MailError):
        vault.decrypt(vault.encrypt(b"secret", "password"), "tls-key")


def test_another_key_file_is_named_in_the_sentence(settings: Any, tmp_path: Path) -> None:
    stored = vault.encrypt(b"secret", "password")
    settings.ENVIRONMENT = replace(settings.ENVIRONMENT, key_file=tmp_path / "other.key")
    with pytest.raises(MailError, match=r"other\.key is not the key file"):
        vault.decrypt(stored, "password")
