# SPDX-License-Identifier: MIT
"""The fields of a Collector as its form and the wizard show them: when they mean something, and what they mean.

`disable_default_mapping` is not among them: until there are mappings, nobody would get anything by it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.contrib import messages
from django.http import HttpRequest

from mailserver.connectors.values import LoginMethod

POP3, IMAP, SMTP, ODMR = (f"method == '{method}'" for method in ("pop3", "imap", "incoming-smtp", "odmr"))
DOWNLOADS = "['pop3', 'imap'].includes(method)"
BY_PASSWORD = "method != 'incoming-smtp' && !['none', 'xoauth2', 'oauthbearer'].includes(login_method)"
BY_TOKEN = f"{DOWNLOADS} && ['xoauth2', 'oauthbearer'].includes(login_method)"
BY_HEADERS = f"{DOWNLOADS} && routing == 'headers'"

CONDITIONS: dict[str, str] = {
    "server": f"{SMTP} ? use_etrn : true",
    "port": f"{SMTP} ? use_etrn : true",
    "encryption": f"{SMTP} ? use_etrn : true",
    "verify_certificate": f"{SMTP} ? use_etrn : true",
    "login_method": "method != 'incoming-smtp'",
    "username": BY_PASSWORD,
    "password": BY_PASSWORD,
    "oauth": BY_TOKEN,
    "max_kilobytes": DOWNLOADS,
    "leave_on_server_days": DOWNLOADS,
    "detect_duplicates": DOWNLOADS,
    "use_download_rules": DOWNLOADS,
    "folders": IMAP,
    "after": IMAP,
    "move_to": f"{IMAP} && after == 'move'",
    "idle": IMAP,
    "wait_seconds": SMTP,
    "use_etrn": SMTP,
    "etrn_parameters": f"{SMTP} && use_etrn",
    "odmr_domains": ODMR,
    "routing": DOWNLOADS,
    "target": f"{DOWNLOADS} && routing == 'single'",
    "accepted_domains": BY_HEADERS,
    "special_fields": BY_HEADERS,
    "read_received_reversed": BY_HEADERS,
    "ignore_received": BY_HEADERS,
    "shared_address": f"{DOWNLOADS} && routing == 'one-address'",
    "marker_prefix": f"{DOWNLOADS} && routing == 'subject'",
    "marker_suffix": f"{DOWNLOADS} && routing == 'subject'",
    "errors_action": f"{DOWNLOADS} && routing != 'single'",
    "errors_to": f"{DOWNLOADS} && routing != 'single' && ['error-to', 'message-to'].includes(errors_action)",
}
"""Which fields mean something with the method, the log-in and the routing that are chosen."""

HELP: dict[str, str] = {
    "server": "With another server or user name the Collector begins anew: messages that are left there are fetched.",
    "port": "Usual: POP3 110, or 995 with TLS from the first byte; IMAP 143 and 993; ODMR 366.",
    "leave_on_server_days": "0: deleted as soon as it is safe here. More than a few days makes every visit slower.",
    "detect_duplicates": "Some providers put a copy for each recipient into a shared mailbox: a user gets only the"
    " first one with the same Message-ID.",
    "use_download_rules": "Headers are looked at before anything is fetched, which takes longer.",
    "target": "Who gets everything: a user's name or address.",
    "accepted_domains": "Yours: domains or addresses, separated by semicolons, such as example.com; anna@provider.net."
    " Addresses in the headers that are not among them are ignored.",
    "special_fields": "Header fields in which your provider names the true recipient, one a line, such as X-RCPT-TO or"
    " X-Recipient: account-1 * delivered. They come before To and Cc.",
    "read_received_reversed": "For a provider whose topmost Received line names the account instead of the recipient.",
    "shared_address": "People are told apart by the name that stands beside this address.",
    "errors_action": "What becomes of messages in which no recipient of yours is named. The last choice gives them to"
    " nobody and leaves them at the provider, where another office of yours collects them.",
    "errors_to": "A user's name or address.",
    "wait_seconds": "How long the server may take to call. With a permanent line 1 is enough.",
    "after": "Once the days that it is left on the server are over.",
}


def chosen_account(data: Mapping[str, Any]) -> int | None:
    """The OAuth2 account of a Collector or a Sender; with any other log-in its field is hidden, and means nothing."""
    account = data["oauth"] if data["login_method"] in (LoginMethod.XOAUTH2, LoginMethod.OAUTHBEARER) else None
    return account.pk if account else None


def warn_without_connection(request: HttpRequest, name: str, connections: list[int]) -> None:
    """Not refused, but hardly meant (spec connectors 1)."""
    if not connections:
        messages.warning(request, f"{name} is linked to no Connection, and will not run until it is.")
