# SPDX-License-Identifier: MIT
"""Download rules in the console: what Collectors do with a message before it is fetched (spec connectors 4.6)."""

from __future__ import annotations

from typing import Any, ClassVar

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.views.decorators.http import require_POST

from admin_ui.saving import ServiceAdmin, ServiceForm
from admin_ui.site import console
from admin_ui.tags import tag
from admin_ui.unfolded import Select, TextInput
from mailserver.connectors import services
from mailserver.connectors.download_rules import ConditionKind
from mailserver.connectors.models import DownloadRule

CONDITION_KINDS: dict[str, str] = {
    ConditionKind.HEADER: "Header field",
    ConditionKind.SIZE: "Size at least",
    ConditionKind.TIME: "Time of day",
    ConditionKind.DAY: "Day of the week",
    ConditionKind.RECIPIENT: "For the user",
    ConditionKind.COLLECTOR: "From the Collector",
    ConditionKind.VALID: "Valid recipients, at least",
    ConditionKind.INVALID: "Unknown recipients, at least",
}
ROWS = 5
"""Conditions that the form has room for; a rule from a file may have more, and keeps them."""
MATCHES = (("all", "All of them"), ("any", "At least one of them"))


class ConditionsWidget(forms.MultiWidget):
    """Lines of kind, header field and value."""

    template_name = "console/conditions.html"

    def __init__(self, rows: int = ROWS) -> None:
        self.rows = rows
        kinds = [("", "(no condition)"), *CONDITION_KINDS.items()]
        widgets = [
            widget
            for _ in range(rows)
            for widget in (Select(choices=kinds), TextInput(attrs={"placeholder": "Subject"}), TextInput())
        ]
        super().__init__(widgets)

    def decompress(self, value: Any) -> list[str]:
        """The columns one after the other, for as many lines as there are."""
        conditions = value if isinstance(value, list) else []
        flat = [str(part.get(key, "")) for part in conditions for key in ("kind", "field", "value")]
        return (flat + [""] * (3 * self.rows))[: 3 * self.rows]

    def get_context(self, name: str, value: Any, attrs: Any) -> dict[str, Any]:
        context = super().get_context(name, value, attrs)
        parts = context["widget"]["subwidgets"]
        context["lines"] = [parts[start : start + 3] for start in range(0, len(parts), 3)]
        return context


class ConditionsField(forms.Field):
    """The conditions as the rule stores them."""

    widget = ConditionsWidget

    def to_python(self, value: Any) -> list[dict[str, str]]:
        parts = [str(part or "").strip() for part in value or ()]
        lines = [parts[start : start + 3] for start in range(0, len(parts), 3)]
        return [{"kind": kind, "field": field, "value": text} for kind, field, text in lines if kind]


class DownloadRuleForm(ServiceForm[DownloadRule]):
    """Conditions and one action."""

    conditions = ConditionsField(required=False, label="If")
    match_all = forms.TypedChoiceField(
        label="Needed", choices=MATCHES, coerce=lambda text: text == "all", widget=Select(), initial="all"
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        present = self.instance.conditions if isinstance(self.instance.conditions, list) else []
        self.fields["conditions"].widget = ConditionsWidget(max(ROWS, len(present) + 1))
        self.initial["match_all"] = "all" if self.instance.match_all else "any"
        self.fields["conditions"].help_text = (
            "Without any, the rule fits every message. A size is in bytes and means at least so much; times are"
            " 08:00-18:00; days are digits, 1 for Sunday to 7 for Saturday."
        )
        self.fields["targets"].help_text = "Addresses or users, separated by commas."


@admin.register(DownloadRule, site=console)
class DownloadRuleAdmin(ServiceAdmin[DownloadRule]):
    """One list for all Collectors that use it; the first rule that fits decides."""

    form = DownloadRuleForm
    list_display = ("rule", "conditions_shown", "does", "order", "state")
    ordering = ("position", "id")
    change_form_show_cancel_button = True
    conditional_fields: ClassVar[dict[str, str]] = {
        "targets": "action.includes('redirect') || action.includes('copy')",
    }
    empty_title: ClassVar[str] = "No download rules"
    empty_text: ClassVar[str] = (
        "Rules look at headers, size and time before a message is fetched from a provider, and may leave it there,"
        " delete it, ask, or give it to somebody else. A Collector uses them when it is told to."
    )

    def get_urls(self) -> list[Any]:
        return [console.page("<int:rule>/move/<str:way>/", move_rule, "rule-move"), *super().get_urls()]

    def get_fieldsets(self, request: HttpRequest, obj: DownloadRule | None = None) -> Any:
        return ((None, {"fields": ("name", "enabled", "conditions", "match_all", "action", "targets")}),)

    @admin.display(description="Rule", ordering="name")
    def rule(self, rule: DownloadRule) -> str:
        return rule.name

    @admin.display(description="When")
    def conditions_shown(self, rule: DownloadRule) -> SafeString:
        lines = [
            (f"{CONDITION_KINDS.get(part.get('kind', ''), '?')} {part.get('field', '')} {part.get('value', '')}",)
            for part in rule.conditions
        ]
        return format_html(
            '<span class="pb-lines">{}</span>', format_html_join("", "<span>{}</span>", lines) or "Always"
        )

    @admin.display(description="Does", ordering="action")
    def does(self, rule: DownloadRule) -> str:
        return f"{rule.get_action_display()}{f': {rule.targets}' if rule.targets else ''}"

    @admin.display(description="Order")
    def order(self, rule: DownloadRule) -> SafeString:
        return format_html_join(
            " ",
            '<button class="pb-button pb-button-small" formmethod="post" formaction="{}" aria-label="{}">{}</button>',
            [
                (reverse("admin:rule-move", args=[rule.pk, way]), f"Move {rule.name} {way}", sign)
                for way, sign in (("up", "↑"), ("down", "↓"))
            ],
        )

    @admin.display(description="State", ordering="enabled")
    def state(self, rule: DownloadRule) -> SafeString:
        kind, text = ("ok", "On") if rule.enabled else ("off", "Off")
        return tag(kind, text)

    def save_model(self, request: HttpRequest, obj: DownloadRule, form: Any, change: bool) -> None:
        obj.pk = services.save_rule(form.cleaned_data, obj.pk if change else None)

    def delete_model(self, request: HttpRequest, obj: DownloadRule) -> None:
        services.delete_rule(obj.pk)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[DownloadRule]) -> None:
        for rule in queryset:
            services.delete_rule(rule.pk)


@require_POST
def move_rule(request: HttpRequest, rule: int, way: str) -> HttpResponse:
    """One place up or down."""
    order = list(DownloadRule.objects.order_by("position", "id").values_list("pk", flat=True))
    if rule in order:
        place = order.index(rule)
        other = place + (-1 if way == "up" else 1)
        if 0 <= other < len(order):
            order[place], order[other] = order[other], order[place]
            services.order_rules(order)
    return HttpResponseRedirect(reverse("admin:connectors_downloadrule_changelist"))
