# SPDX-License-Identifier: MIT
"""Every key of the configuration file with its meaning: what import understands, and what the documentation says.

Pure. Options of services and general settings are not here: they come from the catalogue.
"""

from __future__ import annotations

SECTIONS: dict[str, str] = {
    "domains": "The local domains, a list of names. The first is the default one unless `mail.default_domain` is set.",
    "bandwidth_pools": "Allowances that services share, a list.",
    "users": "The users, a list; each is found by `name` and `domain`, and added when there is none.",
    "services": "What listens, a list; each is found by `name`, else by `kind`, and added when there is none.",
    "hidden_capabilities": "What IMAP4 does not announce, a list; each is found by `program` and `user`.",
    "public_folders": "Folders of nobody's, a list; each is found by `name`, and made when there is none.",
    "shared_folders": "Users' folders that others may use, a list; each is found by `owner` and `name`.",
    "global_access": "The access rules for all services that use them, a list; it replaces the present one.",
    "settings": "The general settings, `name: value`. Only those that are named are changed.",
    "oauth_accounts": "OAuth2 accounts at providers, a list; each is found by `name`.",
    "collectors": "Where mail is fetched, a list; each is found by `name`, and added when there is none.",
    "connections": "Ways to the outside, ten at most, a list; each is found by `name`, and added when there is none.",
    "schedule": "When Connections run, a list; each is found by `name`, and added when there is none.",
    "download_rules": "What Collectors do before they fetch a message, a list; it replaces the present one.",
    "lan_forwarding": "Rules of LAN forwarding in their order, a list; it replaces the present one.",
    "certificate": "The server's certificate and its key. Exported only with `--secrets`.",
}

USER_KEYS: dict[str, str] = {
    "name": "The part of the address in front of the @. Needed.",
    "domain": "A local domain. Without it: the default domain.",
    "password": "A new password, in clear; it must be strong enough. Never exported.",
    "full_name": "Such as Alice Example.",
    "comments": "Free text for administrators.",
    "enabled": "no: cannot log in; mail is still delivered.",
    "administrator": "May use the web console.",
    "allowed_protocols": "A list out of smtp, pop3, imap4, status, web. Usually all of them.",
    "max_outgoing_bytes": "The largest message this user may send, in bytes. 0: no limit of the user's own.",
    "may_send_out": "no: internal mail only.",
    "quota_megabytes": "How much mail the user's programs are told there is room for; never refused. 0: none.",
    "send_priority": "Of sent messages in the outgoing queue, 1 to 100; the smaller number goes first. Usually 50.",
    "hold_sent_seconds": "So long Internet mail waits in the outgoing queue, where it can be stopped. Usually 0.",
    "keep_recoverable": "Keep the password so that APOP and CRAM-MD5 work.",
    "password_hash": "With `--secrets`: the stored Argon2 hash, instead of `password`.",
    "scram_verifier": "With `--secrets`: the stored SCRAM-SHA-256 verifier, beside `password_hash`.",
    "recoverable_password": "With `--secrets`: the password of a user with `keep_recoverable`, beside `password_hash`.",
}

SERVICE_KEYS: dict[str, str] = {
    "name": "A label, unique. Needed unless `kind` is given.",
    "kind": "smtp, submission, smtps, pop3, pop3s, imap4 or imaps. Needed for a service that does not exist yet.",
    "enabled": "no: nothing listens.",
    "bindings": 'Where it listens, a list of texts such as "0.0.0.0:25" or "[::]:25"; replaces the present list.',
    "encryption": "none (clear, TLS offered), tls (TLS required, by STARTTLS) or ssl (TLS from the first byte).",
    "require_encrypted_login": "Refuse passwords in clear, except from this machine.",
    "use_global_access": "A client must be allowed by `global_access` as well.",
    "access_rules": "Who may connect, a list of rules; the first that matches decides. Replaces the present list.",
    "bandwidth": "none, custom (`bandwidth_bytes` for each connection) or pool (`bandwidth_pool` is shared).",
    "bandwidth_bytes": "Bytes per second.",
    "bandwidth_pool": "A pool's number.",
    "max_sessions": "All clients together, in each mail process (`--workers`). 0: no limit.",
    "max_sessions_per_address": "Clients of one address, in each mail process. 0: no limit.",
    "idle_timeout_seconds": "A client that says nothing for so long is disconnected.",
    "log_sessions": "Write every command and reply to a log file.",
    "options": "What is particular to the kind, `name: value`; see the table below.",
}

RULE_KEYS: dict[str, str] = {
    "action": "allow or block. Needed.",
    "matches": "any, local (this machine's networks), routers, or network. Usually network.",
    "network": "With `matches: network`: an address or network such as 192.168.1.0/24.",
    "without_login": "Mail may be sent from there without logging in (SMTP).",
    "users": "Only these users may log in from there, a list of addresses.",
    "comment": "Free text.",
}

POOL_KEYS: dict[str, str] = {
    "number": "1 to 1000. Needed.",
    "name": "A label.",
    "bytes_per_second": "Shared by every connection of the pool. 0: unlimited.",
}

HIDING_KEYS: dict[str, str] = {
    "program": "Part of the name and version that a mail program gives itself, such as Outlook 16. Without it: any.",
    "user": "An address: hidden from this user only. Without it: from everybody.",
    "capabilities": "Words of the CAPABILITY line, a list. Needed.",
    "comment": "Free text.",
}

PUBLIC_FOLDER_KEYS: dict[str, str] = {
    "name": "Such as News/2026; mail programs show it below `#public`. Needed.",
    "access": "Who may use it, a list; replaces the present list. Administrators may do everything anyway.",
}

SHARED_FOLDER_KEYS: dict[str, str] = {
    "owner": "The address of the user whose folder it is. Needed.",
    "name": "INBOX, or a name such as Projects/Bridge; made when there is none. Needed.",
    "access": "Who else may use it, a list; replaces the present list. Empty: nobody.",
}

FOLDER_ACCESS_KEYS: dict[str, str] = {
    "who": "A user's address, or anyone for every user. Needed.",
    "rights": (
        "Letters: l see it in the list, r read, s mark as read, w other marks, i file messages, p send to it, "
        "k make folders below, x delete it, t mark as deleted, e remove what is marked, a share it. Needed."
    ),
    "negative": "yes: these rights are taken away, whatever others give.",
}

CERTIFICATE_KEYS: dict[str, str] = {
    "chain": "PEM, the server's certificate first. Needed.",
    "key": "PEM, without a password. Needed.",
}

USER_FIELDS = {
    "full_name": "full_name",
    "comments": "comments",
    "enabled": "is_active",
    "administrator": "is_admin",
    "allowed_protocols": "allowed_protocols",
    "max_outgoing_bytes": "max_outgoing_bytes",
    "may_send_out": "may_send_out",
    "quota_megabytes": "quota_megabytes",
    "send_priority": "send_priority",
    "hold_sent_seconds": "hold_sent_seconds",
    "keep_recoverable": "keep_recoverable",
}
"""Keys of a user, and what the services call them."""

USER_NUMBERS = frozenset({"max_outgoing_bytes", "quota_megabytes", "send_priority", "hold_sent_seconds"})
USER_FLAGS = frozenset({"enabled", "administrator", "may_send_out", "keep_recoverable"})

SERVICE_FLAGS = frozenset({"enabled", "require_encrypted_login", "use_global_access", "log_sessions"})
SERVICE_NUMBERS = frozenset(
    {"bandwidth_bytes", "bandwidth_pool", "max_sessions", "max_sessions_per_address", "idle_timeout_seconds"}
)
SERVICE_TEXTS = frozenset({"encryption", "bandwidth"})

LAN_KEYS: dict[str, str] = {
    "addresses": "Whose mail, a list; wildcards, and ~@domain as a last resort. Needed.",
    "server": "The name or address of the server that gets it. Needed.",
    "port": "Its port. Usually 25.",
    "username": "What to log in with. Empty: no log-in.",
    "password": "In clear; exported with `--secrets` only.",
    "rewrite": "Another recipient; *@other.example keeps the part before the @.",
    "condition": "all, smtp (mail received by SMTP) or pop3 (mail collected from a provider).",
    "comment": "Free text.",
}
