# SPDX-License-Identifier: MIT
"""The server's certificate and key: checked, encrypted, stored; and the self-signed one of the first start.

RFC 5280 §4.1 (certificates), RFC 6125 §6.4 (names are looked for in subjectAltName). Spec services 8.1.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import ip_address
from itertools import pairwise

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes, PublicKeyTypes
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import NameOID
from django.db import transaction

from mailserver import clock, vault
from mailserver.config.models import Certificate
from mailserver.config.revision import touch_revision
from mailserver.config.snapshot import TlsMaterial
from mailserver.errors import InvalidInput

SELF_SIGNED_DAYS = 3650
"""Nobody renews a certificate that no authority has signed: it only has to outlive the machine."""
MAX_COMMON_NAME = 64
"""RFC 5280 appendix A, ub-common-name."""
KEY_USE = "tls-key"


@dataclass(frozen=True, slots=True)
class CertificateFacts:
    """What people want to know of the certificate in use."""

    subject: str
    issuer: str
    names: tuple[str, ...]
    valid_from: datetime
    valid_until: datetime
    self_signed: bool


def set_certificate(chain_pem: str, key_pem: str) -> None:
    """Use this chain (the server's certificate first) and key for new connections.

    Raises InvalidInput when one cannot be read, they do not belong together, a link of the chain is not signed by
    the next, or the certificate has expired.
    """
    chain = _parse_chain(chain_pem)
    key = _parse_key(key_pem)
    if _public_bytes(chain[0].public_key()) != _public_bytes(key.public_key()):
        raise InvalidInput({"key_pem": ["This key does not belong to the first certificate of the chain."]})
    if chain[0].not_valid_after_utc <= clock.now():
        raise InvalidInput({"chain_pem": [f"This certificate expired on {chain[0].not_valid_after_utc:%d %B %Y}."]})
    _check_links(chain)
    ordered = "".join(certificate.public_bytes(Encoding.PEM).decode() for certificate in chain)
    _store(TlsMaterial(ordered, _key_pem(key)), self_signed=chain[0].issuer == chain[0].subject)


def make_self_signed(hostname: str) -> None:
    """A new key (ECDSA P-256) and a certificate for this name and for this machine's loopback addresses."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, hostname[:MAX_COMMON_NAME])])
    names = list(dict.fromkeys((hostname, "localhost")))
    alternatives: list[x509.GeneralName] = [x509.DNSName(text) for text in names]
    alternatives += [x509.IPAddress(ip_address(text)) for text in ("127.0.0.1", "::1")]
    start = clock.now() - timedelta(days=1)
    builder = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + timedelta(days=SELF_SIGNED_DAYS))
        .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    )
    certificate = builder.sign(key, hashes.SHA256())
    _store(TlsMaterial(certificate.public_bytes(Encoding.PEM).decode(), _key_pem(key)), self_signed=True)


def has_certificate() -> bool:
    return Certificate.objects.exists()


def read_tls() -> TlsMaterial | None:
    """The certificate in use with its decrypted key; raises MailError when the key file is another one."""
    row = Certificate.objects.order_by("id").last()
    if row is None:
        return None
    return TlsMaterial(row.chain_pem, vault.decrypt(bytes(row.encrypted_key), KEY_USE).decode())


def current_certificate() -> CertificateFacts | None:
    """What the certificate in use says of itself."""
    row = Certificate.objects.order_by("id").last()
    if row is None:
        return None
    certificate = _parse_chain(row.chain_pem)[0]
    return CertificateFacts(
        subject=certificate.subject.rfc4514_string(),
        issuer=certificate.issuer.rfc4514_string(),
        names=_names(certificate),
        valid_from=certificate.not_valid_before_utc,
        valid_until=certificate.not_valid_after_utc,
        self_signed=row.self_signed,
    )


def _names(certificate: x509.Certificate) -> tuple[str, ...]:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    addresses = (str(address) for address in names.get_values_for_type(x509.IPAddress))
    return (*names.get_values_for_type(x509.DNSName), *addresses)


def _store(material: TlsMaterial, *, self_signed: bool) -> None:
    """The newest row is the one in use; the older ones go, their keys with them."""
    encrypted = vault.encrypt(material.key_pem.encode(), KEY_USE)
    with transaction.atomic():
        row = Certificate.objects.create(chain_pem=material.chain_pem, encrypted_key=encrypted, self_signed=self_signed)
        Certificate.objects.exclude(pk=row.pk).delete()
        touch_revision()


def _parse_chain(chain_pem: str) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(chain_pem.encode())
    except ValueError:
        text = "This is not a certificate in PEM form: it starts with -----BEGIN CERTIFICATE-----."
        raise InvalidInput({"chain_pem": [text]}) from None


def _parse_key(key_pem: str) -> PrivateKeyTypes:
    try:
        return load_pem_private_key(key_pem.encode(), password=None)
    except TypeError:
        raise InvalidInput({"key_pem": ["This key is protected by a password. Paste it without one."]}) from None
    except ValueError:
        text = "This is not a private key in PEM form: it starts with -----BEGIN PRIVATE KEY----- or similar."
        raise InvalidInput({"key_pem": [text]}) from None


def _check_links(chain: list[x509.Certificate]) -> None:
    for number, (certificate, issuer) in enumerate(pairwise(chain), 2):
        try:
            certificate.verify_directly_issued_by(issuer)
        except (ValueError, TypeError, InvalidSignature):
            text = f"Certificate {number} of the chain did not sign the one in front of it. The server's comes first."
            raise InvalidInput({"chain_pem": [text]}) from None


def _key_pem(key: PrivateKeyTypes) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def _public_bytes(key: PublicKeyTypes) -> bytes:
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
