# SPDX-License-Identifier: MIT
"""Celery, whose broker carries wake-ups only: what is to be done stands in the database (design section 2).

Run by `celery -A mailserver.project worker -B --pool threads`. The one thing that beat sends is the tick, which looks
into the database for whatever is due or was missed.
"""

from __future__ import annotations

import os
import warnings
from typing import Any

from celery import Celery, signals
from kombu import Queue

from mailserver import logs
from mailserver.config.catalog import LOG_MAX_KILOBYTES
from mailserver.project.broker import SCHEME, transport_options
from mailserver.project.environment import read_environment
from mailserver.project.keys import read_or_make_key

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mailserver.project.settings")
warnings.filterwarnings("ignore", message="You're running the worker with superuser privileges")

TICK_SECONDS = 10.0
TICK = "workers.tick"

QUEUE_LIFE_SECONDS = 24 * 3600
"""RabbitMQ forgets the queue of an installation that has had no worker for so long; wake-ups are no loss."""

_environment = read_environment()
_queue = f"pillarbox-{read_or_make_key(_environment.key_file).derive('queue').hex()[:16]}"
"""The same for every machine of an installation, another for each installation that shares the broker."""

app = Celery("pillarbox")
app.conf.update(
    broker_url=_environment.broker_url or f"{SCHEME}://",
    broker_transport_options={} if _environment.broker_url else transport_options(_environment.data / "broker"),
    broker_connection_retry_on_startup=True,
    imports=("workers.work", "workers.performing", "workers.process"),
    task_queues=[Queue(_queue, expires=QUEUE_LIFE_SECONDS)],
    task_default_queue=_queue,
    task_default_exchange=_queue,
    task_default_routing_key=_queue,
    task_ignore_result=True,
    task_store_errors_even_if_ignored=False,
    task_serializer="json",
    accept_content=["json"],
    worker_enable_remote_control=False,
    worker_prefetch_multiplier=1,
    worker_hijack_root_logger=False,
    worker_redirect_stdouts=False,
    beat_scheduler="celery.beat:Scheduler",
    beat_max_loop_interval=5,
    beat_schedule={"tick": {"task": TICK, "schedule": TICK_SECONDS, "options": {"expires": TICK_SECONDS}}},
)


@signals.setup_logging.connect
def _start_logs(**_kwargs: Any) -> None:
    """The worker and beat write our log files, not lines of their own."""
    logs.start("worker", _environment.data / "logs", LOG_MAX_KILOBYTES.default)


@signals.beat_embedded_init.connect
def _start_beat_logs(**_kwargs: Any) -> None:
    """Beat is a fork of the worker; the thread that writes logs did not come along."""
    logs.start("beat", _environment.data / "logs", LOG_MAX_KILOBYTES.default)
