# SPDX-License-Identifier: MIT
"""Every command and the function that carries it out; joined from the files beside this one."""

from __future__ import annotations

from collections.abc import Mapping

from protocols.imap.commands import Command
from protocols.imap.handlers.handler import Handler

HANDLERS: Mapping[type[Command], Handler] = {}
