# SPDX-License-Identifier: MIT
"""What happens to every request of the console: local times, and static files without a web server in front."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from typing import Any
from zoneinfo import ZoneInfo

from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from whitenoise.middleware import WhiteNoiseMiddleware

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


class StaticFiles(WhiteNoiseMiddleware):  # type: ignore[misc]
    """WhiteNoise, answering with whole files.

    It streams with a synchronous iterator, which an ASGI server can only read whole, and warns of each time. The
    largest file is a font of a few megabytes that browsers keep.
    """

    @staticmethod
    def serve(static_file: Any, request: HttpRequest) -> HttpResponse:
        """The file, a part of it, or 304 for a browser that has it."""
        response = static_file.get_response(request.method, request.META)
        content = b""
        if response.file is not None:
            with closing(response.file) as file:
                content = file.read()
        answer = HttpResponse(content, status=int(response.status))
        del answer["Content-Type"]
        for name, value in response.headers:
            answer[name] = value
        return answer
