# SPDX-License-Identifier: MIT
"""Changing LAN forwarding rules, and reading them for the snapshot. What is wrong is said in plain words, by field."""

from __future__ import annotations

from dataclasses import dataclass

from django.core.exceptions import ValidationError
from django.db import transaction

from mailserver.addressing.syntax import BadDomain, parse_domain
from mailserver.config.catalog import LAN_BARE_ADDRESSES
from mailserver.config.revision import touch_revision
from mailserver.config.stored import get_setting
from mailserver.connectors import sealing
from mailserver.errors import InvalidInput
from mailserver.lan.matching import LAST_RESORT, LanRule
from mailserver.lan.models import LanForwardingRule

TLS_PORT = 465


@dataclass(frozen=True, slots=True)
class RuleInput:
    """A rule as somebody gives it; `password` None keeps the one that is stored."""

    addresses: str
    server: str
    port: int = 25
    username: str = ""
    password: str | None = None
    rewrite: str = ""
    condition: str = "all"
    comment: str = ""
    position: int = 100


def read_rules() -> tuple[LanRule, ...]:
    """In the order in which they are tried."""
    return tuple(
        LanRule(
            row.pk,
            tuple(row.addresses.split()),
            f"[{row.server}]:{row.port}" if ":" in row.server else f"{row.server}:{row.port}",
            row.username,
            bytes(row.secret) if row.secret is not None else None,
            row.rewrite,
            row.condition,
            row.comment,
        )
        for row in LanForwardingRule.objects.all()
    )


def save_rule(given: RuleInput, rule: int | None = None) -> LanForwardingRule:
    """A new rule, or a changed one. Raises InvalidInput."""
    with transaction.atomic():
        row = LanForwardingRule() if rule is None else LanForwardingRule.objects.select_for_update().get(pk=rule)
        for name in ("server", "port", "username", "rewrite", "condition", "comment", "position"):
            setattr(row, name, getattr(given, name))
        row.server = row.server.strip().strip("[]")
        row.addresses = "\n".join(given.addresses.split())
        if given.password is not None:
            row.secret = sealing.seal(given.password, sealing.LAN_PASSWORD)
        if not row.username:
            row.secret = None
        _check(row)
        row.save()
        touch_revision()
    return row


def delete_rule(rule: int) -> None:
    """Mail that is on its way by it already goes on."""
    with transaction.atomic():
        LanForwardingRule.objects.filter(pk=rule).delete()
        touch_revision()


def _check(row: LanForwardingRule) -> None:
    problems: dict[str, list[str]] = {}
    try:
        row.full_clean()
    except ValidationError as error:
        problems = {("" if field == "__all__" else field): texts for field, texts in error.message_dict.items()}
    if wrong := [text for pattern in row.addresses.split() if (text := _find_fault(pattern))]:
        problems["addresses"] = wrong
    if row.port == TLS_PORT:
        problems["port"] = ["Encryption from the first byte (port 465) cannot be used here. Use 587 or 25."]
    if row.rewrite and not _is_rewrite(row.rewrite):
        problems["rewrite"] = [f"{row.rewrite!r} is not an address; write ann@other.example or *@other.example."]
    if problems:
        raise InvalidInput(problems)


def _find_fault(pattern: str) -> str:
    local, at, domain = pattern.removeprefix(LAST_RESORT).rpartition("@")
    if pattern.startswith(LAST_RESORT) and (local or not at):
        return f"{pattern!r}: a last resort is written ~@branch.example."
    if not at:
        if get_setting(LAN_BARE_ADDRESSES):
            return ""
        return f"{pattern!r} has no domain; write the complete address, such as {pattern}@branch.example."
    if not local and not pattern.startswith(LAST_RESORT):
        return f"{pattern!r} has nothing before the @; write *{pattern} for everybody there."
    if "*" in domain or "?" in domain:
        return ""
    try:
        parse_domain(domain)
    except BadDomain:
        return f"{pattern!r}: {domain!r} is not a domain."
    return ""


def _is_rewrite(text: str) -> bool:
    local, at, domain = text.rpartition("@")
    try:
        return bool(at and local and parse_domain(domain))
    except BadDomain:
        return False
