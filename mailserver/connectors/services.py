# SPDX-License-Identifier: MIT
"""What the console, the commands and the import file do with Connections, Senders, Collectors and the schedule.

Each function is one transaction. What a person typed wrong raises InvalidInput, by field, in plain words, and then
nothing has changed. Passwords go in and never come out again: what is stored is sealed.
"""

from __future__ import annotations

from mailserver.connectors.collectors import (
    create_collector,
    delete_account,
    delete_collector,
    delete_rule,
    delete_rules,
    order_rules,
    save_account,
    save_rule,
    standard_port,
    update_collector,
)
from mailserver.connectors.connections import (
    create_connection,
    delete_connection,
    ensure_first_connection,
    forget_untouched_connection,
    update_connection,
)
from mailserver.connectors.serverlines import ServerInput
from mailserver.connectors.timetable import create_item, delete_items, forget_untouched_items, update_item

__all__ = [
    "ServerInput",
    "create_collector",
    "create_connection",
    "create_item",
    "delete_account",
    "delete_collector",
    "delete_connection",
    "delete_items",
    "delete_rule",
    "delete_rules",
    "ensure_first_connection",
    "forget_untouched_connection",
    "forget_untouched_items",
    "order_rules",
    "save_account",
    "save_rule",
    "standard_port",
    "update_collector",
    "update_connection",
    "update_item",
]
