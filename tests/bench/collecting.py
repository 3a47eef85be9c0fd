# SPDX-License-Identifier: MIT
"""Collecting 3,000 messages of 4 KB from Dovecot by POP3: routed and filed durably before DELE.

Beside it fetchmail, twice: handing each message to the cheapest delivery agent there is (`cat`, into one file that
nobody syncs), as it is set up with procmail and its like; and writing all of them to a batch file itself (`bsmtp`),
which is the fastest it can do and delivers nothing yet. To a server by SMTP it gave 21/s here.

`rows()` measures us in a process of its own, for Django's settings are read once; `python -m tests.bench.collecting`
does it from the command line.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from tests.bench.rows import Row
from tests.support.dovecot import PASSWORD, Dovecot

if TYPE_CHECKING:
    from mailserver.connectors.values import CollectorSettings

MESSAGES = 3000
SIZE = 4000


def rows(rounds: int = 1) -> list[Row]:
    """One row for each way of fetchmail. Ours alone where it is missing."""
    what = f"POP3 collection of {MESSAGES:,} messages"
    table = {"mda": Row(what, "3 x the peer's"), "bsmtp": Row("the same, fetchmail writes a batch file", "")}
    with tempfile.TemporaryDirectory(prefix="pillarbox-bench-") as name, Dovecot() as dovecot:
        folder = Path(name)
        for number in range(rounds):
            dovecot.deliver("ours", *_messages(number))
            rate = MESSAGES / _measure_ours(folder / f"data{number}", dovecot.pop3_port)
            for way, row in table.items():
                row.ours.append(rate)
                if shutil.which("fetchmail"):
                    dovecot.deliver("peer", *_messages(number))
                    row.peer.append(MESSAGES / _measure_fetchmail(way, folder, dovecot.pop3_port))
            if any(dovecot.count(user) for user in ("ours", "peer")):
                raise SystemExit("messages were left at the provider")
    return list(table.values())


def _messages(round_number: int) -> Iterator[bytes]:
    text = "line of the text of this message, as long as lines are\r\n" * (SIZE // 56)
    for number in range(MESSAGES):
        yield (
            "Return-Path: <sender@elsewhere.test>\r\n"
            "Received: from elsewhere.test by mx.provider.test; Mon, 2 Mar 2026 09:00:00 +0000\r\n"
            "From: Sender <sender@elsewhere.test>\r\nTo: Alice <alice@example.test>\r\n"
            f"Subject: Message {number}\r\nMessage-ID: <{round_number}.{number}@elsewhere.test>\r\n\r\n{text}"
        ).encode()


def _measure_ours(data: Path, port: int) -> float:
    data.mkdir()
    environment = {**os.environ, "PILLARBOX_DATA": str(data), "DJANGO_SETTINGS_MODULE": "mailserver.project.settings"}
    environment.pop("DATABASE_URL", None)
    command = [sys.executable, "-m", "tests.bench.collecting", "--measure", json.dumps([str(data), port])]
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    return float(done.stdout.splitlines()[-1])


def _measure_fetchmail(way: str, folder: Path, port: int) -> float:
    target = {"mda": f'mda "/bin/cat >> {folder}/mbox"', "bsmtp": f'bsmtp "{folder}/batch"'}[way]
    settings = folder / "fetchmailrc"
    settings.write_text(
        f'set no syslog\npoll 127.0.0.1 protocol pop3 port {port} user "peer" password "{PASSWORD}"'
        f' sslproto "" {target} fetchall nokeep\n'
    )
    settings.chmod(0o600)
    started = time.perf_counter()
    command = ["fetchmail", "-f", settings, "--pidfile", folder / "pid", "-i", folder / "ids", "--nodetach", "-s"]
    subprocess.run(command, env={**os.environ, "HOME": str(folder)}, check=True, capture_output=True)
    return time.perf_counter() - started


def measure(data: Path, port: int) -> float:
    """Seconds for everything there is, in this process, on a fresh database."""
    import asyncio

    from django.core.management import call_command

    from mailserver.config.building import build_snapshot
    from mailserver.connectors.models import Collector
    from mailserver.connectors.values import Credentials, LoginMethod, Outcome, RemoteServer
    from mailserver.hooks.interface import Hooks
    from protocols.net.offload import ThreadOffload
    from tests.support.collectors import NotedLog, make_collector
    from tests.support.stores import make_user, open_database_store
    from workers.collecting import run_collector
    from workers.tools import WorkerTools

    call_command("migrate", verbosity=0)
    make_user("alice")
    collector: CollectorSettings = make_collector(
        id=Collector.objects.create(name="Bench").pk,
        server=RemoteServer("127.0.0.1", port),
        credentials=Credentials(LoginMethod.AUTOMATIC, "ours", PASSWORD),
    )
    store, offload, snapshot = open_database_store(data), ThreadOffload(), build_snapshot()
    tools = WorkerTools(store, offload, Hooks(), lambda: snapshot)
    started = time.perf_counter()
    result = asyncio.run(run_collector(collector, "bench", NotedLog(), tools))
    seconds = time.perf_counter() - started
    store.close()
    offload.close()
    if result.outcome is not Outcome.OK:
        raise SystemExit(result.text)
    return seconds


def main() -> None:
    if sys.argv[1:2] == ["--measure"]:
        import django

        django.setup()
        folder, port = json.loads(sys.argv[2])
        print(measure(Path(folder), port))
        return
    for row in rows():
        print(row.line())


if __name__ == "__main__":
    main()
