# SPDX-License-Identifier: MIT
"""Times on the console's pages are in the installation's time zone."""

from __future__ import annotations

from collections.abc import Callable
from zoneinfo import ZoneInfo

from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from mailserver.config.catalog import TIME_ZONE
from mailserver.config.stored import get_setting

CONSOLE_PREFIX = "/admin/"
"""Health checks and static files must not depend on the database."""


def show_local_time(get_response: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    """Put the chosen time zone into force while a page is made."""

    def middleware(request: HttpRequest) -> HttpResponse:
        if not request.path.startswith(CONSOLE_PREFIX):
            return get_response(request)
        with timezone.override(ZoneInfo(get_setting(TIME_ZONE))):
            return get_response(request)

    return middleware
