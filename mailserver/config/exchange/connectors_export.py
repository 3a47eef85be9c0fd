# SPDX-License-Identifier: MIT
"""Connections, Collectors, the schedule, download rules and OAuth2 accounts as `connectors.py` reads them back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mailserver.config.exchange.connector_keys import (
    ACCOUNT_KEYS,
    COLLECTOR_KEYS,
    DAYS,
    ROUTING_KEYS,
    RULE_FILE_KEYS,
    SENDER_KEYS,
    Form,
    Key,
)
from mailserver.connectors import sealing
from mailserver.connectors.listing import list_accounts, list_collectors, list_connections, list_items, list_rules

Document = dict[str, Any]


def export_connectors(*, secrets: bool) -> Document:
    """The sections of this area; passwords and tokens only with `secrets`."""
    return {
        "oauth_accounts": [_account(row, secrets=secrets) for row in list_accounts()],
        "collectors": [_collector(row, secrets=secrets) for row in list_collectors()],
        "connections": [_connection(row, secrets=secrets) for row in list_connections()],
        "schedule": [_item(row) for row in list_items()],
        "download_rules": [{**_values(row, RULE_FILE_KEYS), "conditions": row.conditions} for row in list_rules()],
    }


def _connection(row: Any, *, secrets: bool) -> Document:
    sender = row.sender
    document = _values(sender, SENDER_KEYS)
    document["servers"] = [
        {"host": server.host, "port": server.port, "encryption": server.encryption} for server in sender.servers.all()
    ]
    if sender.oauth is not None:
        document["oauth_account"] = sender.oauth.name
    if secrets and sender.secret:
        document["password"] = sealing.unseal(sender.secret, sealing.SENDER_PASSWORD)
    return {
        "name": row.name,
        "default": row.is_default,
        "sender": document,
        "collectors": [collector.name for collector in row.collectors.all()],
    }


def _collector(row: Any, *, secrets: bool) -> Document:
    document: Document = {"name": row.name, **_values(row, COLLECTOR_KEYS)}
    if row.oauth is not None:
        document["oauth_account"] = row.oauth.name
    if secrets and row.secret:
        document["password"] = sealing.unseal(row.secret, sealing.COLLECTOR_PASSWORD)
    document["routing"] = _values(row, ROUTING_KEYS)
    return document


def _item(row: Any) -> Document:
    when: Document
    if row.mode == row.Mode.ONCE:
        when = {"once_at": _time(row.once_at)}
    else:
        when = {"every_minutes": row.every_minutes, "from": _time(row.start), "to": _time(row.end)}
    return {
        "name": row.name,
        "enabled": row.enabled,
        "connections": [connection.name for connection in row.connections.all()],
        "default_connections": row.to_default,
        "deny": row.deny,
        **when,
        "days": [DAYS[int(digit) - 1] for digit in row.days],
        "minimum_messages": row.minimum_messages,
    }


def _account(row: Any, *, secrets: bool) -> Document:
    document = _values(row, ACCOUNT_KEYS)
    if secrets and row.client_secret:
        document["client_secret"] = sealing.unseal(row.client_secret, sealing.OAUTH_CLIENT)
    if secrets and row.refresh_token:
        document["refresh_token"] = sealing.unseal(row.refresh_token, sealing.OAUTH_REFRESH)
    return document


def _values(row: object, table: Mapping[str, Key]) -> Document:
    return {name: _written(getattr(row, key.column), key.form) for name, key in table.items()}


def _written(value: Any, form: Form) -> object:
    if form is Form.LINES:
        return [line for line in value.splitlines() if line.strip()]
    if form is Form.DOMAINS:
        return value.replace(";", " ").replace(",", " ").split()
    if form is Form.WORDS:
        return [int(word) if word.isdecimal() else word for word in value.replace(",", " ").split()]
    return value


def _time(value: Any) -> str:
    return f"{value:%H:%M}"
