# SPDX-License-Identifier: MIT
"""From the database to a Snapshot: read whole in a handful of queries, checked before anybody gets it."""

from __future__ import annotations

import socket
from collections.abc import Iterable
from functools import lru_cache
from ipaddress import ip_network

from mailserver.addressing.services import list_domains
from mailserver.config import models
from mailserver.config.catalog import HOSTNAME, SERVICE_TEMPLATES, ServiceKind
from mailserver.config.certificates import read_tls
from mailserver.config.listening import parse_options
from mailserver.config.revision import current_revision
from mailserver.config.snapshot import AccessRule, Binding, Directory, HiddenCapabilities, Service, Snapshot
from mailserver.config.stored import read_settings
from mailserver.errors import InvalidInput, MailError
from mailserver.lan.services import read_rules
from mailserver.users.services import directory_users
from mailserver.values import Protocol, UserId

TRIES = 3
"""A change during the build makes another one worth while; in a storm of changes the watcher follows up."""


class SnapshotProblem(Exception):
    """What is stored does not make sense; the old snapshot stays. The text is for the administrator."""


def build_snapshot() -> Snapshot:
    """The picture of what is committed now. Raises SnapshotProblem, or a database error.

    The revision is read first: whatever changes meanwhile makes a watcher see a newer number and build again.
    """
    for _ in range(TRIES):
        revision = current_revision()
        snapshot = _build(revision)
        if current_revision() == revision:
            break
    return snapshot


def _build(revision: int) -> Snapshot:
    try:
        settings = read_settings()
        access = read_access()
        return Snapshot(
            revision=revision,
            settings=settings,
            services=tuple(_read_services(access)),
            global_access=access.get(None, ()),
            directory=Directory(list_domains(), directory_users()),
            pools=dict(models.BandwidthPool.objects.values_list("number", "bytes_per_second")),
            tls=read_tls(),
            hidden_capabilities=tuple(_read_hidden()),
            lan_rules=read_rules(),
            hostname=settings.get(HOSTNAME.name) or machine_name(),
        )
    except (InvalidInput, MailError, ValueError) as error:
        raise SnapshotProblem(str(error)) from error


@lru_cache(maxsize=1)
def machine_name() -> str:
    """The machine's full name, asked once: the resolver may take its time."""
    name = socket.gethostname()
    if "." in name:
        return name
    full = socket.getfqdn(name)
    return full if "." in full and not full.startswith("localhost") else name


def _read_services(access: dict[int | None, tuple[AccessRule, ...]]) -> Iterable[Service]:
    """Rows of a kind that another version added are left out."""
    known = {kind.value for kind in ServiceKind}
    for row in models.Service.objects.filter(kind__in=known).prefetch_related("bindings"):
        kind = ServiceKind(row.kind)
        yield Service(
            id=row.pk,
            kind=kind,
            name=row.name,
            protocol=Protocol(SERVICE_TEMPLATES[kind].protocol),
            bindings=tuple(Binding(binding.address, binding.port) for binding in row.bindings.all()),
            enabled=row.enabled,
            encryption=row.encryption,
            require_encrypted_login=row.require_encrypted_login,
            use_global_access=row.use_global_access,
            access=access.get(row.pk, ()),
            bandwidth=_encode_bandwidth(row),
            max_sessions=row.max_sessions,
            max_sessions_per_address=row.max_sessions_per_address,
            idle_timeout_seconds=row.idle_timeout_seconds,
            log_sessions=row.log_sessions,
            options=_read_options(row, kind),
        )


def _read_options(row: models.Service, kind: ServiceKind) -> dict[str, object]:
    try:
        return parse_options(kind, row.options)
    except InvalidInput as error:
        raise SnapshotProblem(f"the service {row.name}: {error}") from error


def _read_hidden() -> Iterable[HiddenCapabilities]:
    for row in models.CapabilityHiding.objects.order_by("id"):
        user = None if row.user_id is None else UserId(row.user_id)
        yield HiddenCapabilities(frozenset(row.capabilities.upper().split()), user, row.client)


def _encode_bandwidth(row: models.Service) -> int:
    """As scripts know it (spec services 5.3): bytes per second of each connection, or a pool's negative number."""
    if row.bandwidth == models.Service.Bandwidth.POOL:
        return -(row.bandwidth_pool or 0)
    return row.bandwidth_bytes if row.bandwidth == models.Service.Bandwidth.CUSTOM else 0


def read_access() -> dict[int | None, tuple[AccessRule, ...]]:
    """The access lists by service id, the global one under None."""
    lists: dict[int | None, tuple[AccessRule, ...]] = {}
    for row in models.AccessRule.objects.order_by("position", "id").prefetch_related("users"):
        users = frozenset(user.pk for user in row.users.all())
        rule = AccessRule(
            allow=row.allow,
            matches=row.matches,
            network=ip_network(row.network) if row.network else None,
            allow_unauthenticated=row.allow_unauthenticated,
            users=users or None,
        )
        lists[row.service_id] = (*lists.get(row.service_id, ()), rule)
    return lists
