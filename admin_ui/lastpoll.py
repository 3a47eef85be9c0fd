# SPDX-License-Identifier: MIT
"""*Last poll* as people see it: when, and in the colours of spec connectors 5.2."""

from __future__ import annotations

from datetime import datetime

from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from mailserver.connectors.values import Outcome

TONES: dict[str, str] = {Outcome.OK: "ok", Outcome.PARTLY: "wait", Outcome.FAILED: "bad"}
WORDS: dict[str, str] = {Outcome.OK: "OK", Outcome.PARTLY: "Partly failed", Outcome.FAILED: "Failed"}


def poll_tag(when: datetime | None, outcome: str) -> SafeString:
    """Orange when something failed, red when everything did."""
    if when is None:
        return format_html('<span class="pb-quiet">{}</span>', "Never")
    local = timezone.localtime(when)
    return format_html(
        '<span class="pb-state pb-tone-{}" title="{}">{}</span>',
        TONES.get(outcome, "off"),
        WORDS.get(outcome, ""),
        f"{local:%d %b %H:%M}",
    )
