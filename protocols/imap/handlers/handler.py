# SPDX-License-Identifier: MIT
"""What a command's function looks like."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from protocols.imap.commands import Command
from protocols.imap.replies import Reply
from protocols.imap.session import Session

Handler = Callable[[Session, Any], Awaitable[Reply]]
"""Takes the session and its own command. Data goes out by `session.send_untagged()`; what is returned ends the command,
or for IDLE and AUTHENTICATE goes on with it.

A MailError becomes NO with the failure's code. Updates about the selected mailbox are sent by the caller, before the
end.
"""

Handlers = Mapping[type[Command], Handler]
"""Each file of this folder has one, named HANDLERS."""
