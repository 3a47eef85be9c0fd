# SPDX-License-Identifier: MIT
"""The composition root of the protocol daemon: settings, store, hooks and protocols are joined here and only here."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import signal
from argparse import ArgumentParser
from typing import Any

import uvloop
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError, InterfaceError, connections

from mailserver import garbage, logs, notices
from mailserver.activity import services as activity
from mailserver.config.building import SnapshotProblem
from mailserver.config.catalog import LOG_MAX_KILOBYTES
from mailserver.config.watch import SnapshotWatcher
from mailserver.hooks.interface import Hooks
from mailserver.store.interface import MailStore
from mailserver.store.opening import open_store
from mailserver.users.authenticator import DatabaseAuthenticator
from mailserver.values import Protocol
from protocols.imap import replies as imap_replies
from protocols.imap.indexes import MailboxIndexes
from protocols.imap.server import ImapService
from protocols.net.admission import Refusal
from protocols.net.bandwidth import Pools
from protocols.net.daemon import DRAIN_SECONDS, Daemon, DaemonParts, Surroundings
from protocols.net.listener import Listeners, OwnSockets
from protocols.net.notices import Notices
from protocols.net.offload import ThreadOffload
from protocols.net.sessions import ServedProtocol, Sessions, SessionTools
from protocols.net.sockets import inherited_sockets
from protocols.net.tls import TlsContexts
from protocols.pop3 import replies as pop3_replies
from protocols.pop3.server import serve_pop3
from protocols.smtp import replies as smtp_replies
from protocols.smtp.server import serve_smtp
from protocols.supervisor.requests import connect_to_supervisor

PROTOCOLS: dict[Protocol, ServedProtocol] = {
    Protocol.SMTP: ServedProtocol(
        serve_smtp,
        {
            Refusal.NOT_ALLOWED: smtp_replies.not_allowed(),
            Refusal.TOO_MANY: smtp_replies.too_many(),
            Refusal.TOO_MANY_FROM_ADDRESS: smtp_replies.too_many_from_address(),
        },
        smtp_replies.shutting_down,
    ),
    Protocol.POP3: ServedProtocol(
        serve_pop3,
        {
            Refusal.NOT_ALLOWED: pop3_replies.not_allowed(),
            Refusal.TOO_MANY: pop3_replies.too_many(),
            Refusal.TOO_MANY_FROM_ADDRESS: pop3_replies.too_many_from_address(),
        },
    ),
}


def serve_imap4(store: MailStore, offload: ThreadOffload, heard: Notices) -> ServedProtocol:
    """IMAP4, whose sessions share what they know of mailboxes."""
    return ServedProtocol(
        ImapService(MailboxIndexes(store, offload, heard)).serve,
        {
            Refusal.NOT_ALLOWED: imap_replies.format_reply(imap_replies.NOT_ALLOWED),
            Refusal.TOO_MANY: imap_replies.format_reply(imap_replies.TOO_MANY_SESSIONS),
            Refusal.TOO_MANY_FROM_ADDRESS: imap_replies.format_reply(imap_replies.TOO_MANY_FROM_ADDRESS),
        },
        lambda hostname: imap_replies.format_reply(imap_replies.SHUTTING_DOWN),
    )


class Command(BaseCommand):
    """`manage.py serve`: what `manage.py run` supervises; also runs alone."""

    help = "Serve SMTP, POP3 and IMAP4 (manage.py run starts this; it also runs alone, after manage.py prepare)."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--drain-seconds",
            type=float,
            default=DRAIN_SECONDS,
            help="what open sessions get to finish when the daemon is stopped (default: %(default)s)",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        _raise_descriptor_limit()
        try:
            process = activity.register_process(activity.ProcessKind.SERVE)
            watcher = SnapshotWatcher()
        except (DatabaseError, InterfaceError) as error:
            raise CommandError(f"The database cannot be used (has manage.py prepare been run?): {error}") from None
        except SnapshotProblem as error:
            raise CommandError(f"The stored settings make no sense: {error}") from None
        logs.start("serve", settings.DATA / "logs", watcher.current().get(LOG_MAX_KILOBYTES))
        store = open_store(process)
        connections.close_all()
        garbage.settle()
        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(serve(process, watcher, store, options["drain_seconds"]))
        finally:
            store.close()
            with contextlib.suppress(DatabaseError, InterfaceError):
                activity.end_process(process)


async def serve(process: int, watcher: SnapshotWatcher, store: MailStore, drain_seconds: float) -> None:
    """Join the parts and run until SIGTERM or SIGINT."""
    supervisor = connect_to_supervisor(os.environ)
    tls, pools, offload, surroundings = TlsContexts(), Pools(), ThreadOffload(), Surroundings()
    heard = Notices(notices.listen())
    sessions = Sessions(
        SessionTools(
            protocols={**PROTOCOLS, Protocol.IMAP4: serve_imap4(store, offload, heard)},
            snapshot=watcher.current,
            tls_context=tls.current,
            surrounding=surroundings.current,
            store=store,
            authenticator=DatabaseAuthenticator(),
            hooks=Hooks(),
            offload=offload,
            pools=pools,
        )
    )
    daemon = Daemon(
        DaemonParts(
            process=process,
            watcher=watcher,
            listeners=Listeners(supervisor or OwnSockets(inherited_sockets(os.environ)), sessions.accept),
            sessions=sessions,
            tls=tls,
            pools=pools,
            surroundings=surroundings,
            offload=offload,
            notices=heard,
            on_ready=supervisor.announce_ready if supervisor is not None else _say_nothing,
            drain_seconds=drain_seconds,
        )
    )
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, daemon.stop)
    try:
        await daemon.run()
    finally:
        heard.close()
        offload.close()


def _say_nothing() -> None:
    """Nobody waits to hear that this daemon is ready."""


def _raise_descriptor_limit() -> None:
    """As many connections as the system lets this process have; the usual soft limit is 1024."""
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
