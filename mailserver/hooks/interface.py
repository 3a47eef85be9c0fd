# SPDX-License-Identifier: MIT
"""Where scripts may have a say: one method per event, answering "no opinion" (None) by default.

The Lua issue adds the implementation that runs scripts; until then daemons are given `Hooks()`. Hook methods are
coroutines, because scripts run in another process.
"""

from __future__ import annotations

from mailserver.hooks.events import (
    CandidateVerdict,
    CollectStarted,
    CollectVerdict,
    Connected,
    ErrorNotice,
    LanQueued,
    LanRulesAsked,
    LanRuleView,
    LoggedIn,
    MailFromGiven,
    MessageCollected,
    MessageListed,
    MessageReceived,
    NoticeChange,
    NuisanceSeen,
    QueueChange,
    Queued,
    RecipientGiven,
    RemoteReplied,
    ReturnPathComputed,
    SendCandidate,
    SendLimits,
    SendStarted,
    ServerOverrides,
    ServersSought,
    ServerVerdict,
    TargetDetails,
    TargetFound,
)
from mailserver.pipeline.verdict import Verdict


class Hooks:
    """No opinion on anything."""

    wants_lines = False
    """True: `on_message_line_raw` and `on_message_line` are called, which makes collecting slower."""

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

    # ------------------------------------------------------------ the outgoing queue and Senders

    async def on_queued(self, event: Queued) -> QueueChange | None:
        """When a message is added to the outgoing queue (`outmessage.lua`, NewMessage)."""
        return None

    async def on_send_started(self, event: SendStarted) -> SendLimits | None:
        """Before a Sender looks for messages (`relayout.lua`, Start)."""
        return None

    async def on_server_connected(self, event: SendStarted, server: str) -> SendLimits | None:
        """After a relay's server has been connected to (ServerConnected)."""
        return None

    async def on_send_candidate(self, event: SendCandidate) -> CandidateVerdict | None:
        """For each message that passed the Sender's domain filtering (CheckFile)."""
        return None

    async def on_target_found(self, event: TargetFound) -> TargetDetails | None:
        """Direct sending: before each message, once its server is known (`mxout.lua`, ServerDetails)."""
        return None

    async def on_remote_reply(self, event: RemoteReplied) -> str | None:
        """A reply to take instead of the one that came; it begins with a three-digit code (ReturnCodeHandler)."""
        return None

    async def on_return_path(self, event: ReturnPathComputed) -> str | None:
        """Another return path for this transaction (ModifyReturnPath)."""
        return None

    async def on_mx_cache(self, event: ServersSought) -> bool | None:
        """False: look the domain up afresh (`mxserverrules.lua`, GetCheckCache)."""
        return None

    async def on_mx_overrides(self, event: ServersSought) -> ServerOverrides | None:
        """Servers instead of the domain's own (GetOverrides)."""
        return None

    async def on_mx_server(self, event: ServersSought, server: str, use: bool) -> ServerVerdict | None:
        """Whether this server may be used; `use` is what happens without an opinion (CheckServer)."""
        return None

    async def on_mx_final(self, event: ServersSought, servers: tuple[str, ...]) -> tuple[str, ...] | None:
        """Other servers, or another order, than those that are about to be tried; none: it is held (FinalOverrides)."""
        return None

    # ------------------------------------------------------------ Collectors

    async def on_collect_started(self, event: CollectStarted) -> None:
        """Before anything else in a collector's session (`pop3clt.lua`, Start)."""

    async def on_message_listed(self, event: MessageListed) -> str | None:
        """The name of a download action instead of what the rules say (DownloadRules)."""
        return None

    async def on_message_start(self, event: MessageListed) -> None:
        """Right before a message is downloaded (StartMessage)."""

    async def on_message_line_raw(self, event: MessageListed, line: bytes) -> None:
        """A line came, with its end as the provider sent it (MessageLineRaw).

        By POP3 only: an IMAP4 server says only behind a message which one it was. At most 64 kB are given at once.
        """

    async def on_message_line(self, event: MessageListed, line: bytes) -> bytes | None:
        """The same line without its end, right before it is saved; what to save in its place (MessageLine)."""
        return None

    async def on_message_end(self, event: MessageListed, size: int) -> None:
        """A message has been downloaded (EndMessage)."""

    async def on_message_collected(self, event: MessageCollected) -> CollectVerdict | None:
        """After routing, before filing (ProcessMessage)."""
        return None

    async def on_collect_ended(self, event: CollectStarted) -> None:
        """At the very end of a collector's session (End)."""

    # ------------------------------------------------------------ LAN forwarding, and notices

    async def on_lan_rules(self, event: LanRulesAsked) -> tuple[LanRuleView, ...] | None:
        """Other rules for this recipient (`lanforwarding.lua`, PreprocessRules)."""
        return None

    async def on_lan_queued(self, event: LanQueued) -> str | None:
        """Another return path for what joins the LAN forwarding queue (GetReturnPath)."""
        return None

    async def on_error_notice(self, event: ErrorNotice) -> NoticeChange | None:
        """Before a failure is told to somebody by mail (ProcessMessage3)."""
        return None
