# SPDX-License-Identifier: MIT
"""Addresses as text: domains in the one form in which they are compared, local parts quoted where they must be.

RFC 5321 §4.1.2 and §4.1.3, RFC 6531 §3.2, RFC 5890 §2.3.2.1. Pure.

Domains written in another script (U-labels) become A-labels as UTS 46 does it without its transitional mapping, so
that `faß.example` and `fass.example` stay two domains. The standard library's `idna` codec would make them one.
"""

from __future__ import annotations

import re
import unicodedata
from ipaddress import AddressValueError, IPv4Address, IPv6Address

from mailserver.values import Address

MAX_DOMAIN_OCTETS = 255
"""RFC 5321 §4.5.3.1.2."""

# Domain = sub-domain *("." sub-domain); sub-domain = Let-dig [Ldh-str]; at most 63 octets each (RFC 1035 §2.3.4).
# Quirk: "_" is accepted, for scanners and printers that send from the name their administrator gave them.
_DOMAIN = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?(?:\.[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?)*")
# General-address-literal = Standardized-tag ":" 1*dcontent
_GENERAL_LITERAL = re.compile(r"[a-z0-9-]*[a-z0-9]:[!-Z^-~]+")
# Dot-string = Atom *("." Atom); RFC 6531 §3.3 adds every character beyond ASCII.
DOT_STRING = r"[\w!#$%&'*+/=?^`{|}~\u00a0-\ud7ff\ue000-\U0010ffff-]+"
_DOT_STRING = re.compile(rf"{DOT_STRING}(?:\.{DOT_STRING})*")
_JOINERS = "\u00b7\u0375\u05f3\u05f4\u30fb"
"""Punctuation that RFC 5892 appendix A lets stand inside a label."""


class BadDomain(ValueError):
    """Not a domain; the text says why."""


def parse_domain(text: str) -> str:
    """The domain or address literal in lower case, A-labels for other scripts, no final dot. Raises BadDomain."""
    domain = text.lower()
    if domain.startswith("["):
        return _parse_literal(domain)
    domain = domain.removesuffix(".")
    if not domain.isascii():
        domain = ".".join(label if label.isascii() else _to_a_label(label) for label in domain.split("."))
    if len(domain) > MAX_DOMAIN_OCTETS:
        raise BadDomain("the domain is too long")
    if _DOMAIN.fullmatch(domain) is None:
        raise BadDomain("not a domain")
    return domain


def format_local(local: str) -> str:
    """The local part as it stands in a path: quoted when it is not a dot-string."""
    if _DOT_STRING.fullmatch(local):
        return local
    escaped = local.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def format_mailbox(address: Address) -> str:
    """`local@domain`, quoted where needed; the local part alone where there is no domain (`<Postmaster>`)."""
    local = format_local(address.local)
    return f"{local}@{address.domain}" if address.domain else local


def _parse_literal(text: str) -> str:
    if not text.endswith("]"):
        raise BadDomain("an address literal ends with ]")
    inner = text[1:-1]
    try:
        if inner.startswith("ipv6:"):
            return f"[ipv6:{IPv6Address(inner[5:])}]"
        if _GENERAL_LITERAL.fullmatch(inner) is None:
            return f"[{IPv4Address(inner)}]"
    except AddressValueError:
        raise BadDomain("not an address literal") from None
    return text


def _to_a_label(label: str) -> str:
    normal = unicodedata.normalize("NFKC", label).lower()
    if not normal or unicodedata.category(normal[0])[0] == "M" or not all(map(_may_stand, normal)):
        raise BadDomain("not an internationalised domain")
    return "xn--" + normal.encode("punycode").decode("ascii")


def _may_stand(character: str) -> bool:
    """RFC 5892 §2, near enough: letters, marks and digits, the hyphen, and what stands inside words."""
    return character == "-" or character in _JOINERS or unicodedata.category(character)[0] in "LMN"
