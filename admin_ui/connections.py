# SPDX-License-Identifier: MIT
"""Connections in the console, each with its Sender on the same page.

Spec connectors 1 and 2, senders 2 to 4 and 7. Saving is one call of `mailserver.connectors.services`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString

from admin_ui import remote_tests
from admin_ui.collector_fields import chosen_account
from admin_ui.lastpoll import poll_tag
from admin_ui.saving import ServiceAdmin, ServiceForm
from admin_ui.site import console
from admin_ui.tags import tag
from admin_ui.unfolded import PasswordInput, Select, SelectMultiple, TextareaInput
from mailserver.connectors import services, triggers
from mailserver.connectors.models import Collector, Connection, Encryption, LoginMethod, Sender
from mailserver.connectors.reading import sender_settings
from mailserver.connectors.serverlines import format_servers, parse_servers
from mailserver.errors import InvalidInput

SENDER_FIELDS = (
    "enabled",
    "method",
    "send_immediately",
    "login_method",
    "username",
    "oauth",
    "verify_certificate",
    "dns_servers",
    "dns_overrides",
    "dns_cache_size",
    "threads",
    "max_per_domain",
    "direct_port",
    "max_messages_per_session",
    "max_recipients_per_message",
    "max_recipients_per_session",
    "rate_recipients",
    "rate_minutes",
    "only_waiting_at_start",
    "smaller_first",
    "reverse_order",
    "retry_minutes",
    "give_up_hours",
    "warn_hours",
    "domain_filter",
    "ehlo_name",
    "return_path_mode",
    "return_path",
)
"""Columns of the Sender that are on the Connection's page."""

RELAY, DIRECT = "method == 'smtp-relay'", "method == 'smtp-direct'"
LABELS: dict[str, str] = {"enabled": "Send", "login_method": "Log in with", "username": "User name"}
HELP: dict[str, str] = {
    "enabled": "Off: this Connection only collects. Its mail waits, unless another Sender takes it.",
    "method": "To each recipient's server works well only with a fixed address that has a reverse DNS name, on a line"
    " whose provider allows it. Otherwise send through your provider's server.",
    "dns_overrides": "Servers for domains, instead of what the DNS says. One a line: domain and server, such as"
    " *.example.org mail.example.net:25. Then, where wanted, user:password@ in front of the server,"
    " $priority:10, $size<1000000, $end.",
    "domain_filter": "Which messages this Sender takes. One rule a line: Attempt: or Skip: and conditions, such as"
    " Skip: ToDomain = *.example.org. The first rule that fits decides. With any Attempt: line, what fits none is left"
    " to other Senders. Empty: everything.",
    "threads": "Each goes to one recipient's server.",
    "direct_port": "25 everywhere on the Internet.",
    "only_waiting_at_start": "Off: when everything has been tried, the queue is looked at again.",
}
MANY_LINES = {"dns_overrides": 4, "domain_filter": 4}


class ConnectionForm(ServiceForm[Connection]):
    """The columns of a Connection; `form_class` adds those of its Sender."""

    servers = forms.CharField(
        label="Provider's servers",
        required=False,
        widget=TextareaInput(attrs={"rows": 3, "placeholder": "smtp.example.net:587"}),
        help_text="One a line: the name, a colon and the port (25 when there is none). The first that answers is used.",
    )
    server_encryption = forms.ChoiceField(
        label="Encryption",
        choices=Encryption.choices,
        widget=Select(),
        help_text="STARTTLS is usual with port 587, TLS from the first byte with port 465. A server that differs has"
        " its own word behind it: none, opportunistic, starttls or tls.",
    )
    password = forms.CharField(
        required=False,
        strip=False,
        widget=PasswordInput(attrs={"autocomplete": "new-password"}),
        help_text="Stored encrypted, never shown. Leave it empty to keep the present one.",
    )
    collectors = forms.ModelMultipleChoiceField(
        queryset=Collector.objects.all(),
        required=False,
        widget=SelectMultiple(),
        help_text="They run whenever this Connection does.",
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        sender = self.instance.sender if self.instance.pk else Sender(connection=self.instance)
        for name in SENDER_FIELDS:
            field = Sender._meta.get_field(name)
            self.initial.setdefault(name, getattr(sender, field.attname))  # type: ignore[union-attr]
            self.fields[name].help_text = HELP.get(name, self.fields[name].help_text)
            self.fields[name].label = LABELS.get(name, self.fields[name].label)
        for name, rows in MANY_LINES.items():
            self.fields[name].widget.attrs["rows"] = rows
        login = self.fields["login_method"]
        assert isinstance(login, forms.ChoiceField)
        login.choices = [choice for choice in LoginMethod.choices if choice[0] != LoginMethod.APOP]
        servers = list(sender.servers.all()) if sender.pk else []
        usual = _usual_encryption([server.encryption for server in servers])
        self.initial.setdefault("server_encryption", usual)
        self.initial.setdefault("servers", format_servers(servers, usual))
        if self.instance.pk:
            self.initial.setdefault("collectors", list(self.instance.collectors.all()))

    def clean(self) -> dict[str, Any]:
        """The lines of servers, read with the encryption that is chosen below them."""
        data = super().clean() or self.cleaned_data
        try:
            data["servers"] = parse_servers(data.get("servers", ""), data.get("server_encryption", ""))
        except InvalidInput as error:
            for texts in error.messages.values():
                self.add_error("servers", [ValidationError(text) for text in texts])
        return data


@admin.register(Connection, site=console)
class ConnectionAdmin(ServiceAdmin[Connection]):
    """At most ten; the last one stays."""

    list_display = ("connection", "sending", "collecting", "last", "state")
    ordering = ("id",)
    actions = ("connect_now",)
    change_form_show_cancel_button = True
    change_form_outer_before_template = "console/connection_above.html"
    warn_unsaved_form = True
    conditional_fields: ClassVar[dict[str, str]] = {
        **dict.fromkeys(
            (
                "servers",
                "server_encryption",
                "login_method",
                "max_messages_per_session",
                "max_recipients_per_message",
                "max_recipients_per_session",
                "rate_recipients",
                "rate_minutes",
            ),
            RELAY,
        ),
        **dict.fromkeys(
            ("dns_servers", "dns_overrides", "dns_cache_size", "threads", "max_per_domain", "direct_port"), DIRECT
        ),
        "username": f"{RELAY} && !['none', 'xoauth2', 'oauthbearer'].includes(login_method)",
        "password": f"{RELAY} && !['none', 'xoauth2', 'oauthbearer'].includes(login_method)",
        "oauth": f"{RELAY} && ['xoauth2', 'oauthbearer'].includes(login_method)",
        "return_path": "['fixed', 'domain'].includes(return_path_mode)",
    }
    empty_title: ClassVar[str] = "No Connections"
    empty_text: ClassVar[str] = (
        "A Connection is a way to the outside: how mail leaves, and which mailboxes are collected."
    )

    def get_urls(self) -> list[Any]:
        return [console.page("<int:connection>/test/", remote_tests.sender_test, "sender-test"), *super().get_urls()]

    def get_form(self, request: HttpRequest, obj: Connection | None = None, change: bool = False, **kwargs: Any) -> Any:
        columns = {name: self._sender_field(name, request) for name in SENDER_FIELDS}
        kwargs["form"] = type("ConnectionForm", (ConnectionForm,), columns)
        return super().get_form(request, obj, change=change, **kwargs)

    def _sender_field(self, name: str, request: HttpRequest) -> Any:
        field = Sender._meta.get_field(name)
        return self.formfield_for_dbfield(field, request)  # type: ignore[arg-type]

    def get_fieldsets(self, request: HttpRequest, obj: Connection | None = None) -> Any:
        return (
            (None, {"fields": ("name", "is_default", "collectors", "enabled", "method", "send_immediately")}),
            _tab(
                "Sending",
                *("servers", "server_encryption", "login_method", "username", "password", "oauth"),
                *("dns_servers", "dns_overrides", "dns_cache_size", "threads", "max_per_domain", "direct_port"),
                "verify_certificate",
            ),
            _tab(
                "Limits and order",
                *("max_messages_per_session", "max_recipients_per_message", "max_recipients_per_session"),
                *("rate_recipients", "rate_minutes", "only_waiting_at_start", "smaller_first", "reverse_order"),
            ),
            _tab("When it fails", "retry_minutes", "warn_hours", "give_up_hours"),
            _tab("Advanced", "domain_filter", "ehlo_name", "return_path_mode", "return_path"),
        )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Connection]:
        rows = super().get_queryset(request).select_related("sender__oauth")
        return rows.prefetch_related("sender__servers", "collectors")

    @admin.display(description="Connection", ordering="name")
    def connection(self, connection: Connection) -> SafeString:
        """The name, marked when it is one of the default ones."""
        mark = tag("", "Default") if connection.is_default else ""
        return format_html('<span class="pb-account">{}{}</span>', connection.name, mark)

    @admin.display(description="Sends")
    def sending(self, connection: Connection) -> SafeString:
        """Through whom, in a few words."""
        sender = connection.sender
        if not sender.enabled:
            return tag("off", "Does not send")
        if sender.method == Sender.Method.DIRECT:
            return format_html("{}", "To each recipient's server")
        if sender_settings(sender).credentials.problem:
            return tag("bad", "Its password cannot be read")
        first = next(iter(sender.servers.all()), None)
        if first is None:
            return tag("note", "No server named yet")
        return format_html("Through {}", first.host)

    @admin.display(description="Collects")
    def collecting(self, connection: Connection) -> str:
        """Names of the collectors that run with it."""
        return ", ".join(collector.name for collector in connection.collectors.all()) or "nothing"

    @admin.display(description="Last poll", ordering="last_poll")
    def last(self, connection: Connection) -> SafeString:
        return poll_tag(connection.last_poll, connection.last_outcome)

    @admin.display(description="State")
    def state(self, connection: Connection) -> SafeString:
        kind, text = ("wait", "Waits for its turn") if connection.marked else ("off", "Idle")
        return tag(kind, text)

    @admin.action(description="Connect now", permissions=["change"])
    def connect_now(self, request: HttpRequest, queryset: QuerySet[Connection]) -> None:
        triggers.connect_now([connection.pk for connection in queryset])
        messages.success(request, "They run one after the other. The status page shows how far they are.")

    def save_model(self, request: HttpRequest, obj: Connection, form: Any, change: bool) -> None:
        """Nothing: `save_related` saves the Connection whole, with its Sender."""

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        """Both in one call."""
        data = form.cleaned_data
        fields = {"name": data["name"], "is_default": data["is_default"]}
        sender = {name: data[name] for name in SENDER_FIELDS if name != "oauth"}
        sender["oauth"] = chosen_account(data)
        if data["password"]:
            sender["password"] = data["password"]
        collectors = [collector.pk for collector in data["collectors"]]
        if change:
            services.update_connection(
                form.instance.pk, fields, sender=sender, servers=data["servers"], collectors=collectors
            )
        else:
            form.instance.pk = services.create_connection(
                fields, sender=sender, servers=data["servers"], collectors=collectors
            )
        if sender["enabled"] and sender["method"] == Sender.Method.RELAY and not data["servers"]:
            messages.warning(request, "No server is named yet: mail for other servers waits until there is one.")

    def delete_model(self, request: HttpRequest, obj: Connection) -> None:
        for name in services.delete_connection(obj.pk):
            messages.warning(request, f"{name} is linked to no Connection any more, and will not run.")

    def describe_deletion(self, instance: Connection) -> str:
        return f"{instance.name} with its Sender and the history of its runs"


def _usual_encryption(used: Sequence[str]) -> str:
    return Counter(used).most_common(1)[0][0] if used else Encryption.OPPORTUNISTIC.value


def _tab(title: str, *fields: str) -> tuple[str, dict[str, Any]]:
    return title, {"fields": fields, "classes": ["tab"]}
