# SPDX-License-Identifier: MIT
"""An exception that a session loop, a task wrapper or an admin action swallowed fails the test that caused it.

Those three catch everything, so that one bad session never ends a daemon (house style section 7). What they catch
they log with its traceback; here such a log record becomes a failure.
"""

from __future__ import annotations

import logging

EXPECTED = ("django.request", "django.security")
"""Django logs a tested 404 or 403 as an error; those are answers, not bugs."""


class BugCatcher(logging.Handler):
    """Collects every record at ERROR or above that carries an exception, or that calls itself our bug."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.bugs: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        raised = bool(record.exc_info and record.exc_info[0]) and record.levelno >= logging.ERROR
        never_retrieved = record.name == "asyncio" and record.levelno >= logging.ERROR
        said_so = "our bug" in record.getMessage()
        if (raised and not record.name.startswith(EXPECTED)) or never_retrieved or said_so:
            self.bugs.append(record)

    def report(self) -> str:
        """What was caught, whole."""
        layout = logging.Formatter("%(name)s: %(message)s")
        return "\n".join(layout.format(record) for record in self.bugs)
