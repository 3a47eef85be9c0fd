# SPDX-License-Identifier: MIT
"""The schedule in the console: when Connections run, and the button that pauses all of it (spec connectors 3)."""

from __future__ import annotations

from typing import Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.views.decorators.http import require_POST

from admin_ui.saving import ServiceAdmin, ServiceForm
from admin_ui.site import console
from admin_ui.tags import tag
from admin_ui.unfolded import CheckboxSelectMultiple
from mailserver.connectors import services, triggers
from mailserver.connectors.models import ScheduleItem

DAYS = (("1", "Mon"), ("2", "Tue"), ("3", "Wed"), ("4", "Thu"), ("5", "Fri"), ("6", "Sat"), ("7", "Sun"))
EVERY_DAY, WORKING_DAYS = "1234567", "12345"


class ScheduleItemForm(ServiceForm[ScheduleItem]):
    """One line of the schedule."""

    days = forms.MultipleChoiceField(
        label="On", choices=DAYS, widget=CheckboxSelectMultiple(), error_messages={"required": "Choose at least a day."}
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.initial["days"] = list(self.instance.days)
        self.fields["deny"].label = "Block these times"
        self.fields["deny"].help_text = "Nothing runs then, whatever other items say."
        self.fields["every_minutes"].label = "Every (minutes)"
        self.fields["mode"].label = "How often"
        self.fields["to_default"].help_text = "Those that are default ones at that moment."
        self.fields["every_minutes"].help_text = "Counted from the first of the two times."
        self.fields["end"].help_text = "A range cannot pass midnight: for 21:00 to 09:00 make two items."
        self.fields["connections"].required = False
        if not self.instance.pk:
            self.initial["to_default"] = True

    def clean_days(self) -> str:
        return "".join(sorted(self.cleaned_data["days"]))


@admin.register(ScheduleItem, site=console)
class ScheduleItemAdmin(ServiceAdmin[ScheduleItem]):
    """When what runs. The minutes that an item denies are nobody's."""

    form = ScheduleItemForm
    list_display = ("item", "what", "days_shown", "switch")
    ordering = ("id",)
    list_before_template = "console/schedule_above.html"
    change_form_show_cancel_button = True
    warn_unsaved_form = True
    conditional_fields: ClassVar[dict[str, str]] = {
        "every_minutes": "mode == 'every'",
        "start": "mode == 'every'",
        "end": "mode == 'every'",
        "once_at": "mode == 'once'",
        "minimum_messages": "!deny",
        "to_default": "!deny",
    }
    empty_title: ClassVar[str] = "Nothing is scheduled"
    empty_text: ClassVar[str] = (
        "Without a schedule mailboxes are collected only when somebody says 'Connect now'. Add an item with the +"
        " button, such as every ten minutes on working days."
    )

    def get_urls(self) -> list[Any]:
        return [
            console.page("<int:item>/switch/", switch_item, "schedule-switch"),
            console.page("pause/", pause, "schedule-pause"),
            *super().get_urls(),
        ]

    def get_fieldsets(self, request: HttpRequest, obj: ScheduleItem | None = None) -> Any:
        return (
            (None, {"fields": ("enabled", "name", "deny", "to_default", "connections")}),
            ("When", {"fields": ("mode", "every_minutes", "start", "end", "once_at", "days", "minimum_messages")}),
        )

    def formfield_for_manytomany(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        return super().formfield_for_manytomany(db_field, request, **{**kwargs, "widget": CheckboxSelectMultiple()})

    def get_queryset(self, request: HttpRequest) -> QuerySet[ScheduleItem]:
        return super().get_queryset(request).prefetch_related("connections")

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        return super().changelist_view(request, {**(extra_context or {}), "schedule": triggers.schedule_view()})

    @admin.display(description="When", ordering="name")
    def item(self, item: ScheduleItem) -> SafeString:
        """Its times, and its name below them."""
        if item.mode == ScheduleItem.Mode.ONCE:
            times = f"At {item.once_at:%H:%M}"
        else:
            times = f"Every {item.every_minutes} minutes, {item.start:%H:%M} to {item.end:%H:%M}"
        if item.minimum_messages:
            times += f", when {item.minimum_messages} or more messages wait"
        return format_html(
            '<span class="pb-lines"><span>{}</span><span class="pb-quiet">{}</span></span>', times, item.name
        )

    @admin.display(description="Runs")
    def what(self, item: ScheduleItem) -> SafeString:
        names = [connection.name for connection in item.connections.all()]
        if item.to_default and not item.deny:
            names.insert(0, "Default connections")
        if item.deny:
            return tag("note", f"Nothing of {', '.join(names)}" if names else "Nothing")
        return format_html("{}", ", ".join(names)) if names else tag("note", "No Connection")

    @admin.display(description="On")
    def days_shown(self, item: ScheduleItem) -> str:
        if item.days == EVERY_DAY:
            return "Every day"
        return "Mon to Fri" if item.days == WORKING_DAYS else ", ".join(dict(DAYS)[day] for day in item.days)

    @admin.display(description="State", ordering="enabled")
    def switch(self, item: ScheduleItem) -> SafeString:
        """A button that switches it on or off at once."""
        return format_html(
            '<button class="pb-button pb-button-small" formmethod="post" formaction="{}" title="{}">{}</button>',
            reverse("admin:schedule-switch", args=[item.pk]),
            "Switch it off" if item.enabled else "Switch it on",
            "On" if item.enabled else "Off",
        )

    def save_model(self, request: HttpRequest, obj: ScheduleItem, form: Any, change: bool) -> None:
        """Nothing: `save_related` saves the item with its Connections."""

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        """Columns and links in one call."""
        data = dict(form.cleaned_data)
        connections = [connection.pk for connection in data.pop("connections")]
        if data["deny"]:  # What is hidden then must not narrow what is denied.
            data |= {"to_default": False, "minimum_messages": 0}
        if change:
            services.update_item(form.instance.pk, data, connections)
        else:
            form.instance.pk = services.create_item(data, connections)

    def delete_model(self, request: HttpRequest, obj: ScheduleItem) -> None:
        services.delete_items([obj.pk])


@require_POST
def switch_item(request: HttpRequest, item: int) -> HttpResponse:
    """On to off, off to on, saved at once."""
    row = ScheduleItem.objects.filter(pk=item).first()
    if row is not None:
        services.update_item(item, {"enabled": not row.enabled})
    return HttpResponseRedirect(reverse("admin:connectors_scheduleitem_changelist"))


@require_POST
def pause(request: HttpRequest) -> HttpResponse:
    """Stop scheduled runs, or let them go on."""
    if "resume" in request.POST:
        triggers.resume_schedule()
        messages.success(request, "Scheduled connections go on.")
    else:
        triggers.pause_schedule()
        messages.success(request, "No Connection runs by itself until you resume. 'Connect now' still works.")
    return HttpResponseRedirect(reverse("admin:connectors_scheduleitem_changelist"))
