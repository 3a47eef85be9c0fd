# SPDX-License-Identifier: MIT
"""The console with everything in it: each of these modules registers its own tables."""

from admin_ui import addressing, config, hiding, mailboxes, oauth_accounts, outqueue, users
from admin_ui.site import console

__all__ = ["addressing", "config", "console", "hiding", "mailboxes", "oauth_accounts", "outqueue", "users"]
