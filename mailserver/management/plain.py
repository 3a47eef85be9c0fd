# SPDX-License-Identifier: MIT
"""How every command speaks: what went wrong is a plain sentence on standard error, and exit status 0 means success."""

from __future__ import annotations

import getpass
import os
import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError, InterfaceError, ProgrammingError

from mailserver.errors import InvalidInput, MailError


class PlainCommand(BaseCommand):
    """A command without Django's own switches in its help, and without tracebacks for what people do wrong."""

    requires_system_checks: list[str] = []
    suppressed_base_arguments = {
        "--version",
        "--verbosity",
        "--settings",
        "--pythonpath",
        "--traceback",
        "--no-color",
        "--force-color",
        "--skip-checks",
    }

    def execute(self, *args: Any, **options: Any) -> str | None:
        """Run; an expected failure ends the program with its sentences and status 1."""
        try:
            return super().execute(*args, **options)
        except (InvalidInput, MailError, CommandError, DatabaseError, InterfaceError) as error:
            self.fail(*_sentences(error))
        except KeyboardInterrupt:
            self.fail("Interrupted.", status=130)
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return None

    def fail(self, *sentences: str, status: int = 1) -> None:
        """Say why on standard error and end (SystemExit)."""
        for sentence in sentences:
            self.stderr.write(sentence)
        raise SystemExit(status)

    def ask_password(self) -> str:
        """Typed twice at a terminal; one line of standard input otherwise."""
        if not is_terminal():
            return sys.stdin.readline().rstrip("\r\n")
        password = getpass.getpass("Password: ")
        if getpass.getpass("The same again: ") != password:
            raise CommandError("The two passwords are not the same.")
        return password


def is_terminal() -> bool:
    """Whether somebody types."""
    return sys.stdin.isatty()


def _sentences(error: Exception) -> list[str]:
    match error:
        case InvalidInput():
            return [f"{place}: {text}" if place else text for place, texts in error.messages.items() for text in texts]
        case MailError():
            return [error.note or str(error)]
        case ProgrammingError():
            return [_not_set_up(error)]
        case DatabaseError() | InterfaceError():
            return [_not_set_up(error) if "no such table" in str(error) else f"The database cannot be used: {error}"]
        case _:
            return [str(error)]


def _not_set_up(error: Exception) -> str:
    return f"The database is not set up yet. Start the server once, with: manage.py run ({str(error).splitlines()[0]})"
