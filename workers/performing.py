# SPDX-License-Identifier: MIT
"""Celery's tasks for Connections, and the thread that sends at once: here the clients are joined to what runs them."""

from __future__ import annotations

from celery import shared_task

from mailserver.connectors import runs, triggers
from mailserver.connectors.remote_tests import has_tests
from mailserver.outqueue.taking import LAN_LEASE, has_due_lan
from workers.collecting import check_collector, run_collector
from workers.connecting import Performers, run_marked, waiting_for
from workers.delivery import check_sender, run_sender
from workers.dns_check import check_dns
from workers.immediate import ImmediateSending, Job, sender_jobs
from workers.lan_forwarding import NAME, forward
from workers.testing import Checkers, do_tests
from workers.tools import worker_tools
from workers.watching import watch_jobs

PERFORMERS = Performers(run_sender, run_collector)
CHECKERS = Checkers(check_sender, check_collector, check_dns)


@shared_task(name="workers.connect")
def connect() -> int:
    """Whatever is marked, if nobody else is at it."""
    return run_marked(worker_tools(), PERFORMERS)


@shared_task(name="workers.try_remote")
def try_remote() -> int:
    """Whatever somebody wants tried."""
    return do_tests(worker_tools(), CHECKERS)


def look_at_schedule() -> None:
    """At each tick: mark what is due by the clock, and have it run."""
    triggers.tick(waiting_for)
    begin_what_waits()


def begin_what_waits() -> None:
    """Runs and tests take their own time, and so their own place in the pool."""
    if runs.has_marked() or runs.has_abandoned():
        connect.delay()
    if has_tests():
        try_remote.delay()


def make_immediate_sending() -> ImmediateSending:
    """With the real clients."""
    return ImmediateSending(worker_tools, [sender_jobs(run_sender), lan_jobs, watch_jobs(run_collector)])


def lan_jobs() -> list[Job]:
    """LAN forwarding, which no schedule and no pause concerns (spec senders 10)."""
    return [Job("lan", NAME, LAN_LEASE, has_due_lan, forward)]
