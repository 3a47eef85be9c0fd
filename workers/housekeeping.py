# SPDX-License-Identifier: MIT
"""Cleaning up: stored contents that nobody has, old journeys, rows of dead processes, leftovers of the broker.

Each piece may be interrupted anywhere and run twice; the services do the work in small transactions.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import timedelta

from django.conf import settings
from django.core.management import call_command

from mailserver import clock
from mailserver.activity.services import forget_dead
from mailserver.config.connection_settings import RUN_KEEP_DAYS
from mailserver.config.stored import get_setting
from mailserver.connectors.remembering import forget_seen
from mailserver.connectors.remote_tests import forget_tests
from mailserver.connectors.runs import forget_runs
from mailserver.journey.services import forget_old
from mailserver.outqueue.housekeeping import delete_expired, forget_finished
from mailserver.outqueue.unwanted import judge_unwanted
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


def expire_queued(payload: Mapping[str, object]) -> None:
    """What was to leave the outgoing queue by now, sent or not; and what waits there though nothing sends it."""
    now = clock.now()
    if deleted := delete_expired(now):
        log.info("deleted from the outgoing queue, for its time was over: %d recipients", deleted)
    if given_up := judge_unwanted(now):
        log.warning("given up, for nothing sends them: %d recipients", given_up)


def clean_records(payload: Mapping[str, object]) -> None:
    """What is past its time: the queue's entries that are done with, journeys, runs of Connections, dead processes,
    broker files that nobody fetched, console sessions that ended."""
    now = clock.now()
    call_command("clearsessions")
    sent = forget_finished(now)
    journeys = forget_old(now)
    processes = forget_dead(now)
    runs = forget_runs(now - timedelta(days=get_setting(RUN_KEEP_DAYS)))
    forget_tests(now)
    forget_seen(now)
    files = clear_leftovers(settings.DATA / "broker", now.timestamp() - LEFTOVER_SECONDS)
    if sent or journeys or processes or files or runs:
        text = "removed: %d recipients done with, %d journeys, %d process rows, %d broker files, %d runs"
        log.info(text, sent, journeys, processes, files, runs)
