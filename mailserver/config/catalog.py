# SPDX-License-Identifier: MIT
"""Every setting once: its name, type, default, help text, and when a change takes effect.

The form, the documentation, `settings list`, the import file and the snapshot are made from these entries, and
`tests/architecture` checks that each is read somewhere. General settings belong to the installation; options
belong to one Service row and exist by protocol. Defaults and meanings: spec services 1 to 3, smtp-server 1 and 2.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Any
from zoneinfo import available_timezones

from mailserver.config.connection_settings import CONNECTION_SETTINGS
from mailserver.config.setting import Effect as Effect
from mailserver.config.setting import Setting as Setting
from mailserver.connectors.dns_servers import BadDnsServer, parse_dns_servers
from mailserver.outqueue.urgent import check_rules


def _check_time_zone(text: str) -> str:
    return "" if text in available_timezones() else f"there is no time zone {text!r}; write one like Europe/London"


def _check_dns_servers(text: str) -> str:
    try:
        parse_dns_servers(text)
    except BadDnsServer as error:
        return str(error)
    return ""


HOSTNAME: Setting[str] = Setting(
    "server.hostname",
    "",
    "Host name",
    "The name this server gives itself in greetings and in Received lines. Empty: the machine's own full name.",
    Effect.NEXT_SESSION,
    maximum=255,
)
DEFAULT_DOMAIN: Setting[str] = Setting(
    "mail.default_domain",
    "",
    "Default domain",
    "The domain of automatic messages and of users created without one. Empty: the domain that was added first.",
    maximum=255,
)
MAIN_ADMINISTRATOR: Setting[str] = Setting(
    "mail.main_administrator",
    "postmaster",
    "Main administrator",
    "The user who gets mail for postmaster at every local domain, and error messages.",
    maximum=320,
)
MAX_HOPS: Setting[int] = Setting(
    "mail.max_hops",
    30,
    "Maximum hops",
    "A message with more Received lines than this is refused as looping (sensible: 20 to 100).",
    minimum=5,
    maximum=1000,
)
FASTEST_POP3: Setting[bool] = Setting(
    "collect.fastest",
    False,
    "Use the fastest POP3 download method",
    "Collectors do not ask for the list of message sizes first. Where a size limit needs one, only new messages are"
    " asked about.",
)
HOLD_UIDL_DAYS: Setting[int] = Setting(
    "collect.hold_uidl_days",
    7,
    "Hold obsolete UIDLs for (days)",
    "How long a collector remembers a message that its server does not list any more. 0 is sensible only for a server"
    " that uses its message ids again soon, when nothing else empties the mailbox.",
    maximum=3650,
    minimum=0,
)
MIN_PASSWORD_LENGTH: Setting[int] = Setting(
    "security.min_password_length",
    8,
    "Minimum password length",
    "Applies to passwords set after the change.",
    Effect.NEW_ROWS,
    minimum=5,
    maximum=128,
)
PREPARE_SEARCH: Setting[bool] = Setting(
    "search.prepare",
    True,
    "Prepare messages for text search",
    "A search in the text of many messages is then quick the first time too. Needs about half the messages' own"
    " space on disk. Off: messages are read, and prepared, when somebody first searches in their folder.",
)
JOURNEY_KEEP_DAYS: Setting[int] = Setting(
    "journey.keep_days",
    30,
    "Keep message journeys for (days)",
    "How long 'Where is my mail?' can answer. Older records are removed by the nightly housekeeping.",
    minimum=1,
    maximum=3650,
)
TIME_ZONE: Setting[str] = Setting(
    "server.time_zone",
    "UTC",
    "Time zone",
    "Times in the console and 'today' are in this zone, for example Europe/London.",
    maximum=64,
    check=_check_time_zone,
)
LISTEN_ADDRESS: Setting[str] = Setting(
    "server.listen",
    "127.0.0.1",
    "Listen address for new services",
    "Recorded at the first start. A service that a later version adds listens here; existing services keep theirs.",
    Effect.NEW_ROWS,
    maximum=64,
)
PORT_OFFSET: Setting[int] = Setting(
    "server.port_offset",
    2000,
    "Port offset for new services",
    "Recorded at the first start; added to the standard port of a service that a later version adds.",
    Effect.NEW_ROWS,
    minimum=0,
    maximum=60000,
)
LOG_MAX_KILOBYTES: Setting[int] = Setting(
    "log.max_kilobytes",
    10240,
    "Maximum size of a log file (kB)",
    "A log file that reaches this size becomes <name>.lbk and a new one is started.",
    minimum=64,
    maximum=10_485_760,
)
DNS_DETECT: Setting[bool] = Setting(
    "dns.detect",
    True,
    "Try to detect DNS servers automatically",
    "Use the DNS servers of this machine. To use others, write them in the list below and switch this off.",
)
DNS_SERVERS: Setting[str] = Setting(
    "dns.servers",
    "",
    "Manual DNS server list",
    "Addresses, separated by commas. Used when automatic detection is off. A Sender's own list comes before it.",
    maximum=300,
    check=_check_dns_servers,
)
URGENT_CONNECT: Setting[bool] = Setting(
    "queue.connect_for_urgent",
    True,
    "Connect immediately for priority messages",
    "A message that its sender marked as urgent has the default connections run at once. They send whatever waits.",
)
URGENT_HEADERS: Setting[str] = Setting(
    "queue.urgent_headers",
    "X-Priority: 1\nX-MSMail-Priority: High\nImportance: High\nImportance: high\nPriority: urgent",
    "Priority headers",
    "One a line, as Header: text. A message with one of these fields is urgent if the field has the text somewhere in"
    " it. Upper and lower case count, and 1 is also found in 10.",
    maximum=5000,
    check=check_rules,
)
QUEUE_KEEP_DAYS: Setting[int] = Setting(
    "queue.keep_days",
    7,
    "Keep sent messages in the list of the queue for (days)",
    "What was sent or failed can be looked up there for so long, with the other server's exact words.",
    minimum=1,
    maximum=365,
)
RETURN_KILOBYTES: Setting[int] = Setting(
    "queue.return_kilobytes",
    50,
    "Return messages with failure reports up to (kB)",
    "A larger message comes back with its header only, unless its sender asked for all of it. 0: header only.",
    minimum=0,
    maximum=1_048_576,
)
LAN_BARE_ADDRESSES: Setting[bool] = Setting(
    "lan.bare_addresses",
    False,
    "Allow LAN forwarding addresses without a specific domain",
    "A rule may then name only the part before the @; it fits at every local domain.",
)
WELCOME_TEXT: Setting[str] = Setting(
    "users.welcome_text",
    "Welcome, {full_name}!\n\nYour address is {address}. Mail programs log in with this address and your password.\n",
    "Welcome message",
    "Sent to a new user when 'Send a welcome message' is ticked. {name}, {full_name} and {address} are filled in.",
    maximum=20000,
)
SETUP_DONE: Setting[str] = Setting(
    "console.setup_done",
    "",
    "Steps of the set-up page that are done",
    "While one is missing, the set-up page opens after each log-in.",
    maximum=200,
)

GENERAL: tuple[Setting[Any], ...] = (
    HOSTNAME,
    DEFAULT_DOMAIN,
    MAIN_ADMINISTRATOR,
    TIME_ZONE,
    MAX_HOPS,
    FASTEST_POP3,
    HOLD_UIDL_DAYS,
    MIN_PASSWORD_LENGTH,
    WELCOME_TEXT,
    URGENT_CONNECT,
    URGENT_HEADERS,
    QUEUE_KEEP_DAYS,
    RETURN_KILOBYTES,
    PREPARE_SEARCH,
    JOURNEY_KEEP_DAYS,
    *CONNECTION_SETTINGS,
    LOG_MAX_KILOBYTES,
    DNS_DETECT,
    DNS_SERVERS,
    LAN_BARE_ADDRESSES,
    LISTEN_ADDRESS,
    PORT_OFFSET,
)
INTERNAL: tuple[Setting[Any], ...] = (SETUP_DONE,)
"""What the console notes for itself: stored as settings are, and shown nowhere among them."""
STORED = (*GENERAL, *INTERNAL)

AUTHENTICATION: Setting[str] = Setting(
    "authentication",
    "optional",
    "SMTP authentication",
    "Required: nobody sends without logging in, save where an access rule allows it. Mail for others is only ever"
    " accepted from somebody who has logged in or whom an access rule exempts.",
    Effect.NEXT_SESSION,
    choices=(("off", "Not offered"), ("optional", "Optional"), ("required", "Required")),
)
LOCAL_WITHOUT_LOGIN: Setting[bool] = Setting(
    "local_without_login",
    True,
    "Do not require a login for mail to local users",
    "Needed where mail arrives from the Internet while authentication is required.",
    Effect.NEXT_SESSION,
)
MAX_MESSAGE_BYTES: Setting[int] = Setting(
    "max_message_bytes",
    52_428_800,
    "Maximum message size (bytes)",
    "Larger messages are refused; announced to senders (SIZE). 0: no limit. Attachments grow by a third in transit.",
    Effect.NEXT_SESSION,
    minimum=0,
)
MAX_RECIPIENTS: Setting[int] = Setting(
    "max_recipients",
    1000,
    "Maximum recipients in a message",
    "Senders repeat the message for those beyond. 0: no limit.",
    Effect.NEXT_SESSION,
    minimum=0,
)
MAX_LINE_BYTES: Setting[int] = Setting(
    "max_line_bytes",
    1_000_000,
    "Maximum length of a line of a message (bytes)",
    "A message with a longer line is refused. 0: no limit.",
    Effect.NEXT_SESSION,
    minimum=0,
)
MAX_ERRORS: Setting[int] = Setting(
    "max_errors",
    20,
    "Maximum errors in a session",
    "After so many wrong commands or refused recipients the session is ended. 0: no limit.",
    Effect.NEXT_SESSION,
    minimum=0,
)
OFFER_CRAM_MD5: Setting[bool] = Setting(
    "offer_cram_md5",
    False,
    "Offer CRAM-MD5",
    "Works only for users who keep a recoverable password. Many mail programs pick it when offered, and then fail.",
    Effect.NEXT_SESSION,
)
DISABLE_DSN: Setting[bool] = Setting(
    "disable_dsn",
    False,
    "Disable delivery status notifications (DSN)",
    "Not announced, and the parameters are refused.",
    Effect.NEXT_SESSION,
)
REFUSE_PERCENT: Setting[bool] = Setting(
    "refuse_percent",
    True,
    "Refuse addresses with '%' in front of the @",
    "Never needed today; refusing saves load and silences scanners.",
    Effect.NEXT_SESSION,
)
REFUSE_HELO: Setting[str] = Setting(
    "refuse_helo",
    "",
    "Refuse clients whose HELO name contains",
    "Empty: refuse nobody. Upper and lower case are the same.",
    Effect.NEXT_SESSION,
    maximum=255,
)
ENABLE_VRFY: Setting[bool] = Setting(
    "enable_vrfy",
    False,
    "Answer VRFY",
    "Tells anybody who may log in here whether an address exists. Leave off unless a program needs it.",
    Effect.NEXT_SESSION,
)
MAX_FAILED_LOGINS: Setting[int] = Setting(
    "max_failed_logins",
    3,
    "Maximum failed logins in a session",
    "The session is ended after so many.",
    Effect.NEXT_SESSION,
    minimum=1,
    maximum=1000,
)
OFFER_APOP: Setting[bool] = Setting(
    "offer_apop",
    False,
    "Offer APOP",
    "Works only for users who keep a recoverable password. curl and others pick it when offered, and then fail.",
    Effect.NEXT_SESSION,
)
STRIP_BLANK_END: Setting[bool] = Setting(
    "strip_blank_end",
    False,
    "Strip blank lines from the end of each message",
    "A fix for Microsoft Internet Mail build 1160.",
    Effect.NEXT_SESSION,
)
HOLD_DELETED: Setting[bool] = Setting(
    "hold_deleted",
    False,
    "Hold messages instead of deleting them",
    "A message deleted by a POP3 program vanishes from every program but stays stored. Nothing cleans them up.",
    Effect.NEXT_SESSION,
)
LOGIN_DELAY: Setting[int] = Setting(
    "login_delay_seconds",
    0,
    "Minimum time between logins of a user (seconds)",
    "A program that polls more often is told to wait. 0: no limit.",
    Effect.NEXT_SESSION,
    minimum=0,
    maximum=86400,
)

FAKE_PARENTS: Setting[bool] = Setting(
    "fake_parents",
    True,
    "Fake access to inaccessible mailboxes",
    "The folders above a shared one, such as #users, can be selected and are empty. Old programs fail otherwise.",
    Effect.NEXT_SESSION,
)
KEEP_META_ON_COPY: Setting[bool] = Setting(
    "keep_meta_on_copy",
    True,
    "Keep internal date and message flags when messages are copied",
    "As the standard asks. Off: a copy gets the present time and no flags.",
    Effect.NEXT_SESSION,
)
OFFER_IDLE: Setting[bool] = Setting(
    "offer_idle",
    True,
    "Support the IMAP 'IDLE' command",
    "Mail programs hear of new mail at once. Switch it off only for a program that fails with it.",
    Effect.NEXT_SESSION,
)
MAX_LOGINS_PER_USER: Setting[int] = Setting(
    "max_logins_per_user",
    20,
    "Concurrent logins for a user",
    "Enough for four devices. Some programs open a connection for each folder; more of them are refused. 0: no limit.",
    Effect.NEXT_SESSION,
    minimum=0,
    maximum=10_000,
)
MAX_LOGINS_PER_ADDRESS: Setting[int] = Setting(
    "max_logins_per_address",
    0,
    "Concurrent logins from an IP address",
    "Never applied to this machine itself. 0: no limit.",
    Effect.NEXT_SESSION,
    minimum=0,
    maximum=10_000,
)
MAX_APPEND_BYTES: Setting[int] = Setting(
    "max_append_bytes",
    104_857_600,
    "Maximum size of a message that is filed (bytes)",
    "Larger messages are refused; announced to mail programs (APPENDLIMIT). 0: no limit.",
    Effect.NEXT_SESSION,
    minimum=0,
)

SMTP_OPTIONS: tuple[Setting[Any], ...] = (
    AUTHENTICATION,
    LOCAL_WITHOUT_LOGIN,
    MAX_MESSAGE_BYTES,
    MAX_RECIPIENTS,
    MAX_LINE_BYTES,
    MAX_ERRORS,
    MAX_FAILED_LOGINS,
    OFFER_CRAM_MD5,
    DISABLE_DSN,
    REFUSE_PERCENT,
    REFUSE_HELO,
    ENABLE_VRFY,
)
POP3_OPTIONS: tuple[Setting[Any], ...] = (
    MAX_FAILED_LOGINS,
    OFFER_APOP,
    OFFER_CRAM_MD5,
    HOLD_DELETED,
    STRIP_BLANK_END,
    LOGIN_DELAY,
)
IMAP4_OPTIONS: tuple[Setting[Any], ...] = (
    MAX_FAILED_LOGINS,
    MAX_LOGINS_PER_USER,
    MAX_LOGINS_PER_ADDRESS,
    OFFER_IDLE,
    KEEP_META_ON_COPY,
    FAKE_PARENTS,
    OFFER_CRAM_MD5,
    MAX_APPEND_BYTES,
)


class ServiceKind(enum.StrEnum):
    """The services that exist. A later issue adds its kind here together with the protocol."""

    SMTP = "smtp"
    SUBMISSION = "submission"
    SMTPS = "smtps"
    POP3 = "pop3"
    POP3S = "pop3s"
    IMAP4 = "imap4"
    IMAPS = "imaps"


@dataclass(frozen=True, slots=True)
class ServiceTemplate:
    """How the first row of a kind is made: standard port, encryption mode, and options that differ from defaults."""

    kind: ServiceKind
    name: str
    protocol: str
    port: int
    encryption: str
    options: tuple[Setting[Any], ...]
    preset: tuple[tuple[str, object], ...] = ()
    idle_timeout_seconds: int = 300


_SUBMIT = (("authentication", "required"), ("local_without_login", False))
SERVICE_TEMPLATES: dict[ServiceKind, ServiceTemplate] = {
    template.kind: template
    for template in (
        ServiceTemplate(ServiceKind.SMTP, "SMTP", "smtp", 25, "none", SMTP_OPTIONS),
        ServiceTemplate(ServiceKind.SUBMISSION, "Submission", "smtp", 587, "none", SMTP_OPTIONS, _SUBMIT),
        ServiceTemplate(ServiceKind.SMTPS, "SMTPS", "smtp", 465, "ssl", SMTP_OPTIONS, _SUBMIT),
        ServiceTemplate(ServiceKind.POP3, "POP3", "pop3", 110, "none", POP3_OPTIONS, idle_timeout_seconds=600),
        ServiceTemplate(ServiceKind.POP3S, "POP3S", "pop3", 995, "ssl", POP3_OPTIONS, idle_timeout_seconds=600),
        ServiceTemplate(ServiceKind.IMAP4, "IMAP4", "imap4", 143, "none", IMAP4_OPTIONS, idle_timeout_seconds=1800),
        ServiceTemplate(ServiceKind.IMAPS, "IMAPS", "imap4", 993, "ssl", IMAP4_OPTIONS, idle_timeout_seconds=1800),
    )
}


def find_setting(name: str) -> Setting[Any] | None:
    """The general setting of this name."""
    return next((setting for setting in STORED if setting.name == name), None)
