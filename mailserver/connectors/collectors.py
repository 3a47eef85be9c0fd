# SPDX-License-Identifier: MIT
"""Making, changing and removing Collectors, the download rules they share, and OAuth2 accounts (spec connectors 4)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from django.db import transaction
from django.db.models import Max, ProtectedError

from mailserver.connectors import sealing
from mailserver.connectors.changes import changeable, changed, set_fields
from mailserver.connectors.checking import Problems, check_collector, check_rule, clean
from mailserver.connectors.models import Collector, Connection, DownloadRule, OAuthAccount, RemoteMessage
from mailserver.connectors.values import CollectMethod, Encryption
from mailserver.errors import InvalidInput, Kind, MailError

COLLECTOR_FIELDS = changeable(Collector)
RULE_FIELDS = changeable(DownloadRule, "position")
ACCOUNT_FIELDS = changeable(OAuthAccount)
ACCOUNT_SECRETS = {"client_secret": sealing.OAUTH_CLIENT, "refresh_token": sealing.OAUTH_REFRESH}
"""What is sealed of an account, by the names under which it is given."""

STANDARD_PORTS = {
    (CollectMethod.POP3, False): 110,
    (CollectMethod.POP3, True): 995,
    (CollectMethod.IMAP, False): 143,
    (CollectMethod.IMAP, True): 993,
    (CollectMethod.ODMR, False): 366,
    (CollectMethod.ODMR, True): 366,
    (CollectMethod.INCOMING_SMTP, False): 25,
    (CollectMethod.INCOMING_SMTP, True): 25,
}
"""By method, and whether TLS begins with the first byte (RFC 8314 §3.2, §3.3)."""


def create_collector(fields: Mapping[str, object], connections: Sequence[int] | None = None) -> int:
    """A Collector; gives its number. Without a port it gets the standard one. None: the default Connections use it."""
    with transaction.atomic():
        collector = Collector()
        if "port" not in fields:
            collector.port = standard_port(str(fields.get("method", "")), str(fields.get("encryption", "")))
        _change(collector, fields)
        if connections is None:
            connections = list(Connection.objects.filter(is_default=True).values_list("pk", flat=True))
        _link(collector, connections)
    return collector.pk


def update_collector(
    collector_id: int, fields: Mapping[str, object] | None = None, connections: Sequence[int] | None = None
) -> None:
    """Change what is named; `connections` are all that use it from now on.

    In another mailbox the same id is another message: what was remembered of the one before is forgotten, or new mail
    would pass for collected, and be deleted.
    """
    with transaction.atomic():
        collector = _lock_collector(collector_id)
        before = _mailbox(collector)
        _change(collector, fields or {})
        if _mailbox(collector) != before:
            RemoteMessage.objects.filter(collector=collector).delete()
        if connections is not None:
            _link(collector, connections)


def delete_collector(collector_id: int) -> None:
    """What it remembers of messages at the provider goes with it."""
    with transaction.atomic():
        _lock_collector(collector_id).delete()
        changed()


def standard_port(method: str, encryption: str) -> int:
    """What a server of this kind usually listens on."""
    known = method if method in [value.value for value in CollectMethod] else CollectMethod.POP3.value
    return STANDARD_PORTS[CollectMethod(known), encryption == Encryption.TLS]


def save_rule(fields: Mapping[str, object], rule_id: int | None = None) -> int:
    """Change a download rule, or without a number add one behind the others; gives its number."""
    with transaction.atomic():
        last = DownloadRule.objects.aggregate(last=Max("position"))["last"]
        rule = DownloadRule(position=0 if last is None else last + 1)
        if rule_id is not None:
            rule = _get_rule(rule_id)
        problems = set_fields(rule, fields, RULE_FIELDS)
        problems |= clean(rule) or check_rule(rule)
        if problems:
            raise InvalidInput(problems)
        rule.save()
        changed()
    return rule.pk


def order_rules(rule_ids: Sequence[int]) -> None:
    """The rules are tried in this order; those not named come last, as they were."""
    with transaction.atomic():
        rows = {row.pk: row for row in DownloadRule.objects.select_for_update()}
        ordered = [rows.pop(number) for number in rule_ids if number in rows]
        for position, row in enumerate([*ordered, *rows.values()]):
            DownloadRule.objects.filter(pk=row.pk).update(position=position)
        changed()


def delete_rule(rule_id: int) -> None:
    with transaction.atomic():
        _get_rule(rule_id).delete()
        changed()


def delete_rules() -> None:
    """All of them; whoever brings a whole list does so first."""
    DownloadRule.objects.all().delete()
    changed()


def save_account(fields: Mapping[str, object], account_id: int | None = None) -> int:
    """Change an OAuth2 account, or without a number add one; gives its number."""
    with transaction.atomic():
        account = OAuthAccount()
        if account_id is not None:
            account = _get_account(account_id)
        values = dict(fields)
        for name, use in ACCOUNT_SECRETS.items():
            if name in values:
                setattr(account, name, sealing.seal(str(values.pop(name) or ""), use))
        problems = set_fields(account, values, ACCOUNT_FIELDS)
        problems |= clean(account) or _check_account(account)
        if problems:
            raise InvalidInput(problems)
        account.save()
        changed()
    return account.pk


def delete_account(account_id: int) -> None:
    """Raises InvalidInput while a Collector or a Sender uses it."""
    with transaction.atomic():
        try:
            _get_account(account_id).delete()
        except ProtectedError as error:
            users = ", ".join(sorted(str(row) for row in error.protected_objects))
            raise InvalidInput({"": [f"This account is used by {users}."]}) from None
        changed()


def _change(collector: Collector, fields: Mapping[str, object]) -> None:
    problems: Problems = set_fields(collector, fields, COLLECTOR_FIELDS, sealing.COLLECTOR_PASSWORD)
    problems |= clean(collector) or check_collector(collector)
    if problems:
        raise InvalidInput(problems)
    collector.save()
    changed()


def _link(collector: Collector, connections: Sequence[int]) -> None:
    known = set(Connection.objects.filter(pk__in=connections).values_list("pk", flat=True))
    missing = [str(number) for number in connections if number not in known]
    if missing:
        raise InvalidInput({"connections": [f"There is no Connection {', '.join(missing)}."]})
    collector.connections.set(known)


def _check_account(account: OAuthAccount) -> Problems:
    """Secrets are posted to these addresses."""
    problems: Problems = {}
    for name in ("authorize_url", "token_url", "device_url"):
        text = getattr(account, name)
        if text and not text.startswith("https://"):
            problems[name] = ["The address must begin with https://."]
        elif not text and name != "device_url" and account.provider == OAuthAccount.Provider.OTHER:
            problems[name] = ["Another provider's address is needed here."]
    return problems


def _mailbox(collector: Collector) -> tuple[str, str, str, int | None]:
    return collector.method, collector.server.lower(), collector.username, collector.oauth_id


def _lock_collector(collector_id: int) -> Collector:
    collector = Collector.objects.select_for_update().filter(pk=collector_id).first()
    if collector is None:
        raise MailError(Kind.NOT_FOUND, f"no Collector {collector_id}")
    return collector


def _get_rule(rule_id: int) -> DownloadRule:
    rule = DownloadRule.objects.select_for_update().filter(pk=rule_id).first()
    if rule is None:
        raise MailError(Kind.NOT_FOUND, f"no download rule {rule_id}")
    return rule


def _get_account(account_id: int) -> OAuthAccount:
    account = OAuthAccount.objects.select_for_update().filter(pk=account_id).first()
    if account is None:
        raise MailError(Kind.NOT_FOUND, f"no OAuth2 account {account_id}")
    return account
