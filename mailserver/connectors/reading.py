# SPDX-License-Identifier: MIT
"""Senders and Collectors as whoever runs them wants them: plain values, secrets opened."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from mailserver.connectors import sealing
from mailserver.connectors.models import Collector, Connection, Sender
from mailserver.connectors.serverlines import ServerInput
from mailserver.connectors.values import (
    CollectMethod,
    CollectorSettings,
    Credentials,
    Encryption,
    LoginMethod,
    RemoteServer,
    Routing,
    SenderSettings,
    SendMethod,
)
from mailserver.errors import MailError

SENDER_FIELDS = (
    "enabled",
    "send_immediately",
    "verify_certificate",
    "max_messages_per_session",
    "max_recipients_per_message",
    "max_recipients_per_session",
    "rate_recipients",
    "rate_minutes",
    "return_path_mode",
    "return_path",
    "dns_servers",
    "dns_overrides",
    "dns_cache_size",
    "threads",
    "max_per_domain",
    "direct_port",
    "domain_filter",
    "ehlo_name",
    "only_waiting_at_start",
    "smaller_first",
    "reverse_order",
    "give_up_hours",
    "warn_hours",
)
"""Those that a row and `SenderSettings` call the same."""

COLLECTOR_FIELDS = (
    "name",
    "enabled",
    "priority",
    "max_kilobytes",
    "leave_on_server_days",
    "use_download_rules",
    "detect_duplicates",
    "after",
    "move_to",
    "idle",
    "wait_seconds",
    "use_etrn",
    "etrn_parameters",
    "odmr_domains",
)

ROUTING_FIELDS = (
    "target",
    "accepted_domains",
    "special_fields",
    "read_received_reversed",
    "ignore_received",
    "disable_default_mapping",
    "shared_address",
    "marker_prefix",
    "marker_suffix",
    "errors_action",
    "errors_to",
)


def read_senders() -> list[SenderSettings]:
    """Every Sender in the order in which they are asked who takes a message: default Connections first."""
    rows = Sender.objects.select_related("connection", "oauth").prefetch_related("servers")
    return [sender_settings(row) for row in rows.order_by("-connection__is_default", "connection_id")]


def read_sender(sender: int) -> SenderSettings | None:
    """One of them; None when it is gone."""
    row = Sender.objects.select_related("connection", "oauth").filter(pk=sender).first()
    return sender_settings(row) if row is not None else None


def read_sender_of(connection: int) -> SenderSettings | None:
    """A Connection's Sender; None when both are gone."""
    row = Sender.objects.select_related("connection", "oauth").filter(connection=connection).first()
    return sender_settings(row) if row is not None else None


def read_collectors(connection: int | None = None) -> list[CollectorSettings]:
    """Those of a Connection, or all of them, earliest first (spec connectors 6, item 3); switched off ones too."""
    rows = Collector.objects.select_related("oauth")
    if connection is not None:
        rows = rows.filter(connections=connection)
    return [collector_settings(row) for row in rows.order_by("priority", "pk")]


def read_collector(collector: int) -> CollectorSettings | None:
    """One of them; None when it is gone."""
    row = Collector.objects.filter(pk=collector).first()
    return collector_settings(row) if row is not None else None


def read_watched() -> list[CollectorSettings]:
    """Those that stay connected, and that a Connection runs."""
    rows = Collector.objects.select_related("oauth").filter(
        method=CollectMethod.IMAP.value, enabled=True, idle=True, connections__isnull=False
    )
    return [collector_settings(row) for row in rows.distinct().order_by("pk")]


def connection_name(connection: int) -> str:
    """For texts; a number when it is gone."""
    name = Connection.objects.filter(pk=connection).values_list("name", flat=True).first()
    return name or f"Connection {connection}"


def sender_settings(row: Sender, servers: Iterable[ServerInput] | None = None) -> SenderSettings:
    """A row as a value, with other servers than its own if given. Numbers of what is not saved are 0."""
    if servers is None:
        own = row.servers.all() if row.pk else ()
        servers = [ServerInput(server.host, server.port, server.encryption) for server in own]
    return SenderSettings(
        id=row.pk or 0,
        name=row.connection.name,
        connection=row.connection_id or 0,
        connection_name=row.connection.name,
        default=row.connection.is_default,
        method=SendMethod(row.method),
        servers=tuple(
            RemoteServer(_bare(server.host), server.port, Encryption(server.encryption), row.verify_certificate)
            for server in servers
        ),
        credentials=_credentials(row, sealing.SENDER_PASSWORD, f"the Sender of the Connection {row.connection.name}"),
        retry_minutes=parse_minutes(row.retry_minutes),
        **{name: getattr(row, name) for name in SENDER_FIELDS},
    )


def collector_settings(row: Collector) -> CollectorSettings:
    """A row as a value; the number of what is not saved is 0."""
    return CollectorSettings(
        id=row.pk or 0,
        method=CollectMethod(row.method),
        server=RemoteServer(_bare(row.server), row.port, Encryption(row.encryption), row.verify_certificate),
        credentials=_credentials(row, sealing.COLLECTOR_PASSWORD, f"the Collector {row.name}"),
        routing=Routing(row.routing, **{name: getattr(row, name) for name in ROUTING_FIELDS}),
        folders=tuple(line.strip() for line in row.folders.splitlines() if line.strip()) or ("INBOX",),
        **{name: getattr(row, name) for name in COLLECTOR_FIELDS},
    )


def _bare(host: str) -> str:
    """People write an IPv6 address in brackets; whoever connects to it must not."""
    return host.strip().removeprefix("[").removesuffix("]")


def _credentials(row: Sender | Collector, use: str, whose: str) -> Credentials:
    """A password that another key file sealed stops its owner alone."""
    credentials = Credentials(LoginMethod(row.login_method), _username(row), oauth=row.oauth_id)
    try:
        return replace(credentials, password=sealing.unseal(row.secret, use))
    except MailError:
        text = f"The password of {whose} was stored with another key file and cannot be read. Enter it again."
        return replace(credentials, problem=text)


def _username(row: Sender | Collector) -> str:
    """An OAuth2 account knows whose mailbox it is."""
    return row.username or (row.oauth.username if row.oauth is not None else "")


def parse_minutes(text: str) -> tuple[int, ...]:
    """`5, 15, 30`: what is stored has been checked."""
    return tuple(int(word) for word in text.replace(",", " ").split())
