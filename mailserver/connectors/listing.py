# SPDX-License-Identifier: MIT
"""What there is: rows for exports and displays, and names with their numbers."""

from __future__ import annotations

from mailserver.connectors.models import Collector, Connection, DownloadRule, OAuthAccount, ScheduleItem


def list_connections() -> list[Connection]:
    """All of them in their order, with Sender, its servers and the Collectors."""
    rows = Connection.objects.select_related("sender", "sender__oauth").prefetch_related(
        "sender__servers", "collectors"
    )
    return list(rows.order_by("pk"))


def list_collectors() -> list[Collector]:
    """All of them, earliest first."""
    return list(Collector.objects.select_related("oauth").prefetch_related("connections").order_by("priority", "pk"))


def list_items() -> list[ScheduleItem]:
    """The schedule."""
    return list(ScheduleItem.objects.prefetch_related("connections").order_by("pk"))


def list_rules() -> list[DownloadRule]:
    """The download rules in the order in which they are tried."""
    return list(DownloadRule.objects.order_by("position", "pk"))


def list_accounts() -> list[OAuthAccount]:
    return list(OAuthAccount.objects.order_by("pk"))


def unlinked() -> list[str]:
    """Names of Collectors and schedule items that belong to no Connection, and so never run."""
    collectors = Collector.objects.filter(connections=None)
    items = ScheduleItem.objects.filter(connections=None, to_default=False, deny=False)
    return [f"The Collector {row}" for row in collectors] + [f"The schedule item {row}" for row in items]


def connection_numbers() -> dict[str, int]:
    return dict(Connection.objects.values_list("name", "pk"))


def collector_numbers() -> dict[str, int]:
    return dict(Collector.objects.values_list("name", "pk"))


def account_numbers() -> dict[str, int]:
    return dict(OAuthAccount.objects.values_list("name", "pk"))


def item_numbers() -> dict[str, list[int]]:
    """Names of schedule items need not be unique: each has a list."""
    numbers: dict[str, list[int]] = {}
    for name, number in ScheduleItem.objects.order_by("pk").values_list("name", "pk"):
        numbers.setdefault(name, []).append(number)
    return numbers
