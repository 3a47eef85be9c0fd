# SPDX-License-Identifier: MIT
"""The keys of Connections, Collectors, the schedule, download rules and OAuth2 accounts in the configuration file.

Pure. Each key once: its column, how its value is written, and what it means. Import, export and the documentation
are made from these.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Form(enum.Enum):
    """How a value is written in the file, where the column holds a text, a number or a yes or no."""

    TEXT = "text"
    NUMBER = "number"
    FLAG = "flag"
    WORDS = "words"
    """A list; the column separates by commas."""
    DOMAINS = "domains"
    """A list; the column separates by semicolons."""
    LINES = "lines"
    """A list, or one text of several lines; the column has a line for each."""


@dataclass(frozen=True, slots=True)
class Key:
    """A key of the file: the column it fills, how it is written, what it means."""

    column: str
    form: Form
    meaning: str


LOGIN_WORDS = "none, automatic, plain, login, cram-md5, apop, xoauth2 or oauthbearer"
ENCRYPTION_WORDS = "none, opportunistic (STARTTLS if available), starttls or tls (from the first byte)"

CONNECTION_KEYS: dict[str, str] = {
    "name": "A label, unique. Needed.",
    "default": "Runs when the schedule says default connections, and its Sender is asked first.",
    "sender": "How it sends; only the keys that are written are changed.",
    "collectors": "The names of the Collectors that it runs, a list; replaces the present links.",
}

SENDER_KEYS: dict[str, Key] = {
    "enabled": Key("enabled", Form.FLAG, "no: it sends nothing."),
    "method": Key("method", Form.TEXT, "smtp-relay (through `servers`) or smtp-direct (to each domain's own server)."),
    "send_immediately": Key("send_immediately", Form.FLAG, "Send as soon as a message waits."),
    "authentication": Key("login_method", Form.TEXT, f"{LOGIN_WORDS}. With a `username` usually automatic."),
    "username": Key("username", Form.TEXT, "For the relay's log-in."),
    "verify_certificate": Key("verify_certificate", Form.FLAG, "Send only when the server's certificate is valid."),
    "max_messages_per_session": Key("max_messages_per_session", Form.NUMBER, "0: no limit."),
    "max_recipients_per_message": Key("max_recipients_per_message", Form.NUMBER, "0: no limit."),
    "max_recipients_per_session": Key("max_recipients_per_session", Form.NUMBER, "0: no limit."),
    "rate_recipients": Key("rate_recipients", Form.NUMBER, "At most so many recipients within `rate_minutes`."),
    "rate_minutes": Key("rate_minutes", Form.NUMBER, "See `rate_recipients`."),
    "return_path_mode": Key("return_path_mode", Form.TEXT, "keep, fixed, login or domain."),
    "return_path": Key("return_path", Form.TEXT, "The address for fixed, the domain for domain."),
    "dns_servers": Key("dns_servers", Form.WORDS, "Addresses, a list. Empty: this machine's."),
    "dns_overrides": Key("dns_overrides", Form.LINES, "DNS overrides, a list of lines."),
    "dns_cache_size": Key("dns_cache_size", Form.NUMBER, "Answers that are remembered."),
    "threads": Key("threads", Form.NUMBER, "Direct: messages sent at the same time."),
    "max_per_domain": Key("max_per_domain", Form.NUMBER, "Direct: sessions with one domain at the same time."),
    "direct_port": Key("direct_port", Form.NUMBER, "Direct: the port of other servers. Usually 25."),
    "domain_filter": Key("domain_filter", Form.LINES, "Which messages it takes: the rules, a list of lines."),
    "ehlo_name": Key("ehlo_name", Form.TEXT, "Empty: the server's host name."),
    "only_waiting_at_start": Key("only_waiting_at_start", Form.FLAG, "Only messages that waited when it began."),
    "smaller_first": Key("smaller_first", Form.FLAG, "Smaller messages first."),
    "reverse_order": Key("reverse_order", Form.FLAG, "The other way round."),
    "retry_minutes": Key("retry_minutes", Form.WORDS, "The waits between tries, a list; the last one repeats."),
    "give_up_hours": Key("give_up_hours", Form.NUMBER, "When a message goes back to its sender."),
    "warn_hours": Key("warn_hours", Form.NUMBER, "When its sender is warned of the delay. 0: never."),
}

SENDER_MORE: dict[str, str] = {
    "servers": "A relay's servers, tried in order, a list; replaces the present one.",
    "password": "For the relay's log-in, in clear. Exported only with `--secrets`.",
    "oauth_account": "The name of an OAuth2 account, for xoauth2 and oauthbearer.",
}

SERVER_KEYS: dict[str, str] = {
    "host": "A name or an address. Needed.",
    "port": "Usually 25, 587 or 465.",
    "encryption": f"{ENCRYPTION_WORDS}.",
}

COLLECTOR_KEYS: dict[str, Key] = {
    "method": Key("method", Form.TEXT, "pop3, imap, incoming-smtp or odmr."),
    "enabled": Key("enabled", Form.FLAG, "no: it is passed over."),
    "priority": Key("priority", Form.NUMBER, "A lower number is collected earlier."),
    "server": Key("server", Form.TEXT, "A name or an address."),
    "port": Key("port", Form.NUMBER, "Without it: the method's standard port."),
    "encryption": Key("encryption", Form.TEXT, f"{ENCRYPTION_WORDS}."),
    "verify_certificate": Key("verify_certificate", Form.FLAG, "Collect only when the certificate is valid."),
    "authentication": Key("login_method", Form.TEXT, f"{LOGIN_WORDS}."),
    "username": Key("username", Form.TEXT, "As the provider gave it."),
    "max_kilobytes": Key("max_kilobytes", Form.NUMBER, "Larger messages are asked about. 0: no limit."),
    "leave_on_server_days": Key("leave_on_server_days", Form.NUMBER, "0: delete after collection."),
    "use_download_rules": Key("use_download_rules", Form.FLAG, "Apply `download_rules`."),
    "detect_duplicates": Key("detect_duplicates", Form.FLAG, "Drop a user's second copy of a message."),
    "folders": Key("folders", Form.LINES, "imap: what to collect, a list."),
    "after": Key("after", Form.TEXT, "imap: delete, move or keep what was collected."),
    "move_to": Key("move_to", Form.TEXT, "imap: the folder for move."),
    "idle": Key("idle", Form.FLAG, "imap: stay connected, and collect at once."),
    "wait_seconds": Key("wait_seconds", Form.NUMBER, "incoming-smtp: wait so long for a session."),
    "use_etrn": Key("use_etrn", Form.FLAG, "incoming-smtp: ask `server` to begin."),
    "etrn_parameters": Key("etrn_parameters", Form.TEXT, "incoming-smtp: the domain to ask for."),
    "odmr_domains": Key("odmr_domains", Form.WORDS, "odmr: the domains to ask for, a list."),
}

COLLECTOR_MORE: dict[str, str] = {
    "name": "A label, unique. Needed.",
    "password": "In clear. Exported only with `--secrets`.",
    "oauth_account": "The name of an OAuth2 account, for xoauth2 and oauthbearer.",
    "routing": "Whom the mail is for; only the keys that are written are changed.",
}

ROUTING_KEYS: dict[str, Key] = {
    "method": Key("routing", Form.TEXT, "single, headers, one-address or subject."),
    "target": Key("target", Form.TEXT, "single: the user who gets everything."),
    "accepted_domains": Key("accepted_domains", Form.DOMAINS, "headers: your domains and addresses, a list."),
    "special_fields": Key("special_fields", Form.LINES, "headers: fields that name the recipient, a list."),
    "read_received_reversed": Key("read_received_reversed", Form.FLAG, "headers: read Received from the bottom."),
    "ignore_received": Key("ignore_received", Form.FLAG, "headers: do not look at Received."),
    "disable_default_mapping": Key(
        "disable_default_mapping",
        Form.FLAG,
        "headers: only mappings name users; there are none yet, so nobody gets it.",
    ),
    "shared_address": Key("shared_address", Form.TEXT, "one-address: the address that everybody shares."),
    "marker_prefix": Key("marker_prefix", Form.TEXT, "subject: what stands in front of the user's name."),
    "marker_suffix": Key("marker_suffix", Form.TEXT, "subject: what stands behind it."),
    "errors": Key(
        "errors_action",
        Form.TEXT,
        "What cannot be routed: error-to-admin, message-to-admin, error-to, message-to, bounce or remote.",
    ),
    "errors_to": Key("errors_to", Form.TEXT, "The user for error-to and message-to; alone it means message-to."),
}

ITEM_KEYS: dict[str, str] = {
    "name": "A label.",
    "enabled": "no: it never fires.",
    "connections": "The names of the Connections that it runs, a list.",
    "default_connections": "It runs the default Connections.",
    "deny": "Nothing runs at these times; with `connections` only those do not.",
    "every_minutes": "Again and again, from `from` to `to`.",
    "from": 'Such as "07:00".',
    "to": 'Such as "19:00"; not before `from`.',
    "once_at": "Once, at this time, instead of `every_minutes`.",
    "days": "A list out of mon, tue, wed, thu, fri, sat, sun.",
    "minimum_messages": "Only when so many messages wait. 0: always.",
}

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")

RULE_FILE_KEYS: dict[str, Key] = {
    "name": Key("name", Form.TEXT, "A label for the logs. Needed."),
    "enabled": Key("enabled", Form.FLAG, "no: it is passed over."),
    "action": Key("action", Form.TEXT, "What happens, such as download, ignore, delete, redirect or query."),
    "targets": Key("targets", Form.WORDS, "Whom to redirect or copy to, a list."),
    "match_all": Key("match_all", Form.FLAG, "no: one condition is enough."),
}

CONDITION_KEYS: dict[str, str] = {
    "kind": "What is looked at, such as header, size, time, day or collector. Needed.",
    "field": "The name of a header field.",
    "value": "What to compare with.",
}

ACCOUNT_KEYS: dict[str, Key] = {
    "name": Key("name", Form.TEXT, "A label, unique. Needed."),
    "provider": Key("provider", Form.TEXT, "microsoft, google or other."),
    "username": Key("username", Form.TEXT, "The mailbox's address."),
    "client_id": Key("client_id", Form.TEXT, "As registered at the provider."),
    "authorize_url": Key("authorize_url", Form.TEXT, "Empty: the provider's own."),
    "token_url": Key("token_url", Form.TEXT, "Empty: the provider's own."),
    "device_url": Key("device_url", Form.TEXT, "Empty: the provider's own."),
    "scopes": Key("scopes", Form.TEXT, "Empty: the provider's own."),
}

ACCOUNT_MORE: dict[str, str] = {
    "client_secret": "Exported only with `--secrets`.",
    "refresh_token": "Exported only with `--secrets`; without it the permission must be given again.",
}


def meanings(keys: dict[str, Key], more: dict[str, str] | None = None) -> dict[str, str]:
    """For the documentation."""
    return {**{name: key.meaning for name, key in keys.items()}, **(more or {})}
