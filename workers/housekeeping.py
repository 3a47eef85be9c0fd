# SPDX-License-Identifier: MIT
"""Cleaning up: stored contents that nobody has, old journeys, rows of dead processes, leftovers of the broker.

Each piece may be interrupted anywhere and run twice; the services do the work in small transactions.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping

from django.conf import settings
from django.core.management import call_command

from mailserver import clock
from mailserver.activity.services import forget_dead
from mailserver.journey.services import forget_old
from mailserver.project.broker import LEFTOVER_SECONDS, clear_leftovers
from mailserver.store.expunged import forget_long_gone
from mailserver.store.housekeeping import collect_orphans

log = logging.getLogger("pillarbox.housekeeping")


def clean_store(payload: Mapping[str, object]) -> None:
    """Contents without an entry, body files without a row, and what went from mailboxes long ago."""
    collected = collect_orphans(clock.now())
    if collected:
        log.info("removed from the store: %s", collected)
    if forgotten := forget_long_gone():
        log.info("forgot %d messages that mailboxes lost long ago", forgotten)


def clean_records(payload: Mapping[str, object]) -> None:
    """Journeys past their time, processes long dead, broker files that nobody fetched, console sessions that ended."""
    now = clock.now()
    call_command("clearsessions")
    journeys = forget_old(now)
    processes = forget_dead(now)
    files = clear_leftovers(settings.DATA / "broker", now.timestamp() - LEFTOVER_SECONDS)
    if journeys or processes or files:
        log.info("removed: %d journeys, %d process rows, %d broker files", journeys, processes, files)
