# SPDX-License-Identifier: MIT
"""The configuration as a document that `importing.py` reads back."""

from __future__ import annotations

from typing import Any

from mailserver.addressing.services import list_domains
from mailserver.config import models
from mailserver.config.certificates import read_tls
from mailserver.config.exchange.connectors_export import export_connectors
from mailserver.config.exchange.folders import export_public_folders, export_shared_folders
from mailserver.config.exchange.hidings import export_hidings
from mailserver.config.exchange.keys import SERVICE_FLAGS, SERVICE_NUMBERS, SERVICE_TEXTS, USER_FIELDS
from mailserver.config.exchange.lan import export_lan
from mailserver.config.stored import read_settings
from mailserver.users.services import User, list_users, open_recoverable

Document = dict[str, Any]


def export_config(*, secrets: bool = False) -> Document:
    """Every section, in a fixed order. `secrets` adds what lets people log in elsewhere: handle the file like a key."""
    document: Document = {
        "domains": list_domains(),
        "bandwidth_pools": [_pool(pool) for pool in models.BandwidthPool.objects.all()],
        "users": [_user(user, secrets=secrets) for user in list_users()],
        "services": [_service(service) for service in models.Service.objects.prefetch_related("bindings")],
        "hidden_capabilities": export_hidings(),
        "public_folders": export_public_folders(),
        "shared_folders": export_shared_folders(),
        "global_access": _rules(None),
        **export_connectors(secrets=secrets),
        "lan_forwarding": export_lan(secrets=secrets),
        "settings": read_settings(),
    }
    tls = read_tls() if secrets else None
    if tls is not None:
        document["certificate"] = {"chain": tls.chain_pem, "key": tls.key_pem}
    return document


def _pool(pool: models.BandwidthPool) -> Document:
    return {"number": pool.number, "name": pool.name, "bytes_per_second": pool.bytes_per_second}


def _user(user: User, *, secrets: bool) -> Document:
    document: Document = {"name": user.name, "domain": user.address.rpartition("@")[2]}
    document |= {key: getattr(user, field) for key, field in USER_FIELDS.items()}
    document["allowed_protocols"] = sorted(user.allowed_protocols)
    if secrets:
        document["password_hash"] = user.password
        document["scram_verifier"] = user.scram_verifier
        if user.recoverable_secret is not None:
            document["recoverable_password"] = open_recoverable(user.recoverable_secret)
    return document


def _service(service: models.Service) -> Document:
    document: Document = {"name": service.name, "kind": service.kind}
    columns = sorted(SERVICE_FLAGS | SERVICE_NUMBERS | SERVICE_TEXTS)
    document |= {column: getattr(service, column) for column in columns}
    return {
        **document,
        "bindings": [str(binding) for binding in service.bindings.all()],
        "access_rules": _rules(service),
        "options": dict(sorted(service.options.items())),
    }


def _rules(service: models.Service | None) -> list[Document]:
    rows = models.AccessRule.objects.filter(service=service).order_by("position", "id").prefetch_related("users")
    return [
        {
            "action": "allow" if row.allow else "block",
            "matches": row.matches,
            "network": row.network,
            "without_login": row.allow_unauthenticated,
            "users": sorted(user.address for user in row.users.all()),
            "comment": row.comment,
        }
        for row in rows
    ]
