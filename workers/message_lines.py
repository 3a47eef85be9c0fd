# SPDX-License-Identifier: MIT
"""A collected message line by line, for scripts that want to see each (spec connectors 4.11).

Nothing of it happens unless the hooks say `wants_lines`: a call for each line of a large attachment takes its time.
"""

from __future__ import annotations

from mailserver.hooks.events import MessageListed
from mailserver.hooks.interface import Hooks

MAX_LINE_BYTES = 64 * 1024
"""What a script is given at once. The rest of a longer line is given as if it were another one."""


class MessageLines:
    """Of one message. What it gives back is to be stored in place of what came."""

    def __init__(self, hooks: Hooks, event: MessageListed) -> None:
        self._hooks = hooks
        self._event = event
        self._held = b""

    async def take(self, data: bytes) -> bytes:
        """The next piece; a line that has no end so far waits for it."""
        data = self._held + data
        done: list[bytes] = []
        start = 0
        while start < len(data):
            end = data.find(b"\n", start, start + MAX_LINE_BYTES) + 1
            if not end:
                end = start + MAX_LINE_BYTES
                if end > len(data):
                    break
            done.append(await self._ask(data[start:end]))
            start = end
        self._held = data[start:]
        return b"".join(done)

    async def finish(self) -> bytes:
        """The last line, when it has no end."""
        rest, self._held = self._held, b""
        return await self._ask(rest) if rest else b""

    async def _ask(self, raw: bytes) -> bytes:
        await self._hooks.on_message_line_raw(self._event, raw)
        line = raw.rstrip(b"\r\n")
        changed = await self._hooks.on_message_line(self._event, line)
        return raw if changed is None else changed + raw[len(line) :]
