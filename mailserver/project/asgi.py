# SPDX-License-Identifier: MIT
"""The web console as uvicorn runs it."""

import os

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mailserver.project.settings")
application = get_asgi_application()

from django.conf import settings  # noqa: E402 - after the set-up

from mailserver import logs  # noqa: E402
from mailserver.config.catalog import LOG_MAX_KILOBYTES  # noqa: E402

logs.start("web", settings.DATA / "logs", LOG_MAX_KILOBYTES.default)
