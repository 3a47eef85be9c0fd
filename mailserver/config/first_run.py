# SPDX-License-Identifier: MIT
"""What an installation starts with: a domain, the services, a certificate, and an administrator (design section 3)."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field

from django.db import transaction

from mailserver.addressing.services import add_domain, default_domain
from mailserver.config.building import machine_name
from mailserver.config.catalog import (
    HOSTNAME,
    LISTEN_ADDRESS,
    MAIN_ADMINISTRATOR,
    PORT_OFFSET,
    SERVICE_TEMPLATES,
    ServiceTemplate,
)
from mailserver.config.certificates import has_certificate, make_self_signed
from mailserver.config.general import set_settings
from mailserver.config.models import Binding, Revision, Service
from mailserver.config.revision import touch_revision
from mailserver.config.stored import get_setting
from mailserver.connectors.services import ensure_first_connection
from mailserver.errors import InvalidInput
from mailserver.project.environment import Environment
from mailserver.users.services import create_user, has_users, make_secrets

ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"
"""Without letters that people take for others (RFC 4648 §3.4 has the same worry)."""
PASSWORD_GROUPS = 4
GROUP_LENGTH = 4


@dataclass(frozen=True, slots=True)
class FirstRun:
    """What the person who started it must be told, once."""

    login: str
    address: str
    domain: str
    password: str = field(repr=False)


def first_run(environment: Environment) -> FirstRun | None:
    """Make what is missing; gives the administrator's credentials when there was no user yet, else None.

    Safe to call at each start: it also adds the services that a newer version brings. Raises InvalidInput when the
    environment asks for an address or a port that cannot be.
    """
    password = _make_password()
    kept = None if has_users() else make_secrets(password)
    with transaction.atomic():
        Revision.objects.get_or_create(id=1)
        Revision.objects.select_for_update().get(id=1)
        if not Service.objects.exists():
            set_settings({LISTEN_ADDRESS.name: environment.listen, PORT_OFFSET.name: environment.port_offset})
        if not default_domain():
            add_domain(environment.domain)
        _add_missing_services()
        ensure_first_connection()
        if not has_certificate():
            make_self_signed(get_setting(HOSTNAME) or machine_name())
        if kept is None or has_users():
            return None
        name = MAIN_ADMINISTRATOR.default
        user = create_user(name, kept, is_admin=True, full_name="Postmaster")
        return FirstRun(name, user.address, default_domain(), password)


def _add_missing_services() -> None:
    """A row for each kind that has none. The last of a kind cannot be deleted, so this never brings one back."""
    present = set(Service.objects.values_list("kind", flat=True))
    missing = [template for kind, template in SERVICE_TEMPLATES.items() if kind.value not in present]
    if not missing:
        return
    address, offset = get_setting(LISTEN_ADDRESS), get_setting(PORT_OFFSET)
    for template in missing:
        _add_service(template, address, offset + template.port)
    touch_revision()


def _add_service(template: ServiceTemplate, address: str, port: int) -> None:
    """A new kind whose port is taken waits, switched off, for somebody to choose another one."""
    if port > 65535:
        raise InvalidInput({PORT_OFFSET.name: [f"{template.name} would listen on port {port}, which does not exist."]})
    free = not Binding.objects.filter(address=address, port=port).exists()
    service = Service.objects.create(
        kind=template.kind.value,
        name=template.name,
        enabled=free,
        encryption=template.encryption,
        idle_timeout_seconds=template.idle_timeout_seconds,
        options=dict(template.preset),
    )
    if free:
        Binding.objects.create(service=service, address=address, port=port)


def _make_password() -> str:
    """About 79 bits, in groups that can be read out over a telephone."""
    groups = ("".join(secrets.choice(ALPHABET) for _ in range(GROUP_LENGTH)) for _ in range(PASSWORD_GROUPS))
    return "-".join(groups)
