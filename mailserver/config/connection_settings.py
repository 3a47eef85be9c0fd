# SPDX-License-Identifier: MIT
"""General settings about Connections: error messages, and the history. Pure; a part of the catalogue."""

from __future__ import annotations

from typing import Any

from mailserver.config.setting import Setting

CONNECTION_ERRORS: Setting[bool] = Setting(
    "connections.error_messages",
    True,
    "Generate connection error messages",
    "The main administrator gets a message when a Sender or a Collector fails.",
)
ALL_NETWORK_ERRORS: Setting[bool] = Setting(
    "connections.all_network_errors",
    False,
    "Send all TCP/IP error messages",
    "Every time another server cannot be reached, at once. Off: like other errors, only when the error lasts.",
)
ERROR_FIRST_MINUTES: Setting[int] = Setting(
    "connections.error_first_minutes",
    15,
    "First error message after (minutes)",
    "How long the same Sender or Collector must have failed. 0: the first message comes at once.",
    minimum=0,
    maximum=10080,
)
ERROR_SECOND_MINUTES: Setting[int] = Setting(
    "connections.error_second_minutes",
    60,
    "Second error message after (minutes)",
    "Counted from the first one. When it has worked in between, everything begins anew.",
    minimum=1,
    maximum=10080,
)
ERROR_LATER_MINUTES: Setting[int] = Setting(
    "connections.error_later_minutes",
    1440,
    "Later error messages every (minutes)",
    "Counted from the one before.",
    minimum=1,
    maximum=10080,
)
RUN_KEEP_DAYS: Setting[int] = Setting(
    "connections.keep_days",
    14,
    "Keep the history of connections for (days)",
    "What each run did, with the dialogue. Older ones are removed by the nightly housekeeping.",
    minimum=1,
    maximum=3650,
)

CONNECTION_SETTINGS: tuple[Setting[Any], ...] = (
    CONNECTION_ERRORS,
    ALL_NETWORK_ERRORS,
    ERROR_FIRST_MINUTES,
    ERROR_SECOND_MINUTES,
    ERROR_LATER_MINUTES,
    RUN_KEEP_DAYS,
)
