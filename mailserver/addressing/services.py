# SPDX-License-Identifier: MIT
"""Adding and removing local domains.

RFC 5321 §2.3.5 (domain names), RFC 1035 §2.3.1 (labels), RFC 5890 §2.3.2.1 (other scripts are kept as A-labels).
"""

from __future__ import annotations

import re

from django.db import transaction
from django.db.models import ProtectedError

from mailserver.addressing.models import Domain
from mailserver.addressing.syntax import BadDomain, parse_domain
from mailserver.config.catalog import DEFAULT_DOMAIN
from mailserver.config.revision import touch_revision
from mailserver.config.stored import get_setting
from mailserver.errors import InvalidInput

_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\Z")
MAX_DOMAIN_LENGTH = 253
"""RFC 1035 §2.3.4: 255 octets on the wire, which leaves 253 characters."""


def parse_local_domain(text: str) -> str:
    """The domain's stored form: lower case, A-labels, no final dot; raises InvalidInput in plain words."""
    typed = text.strip()
    if not typed:
        raise _refuse("Write a domain name, such as example.com.")
    if "@" in typed:
        raise _refuse("Write only the part after the @.")
    try:
        name = parse_domain(typed)
    except BadDomain:
        name = ""
    if len(name) > MAX_DOMAIN_LENGTH or not all(_LABEL.match(label) for label in name.split(".")):
        raise _refuse(f"{typed!r} is not a domain name; write one like example.com.")
    return name


def add_domain(name: str) -> Domain:
    """A new local domain; raises InvalidInput when it is not a domain name or already there."""
    parsed = parse_local_domain(name)
    with transaction.atomic():
        domain, created = Domain.objects.get_or_create(name=parsed)
        if not created:
            raise _refuse(f"{parsed} is already a local domain.")
        touch_revision()
    return domain


def delete_domain(name: str) -> None:
    """Raises InvalidInput while the domain has users, is the default one, or is the only one."""
    parsed = parse_local_domain(name)
    try:
        with transaction.atomic():
            domain = Domain.objects.select_for_update().filter(name=parsed).first()
            if domain is None:
                raise _refuse(f"{parsed} is not a local domain.")
            if get_setting(DEFAULT_DOMAIN) == parsed:
                raise _refuse(f"{parsed} is the default domain. Choose another one in Settings first.")
            if not Domain.objects.exclude(pk=domain.pk).exists():
                raise _refuse(f"{parsed} is the only domain. Add another one first.")
            domain.delete()
            touch_revision()
    except ProtectedError as error:
        count = len(error.protected_objects)
        users = "a user" if count == 1 else f"{count} users"
        raise _refuse(f"{parsed} still has {users}. Delete them first.") from None


def list_domains() -> list[str]:
    """All local domains in the order in which they were added."""
    return list(Domain.objects.values_list("name", flat=True))


def find_domain(name: str) -> Domain | None:
    """The local domain of this name, in any spelling."""
    try:
        return Domain.objects.filter(name=parse_local_domain(name)).first()
    except InvalidInput:
        return None


def default_domain() -> str:
    """The default domain: the one chosen, else the one that was added first, else an empty text."""
    domains = list_domains()
    chosen = get_setting(DEFAULT_DOMAIN)
    return chosen if chosen in domains else next(iter(domains), "")


def _refuse(text: str) -> InvalidInput:
    return InvalidInput({"name": [text]})
