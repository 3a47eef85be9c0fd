# SPDX-License-Identifier: MIT
"""Changing what an administrator may choose: settings, services, access rules, bandwidth pools, the certificate.

Each function is one transaction that also raises the revision; the daemons hear of it after the commit. What is
wrong raises InvalidInput, by field, in plain words, and then nothing has changed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from django.core.exceptions import ValidationError
from django.db import transaction

from mailserver.config import models
from mailserver.config.catalog import SERVICE_TEMPLATES, ServiceKind
from mailserver.config.certificates import CertificateFacts, current_certificate, make_self_signed, set_certificate
from mailserver.config.first_run import FirstRun, first_run
from mailserver.config.general import reset_setting, set_setting, set_settings
from mailserver.config.listening import (
    FIELDS,
    AccessRuleInput,
    Problems,
    check_access_rules,
    check_bindings,
    check_fields,
    normal_address,
    parse_network,
    parse_options,
)
from mailserver.config.revision import current_revision, touch_revision
from mailserver.config.snapshot import Binding
from mailserver.config.stored import get_setting, read_settings
from mailserver.errors import InvalidInput, Kind, MailError
from mailserver.users.services import existing_user_ids

__all__ = [
    "AccessRuleInput",
    "Binding",
    "CertificateFacts",
    "FirstRun",
    "create_service",
    "current_certificate",
    "current_revision",
    "delete_pool",
    "delete_service",
    "first_run",
    "get_setting",
    "hide_capabilities",
    "lan_rules",
    "make_self_signed",
    "read_settings",
    "reset_setting",
    "set_certificate",
    "set_global_access",
    "set_pool",
    "set_setting",
    "set_settings",
    "show_capabilities",
    "touch_revision",
    "update_service",
]


def create_service(kind: ServiceKind, *, name: str = "", bindings: Sequence[Binding] = (), enabled: bool = True) -> int:
    """Another service of a kind, with its preset options; gives its id. Without a name it gets its kind's."""
    template = SERVICE_TEMPLATES[kind]
    service = models.Service(
        kind=kind.value,
        name=name.strip() or _free_name(template.name),
        enabled=enabled,
        encryption=template.encryption,
        idle_timeout_seconds=template.idle_timeout_seconds,
        options=dict(template.preset),
    )
    with transaction.atomic():
        problems = _check_service(service, bindings, None)
        if problems:
            raise InvalidInput(problems)
        service.save()
        _replace_bindings(service, bindings)
        touch_revision()
    return service.pk


def update_service(
    service_id: int,
    *,
    fields: Mapping[str, object] | None = None,
    options: Mapping[str, object] | None = None,
    bindings: Sequence[Binding] | None = None,
    access_rules: Sequence[AccessRuleInput] | None = None,
) -> None:
    """Change a service: columns and options that are named, and the whole of each list that is given."""
    with transaction.atomic():
        service = _lock_service(service_id)
        problems = _set_fields(service, fields or {}) | _set_options(service, options or {})
        problems |= _check_service(service, bindings, access_rules)
        if problems:
            raise InvalidInput(problems)
        service.save()
        if bindings is not None:
            _replace_bindings(service, bindings)
        if access_rules is not None:
            _replace_access(service, access_rules)
        touch_revision()


def delete_service(service_id: int) -> None:
    """The last service of a kind stays: it can be switched off, and the next start would make it again."""
    with transaction.atomic():
        service = _lock_service(service_id)
        if not models.Service.objects.filter(kind=service.kind).exclude(pk=service.pk).exists():
            raise InvalidInput({"": [f"{service.name} is the only service of its kind. Switch it off instead."]})
        service.delete()
        touch_revision()


def set_global_access(rules: Sequence[AccessRuleInput]) -> None:
    """Replace the global access list (spec services 1.5)."""
    with transaction.atomic():
        problems = check_access_rules(rules, _named_users(rules))
        if problems:
            raise InvalidInput(problems)
        _replace_access(None, rules)
        touch_revision()


def lan_rules() -> tuple[AccessRuleInput, ...]:
    """What 'Default for your LAN' fills in: the networks that this machine is in, whatever they are at the time."""
    return (AccessRuleInput(matches="local", comment="Local networks"),)


def set_pool(number: int, bytes_per_second: int, name: str = "") -> None:
    """Give a bandwidth pool its allowance; 0 is unlimited."""
    pool = models.BandwidthPool(number=number, bytes_per_second=bytes_per_second, name=name.strip())
    problems = _clean(pool, unique=False)
    if problems:
        raise InvalidInput(problems)
    with transaction.atomic():
        pool.save()
        touch_revision()


def delete_pool(number: int) -> None:
    """Raises InvalidInput while a service shares the pool."""
    with transaction.atomic():
        users = models.Service.objects.filter(bandwidth=models.Service.Bandwidth.POOL, bandwidth_pool=number)
        names = list(users.values_list("name", flat=True))
        if names:
            raise InvalidInput({"": [f"Pool {number} is shared by {', '.join(names)}."]})
        models.BandwidthPool.objects.filter(number=number).delete()
        touch_revision()


def hide_capabilities(
    capabilities: str, *, user: int | None = None, client: str = "", comment: str = "", hiding_id: int | None = None
) -> int:
    """Do not announce these capabilities to a user (None: everybody) or a mail program; changes one with `hiding_id`.

    Gives its id.
    """
    words = " ".join(dict.fromkeys(capabilities.upper().split()))
    row = models.CapabilityHiding()
    if hiding_id is not None:
        row = models.CapabilityHiding.objects.filter(pk=hiding_id).first() or row
    row.user_id, row.client, row.capabilities, row.comment = user, client.strip(), words, comment.strip()
    problems = _clean(row)
    if "IMAP4REV1" in words.split() and not problems:
        problems = {"capabilities": ["Without IMAP4REV1 no program would go on."]}
    if problems:
        raise InvalidInput(problems)
    with transaction.atomic():
        row.save()
        touch_revision()
    return row.pk


def show_capabilities(hiding_id: int) -> None:
    """The end of a `hide_capabilities`."""
    with transaction.atomic():
        models.CapabilityHiding.objects.filter(pk=hiding_id).delete()
        touch_revision()


def _set_fields(service: models.Service, fields: Mapping[str, object]) -> Problems:
    unknown = set(fields) - FIELDS
    for field in set(fields) & FIELDS:
        setattr(service, field, fields[field])
    return {field: ["A service has no such field."] for field in sorted(unknown)}


def _set_options(service: models.Service, options: Mapping[str, object]) -> Problems:
    try:
        service.options = {**service.options, **parse_options(ServiceKind(service.kind), options)}
    except InvalidInput as error:
        return error.messages
    return {}


def _check_service(
    service: models.Service, bindings: Sequence[Binding] | None, access_rules: Sequence[AccessRuleInput] | None
) -> Problems:
    problems = _clean(service) or check_fields(service)
    if bindings is not None:
        problems |= check_bindings(bindings, _bindings_of_others(service))
    if access_rules is not None:
        problems |= check_access_rules(access_rules, _named_users(access_rules))
    return problems


def _clean(row: models.Service | models.BandwidthPool | models.CapabilityHiding, *, unique: bool = True) -> Problems:
    try:
        row.full_clean(exclude={"kind"}, validate_unique=unique)
    except ValidationError as error:
        return error.message_dict
    return {}


def _bindings_of_others(service: models.Service) -> list[tuple[str, Binding]]:
    rows = models.Binding.objects.exclude(service=service.pk).values_list("service__name", "address", "port")
    return [(name, Binding(address, port)) for name, address, port in rows]


def _named_users(rules: Iterable[AccessRuleInput]) -> frozenset[int]:
    return existing_user_ids({user for rule in rules for user in rule.users})


def _replace_bindings(service: models.Service, bindings: Iterable[Binding]) -> None:
    """Rows that stay keep their id, so that what is written of a binding elsewhere stays true."""
    wanted = {(normal_address(binding.address), binding.port) for binding in bindings}
    for row in service.bindings.all():
        if (row.address, row.port) in wanted:
            wanted.remove((row.address, row.port))
        else:
            row.delete()
    service.bindings.bulk_create(
        models.Binding(service=service, address=address, port=port) for address, port in sorted(wanted)
    )


def _replace_access(service: models.Service | None, rules: Iterable[AccessRuleInput]) -> None:
    models.AccessRule.objects.filter(service=service).delete()
    for position, rule in enumerate(rules):
        network = str(parse_network(rule.network)) if rule.network else ""
        row = models.AccessRule.objects.create(
            service=service,
            position=position,
            allow=rule.allow,
            matches=rule.matches,
            network=network,
            allow_unauthenticated=rule.allow_unauthenticated,
            comment=rule.comment,
        )
        row.users.set(rule.users)


def _lock_service(service_id: int) -> models.Service:
    service = models.Service.objects.select_for_update().filter(pk=service_id).first()
    if service is None:
        raise MailError(Kind.NOT_FOUND, f"no service {service_id}")
    return service


def _free_name(name: str) -> str:
    taken = set(models.Service.objects.values_list("name", flat=True))
    return next(
        text for text in (name, *(f"{name} {number}" for number in range(2, len(taken) + 3))) if text not in taken
    )
