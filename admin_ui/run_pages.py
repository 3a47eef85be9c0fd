# SPDX-License-Identifier: MIT
"""One run of a Connection: what its Sender and Collectors do, while it goes on and afterwards."""

from __future__ import annotations

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.html import format_html
from django.utils.safestring import SafeString

from admin_ui.lastpoll import TONES, WORDS
from admin_ui.pages import Page
from mailserver.connectors.models import ConnectionRun, RunTask
from mailserver.connectors.values import Cause

CAUSES: dict[str, str] = {
    Cause.SCHEDULE: "The schedule",
    Cause.MANUAL: "Connect now",
    Cause.FILE: "The file CONNECT.NOW",
    Cause.URGENT: "An urgent message",
    Cause.IMMEDIATE: "A message to send at once",
    Cause.IDLE: "News at the provider",
}
REFRESH_SECONDS = 2


def outcome_tag(row: ConnectionRun | RunTask) -> SafeString:
    """In a word and a colour; a row without an end is running."""
    if row.finished is None:
        return format_html('<span class="pb-state pb-tone-done">{}</span>', "Running")
    return format_html(
        '<span class="pb-state pb-tone-{}">{}</span>', TONES.get(row.outcome, "off"), WORDS.get(row.outcome, "Ended")
    )


def run_page(request: HttpRequest, run: int) -> Page:
    """One run, which refreshes itself while it goes on."""
    row = _get(run)
    return Page(
        "console/run.html",
        f"{row.connection}, {CAUSES.get(row.cause, row.cause).lower()}",
        {**_context(row), "refresh_seconds": REFRESH_SECONDS},
    )


def run_fragment(request: HttpRequest, run: int) -> HttpResponse:
    """The part that refreshes itself."""
    return render(request, "console/run_live.html", _context(_get(run)))


def _get(number: int) -> ConnectionRun:
    row = ConnectionRun.objects.select_related("connection").filter(pk=number).first()
    if row is None:
        raise Http404("There is no such run; old ones are cleaned away.")
    return row


def _context(row: ConnectionRun) -> dict[str, object]:
    tasks = [{"row": task, "tag": outcome_tag(task), "percent": percent_done(task)} for task in row.tasks.all()]
    return {"run": row, "tag": outcome_tag(row), "cause": CAUSES.get(row.cause, row.cause), "tasks": tasks}


def percent_done(task: RunTask) -> int:
    """Of the bytes where they are known, else of the messages."""
    if task.finished is not None and task.outcome == "ok":
        return 100
    done, expected = (task.done_bytes, task.expected_bytes) if task.expected_bytes else (task.done, task.expected)
    return min(100, 100 * done // expected) if expected else 0
