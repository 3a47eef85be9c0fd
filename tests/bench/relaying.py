# SPDX-License-Identifier: MIT
"""Accepting messages of 4 KB and relaying them on to another server (smtp-sink): until the last one is there.

Both sides sync what they accept. Ours is the whole installation with its usual settings and one relay named; the peer
is Postfix with a relayhost. `python -m tests.bench.relaying` runs it alone.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from tests.bench import peer as peers
from tests.bench.drivers import SmtpLoad, run_driver
from tests.bench.peer import Peer
from tests.bench.rows import Row
from tests.support.installation import Installation
from tests.support.sink import SMTP_SINK, Sink
from tests.support.waiting import wait_until

MESSAGES = 3000
PATIENCE_SECONDS = 180
OFFICE = """\
services:
  - kind: smtp
    access_rules:
      - {{action: allow, matches: network, network: 127.0.0.1, without_login: yes}}
connections:
  - name: Main line
    default: true
    sender:
      method: smtp-relay
      send_immediately: true
      servers:
        - {{host: 127.0.0.1, port: {port}, encryption: none}}
"""


def rows(rounds: int = 1, messages: int = MESSAGES) -> list[Row]:
    """The one row; nothing where there is no smtp-sink. Ours alone where Postfix is missing."""
    if not Path(SMTP_SINK).exists():
        return []
    row = Row("accept and relay on, 4 KB, 20 sessions", "1.5 x the peer's")
    with tempfile.TemporaryDirectory(prefix="pillarbox-bench-") as name, Sink() as sink:
        with Installation(Path(name) / "data") as ours:
            _configure(ours, Path(name), sink)
            for _ in range(rounds):
                row.ours.append(messages / _measure(ours.port("smtp"), messages, sink))
        if peers.is_installed():
            with Peer(relay_port=sink.port) as peer:
                for _ in range(rounds):
                    row.peer.append(messages / _measure(peer.smtp_port, messages, sink))
    return [row]


def _configure(ours: Installation, folder: Path, sink: Sink) -> None:
    """And a few messages, so that everything has been used once."""
    file = folder / "office.yaml"
    file.write_text(OFFICE.format(port=sink.port))
    ours.manage("importconfig", str(file))
    _measure(ours.port("smtp"), 100, sink)


def _measure(port: int, messages: int, sink: Sink) -> float:
    """Seconds until everything has arrived."""
    before = sink.count()
    started = time.perf_counter()
    result = run_driver(SmtpLoad(port, messages, recipient="u%d@outside.test"))
    if result.refused:
        raise SystemExit(f"{result.refused} messages were refused")
    wait_until(lambda: sink.count() - before >= messages, PATIENCE_SECONDS, "everything to arrive")
    return time.perf_counter() - started


def main() -> None:
    for row in rows(3):
        print(row.line())


if __name__ == "__main__":
    main()
