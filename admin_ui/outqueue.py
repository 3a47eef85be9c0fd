# SPDX-License-Identifier: MIT
"""The outgoing queue in the console: what waits to leave, what has left or failed lately, and what can be done.

Spec senders 8.1. One line is one recipient; the page behind it is in `queued_message.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any, ClassVar

from django.contrib import admin, messages
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.template.defaultfilters import filesizeformat
from django.urls import reverse
from django.utils.formats import date_format
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.timezone import localtime

from admin_ui.saving import ServiceAdmin
from admin_ui.site import console
from mailserver import clock
from mailserver.errors import InvalidInput
from mailserver.outqueue import services
from mailserver.outqueue.models import QueuedRecipient
from mailserver.outqueue.recalling import count_being_sent
from mailserver.outqueue.searching import parse_search

ANSWER_CHARACTERS = 90
LEFT = "left as they are"
UNTOLD = "either just sent, or somebody is still to be told what became of them"
STATES: dict[str, tuple[str, Q]] = {
    "waiting": ("Waiting", Q(status="waiting", claim="")),
    "held": ("Held", Q(status="held")),
    "sending": ("Being sent", Q(status__in=services.IN_QUEUE) & ~Q(claim="")),
    "sent": ("Sent", Q(status="sent")),
    "failed": ("Failed", Q(status="failed")),
    "all": ("Everything", Q()),
}


class StateFilter(admin.SimpleListFilter):
    """What is in the queue, unless something else is asked for."""

    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(key, label) for key, (label, _) in STATES.items()]

    def choices(self, changelist: Any) -> Iterator[Any]:
        """Django calls the first one "All", which it is not here."""
        first, *rest = super().choices(changelist)
        yield {**first, "display": "In the queue"}
        yield from rest

    def queryset(self, request: HttpRequest, queryset: QuerySet[QueuedRecipient]) -> QuerySet[QueuedRecipient]:
        chosen = STATES.get(self.value() or "")
        return queryset.filter(chosen[1] if chosen else Q(status__in=services.IN_QUEUE))


def state_words(row: QueuedRecipient) -> tuple[str, str]:
    """A tone, and the state in a few words."""
    status = QueuedRecipient.Status
    if row.status in (status.SENT, status.FAILED):
        return ("ok" if row.status == status.SENT else "bad"), row.get_status_display()
    if row.claim:
        return "wait", "Being sent"
    if row.status == status.HELD:
        return "off", "Held"
    now = clock.now()
    if row.hold_until is not None and row.hold_until > now:
        return "off", f"Held until {short_time(row.hold_until)}"
    if row.next_attempt is not None and row.next_attempt > now:
        return "wait", f"Next try {short_time(row.next_attempt)}"
    return "wait", "Waiting"


def short_time(moment: datetime) -> str:
    """The time of day; with its date when that is not today."""
    local = localtime(moment)
    same_day = local.date() == localtime(clock.now()).date()
    return date_format(local, "H:i" if same_day else "j M, H:i")


@admin.register(QueuedRecipient, site=console)
class QueueAdmin(ServiceAdmin[QueuedRecipient]):
    """One line for each recipient. Nothing is added or edited here: messages come in by SMTP."""

    list_display = (
        "recipient_address",
        "sender_address",
        "shown_subject",
        "state",
        "answer",
        "priority",
        "since",
        "stored_size",
        "came_from",
    )
    list_display_links = None
    list_filter = (StateFilter,)
    list_filter_submit = False
    search_fields = ("recipient",)  # Django wants to see some; what is searched, `get_search_results` says.
    search_help_text = "Words, or to: from: subject: user: address: answer: size>100k priority<=20 tries=1..5"
    ordering = ("id",)
    list_per_page = 50
    show_full_result_count = False
    actions = (
        "hold_selected",
        "release_selected",
        "retry_selected",
        "go_first",
        "go_as_usual",
        "go_last",
        "delete_and_notify_selected",
    )
    empty_title: ClassVar[str] = "Nothing is waiting"
    empty_text: ClassVar[str] = "Messages for other servers show up here until they have left."

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: QueuedRecipient | None = None) -> bool:
        return False

    def get_queryset(self, request: HttpRequest) -> QuerySet[QueuedRecipient]:
        """LAN forwarding has a queue and a page of its own."""
        return super().get_queryset(request).filter(route=QueuedRecipient.Route.SENDERS)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[QueuedRecipient], search_term: str
    ) -> tuple[QuerySet[QueuedRecipient], bool]:
        """By the little language of `outqueue.searching`."""
        for term in parse_search(search_term):
            condition = Q()
            for column in term.columns:
                condition |= Q(**{f"{column}__{term.lookup}": term.value})
            queryset = queryset.filter(condition)
        return queryset, False

    @admin.display(description="To", ordering="recipient")
    def recipient_address(self, row: QueuedRecipient) -> SafeString:
        url = reverse("admin:queued-message", args=[row.pk])
        return format_html('<a class="pb-link pb-address" href="{}">{}</a>', url, row.recipient)

    @admin.display(description="From", ordering="reverse_path")
    def sender_address(self, row: QueuedRecipient) -> str:
        return row.reverse_path or "(automatic message)"

    @admin.display(description="Subject", ordering="subject")
    def shown_subject(self, row: QueuedRecipient) -> str:
        return row.subject[:80] or "(none)"

    @admin.display(description="State", ordering="status")
    def state(self, row: QueuedRecipient) -> SafeString:
        tone, words = state_words(row)
        return format_html('<span class="pb-tag pb-tag-{}">{}</span>', tone, words)

    @admin.display(description="Last answer")
    def answer(self, row: QueuedRecipient) -> SafeString:
        """The first words; all of them when the mouse rests there."""
        text = row.last_reply
        short = text[:ANSWER_CHARACTERS] + ("…" if len(text) > ANSWER_CHARACTERS else "")
        return format_html('<span title="{}">{}</span>', text, short)

    @admin.display(description="Priority", ordering="priority")
    def priority(self, row: QueuedRecipient) -> str:
        return f"{row.priority}, urgent" if row.urgent else str(row.priority)

    @admin.display(description="Arrived", ordering="queued")
    def since(self, row: QueuedRecipient) -> datetime:
        return row.queued

    @admin.display(description="Size", ordering="size")
    def stored_size(self, row: QueuedRecipient) -> str:
        return filesizeformat(row.size)

    @admin.display(description="Sent by", ordering="client")
    def came_from(self, row: QueuedRecipient) -> SafeString:
        """Who logged in, and from where; this server's own messages came from nowhere."""
        who, where = row.login or "(no login)", row.client or "this server"
        return format_html('{}<br><span class="pb-quiet">{}</span>', who, where)

    @admin.action(description="Hold: do not send for now", permissions=["delete"])
    def hold_selected(self, request: HttpRequest, queryset: QuerySet[QueuedRecipient]) -> None:
        _do(request, queryset, services.hold, "held", "held only if that fails")

    @admin.action(description="Release: send as usual again", permissions=["delete"])
    def release_selected(self, request: HttpRequest, queryset: QuerySet[QueuedRecipient]) -> None:
        _do(request, queryset, services.release, "released")

    @admin.action(description="Retry now: do not wait for the next try", permissions=["delete"])
    def retry_selected(self, request: HttpRequest, queryset: QuerySet[QueuedRecipient]) -> None:
        _do(request, queryset, services.retry, "marked to be tried as soon as the Sender runs")

    @admin.action(description="Send first (priority 1)", permissions=["delete"])
    def go_first(self, request: HttpRequest, queryset: QuerySet[QueuedRecipient]) -> None:
        _prefer(request, queryset, 1)

    @admin.action(description="Send in the usual order (priority 50)", permissions=["delete"])
    def go_as_usual(self, request: HttpRequest, queryset: QuerySet[QueuedRecipient]) -> None:
        _prefer(request, queryset, 50)

    @admin.action(description="Send last (priority 100)", permissions=["delete"])
    def go_last(self, request: HttpRequest, queryset: QuerySet[QueuedRecipient]) -> None:
        _prefer(request, queryset, 100)

    @admin.action(description="Delete and tell the senders", permissions=["delete"])
    def delete_and_notify_selected(self, request: HttpRequest, queryset: QuerySet[QueuedRecipient]) -> None:
        _do(request, queryset, services.delete_and_notify, "deleted, and the senders will be told", LEFT)

    def delete_model(self, request: HttpRequest, obj: QueuedRecipient) -> None:
        if not services.delete([obj.pk]):
            raise InvalidInput({"": ["It is being sent at this moment, or its sender is still to be told of it."]})

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[QueuedRecipient]) -> None:
        ids = _ids(queryset)
        left = len(ids) - services.delete(ids)
        if busy := count_being_sent(ids):
            messages.warning(request, f"{_recipients(busy)} being sent at this moment, and {LEFT}.")
        if left > busy:
            messages.warning(request, f"{_recipients(left - busy)} {LEFT}: {UNTOLD}.")

    def describe_deletion(self, instance: QueuedRecipient) -> str:
        if instance.status in services.IN_QUEUE:
            return f"The message to {instance.recipient}, which will never be sent"
        return f"The line about the message to {instance.recipient}, which was {instance.status} already"


def _ids(queryset: QuerySet[QueuedRecipient]) -> list[int]:
    return list(queryset.values_list("pk", flat=True))


def _prefer(request: HttpRequest, queryset: QuerySet[QueuedRecipient], priority: int) -> None:
    _do(request, queryset, lambda ids: services.set_priority(ids, priority), f"given priority {priority}")


def _do(
    request: HttpRequest,
    queryset: QuerySet[QueuedRecipient],
    change: Callable[[list[int]], int],
    what: str,
    busy_what: str = "",
) -> None:
    """`busy_what`: what is said of those that are being sent."""
    ids = _ids(queryset)
    messages.success(request, f"{_recipients(change(ids))} {what}.")
    if busy_what and (busy := count_being_sent(ids)):
        messages.warning(request, f"{_recipients(busy)} being sent at this moment, and {busy_what}.")


def _recipients(count: int) -> str:
    return "1 recipient was" if count == 1 else f"{count} recipients were"
