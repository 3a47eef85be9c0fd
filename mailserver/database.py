# SPDX-License-Identifier: MIT
"""Running a service function on a thread that is not Django's: connections given back, failures translated."""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar

from django.db import DatabaseError, InterfaceError, OperationalError, close_old_connections, connection

from mailserver.errors import Kind, MailError

P = ParamSpec("P")
R = TypeVar("R")

F = TypeVar("F", bound=Callable[..., object])

FULL_MARKS = ("disk is full", "No space left", "could not extend file", "disk I/O error")


def translate(error: DatabaseError | InterfaceError | OSError) -> MailError:
    """What a failure of the database or of the disk means to the domain."""
    text = str(error)
    if any(mark in text for mark in FULL_MARKS) or getattr(error, "errno", None) in (28, 122):
        return MailError(Kind.STORAGE_FULL, text)
    if isinstance(error, OperationalError | InterfaceError | OSError):
        return MailError(Kind.UNAVAILABLE, text)
    return MailError(Kind.INTERNAL, text)


def takes_long(function: F) -> F:
    """Marks a service function that works for tens of milliseconds.

    It gets threads of its own (`protocols.net.offload`): a crowd of callers keeps nobody else from the database.
    """
    function.__dict__["takes_long"] = True
    return function


def run_in_database(function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Call it; a database out of reach raises MailError(UNAVAILABLE). The connection is given back afterwards."""
    close_old_connections()
    try:
        return function(*args, **kwargs)
    except (OperationalError, InterfaceError) as error:
        connection.close()
        raise translate(error) from error
    finally:
        if connection.vendor != "sqlite":
            connection.close()
