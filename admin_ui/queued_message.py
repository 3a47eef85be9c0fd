# SPDX-License-Identifier: MIT
"""One recipient of the outgoing queue: everything about it, each try with the remote's exact words, and its message."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.views.decorators.http import require_POST

from admin_ui.pages import Page, tell_refusal
from mailserver.errors import InvalidInput, MailError
from mailserver.mime.headers import header_section
from mailserver.outqueue import services
from mailserver.outqueue.models import QueuedRecipient
from mailserver.outqueue.recalling import count_being_sent
from mailserver.store.interface import StoredContent
from mailserver.store.opening import open_store
from mailserver.values import ContentId

HEADER_BYTES = 256 * 1024
CHANGES: dict[str, tuple[Callable[[list[int]], int], str]] = {
    "hold": (services.hold, "It is held."),
    "release": (services.release, "It is released."),
    "retry": (services.retry, "It will be tried as soon as the Sender runs."),
    "delete": (services.delete, "It is deleted."),
    "delete-notify": (services.delete_and_notify, "It is deleted, and the sender will be told."),
}
"""What the buttons do, and what is said afterwards."""
BEING_SENT = "It is being sent at this moment."
BEING_SENT_HELD = "It is being sent at this moment, and is held only if that fails."


def queued_message_page(request: HttpRequest, number: int) -> Page:
    """The page, with the message's header."""
    row = _find(number)
    content = _read(row)
    others = QueuedRecipient.objects.filter(ref=row.ref).exclude(pk=row.pk).order_by("pk")
    header = b"".join(_first(content)) if content is not None else b""
    context = {
        "row": row,
        "in_queue": row.status in services.IN_QUEUE,
        "others": list(others[:100]),
        "attempts": services.list_attempts(row.pk),
        "header": header_section(header).decode("utf-8", "replace") or "(This message has no header.)",
        "has_message": content is not None,
    }
    return Page("console/queued_message.html", row.subject or "Message in the outgoing queue", context)


def queued_source(request: HttpRequest, number: int) -> HttpResponse:
    """The whole message, as it is sent; plain text, so that no browser runs what is in it. Held in memory once."""
    row = _find(number)
    content = _read(row)
    if content is None:
        raise Http404("The message itself has been cleaned away.")
    response = HttpResponse(b"".join(content.chunks(relay=True)), content_type="text/plain; charset=utf-8")
    response["X-Content-Type-Options"] = "nosniff"
    response["Content-Security-Policy"] = "sandbox; default-src 'none'"
    if "download" in request.GET:
        response["Content-Disposition"] = f'attachment; filename="{row.ref}.eml"'
    return response


@require_POST
def change_queued(request: HttpRequest, number: int) -> HttpResponse:
    """A button of the page."""
    row = _find(number)
    try:
        _change(request, row)
    except (InvalidInput, MailError) as error:
        tell_refusal(request, error)
    if QueuedRecipient.objects.filter(pk=number).exists():
        return HttpResponseRedirect(reverse("admin:queued-message", args=[number]))
    return HttpResponseRedirect(reverse("admin:outqueue_queuedrecipient_changelist"))


def _change(request: HttpRequest, row: QueuedRecipient) -> None:
    wanted = request.POST.get("change", "")
    if wanted == "priority":
        text = request.POST.get("priority", "")
        services.set_priority([row.pk], int(text) if text.isascii() and text.isdecimal() else 0)
        messages.success(request, f"It has priority {text} now.")
        return
    if wanted not in CHANGES:
        return
    change, said = CHANGES[wanted]
    if change([row.pk]):
        messages.success(request, said)
    elif count_being_sent([row.pk]):
        messages.warning(request, BEING_SENT_HELD if wanted == "hold" else BEING_SENT)
    else:
        messages.warning(
            request, "Nothing was changed: its state is another by now, or its sender is still to be told."
        )


def _find(number: int) -> QueuedRecipient:
    row = QueuedRecipient.objects.filter(pk=number).select_related("user", "sender__connection").first()
    if row is None:
        raise Http404("It is not in the queue any more.")
    return row


def _read(row: QueuedRecipient) -> StoredContent | None:
    return next(iter(open_store().read_contents([ContentId(row.content_id)])), None)


def _first(content: StoredContent) -> Iterator[bytes]:
    """Enough for the header."""
    size = 0
    for piece in content.chunks(relay=True):
        yield piece
        size += len(piece)
        if size >= HEADER_BYTES:
            return
