# SPDX-License-Identifier: MIT
"""The history of Connections, a line for each run."""

from __future__ import annotations

from typing import ClassVar

from django.contrib import admin
from django.db.models import OuterRef, QuerySet, Subquery, Sum
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.safestring import SafeString

from admin_ui.run_pages import CAUSES, outcome_tag
from admin_ui.saving import ServiceAdmin
from admin_ui.site import console
from mailserver import clock
from mailserver.connectors.models import ConnectionRun, RunTask


@admin.register(ConnectionRun, site=console)
class ConnectionRunAdmin(ServiceAdmin[ConnectionRun]):
    """Nothing here is edited: runs write themselves."""

    list_display = ("began", "connection", "cause_shown", "messages", "took", "result")
    list_filter = ("connection", "outcome", "cause")
    ordering = ("-id",)
    list_per_page = 50
    actions = None
    empty_title: ClassVar[str] = "Nothing has run yet"
    empty_text: ClassVar[str] = "Each time a Connection runs it leaves a line here, with what was sent and collected."

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: ConnectionRun | None = None) -> bool:
        return False

    def get_queryset(self, request: HttpRequest) -> QuerySet[ConnectionRun]:
        tasks = RunTask.objects.filter(run=OuterRef("pk")).order_by().values("run")
        done = tasks.annotate(total=Sum("done")).values("total")
        return super().get_queryset(request).select_related("connection").annotate(done=Subquery(done))

    def change_view(self, request: HttpRequest, object_id: str, *args: object, **kwargs: object) -> HttpResponse:
        """A page of its own instead of a form."""
        return HttpResponseRedirect(reverse("admin:run", args=[object_id]))

    @admin.display(description="Began", ordering="started")
    def began(self, run: ConnectionRun) -> object:
        return run.started

    @admin.display(description="Started by", ordering="cause")
    def cause_shown(self, run: ConnectionRun) -> str:
        return CAUSES.get(run.cause, run.cause)

    @admin.display(description="Messages")
    def messages(self, run: ConnectionRun) -> str:
        return f"{getattr(run, 'done', 0) or 0:,}"

    @admin.display(description="Took")
    def took(self, run: ConnectionRun) -> str:
        seconds = ((run.finished or clock.now()) - run.started).total_seconds()
        return f"{seconds:.1f} s" if seconds < 60 else f"{int(seconds // 60)} min {int(seconds % 60)} s"

    @admin.display(description="Result", ordering="outcome")
    def result(self, run: ConnectionRun) -> SafeString:
        return outcome_tag(run)
