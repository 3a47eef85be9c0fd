# SPDX-License-Identifier: MIT
"""`manage.py prepare`: make the database, or bring it up to this version, and see to the first run's things."""

from __future__ import annotations

import contextlib
import json
from argparse import ArgumentParser
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError, InterfaceError, connection
from django.db.migrations.executor import MigrationExecutor

from mailserver.config.building import SnapshotProblem, build_snapshot
from mailserver.config.catalog import LISTEN_ADDRESS, LOG_MAX_KILOBYTES
from mailserver.config.first_run import FirstRun, first_run
from mailserver.config.snapshot import Snapshot
from mailserver.errors import InvalidInput

MIGRATION_LOCK = 0x50696C6C6172
"""An advisory lock of PostgreSQL: of several machines that start together one migrates and the others wait."""


class Command(BaseCommand):
    """`manage.py run` calls it at each start; an installation without `run` calls it after each upgrade."""

    help = "Make the database or bring it up to this version; on the first run also keys, services and postmaster."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", help="print what the supervisor needs to know, as JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        settings.DATA.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            with _alone():
                _migrate()
                credentials = first_run(settings.ENVIRONMENT)
            snapshot = build_snapshot()
        except (DatabaseError, InterfaceError) as error:
            raise CommandError(f"The database cannot be used: {error}") from None
        except (InvalidInput, SnapshotProblem) as error:
            raise CommandError(str(error)) from None
        if options["json"]:
            self.stdout.write(json.dumps(_describe(snapshot, credentials)))
            return
        self.stdout.write("The database is ready.")
        if credentials is not None:
            self.stdout.write(f"Log in as {credentials.login} with the password {credentials.password}")


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """One preparation at a time. SQLite's folder is locked by the supervisor, and migrations there lock the file."""
    if connection.vendor != "postgresql":
        yield
        return
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(%s)", [MIGRATION_LOCK])
        try:
            yield
        finally:
            cursor.execute("SELECT pg_advisory_unlock(%s)", [MIGRATION_LOCK])


def _migrate() -> None:
    """Only when there is something to do: the question costs a fifth of the whole command."""
    executor = MigrationExecutor(connection)
    if executor.migration_plan(executor.loader.graph.leaf_nodes()):
        call_command("migrate", verbosity=0, interactive=False)


def _describe(snapshot: Snapshot, credentials: FirstRun | None) -> dict[str, Any]:
    return {
        "services": [
            {
                "name": service.name,
                "protocol": service.protocol.value,
                "encryption": service.encryption,
                "bindings": [[binding.address, binding.port] for binding in service.bindings],
            }
            for service in snapshot.services
            if service.enabled
        ],
        "listen": snapshot.get(LISTEN_ADDRESS),
        "log_kilobytes": snapshot.get(LOG_MAX_KILOBYTES),
        "credentials": asdict(credentials) if credentials is not None else None,
    }
