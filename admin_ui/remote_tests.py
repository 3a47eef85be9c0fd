# SPDX-License-Identifier: MIT
"""*Test* buttons: a worker tries the remote server, and the page shows what was said, secrets blanked.

Design section 3: the console asks by a row and shows the answer; it never speaks to the wire itself.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlencode

from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404, render
from django.urls import reverse

from admin_ui.pages import Page, tell_refusal
from mailserver.connectors.models import Collector, Connection
from mailserver.connectors.remote_tests import (
    EXISTING_NAME,
    TestState,
    find_test,
    order_collector_test,
    order_dns_test,
    order_sender_test,
)
from mailserver.errors import InvalidInput, MailError

TONES = {True: "ok", False: "bad"}


@dataclass(frozen=True, slots=True)
class ShownTest:
    """A test as the page shows it: `tone` is ok, bad or wait."""

    id: int
    tone: str
    text: str
    transcript: str
    ended: bool


def find_shown(request: HttpRequest) -> ShownTest | None:
    """The test that the address names."""
    number = request.GET.get("test", "")
    return look(int(number)) if number.isascii() and number.isdecimal() and len(number) < 19 else None


def look(number: int) -> ShownTest | None:
    """How far it is. One that no worker has taken may still be taken: the page goes on looking."""
    test = find_test(number)
    if test is None:
        return None
    ended = test.state is TestState.FINISHED
    tone = TONES[test.ok] if ended else "bad" if test.state is TestState.NOBODY else "wait"
    return ShownTest(number, tone, test.text, test.transcript, ended)


def test_fragment(request: HttpRequest, test: int) -> HttpResponse:
    """The part that refreshes itself."""
    found = look(test)
    if found is None:
        raise Http404("There is no such test any more.")
    return render(request, "console/test_live.html", {"test": found})


def sender_test(request: HttpRequest, connection: int) -> Page | HttpResponse:
    """Try the stored Sender of a Connection."""
    row = get_object_or_404(Connection, pk=connection)
    back = reverse("admin:connectors_connection_change", args=[connection])
    return _test_page(request, "sender", f"the Sender of {row.name}", back, lambda: order_sender_test(connection))


def collector_test(request: HttpRequest, collector: int) -> Page | HttpResponse:
    """Try a stored Collector."""
    row = get_object_or_404(Collector, pk=collector)
    back = reverse("admin:connectors_collector_change", args=[collector])
    return _test_page(request, "collector", row.name, back, lambda: order_collector_test(collector))


def dns_test(request: HttpRequest) -> Page | HttpResponse:
    """Ask the DNS servers that the settings name (spec senders 9)."""
    name = request.POST.get("name", "") or request.GET.get("name", "") or EXISTING_NAME
    back = reverse("admin:settings")
    return _test_page(request, "dns", "the DNS servers", back, lambda: order_dns_test(name), name=name)


def _test_page(
    request: HttpRequest, kind: str, what: str, back: str, order: Callable[[], int], **more: str
) -> Page | HttpResponse:
    """`more` stands in the page's address after the test was ordered, and is shown."""
    if request.method == "POST":
        try:
            test = order()
        except (InvalidInput, MailError) as error:
            tell_refusal(request, error)
            return HttpResponseRedirect(request.path)
        return HttpResponseRedirect(f"{request.path}?{urlencode({'test': test, **more})}")
    context = {"kind": kind, "test": find_shown(request), "back": back, **more}
    return Page("console/test.html", f"Test {what}", context)
