# SPDX-License-Identifier: MIT
"""What a command's function looks like."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from protocols.imap.commands import Command
from protocols.imap.replies import Completion
from protocols.imap.session import Session

Handler = Callable[[Session, Any], Awaitable[Completion]]
"""Takes the session and its own command. Data goes out by `session.send_untagged()`; what is returned ends the command.

A MailError becomes NO with the failure's code. Updates about the selected mailbox are sent by the caller.
"""

Handlers = Mapping[type[Command], Handler]
"""Each file of this folder has one, named HANDLERS."""
