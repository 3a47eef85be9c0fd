# SPDX-License-Identifier: MIT
"""What cannot be right in a Sender, a Collector or a schedule item, said in plain words, by field."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable

from django.core.exceptions import ValidationError
from django.core.validators import validate_domain_name
from django.db import models as django_models

from mailserver.connectors.accepted import find_problems
from mailserver.connectors.dns_servers import BadDnsServer, parse_dns_servers
from mailserver.connectors.download_rules import parse_conditions, split_targets
from mailserver.connectors.models import Collector, DownloadRule, Encryption, LoginMethod, ScheduleItem, Sender
from mailserver.connectors.overrides import read_overrides
from mailserver.connectors.serverlines import ServerInput
from mailserver.connectors.special_fields import parse_special_fields
from mailserver.errors import InvalidInput
from mailserver.outqueue.domain_filter import read_filter
from mailserver.users.services import find_user

Problems = dict[str, list[str]]

OAUTH_METHODS = (LoginMethod.XOAUTH2, LoginMethod.OAUTHBEARER)
LONGEST_RETRY_MINUTES = 7 * 24 * 60
MAX_PORT = 65535

ACROSS_MIDNIGHT = (
    "The end is before the start. A range cannot pass midnight: make two items instead, such as 21:00 to 23:59 and"
    " 00:00 to 09:00."
)


def clean(row: django_models.Model) -> Problems:
    """What the columns themselves do not allow; values become their columns' types."""
    try:
        row.full_clean()
    except ValidationError as error:
        return {("" if field == "__all__" else field): texts for field, texts in error.message_dict.items()}
    return {}


def check_sender(sender: Sender) -> Problems:
    """Beyond what the columns say."""
    problems: Problems = {}
    if sender.login_method == LoginMethod.APOP:
        problems["login_method"] = ["APOP is for POP3 only."]
    problems |= _check_login(sender.login_method, sender.username, sender.oauth_id)
    if bool(sender.rate_recipients) != bool(sender.rate_minutes):
        problems["rate_minutes"] = ["Give both the number of recipients and the minutes, or neither (0 and 0)."]
    problems |= _check_return_path(sender)
    try:
        parse_dns_servers(sender.dns_servers)
    except BadDnsServer as error:
        problems["dns_servers"] = [str(error)]
    if wrong := read_overrides(sender.dns_overrides)[1]:
        problems["dns_overrides"] = [str(problem) for problem in wrong]
    if unread := read_filter(sender.domain_filter).problems:
        problems["domain_filter"] = [str(problem) for problem in unread]
    if sender.ehlo_name and not is_host(sender.ehlo_name):
        problems["ehlo_name"] = [f"{sender.ehlo_name!r} is not a host name; write one like mail.example.com."]
    if sender.warn_hours >= sender.give_up_hours:
        problems["warn_hours"] = ["The warning must come before giving up. 0: no warning."]
    return problems | _check_minutes(sender.retry_minutes)


def check_servers(servers: Iterable[ServerInput]) -> Problems:
    """A relay's list."""
    texts = []
    for server in servers:
        if not is_host(server.host.strip()):
            texts.append(f"{server.host!r} is not a host name or an address.")
        if not 1 <= server.port <= MAX_PORT:
            texts.append(f"{server.port} is not a port: from 1 to {MAX_PORT}.")
        if server.encryption not in Encryption.values:
            texts.append(f"{server.encryption!r} is not one of {', '.join(Encryption.values)}.")
    return {"servers": texts} if texts else {}


def check_collector(collector: Collector) -> Problems:
    """Beyond what the columns say; each method needs something else."""
    method = Collector.Method
    if collector.method == method.INCOMING_SMTP:
        return _check_etrn(collector)
    problems = _needed(collector, "server", "The server's name or address is needed.")
    if collector.server and not is_host(collector.server):
        problems["server"] = [f"{collector.server!r} is not a host name or an address."]
    problems |= _check_login(collector.login_method, collector.username, collector.oauth_id)
    if collector.login_method == LoginMethod.NONE:
        problems["login_method"] = ["Without a log-in nothing can be collected."]
    if collector.login_method == LoginMethod.APOP and collector.method != method.POP3:
        problems["login_method"] = ["APOP is for POP3 only."]
    if collector.method == method.ODMR:
        if collector.login_method in OAUTH_METHODS:
            problems["login_method"] = ["OAuth2 is for POP3 and IMAP only."]
        return problems | _check_domains(collector)
    if collector.method == method.IMAP:
        problems |= _check_folders(collector)
    return problems | check_routing(collector)


def check_routing(collector: Collector) -> Problems:
    """Whom the mail is for (spec connectors 4.4, 4.5)."""
    routing, errors = Collector.Routing, Collector.Errors
    problems: Problems = {}
    if collector.routing == routing.SINGLE:
        problems |= _check_user(collector, "target", "Say who gets the messages.")
        return problems
    if collector.routing == routing.HEADERS:
        problems |= _needed(collector, "accepted_domains", "Say which domains or addresses are yours.")
        if wrong := find_problems(collector.accepted_domains):
            problems["accepted_domains"] = wrong
        problems |= problems_of(lambda: parse_special_fields(collector.special_fields))
    if collector.routing == routing.ONE_ADDRESS:
        problems |= _needed(collector, "shared_address", "Say which address is shared.")
    if collector.routing == routing.SUBJECT and not (collector.marker_prefix and collector.marker_suffix):
        problems["marker_prefix"] = ["Say what stands in front of a user's name in the subject, and what behind it."]
    if collector.errors_action in (errors.ERROR_TO, errors.MESSAGE_TO):
        problems |= _check_user(collector, "errors_to", "Say who gets what cannot be routed.")
    return problems


def check_item(item: ScheduleItem) -> Problems:
    """A schedule item (spec connectors 3.3); call it after `clean`, which makes times of texts."""
    if not item.days or set(item.days) - set("1234567"):
        return {"days": ["Choose at least one day of the week."]}
    if item.mode == ScheduleItem.Mode.ONCE:
        return {} if item.once_at is not None else {"once_at": ["Say at what time."]}
    return {"end": [ACROSS_MIDNIGHT]} if item.end < item.start else {}


def check_rule(rule: DownloadRule) -> Problems:
    """A download rule: an action that names somebody needs somebody, and conditions must be readable."""
    problems: Problems = {}
    named = ("redirect", "copy")
    if any(word in rule.action for word in named) and not rule.targets.strip():
        problems["targets"] = ["This action needs somebody to redirect or copy to."]
    nobody = [name for name in split_targets(rule.targets) if "@" not in name and find_user(name) is None]
    if nobody:
        problems["targets"] = [f"There is no user {name}." for name in nobody]
    return problems | problems_of(lambda: parse_conditions(rule.conditions))


def problems_of(check: Callable[[], object]) -> Problems:
    """What a check raises as InvalidInput."""
    try:
        check()
    except InvalidInput as error:
        return error.messages
    return {}


def is_host(text: str) -> bool:
    """A host name (one label is enough), an address, or an address in square brackets."""
    if _is_address(text.removeprefix("[").removesuffix("]")):
        return True
    try:
        validate_domain_name(text if "." in text else f"{text}.local")
    except ValidationError:
        return False
    return True


def _check_login(method: str, username: str, oauth: int | None) -> Problems:
    problems: Problems = {}
    if method in OAUTH_METHODS:
        if oauth is None:
            problems["oauth"] = ["This way to log in needs an OAuth2 account."]
    elif oauth is not None:
        problems["oauth"] = ["An OAuth2 account is used with XOAUTH2 and OAUTHBEARER only."]
    if method not in (LoginMethod.NONE, *OAUTH_METHODS) and not username:
        problems["username"] = ["The user name at the server is needed."]
    return problems


def _check_return_path(sender: Sender) -> Problems:
    mode, text = Sender.ReturnPath, sender.return_path
    if sender.return_path_mode == mode.FIXED:
        name, _, domain = text.rpartition("@")
        if not name or not is_host(domain):
            return {"return_path": ["Give the address to use, such as office@example.com."]}
    if sender.return_path_mode == mode.DOMAIN and not is_host(text.removeprefix("@")):
        return {"return_path": ["Give the domain to use, such as example.com."]}
    return {}


def _check_minutes(text: str) -> Problems:
    words = text.replace(",", " ").split()
    good = [word for word in words if word.isascii() and word.isdecimal() and 0 < int(word) <= LONGEST_RETRY_MINUTES]
    if not words or good != words:
        return {"retry_minutes": ["Write whole minutes, separated by commas, such as 5, 15, 30, 60."]}
    return {}


def _check_etrn(collector: Collector) -> Problems:
    if not collector.use_etrn:
        return {}
    problems = _needed(collector, "server", "Say which server holds the mail.")
    problems |= _needed(collector, "etrn_parameters", "Say which domain is meant, such as example.com.")
    if collector.server and not is_host(collector.server):
        problems["server"] = [f"{collector.server!r} is not a host name or an address."]
    return problems


def _check_domains(collector: Collector) -> Problems:
    words = collector.odmr_domains.replace(",", " ").split()
    if not words:
        return {"odmr_domains": ["Say for which domains mail is wanted."]}
    wrong = [word for word in words if not is_host(word)]
    return {"odmr_domains": [f"{word!r} is not a domain." for word in wrong]} if wrong else {}


def _check_folders(collector: Collector) -> Problems:
    folders = [line.strip() for line in collector.folders.splitlines() if line.strip()]
    if not folders:
        return {"folders": ["Name at least one folder, such as INBOX."]}
    if collector.after == Collector.After.MOVE:
        if not collector.move_to:
            return {"move_to": ["Say into which folder collected messages are moved."]}
        if collector.move_to in folders:
            return {"move_to": ["Messages cannot be moved into a folder that is collected."]}
    return {}


def _check_user(collector: Collector, field: str, missing: str) -> Problems:
    text = getattr(collector, field)
    if not text:
        return {field: [missing]}
    return {} if find_user(text) is not None else {field: [f"There is no user {text}."]}


def _needed(collector: Collector, field: str, text: str) -> Problems:
    return {} if getattr(collector, field).strip() else {field: [text]}


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
