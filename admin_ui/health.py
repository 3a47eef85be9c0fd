# SPDX-License-Identifier: MIT
"""What monitoring programs ask: `/healthz`, whether mail is being served, and `/metrics`, numbers for Prometheus.

Design section 3: metrics are for this machine, or for whoever has the token of PILLARBOX_METRICS_TOKEN. Health says
nothing that a stranger may not know.
"""

from __future__ import annotations

import hmac
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict
from ipaddress import ip_address
from zoneinfo import ZoneInfo

from django.conf import settings
from django.db import DatabaseError, InterfaceError
from django.http import HttpRequest, HttpResponse, HttpResponseForbidden, JsonResponse
from django.views.decorators.http import require_safe
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from mailserver import clock
from mailserver.activity.services import ProcessKind, RunningProcess, list_processes
from mailserver.config.catalog import TIME_ZONE
from mailserver.config.stored import get_setting
from mailserver.journey.services import counts_since
from mailserver.outqueue.services import counts as queue_counts
from mailserver.work.services import count_late

COUNTERS = {
    "sessions": "Sessions that were accepted.",
    "refused": "Connections that were refused by access rules or limits.",
    "bytes_in": "Bytes received in sessions that have ended.",
    "bytes_out": "Bytes sent in sessions that have ended.",
}


@require_safe
def healthz(request: HttpRequest) -> JsonResponse:
    """200 while the database answers and each service listens somewhere; else 503 with what is wrong."""
    problems = _find_problems()
    body = {"status": "ok" if not problems else "failing", "problems": problems}
    response = JsonResponse(body, status=200 if not problems else 503)
    response._has_been_logged = True  # type: ignore[attr-defined]  # not an error of the console, and asked each minute
    return response


@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    """The text format of Prometheus."""
    if not _may_read(request):
        return HttpResponseForbidden("Metrics are for this machine, or with the token.\n", content_type="text/plain")
    registry = CollectorRegistry()
    registry.register(_ProcessCollector(list_processes()))
    return HttpResponse(generate_latest(registry), content_type=CONTENT_TYPE_LATEST)


def _find_problems() -> list[str]:
    try:
        processes = [process for process in list_processes() if process.alive]
    except (DatabaseError, InterfaceError):
        return ["The database does not answer."]
    daemons = [process for process in processes if process.kind == ProcessKind.SERVE]
    if not daemons:
        return ["No mail service is running."]
    states = [state for daemon in daemons for state in daemon.listeners]
    failing = {state.binding for state in states if state.error} - {
        state.binding for state in states if not state.error
    }
    return [f"Nothing listens on {binding}." for binding in sorted(failing)]


def _may_read(request: HttpRequest) -> bool:
    token = settings.ENVIRONMENT.metrics_token
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    if token and scheme.lower() == "bearer" and hmac.compare_digest(given.strip().encode(), token.encode()):
        return True
    try:
        return ip_address(request.META.get("REMOTE_ADDR", "")).is_loopback
    except ValueError:
        return False


class _ProcessCollector(Collector):
    """Numbers from the process rows: each daemon counts from its own start, as Prometheus expects."""

    def __init__(self, processes: Iterable[RunningProcess]) -> None:
        self._processes = [process for process in processes if process.alive]

    def collect(self) -> Iterable[Metric]:
        yield self._up()
        yield self._live_sessions()
        for name, text in COUNTERS.items():
            yield self._counter(name, text)
        yield self._messages_today()
        bugs = CounterMetricFamily(
            "pillarbox_bugs", "Sessions that ended by a fault of the server.", labels=["process"]
        )
        for process in self._daemons():
            bugs.add_metric([str(process.id)], process.report.get("counters", {}).get("bugs", 0))
        yield bugs
        yield GaugeMetricFamily(
            "pillarbox_queue_recipients", "Recipients that wait to be sent.", value=queue_counts().waiting
        )
        yield GaugeMetricFamily("pillarbox_work_late", "Pieces of work that are overdue.", value=count_late())

    def _messages_today(self) -> Metric:
        """A gauge: it falls to 0 at midnight in the installation's time zone."""
        today = GaugeMetricFamily("pillarbox_messages_today", "What happened to messages today.", labels=["what"])
        midnight = clock.now().astimezone(ZoneInfo(get_setting(TIME_ZONE))).replace(hour=0, minute=0, second=0)
        for what, count in asdict(counts_since(midnight)).items():
            today.add_metric([what], count)
        return today

    def _daemons(self) -> list[RunningProcess]:
        return [process for process in self._processes if process.kind == ProcessKind.SERVE]

    def _up(self) -> Metric:
        up = GaugeMetricFamily("pillarbox_processes", "Processes that are alive.", labels=["kind"])
        for kind, count in Counter(process.kind for process in self._processes).items():
            up.add_metric([kind], count)
        return up

    def _live_sessions(self) -> Metric:
        live = GaugeMetricFamily("pillarbox_live_sessions", "Sessions that are open.", labels=["process"])
        for process in self._daemons():
            live.add_metric([str(process.id)], process.report.get("session_count", 0))
        return live

    def _counter(self, name: str, text: str) -> Metric:
        family = CounterMetricFamily(f"pillarbox_{name}", text, labels=["process", "protocol"])
        for process in self._daemons():
            for protocol, count in process.report.get("counters", {}).get(name, {}).items():
                family.add_metric([str(process.id), protocol], count)
        return family
