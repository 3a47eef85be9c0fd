# SPDX-License-Identifier: MIT
"""The names that mailboxes, messages and conversations keep for ever.

RFC 8474 §4, §5 and §7, which advises to begin with a letter that tells the kinds apart. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256

from mailserver.mime.threads import find_message_ids
from mailserver.values import ContentId, MailboxId

THREAD_ID_DIGITS = 32
"""Of the hash: no two conversations of an installation share them."""


def format_mailbox_id(mailbox: MailboxId) -> str:
    """MAILBOXID: stays when the mailbox is renamed, never comes again when it has been deleted."""
    return f"F{mailbox}"


def format_email_id(content: ContentId) -> str:
    """EMAILID: the same for all copies of a message."""
    return f"M{content}"


def format_thread_id(content: ContentId, fields: Mapping[str, str]) -> str:
    """THREADID: the same for all messages that name one as the first of their conversation, and for that one.

    It comes from the message alone: the first id of References, else of In-Reply-To, else its own. So it costs nothing
    when mail is filed, never changes, and needs no message of the conversation to be there. A reply to a reply that
    names only its parent begins a conversation of its own. A message without any id stands by itself.
    """
    for name in ("references", "in-reply-to", "message-id"):
        if identifiers := find_message_ids(fields.get(name, "")):
            return "T" + sha256(identifiers[0].encode("utf-8", "replace")).hexdigest()[:THREAD_ID_DIGITS]
    return f"T{content}"
