# SPDX-License-Identifier: MIT
"""What makes a password good enough, and what is stored of it."""

from __future__ import annotations

import pytest

from mailserver.errors import InvalidInput
from mailserver.users.passwords import (
    NO_PASSWORD,
    SCRAM_ITERATIONS,
    OfficeArgon2Hasher,
    check_strength,
    format_scram,
    make_secrets,
    open_recoverable,
    parse_scram,
    restore_secrets,
    verify,
)
from mailserver.users.scram import derive_scram_verifier


@pytest.mark.parametrize(
    ("password", "complaint"),
    [
        ("", "at least 8"),
        ("short-1", "at least 8"),
        ("x" * 129, "at most 128"),
        ("two words1", "spaces"),
        ("tab\tbed-in", "spaces"),
        ("null\0inside", "control"),
        ("line\nbreak", "spaces"),
        ("no-break\u00a0space", "spaces"),
        ("password1", "attackers try first"),
        ("PASSWORD1", "attackers try first"),
        ("12345678", "attackers try first"),
        ("Alice.Example", "same as the name"),
        ("ALICE.EXAMPLE@example.test", "same as the name or the address"),
    ],
)
def test_weak(password: str, complaint: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        check_strength(password, name="alice.example", address="alice.example@example.test", minimum_length=8)
    assert any(complaint in text for text in caught.value.messages["password"])


@pytest.mark.parametrize("password", ["alice-secret-1", "bob-secret-22", "\N{SNOWMAN}pässwörter", "x" * 7 + "!"])
def test_good_enough(password: str) -> None:
    check_strength(password, name="alice", address="alice@example.test", minimum_length=8)


def test_what_is_stored_fits_and_tells_nothing() -> None:
    secrets = make_secrets("alice-secret-1")
    assert verify("alice-secret-1", secrets.password_hash) == (True, False)
    assert verify("alice-secret-2", secrets.password_hash) == (False, False)
    assert secrets.password_hash.startswith("argon2$argon2id$v=19$")
    assert secrets.recoverable is None
    assert "argon2" not in repr(secrets)


def test_what_a_hash_costs_in_earnest() -> None:
    assert OfficeArgon2Hasher().encode("x", "somesalt").startswith("argon2$argon2id$v=19$m=19456,t=2,p=1$")


def test_the_verifier_is_that_of_the_password() -> None:
    verifier = parse_scram(make_secrets("alice-secret-1").scram_verifier)
    assert verifier == derive_scram_verifier("alice-secret-1", verifier.salt, SCRAM_ITERATIONS)


def test_two_spellings_of_one_letter_are_one_password() -> None:
    assert verify("pa\u0308ssword-1", make_secrets("p\u00e4ssword-1").password_hash)[0]


def test_an_old_hash_is_known_as_such() -> None:
    old = "argon2$argon2id$v=19$m=512,t=1,p=1$c29tZXNhbHRzb21lc2FsdA$0000"
    assert verify("x", old)[0] is False
    from argon2.low_level import Type, hash_secret

    made = "argon2" + hash_secret(b"x", b"somesaltsomesalt", 1, 512, 1, 32, Type.ID).decode()
    assert verify("x", made) == (True, True)


@pytest.mark.parametrize(
    "text", ["", "1:2:3", "x:c2FsdA==:a:b", "4096:c2FsdA==:c2hvcnQ=:c2hvcnQ=", "0:::", "1:2:3:4:5"]
)
def test_a_damaged_verifier_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parse_scram(text)


def test_a_verifier_goes_round() -> None:
    verifier = derive_scram_verifier("x", b"salt", 4096)
    assert parse_scram(format_scram(verifier)) == verifier


def test_recoverable_only_where_asked_for() -> None:
    kept = make_secrets("alice-secret-1", keep_recoverable=True).recoverable
    assert kept is not None
    assert b"alice" not in kept
    assert open_recoverable(kept) == "alice-secret-1"


def test_secrets_of_another_installation() -> None:
    made = make_secrets("alice-secret-1")
    restored = restore_secrets(made.password_hash, made.scram_verifier, "alice-secret-1")
    assert restored.password_hash == made.password_hash
    assert restored.recoverable is not None
    assert open_recoverable(restored.recoverable) == "alice-secret-1"
    assert restore_secrets("!", "", None) == NO_PASSWORD


@pytest.mark.parametrize(
    ("password_hash", "verifier", "place"),
    [("secret", "", "password_hash"), ("md5$x$y", "", "password_hash"), ("!", "nonsense", "scram_verifier")],
)
def test_secrets_that_cannot_be_used(password_hash: str, verifier: str, place: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        restore_secrets(password_hash, verifier, None)
    assert list(caught.value.messages) == [place]


def test_nobody_logs_in_without_a_password() -> None:
    assert verify("", NO_PASSWORD.password_hash)[0] is False
    assert verify("!", NO_PASSWORD.password_hash)[0] is False
