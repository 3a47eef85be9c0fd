# SPDX-License-Identifier: MIT
"""The status page: what runs, where it listens, who is connected, what happened today, and what needs attention.

Spec services 7.1. The lower part refreshes itself; both parts are made from one `Picture`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.views.decorators.http import require_POST

from admin_ui import connecting
from admin_ui.certificate import EXPIRES_SOON_DAYS
from admin_ui.pages import Page
from mailserver import clock
from mailserver.activity.models import Process
from mailserver.activity.services import END_SESSION, RunningProcess, SessionBrief, ask, list_processes
from mailserver.config.models import Service
from mailserver.config.services import current_certificate
from mailserver.journey.services import JourneyCounts, counts_since
from mailserver.outqueue.services import QueueCounts
from mailserver.outqueue.services import counts as queue_counts
from mailserver.values import Protocol

REFRESH_SECONDS = 4
STARTING = timedelta(seconds=30)
"""A worker reports some seconds after the services listen: until then its absence is no news."""

PROTOCOL_NAMES: dict[str, str] = {Protocol.SMTP.value: "SMTP", Protocol.POP3.value: "POP3"}


@dataclass(frozen=True, slots=True)
class ShownService:
    """A service and whether it listens: `tone` is ok, off or bad."""

    id: int
    name: str
    bindings: tuple[str, ...]
    tone: str
    state: str
    sessions: int


@dataclass(frozen=True, slots=True)
class ShownSession:
    """A live session; `handle` is what the button *End* sends."""

    handle: str
    title: str
    who: str
    client: str
    service: str
    since: datetime | None
    doing: str


@dataclass(frozen=True, slots=True)
class ShownProcess:
    """A process as a line."""

    label: str
    place: str
    tone: str
    state: str
    started: datetime


@dataclass(frozen=True, slots=True)
class Picture:
    """Everything on the page, read at one moment."""

    at: datetime
    problems: tuple[str, ...]
    today: JourneyCounts
    queue: QueueCounts
    services: tuple[ShownService, ...]
    sessions: tuple[ShownSession, ...]
    processes: tuple[ShownProcess, ...]


def status_page(request: HttpRequest) -> Page:
    """The whole page."""
    return Page("console/status.html", "What is running", {**_context(), "refresh_seconds": REFRESH_SECONDS})


def status_fragment(request: HttpRequest) -> HttpResponse:
    """The part that refreshes itself."""
    return render(request, "console/status_live.html", _context())


@require_POST
def end_session(request: HttpRequest) -> HttpResponse:
    """Ask the process that has the session to end it."""
    process, _, key = request.POST.get("session", "").partition("/")
    if process.isdigit() and key:
        ask(int(process), END_SESSION, key)
        messages.success(request, "The session is being ended. This takes a second or two.")
    return HttpResponseRedirect(reverse("admin:index"))


def _context() -> dict[str, object]:
    return {"picture": _look(), "connecting": connecting.look()}


def _look() -> Picture:
    processes = list_processes()
    alive = [process for process in processes if process.alive]
    services = _services(alive)
    return Picture(
        at=clock.now(),
        problems=tuple(_problems(processes, services)),
        today=counts_since(_midnight()),
        queue=queue_counts(),
        services=services,
        sessions=tuple(_sessions(alive)),
        processes=tuple(_process(process) for process in processes),
    )


def _midnight() -> datetime:
    """When today began, in the installation's time zone."""
    return timezone.localtime(clock.now()).replace(hour=0, minute=0, second=0, microsecond=0)


def _services(alive: list[RunningProcess]) -> tuple[ShownService, ...]:
    daemons = [process for process in alive if process.kind == Process.Kind.SERVE]
    listeners = [listener for process in daemons for listener in process.listeners]
    errors = {listener.service: listener.error for listener in listeners if listener.error}
    listening = {listener.service for listener in listeners if not listener.error}
    sessions = Counter(session.service for process in daemons for session in process.sessions)
    return tuple(
        ShownService(
            service.pk,
            service.name,
            tuple(str(binding) for binding in service.bindings.all()),
            *_state(service, service.pk in listening, errors.get(service.pk, ""), bool(daemons)),
            sessions=sessions[service.name],
        )
        for service in Service.objects.prefetch_related("bindings")
    )


def _state(service: Service, listening: bool, error: str, daemon_runs: bool) -> tuple[str, str]:
    if not service.enabled:
        return "off", "Switched off"
    if error:
        return "bad", error
    if listening:
        return "ok", "Listening"
    if not service.bindings.all():
        return "bad", "Has no address to listen on"
    return ("wait", "Starting") if daemon_runs else ("bad", "Not running")


def _sessions(alive: list[RunningProcess]) -> Iterator[ShownSession]:
    pairs = [(process.id, session) for process in alive for session in process.sessions]
    for process, session in sorted(pairs, key=lambda pair: pair[1].started):
        yield _session(process, session)


def _session(process: int, session: SessionBrief) -> ShownSession:
    return ShownSession(
        handle=f"{process}/{session.key}",
        title=f"{PROTOCOL_NAMES.get(session.protocol, session.protocol.upper())} {session.id}",
        who=session.login or "not logged in",
        client=session.client,
        service=session.service,
        since=parse_datetime(session.started),
        doing=session.doing,
    )


def _has_just_started(processes: list[RunningProcess]) -> bool:
    alive = [process.started for process in processes if process.alive]
    return bool(alive) and clock.now() - min(alive) < STARTING


def _process(process: RunningProcess) -> ShownProcess:
    label = Process.Kind(process.kind).label
    place = f"{process.host}, process {process.pid}"
    if not process.alive:
        return ShownProcess(label, place, "bad", "Not heard of for a while", process.started)
    if process.problem:
        return ShownProcess(label, place, "bad", process.problem, process.started)
    return ShownProcess(label, place, "ok", process.state.capitalize(), process.started)


def _problems(processes: list[RunningProcess], services: tuple[ShownService, ...]) -> Iterator[str]:
    """What needs somebody's attention, as sentences."""
    alive = {process.kind for process in processes if process.alive}
    if Process.Kind.SERVE not in alive:
        yield "Mail is neither accepted nor given out: no protocol daemon (manage.py serve) is running."
    if Process.Kind.WORKER not in alive and not _has_just_started(processes):
        yield "Nothing is cleaned up or sent later: no worker is running."
    yield from (f"{service.name}: {service.state}." for service in services if service.tone == "bad")
    yield from (process.problem for process in processes if process.alive and process.problem)
    certificate = current_certificate()
    if certificate is None:
        yield "There is no certificate, so nothing can be encrypted. Make one under Certificate."
    elif (certificate.valid_until - clock.now()).days < EXPIRES_SOON_DAYS:
        yield f"The certificate expires on {certificate.valid_until:%d %B %Y}. Put a new one in its place."
