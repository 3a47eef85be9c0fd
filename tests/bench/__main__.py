# SPDX-License-Identifier: MIT
"""`make bench`: measures the rows of the budget table, beside Postfix and Dovecot where those are installed.

A report, not a test: it fails only when mail is refused or missing. Rounds alternate between us and the peer, medians
are given, everything is on loopback and in temporary folders. About ten minutes; `ARGS=--quick` takes a third of it.
"""

from __future__ import annotations

import argparse
import poplib
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from tests.bench import collecting, relaying, store
from tests.bench import peer as peers
from tests.bench.drivers import Pop3Load, Result, SmtpLoad, run_driver
from tests.bench.imap import ImapBench
from tests.bench.peer import Peer
from tests.bench.rows import Row
from tests.support.installation import Installation
from tests.support.waiting import wait_until

DOMAIN = "bench.test"
USERS = 20
REST_SECONDS = 12
"""How long after the start memory is looked at: past the first tick of the worker."""


class Bench:
    """The two servers, and the rows as they are measured."""

    def __init__(self, ours: Installation, peer: Peer | None, messages: int, rounds: int) -> None:
        self.ours, self.peer, self.messages, self.rounds = ours, peer, messages, rounds
        self.sent_to_us = self.sent_to_peer = 0

    def inbound(self) -> list[Row]:
        """SMTP to mailbox. Our 250 comes after the commit, so accepting is filing; the peer's queue is waited for."""
        accepted = Row("SMTP accepted, 4 KB, 20 sessions", "above the peer's")
        filed = Row("SMTP to mailbox, durable, end to end", "3 x the peer's")
        for _ in range(self.rounds):
            result = self._deliver_to_us(SmtpLoad(self.ours.port("smtp"), self.messages, users=USERS))
            accepted.ours.append(result.rate)
            filed.ours.append(result.rate)
            if self.peer is not None:
                result, seconds = self._deliver_to_peer(SmtpLoad(self.peer.smtp_port, self.messages, users=USERS))
                accepted.peer.append(result.rate)
                filed.peer.append(result.messages / seconds)
        self._count_ours()
        return [filed, accepted]

    def outbound(self) -> list[Row]:
        """POP3 RETR of a whole maildrop by one session."""
        self._deliver_to_us(SmtpLoad(self.ours.port("smtp"), self.messages, recipient="pop%d@bench.test", users=1))
        if self.peer is not None:
            self._deliver_to_peer(SmtpLoad(self.peer.smtp_port, self.messages, recipient="pop%d@bench.test", users=1))
        rows = []
        for pipelined in (False, True):
            how = "pipelined" if pipelined else "one by one"
            row = Row(f"POP3 RETR of {self.messages:,} messages, {how}", "0.5 x the peer's")
            for _ in range(self.rounds):
                row.ours.append(self._fetch(self.ours.port("pop3"), pipelined).rate)
                if self.peer is not None:
                    row.peer.append(self._fetch(self.peer.pop3_port, pipelined).rate)
            rows.append(row)
        return rows

    def _deliver_to_us(self, load: SmtpLoad) -> Result:
        result = _all_accepted(run_driver(load))
        self.sent_to_us += result.messages
        return result

    def _deliver_to_peer(self, load: SmtpLoad) -> tuple[Result, float]:
        assert self.peer is not None
        started = time.perf_counter()
        result = _all_accepted(run_driver(load))
        self.sent_to_peer += result.messages
        wait_until(lambda: self.peer is not None and self.peer.filed() >= self.sent_to_peer, 120, "the peer to file")
        return result, time.perf_counter() - started

    def _fetch(self, port: int, pipelined: bool) -> Result:
        result = run_driver(Pop3Load(port, "pop1", peers.PASSWORD, pipelined))
        if result.messages != self.messages:
            raise SystemExit(f"the maildrop holds {result.messages} messages, not {self.messages}")
        return result

    def _count_ours(self) -> None:
        held = 0
        for number in range(1, USERS + 1):
            client = poplib.POP3("127.0.0.1", self.ours.port("pop3"), timeout=60)
            client.user(f"u{number}")
            client.pass_(peers.PASSWORD)
            held += client.stat()[0]
            client.quit()
        if held != self.sent_to_us:
            raise SystemExit(f"{self.sent_to_us} messages were accepted, but the mailboxes hold {held}")


def _all_accepted(result: Result) -> Result:
    if result.refused:
        raise SystemExit(f"{result.refused} messages were refused")
    return result


def at_rest(ours: Installation) -> list[Row]:
    """How long a second start takes, and what everything together then holds in memory."""
    started = time.perf_counter()
    ours.start()
    ready = Row("`manage.py run` to ready, second start", "5 s", [time.perf_counter() - started], unit=" s")
    rested = time.monotonic() + REST_SECONDS
    wait_until(lambda: time.monotonic() > rested, REST_SECONDS + 5, "the processes to come to rest")
    memory = Row("memory at rest, everything running", "350 MB", [ours.memory_bytes() / 1e6], unit=" MB")
    return [ready, memory]


def set_up(folder: Path) -> Installation:
    """A fresh installation with the load's users, stopped again."""
    ours = Installation(folder / "data", PILLARBOX_DOMAIN=DOMAIN)
    ours.start()
    ours.add_users([*(f"u{number}" for number in range(1, USERS + 1)), "pop1"], peers.PASSWORD)
    ours.stop()
    return ours


def measure(say: Callable[[str], None], messages: int, rounds: int) -> None:
    """Everything, printed as it becomes known."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="pillarbox-bench-")))
        ours = set_up(folder)
        stack.callback(ours.stop)
        say(f"{'':<46} {'Pillarbox':>11} {'peer':>11} {'ratio':>8}   goal")
        for row in at_rest(ours):
            say(row.line())
        peer = stack.enter_context(Peer()) if peers.is_installed() else None
        bench = Bench(ours, peer, messages, rounds)
        for row in (*bench.inbound(), *bench.outbound()):
            say(row.line())
        for row in ImapBench(ours, peer, quick=rounds == 1).rows():
            say(row.line())
        for row in collecting.rows(rounds) if peer is not None else ():
            say(row.line())
        for row in relaying.rows(rounds, messages):
            say(row.line())
        after = Row("memory after this load", "", [ours.memory_bytes() / 1e6], unit=" MB")
        say(after.line())
        if peer is None:
            say("The peer is missing: install postfix, dovecot-imapd, dovecot-lmtpd, dovecot-pop3d; run this as root.")
    say("")
    store.report(say)


def main() -> None:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--quick", action="store_true", help="fewer messages, one round")
    quick = parser.parse_args().quick
    measure(lambda text: print(text, flush=True), 1000 if quick else 3000, 1 if quick else 3)


if __name__ == "__main__":
    main()
