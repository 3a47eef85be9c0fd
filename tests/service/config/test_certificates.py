# SPDX-License-Identifier: MIT
"""The certificate and its key: checked, kept secret, and usable by Python's TLS."""

from __future__ import annotations

import ssl
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import NameOID

from mailserver import clock
from mailserver.config.building import SnapshotProblem, build_snapshot
from mailserver.config.certificates import current_certificate, make_self_signed, read_tls, set_certificate
from mailserver.config.models import Certificate
from mailserver.errors import InvalidInput

pytestmark = [pytest.mark.django_db, pytest.mark.database]

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


def key_pem(key: Key, password: bytes | None = None) -> str:
    encryption = BestAvailableEncryption(password) if password else NoEncryption()
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption).decode()


def certificate(subject: str, key: Key, issuer: str, issuer_key: Key, days: int = 90) -> str:
    """A certificate in PEM."""

    def name(text: str) -> x509.Name:
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])

    now = clock.now()
    builder = x509.CertificateBuilder(
        name(issuer), name(subject), key.public_key(), 7, now - timedelta(days=100), now + timedelta(days=days)
    )
    return builder.sign(issuer_key, hashes.SHA256()).public_bytes(Encoding.PEM).decode()


@pytest.fixture(scope="module")
def key() -> Key:
    return ec.generate_private_key(ec.SECP256R1())


@pytest.fixture(scope="module")
def authority() -> Key:
    return ec.generate_private_key(ec.SECP256R1())


def test_a_chain_of_two(key: Key, authority: Key) -> None:
    chain = certificate("mail", key, "authority", authority) + certificate("authority", authority, "root", authority)
    set_certificate(chain, key_pem(key))
    facts = current_certificate()
    assert facts is not None
    assert (facts.subject, facts.issuer, facts.self_signed) == ("CN=mail", "CN=authority", False)
    tls = build_snapshot().tls
    assert tls is not None
    assert tls.chain_pem.count("BEGIN CERTIFICATE") == 2


def test_the_self_signed_one_serves_tls(tmp_path: Path) -> None:
    make_self_signed("mail.example.test")
    tls = read_tls()
    assert tls is not None
    path = tmp_path / "both.pem"
    path.write_text(tls.chain_pem + tls.key_pem)
    ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(path)
    facts = current_certificate()
    assert facts is not None
    assert facts.names == ("mail.example.test", "localhost", "127.0.0.1", "::1")
    assert facts.valid_until > clock.now() + timedelta(days=3600)
    assert facts.self_signed


def test_a_very_long_host_name_still_gets_a_certificate() -> None:
    make_self_signed(".".join(["x" * 40] * 4))
    assert current_certificate() is not None


def test_the_key_is_not_stored_in_clear_and_the_old_one_goes(key: Key) -> None:
    make_self_signed("one.example.test")
    set_certificate(certificate("mail", key, "mail", key), key_pem(key))
    row = Certificate.objects.get()
    assert b"PRIVATE" not in bytes(row.encrypted_key)
    assert row.self_signed
    assert "PRIVATE" not in repr(read_tls())


def test_what_cannot_be(key: Key, authority: Key) -> None:
    good = certificate("mail", key, "authority", authority)
    unrelated = certificate("other", ec.generate_private_key(ec.SECP256R1()), "other", authority)
    for chain, secret, place in (
        ("", key_pem(key), "chain_pem"),
        ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----", key_pem(key), "chain_pem"),
        (good, "", "key_pem"),
        (good, "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----", "key_pem"),
        (good, key_pem(authority), "key_pem"),
        (good, key_pem(key, b"password"), "key_pem"),
        (good + unrelated, key_pem(key), "chain_pem"),
        (certificate("mail", key, "authority", authority, days=-1), key_pem(key), "chain_pem"),
        (key_pem(key), good, "chain_pem"),
    ):
        with pytest.raises(InvalidInput) as caught:
            set_certificate(chain, secret)
        assert list(caught.value.messages) == [place]
    assert not Certificate.objects.exists()


def test_an_rsa_key_will_do() -> None:
    key = rsa.generate_private_key(65537, 2048)
    set_certificate(certificate("mail", key, "mail", key), key_pem(key))
    assert current_certificate() is not None


def test_another_key_file_is_a_problem_of_the_snapshot(settings: Any, tmp_path: Path) -> None:
    make_self_signed("mail.example.test")
    settings.ENVIRONMENT = replace(settings.ENVIRONMENT, key_file=tmp_path / "other.key")
    with pytest.raises(SnapshotProblem, match="key file"):
        build_snapshot()
