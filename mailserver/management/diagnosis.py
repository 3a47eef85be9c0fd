# SPDX-License-Identifier: MIT
"""What `manage.py doctor` looks at: each check says what it found, and what to do about it.

A check never raises for what it is there to find. Later issues add theirs to `CHECKS`.
"""

from __future__ import annotations

import enum
import os
import shutil
import socket
import stat
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import dns.exception
import dns.resolver
from django.conf import settings
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor

from mailserver import clock
from mailserver.activity.services import list_processes
from mailserver.addressing.services import default_domain
from mailserver.config.building import SnapshotProblem, build_snapshot
from mailserver.config.certificates import current_certificate, read_tls
from mailserver.config.snapshot import Binding, Snapshot
from mailserver.connectors.listing import list_connections, unlinked
from mailserver.connectors.reading import read_collectors, read_senders
from mailserver.connectors.triggers import schedule_view, time_zone
from mailserver.errors import InvalidInput, MailError
from mailserver.outqueue.services import counts
from mailserver.outqueue.unwanted import count_unwanted
from mailserver.security.networks import trusts_strangers
from mailserver.store.housekeeping import count_orphans
from mailserver.users.services import has_users
from mailserver.values import Protocol

LOW_SPACE_BYTES = 1024**3
NO_SPACE_BYTES = 100 * 1024**2
EXPIRES_SOON_DAYS = 21
CONNECT_SECONDS = 2.0
DNS_SECONDS = 4.0
CLOCK_SLACK_SECONDS = 60
MANY_ORPHANS = 100_000
"""More than any office deletes in a day."""
UNUSED_DOMAINS = ("test", "example", "invalid", "localhost", "local")
"""RFC 2606 §2 and RFC 6762 §3: the Internet will never know them."""


class Level(enum.Enum):
    """How bad it is."""

    GOOD = "ok"
    NOTE = "note"
    PROBLEM = "PROBLEM"


@dataclass(frozen=True, slots=True)
class Finding:
    """One sentence about one thing."""

    level: Level
    text: str


Findings = Iterator[Finding]


def good(text: str) -> Finding:
    return Finding(Level.GOOD, text)


def note(text: str) -> Finding:
    return Finding(Level.NOTE, text)


def problem(text: str) -> Finding:
    return Finding(Level.PROBLEM, text)


def examine() -> Findings:
    """Every finding, check after check; without a database only those that need none."""
    yield from check_key_file(settings.ENVIRONMENT.key_file)
    yield from check_data_folder(Path(settings.DATA))
    database = list(check_database())
    yield from database
    if any(finding.level is Level.PROBLEM for finding in database):
        return
    for check in CHECKS:
        yield from check()


def check_key_file(path: Path) -> Findings:
    """It is there, and nobody else can read it. Whether it is the right one shows at the certificate."""
    try:
        mode = path.stat().st_mode
    except OSError as error:
        yield problem(f"The key file {path} cannot be read: {error.strerror}.")
        return
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        yield problem(f"The key file {path} can be read by others. Correct it with: chmod 600 {path}")
    else:
        yield good(f"The key file {path} is there and private.")


def check_data_folder(folder: Path) -> Findings:
    """Writable, with room, and without world-readable mail."""
    if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        yield problem(f"The data folder {folder} cannot be written by {_who()}.")
        return
    if folder.stat().st_mode & stat.S_IRWXO:
        yield problem(
            f"The data folder {folder} holds mail and can be read by everybody. Correct it with: chmod 700 {folder}"
        )
    free = shutil.disk_usage(folder).free
    text = f"{free / 1024**3:.1f} GB free for the data folder {folder}."
    if free < NO_SPACE_BYTES:
        yield problem(f"Only {text} Mail will be turned away soon.")
    elif free < LOW_SPACE_BYTES:
        yield note(f"Only {text}")
    else:
        yield good(text)


def check_database() -> Findings:
    """Reachable, and with the tables of this version."""
    name = "PostgreSQL" if connection.vendor == "postgresql" else "SQLite"
    try:
        executor = MigrationExecutor(connection)
        missing = executor.migration_plan(executor.loader.graph.leaf_nodes())
    except (DatabaseError, OSError) as error:
        yield problem(f"The database ({name}) cannot be used: {error}")
        return
    if missing:
        yield problem(f"The database ({name}) is not up to date. `manage.py run` brings it up to date when it starts.")
    else:
        yield good(f"The database ({name}) answers and is up to date.")


def check_settings() -> Findings:
    """They make sense together, and somebody gets the error messages."""
    try:
        snapshot = build_snapshot()
    except SnapshotProblem as error:
        yield problem(f"The settings cannot be used: {error}")
        return
    yield good(f"The settings make sense (revision {snapshot.revision}).")
    if not has_users():
        yield problem("There are no users. Start the server once, with: manage.py run")
    elif snapshot.main_administrator is None:
        yield problem("The main administrator does not exist: nobody gets mail for postmaster. Choose one in Settings.")
    if not default_domain():
        yield problem("There is no local domain: no mail can arrive. Add one with: manage.py adddomain DOMAIN")


def check_certificate() -> Findings:
    """Present, decipherable with this key file, and valid for a while."""
    try:
        facts = current_certificate()
        read_tls()
    except (MailError, InvalidInput) as error:
        yield problem(f"The certificate cannot be used: {getattr(error, 'note', '') or error}")
        return
    if facts is None:
        yield problem("There is no certificate: nobody can connect with TLS.")
        return
    until = f"{facts.valid_until:%d %B %Y}"
    if facts.valid_until <= clock.now():
        yield problem(f"The certificate expired on {until}.")
    elif facts.valid_until <= clock.now() + timedelta(days=EXPIRES_SOON_DAYS):
        yield note(f"The certificate expires on {until}.")
    elif facts.self_signed:
        yield note("The certificate is the self-signed one: mail programs will ask before they trust it.")
    else:
        yield good(f"The certificate for {', '.join(facts.names)} is valid until {until}.")


def check_processes() -> Findings:
    """The protocol daemon lives, and nobody uses old settings."""
    processes = list_processes()
    if not any(process.alive and process.kind == "serve" for process in processes):
        yield problem("The server is not running. Start it with: manage.py run")
    for process in processes:
        if not process.alive:
            yield note(f"The {process.kind} process {process.pid} on {process.host} died without saying good-bye.")
        elif process.problem:
            yield problem(
                f"The {process.kind} process {process.pid} does not use the present settings: {process.problem}"
            )


def check_services() -> Findings:
    """Each binding accepts a connection from here."""
    for service in _snapshot().services:
        if not service.enabled:
            yield note(f"{service.name} is switched off.")
            continue
        if not service.bindings:
            yield problem(f"{service.name} is enabled and has no address to listen on.")
        for binding in service.bindings:
            reason = _connect(binding)
            where = f"{service.name} on {binding.address} port {binding.port}"
            yield problem(f"{where} does not answer: {reason}.") if reason else good(f"{where} answers.")


def check_relay() -> Findings:
    """No access rule lets strangers send to anybody: spammers find such a server within hours."""
    snapshot = _snapshot()
    open_relays = [
        service.name
        for service in snapshot.services
        if service.enabled
        and service.protocol is Protocol.SMTP
        and trusts_strangers(service.access, snapshot.global_access if service.use_global_access else ())
    ]
    for name in open_relays:
        yield problem(
            f"{name} lets strangers send mail to anybody without logging in, and will be used for spam."
            " Correct the access rule that says 'without login'."
        )
    if not open_relays:
        yield good("Strangers cannot send mail to others through this server.")


def check_clock() -> Findings:
    """Message dates, certificates and time-outs need a clock that is about right."""
    ahead = timedelta(seconds=CLOCK_SLACK_SECONDS)
    if any(process.heartbeat > clock.now() + ahead for process in list_processes()):
        yield problem(
            "A process has reported from the future: this machine's clock has gone back, or differs from others'."
        )
        return
    yield good(f"The clock says {clock.now():%d %B %Y, %H:%M} UTC.")


def check_housekeeping() -> Findings:
    """Contents that nobody has any more are removed each night; they may pile up when no worker runs."""
    orphans = count_orphans(clock.now())
    text = f"{orphans} messages that nobody has any more wait for the nightly housekeeping."
    yield problem(f"{text} It does not seem to run.") if orphans > MANY_ORPHANS else good(text)


def check_mail_exchanger() -> Findings:
    """What the Internet knows of the default domain; for information only."""
    domain = default_domain()
    if not domain:
        return
    if domain.rpartition(".")[2] in UNUSED_DOMAINS:
        yield note(f"{domain} is a name for trying things out: no mail can come from the Internet for it.")
        return
    try:
        answer = dns.resolver.resolve(domain, "MX", lifetime=DNS_SECONDS)
    except dns.exception.DNSException as error:
        yield note(
            f"The DNS names no mail exchanger for {domain} ({type(error).__name__}): mail from outside goes elsewhere."
        )
        return
    names = ", ".join(
        str(record.exchange).rstrip(".") for record in sorted(answer, key=lambda record: record.preference)
    )
    yield note(f"Mail from outside for {domain} goes to {names}.")


def check_connections() -> Findings:
    """Mail can leave, and the schedule runs (spec senders 3, connectors 3.1)."""
    waiting = counts().waiting
    for row in list_connections():
        sender = row.sender
        if not sender.enabled or sender.method != sender.Method.RELAY or sender.servers.all():
            continue
        text = (
            f"The Connection {row.name} has no relay server: no mail leaves through it. Name your provider's"
            " server, or choose direct sending."
        )
        yield problem(f"{waiting} recipients wait. {text}") if waiting else note(text)
    for name, count in sorted(count_unwanted().items()):
        messages = "1 message waits" if count == 1 else f"{count} messages wait"
        yield problem(f"{messages} {_why_unwanted(name)}")
    for name in unlinked():
        yield note(f"{name} belongs to no Connection, and so never runs.")
    view = schedule_view()
    if view.paused:
        by = f" by the file {view.paused_by_file} in the data folder" if view.paused_by_file else ""
        yield note(f"The schedule is paused{by}: nothing is sent or collected by the clock.")
    elif view.next_poll is None:
        yield note("The schedule runs nothing: mail is only collected when somebody connects by hand.")
    else:
        yield good(f"The schedule runs something next at {view.next_poll.astimezone(time_zone()):%H:%M on %d %B}.")


def _why_unwanted(name: str) -> str:
    if name:
        return (
            f"for the Connection {name}, which nothing runs. Put it into the schedule, resume the schedule if it is"
            " paused, or have it send as soon as a message is waiting; 'manage.py connect' runs it once."
        )
    return (
        "that no Connection sends: all are switched off for sending, or their domain filtering leaves these messages"
        " out. Switch one on, or let its filtering take them."
    )


def check_stored_passwords() -> Findings:
    """Each can be read with this key file. One that cannot stops its Sender or Collector alone."""
    used = [sender.credentials for sender in read_senders() if sender.enabled]
    used += [collector.credentials for collector in read_collectors() if collector.enabled]
    yield from (problem(credentials.problem) for credentials in used if credentials.problem)


CHECKS: tuple[Callable[[], Iterable[Finding]], ...] = (
    check_settings,
    check_certificate,
    check_processes,
    check_services,
    check_relay,
    check_clock,
    check_housekeeping,
    check_connections,
    check_stored_passwords,
    check_mail_exchanger,
)


def _snapshot() -> Snapshot:
    """An empty one when there is none: `check_settings` has said so."""
    try:
        return build_snapshot()
    except SnapshotProblem:
        return Snapshot()


def _connect(binding: Binding) -> str:
    """Why a connection cannot be made; empty when it can. A wildcard address is tried on loopback."""
    address = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(binding.address, binding.address)  # noqa: S104
    try:
        socket.create_connection((address, binding.port), timeout=CONNECT_SECONDS).close()
    except OSError as error:
        return (error.strerror or str(error)).lower()
    return ""


def _who() -> str:
    return "root" if os.geteuid() == 0 else f"user number {os.geteuid()}"
