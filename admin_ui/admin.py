# SPDX-License-Identifier: MIT
"""The console with everything in it: each of these modules registers its own tables."""

from admin_ui import (
    addressing,
    collectors,
    config,
    connections,
    download_rules,
    hiding,
    lan,
    mailboxes,
    oauth_accounts,
    outqueue,
    runs,
    schedule,
    users,
)
from admin_ui.site import console

__all__ = [
    "addressing",
    "collectors",
    "config",
    "connections",
    "console",
    "download_rules",
    "hiding",
    "lan",
    "mailboxes",
    "oauth_accounts",
    "outqueue",
    "runs",
    "schedule",
    "users",
]
