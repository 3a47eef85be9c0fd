# SPDX-License-Identifier: MIT
"""Where scripts may have a say: one method per event, answering "no opinion" (None) by default.

The Lua issue adds the implementation that runs scripts; until then daemons are given `Hooks()`. Hook methods are
coroutines, because scripts run in another process.
"""

from __future__ import annotations

from mailserver.hooks.events import Connected, LoggedIn, MailFromGiven, MessageReceived, NuisanceSeen, RecipientGiven
from mailserver.pipeline.verdict import Verdict


class Hooks:
    """No opinion on anything."""

    async def on_bandwidth(self, event: Connected | LoggedIn) -> int | None:
        """A limit as spec services 5.3 encodes it, or None to keep the one in force."""
        return None

    async def on_mail_from(self, event: MailFromGiven) -> Verdict | None:
        """After the server itself found the reverse path good."""
        return None

    async def on_recipient(self, event: RecipientGiven) -> Verdict | None:
        """After the server itself found the recipient good."""
        return None

    async def on_message(self, event: MessageReceived) -> Verdict | None:
        """After every other stage of the pipeline."""
        return None

    async def on_nuisance(self, event: NuisanceSeen) -> None:
        """Nothing is asked: whoever scores addresses takes note."""
