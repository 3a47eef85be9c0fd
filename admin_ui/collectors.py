# SPDX-License-Identifier: MIT
"""Collectors in the console: the list, and everything about one (spec connectors 4).

A new one is made by the wizard (`collector_wizard.py`); saving is one call of `mailserver.connectors.services`.
"""

from __future__ import annotations

from typing import Any, ClassVar

from django import forms
from django.contrib import admin
from django.db.models import OuterRef, QuerySet, Subquery
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from admin_ui import collector_wizard, remote_tests
from admin_ui.collector_fields import CONDITIONS, HELP, chosen_account, warn_without_connection
from admin_ui.lastpoll import poll_tag
from admin_ui.saving import ServiceAdmin, ServiceForm
from admin_ui.site import console
from admin_ui.tags import tag
from admin_ui.unfolded import PasswordInput, SelectMultiple
from mailserver.connectors import services
from mailserver.connectors.models import Collector, Connection, RunTask


class CollectorForm(ServiceForm[Collector]):
    """Everything; what the chosen method does not need is hidden, and not checked."""

    connections = forms.ModelMultipleChoiceField(
        queryset=Connection.objects.all(),
        required=False,
        widget=SelectMultiple(),
        help_text="It runs whenever one of these does.",
    )
    password = forms.CharField(
        required=False,
        strip=False,
        widget=PasswordInput(attrs={"autocomplete": "new-password"}),
        help_text="Stored encrypted, never shown. Leave it empty to keep the present one.",
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name, text in HELP.items():
            self.fields[name].help_text = text
        for name in ("accepted_domains", "special_fields", "folders"):
            self.fields[name].widget.attrs["rows"] = 3


@admin.register(Collector, site=console)
class CollectorAdmin(ServiceAdmin[Collector]):
    """As many as wanted. They run one after the other, by priority, when a Connection that has them does."""

    form = CollectorForm
    list_display = ("collector", "where", "for_whom", "runs_with", "last", "state")
    ordering = ("priority", "id")
    change_form_show_cancel_button = True
    change_form_outer_before_template = "console/collector_above.html"
    warn_unsaved_form = True
    conditional_fields: ClassVar[dict[str, str]] = CONDITIONS
    empty_title: ClassVar[str] = "No mailbox is collected"
    empty_text: ClassVar[str] = (
        "A Collector fetches the mail from a mailbox at your provider and gives it to your users. Add one with the +"
        " button: it asks for what it needs, and tries it."
    )

    def get_fieldsets(self, request: HttpRequest, obj: Collector | None = None) -> Any:
        return (
            (None, {"fields": ("name", "method", "enabled", "priority", "connections")}),
            _tab(
                "Server",
                *("use_etrn", "server", "port", "encryption", "verify_certificate"),
                *("login_method", "username", "password", "oauth", "folders", "idle"),
                *("etrn_parameters", "wait_seconds", "odmr_domains"),
            ),
            _tab(
                "Messages",
                *("max_kilobytes", "leave_on_server_days", "after", "move_to"),
                *("detect_duplicates", "use_download_rules"),
            ),
            _tab(
                "For whom",
                *("routing", "target", "accepted_domains", "special_fields", "read_received_reversed"),
                *("ignore_received", "shared_address", "marker_prefix", "marker_suffix"),
                *("errors_action", "errors_to"),
            ),
        )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Collector]:
        """With the outcome of the last run of each."""
        tasks = RunTask.objects.filter(collector=OuterRef("pk"), finished__isnull=False).order_by("-id")
        rows = super().get_queryset(request).prefetch_related("connections")
        return rows.annotate(
            last_started=Subquery(tasks.values("started")[:1]), last_outcome=Subquery(tasks.values("outcome")[:1])
        )

    def get_urls(self) -> list[Any]:
        return [
            console.page("new/", collector_wizard.wizard_page, "collector-wizard"),
            console.page("<int:collector>/test/", remote_tests.collector_test, "collector-test"),
            *super().get_urls(),
        ]

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> HttpResponse:
        """By the wizard."""
        return HttpResponseRedirect(reverse("admin:collector-wizard"))

    @admin.display(description="Collector", ordering="name")
    def collector(self, collector: Collector) -> str:
        return collector.name

    @admin.display(description="From")
    def where(self, collector: Collector) -> SafeString:
        kinds = {"pop3": "POP3", "imap": "IMAP", "incoming-smtp": "Incoming SMTP", "odmr": "ODMR"}
        place = f"{collector.username} at {collector.server}" if collector.username else collector.server
        return format_html(
            '<span class="pb-lines"><span>{}</span><span class="pb-quiet">{}</span></span>',
            kinds[collector.method],
            place,
        )

    @admin.display(description="For")
    def for_whom(self, collector: Collector) -> str:
        if collector.method in (Collector.Method.INCOMING_SMTP, Collector.Method.ODMR):
            return "Whom the envelope names"
        if collector.routing == Collector.Routing.SINGLE:
            return collector.target
        return {"headers": "Whom the headers name", "one-address": "By name", "subject": "By subject"}[
            collector.routing
        ]

    @admin.display(description="Runs with")
    def runs_with(self, collector: Collector) -> SafeString:
        """A Collector without a Connection never runs: the list says so."""
        names = ", ".join(connection.name for connection in collector.connections.all())
        return format_html("{}", names) if names else tag("note", "Nothing")

    @admin.display(description="Last time")
    def last(self, collector: Collector) -> SafeString:
        return poll_tag(getattr(collector, "last_started", None), getattr(collector, "last_outcome", "") or "")

    @admin.display(description="State", ordering="enabled")
    def state(self, collector: Collector) -> SafeString:
        kind, text = ("ok", "On") if collector.enabled else ("off", "Off")
        return tag(kind, text)

    def save_model(self, request: HttpRequest, obj: Collector, form: Any, change: bool) -> None:
        """Nothing: `save_related` saves the Collector with its links."""

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        """Columns and links in one call."""
        data = dict(form.cleaned_data)
        connections = [connection.pk for connection in data.pop("connections")]
        if not data["password"]:
            del data["password"]
        data["oauth"] = chosen_account(data)
        services.update_collector(form.instance.pk, data, connections)
        warn_without_connection(request, form.instance.name, connections)

    def delete_model(self, request: HttpRequest, obj: Collector) -> None:
        services.delete_collector(obj.pk)

    def describe_deletion(self, instance: Collector) -> str:
        return f"{instance.name}; messages that are left on the server would be fetched again by another Collector"


def _tab(title: str, *fields: str) -> tuple[str, dict[str, Any]]:
    return title, {"fields": fields, "classes": ["tab"]}
