# SPDX-License-Identifier: MIT
"""The names that mailboxes, messages and conversations keep for ever.

RFC 8474 §4, §5 and §7, which advises to begin with a letter that tells the kinds apart. Pure.
"""

from __future__ import annotations

from mailserver.values import ContentId, MailboxId


def format_mailbox_id(mailbox: MailboxId) -> str:
    """MAILBOXID: stays when the mailbox is renamed, never comes again when it has been deleted."""
    return f"F{mailbox}"


def format_email_id(content: ContentId) -> str:
    """EMAILID: the same for all copies of a message."""
    return f"M{content}"
