# SPDX-License-Identifier: MIT
"""The outgoing queue in the console: what waits to leave, and holding, releasing or deleting it."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.template.defaultfilters import filesizeformat
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from admin_ui.saving import ServiceAdmin
from admin_ui.site import console
from mailserver.outqueue import services
from mailserver.outqueue.models import QueuedRecipient


@admin.register(QueuedRecipient, site=console)
class QueueAdmin(ServiceAdmin[QueuedRecipient]):
    """One line for each recipient. Nothing is added or edited here: messages come in by SMTP."""

    list_display = ("recipient_address", "sender", "stored_size", "since", "state", "message")
    list_display_links = None
    list_filter = ("status",)
    search_fields = ("recipient", "reverse_path", "ref")
    ordering = ("id",)
    list_per_page = 50
    actions = ("hold_selected", "release_selected")
    empty_title: ClassVar[str] = "Nothing is waiting"
    empty_text: ClassVar[str] = "Messages for other servers show up here until they have left."

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: QueuedRecipient | None = None) -> bool:
        return False

    @admin.display(description="To", ordering="recipient")
    def recipient_address(self, row: QueuedRecipient) -> str:
        return row.recipient

    @admin.display(description="From", ordering="reverse_path")
    def sender(self, row: QueuedRecipient) -> str:
        return row.reverse_path or "(automatic message)"

    @admin.display(description="Size", ordering="size")
    def stored_size(self, row: QueuedRecipient) -> str:
        return filesizeformat(row.size)

    @admin.display(description="Waiting since", ordering="queued")
    def since(self, row: QueuedRecipient) -> datetime:
        return row.queued

    @admin.display(description="State", ordering="status")
    def state(self, row: QueuedRecipient) -> SafeString:
        tone = "off" if row.status == QueuedRecipient.Status.HELD else "wait"
        return format_html('<span class="pb-tag pb-tag-{}">{}</span>', tone, row.get_status_display())

    @admin.display(description="Message")
    def message(self, row: QueuedRecipient) -> SafeString:
        """To everything that has happened to it."""
        return format_html('<a class="pb-link" href="{}">Journey</a>', reverse("admin:journey", args=[row.ref]))

    @admin.action(description="Hold: do not send for now", permissions=["delete"])
    def hold_selected(self, request: HttpRequest, queryset: QuerySet[QueuedRecipient]) -> None:
        _report(request, services.hold(_ids(queryset)), "held")

    @admin.action(description="Release: send as usual again", permissions=["delete"])
    def release_selected(self, request: HttpRequest, queryset: QuerySet[QueuedRecipient]) -> None:
        _report(request, services.release(_ids(queryset)), "released")

    def delete_model(self, request: HttpRequest, obj: QueuedRecipient) -> None:
        services.delete([obj.pk])

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[QueuedRecipient]) -> None:
        services.delete(_ids(queryset))

    def describe_deletion(self, instance: QueuedRecipient) -> str:
        return f"The message to {instance.recipient}, which will never be sent"


def _ids(queryset: QuerySet[QueuedRecipient]) -> list[int]:
    return list(queryset.values_list("pk", flat=True))


def _report(request: HttpRequest, count: int, what: str) -> None:
    recipients = "1 recipient was" if count == 1 else f"{count} recipients were"
    messages.success(request, f"{recipients} {what}.")
