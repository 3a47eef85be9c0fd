# SPDX-License-Identifier: MIT
"""The whole test run: everything on SQLite, and everything marked `database` on a real PostgreSQL, at the same time.

`python -m tests.support.suites [PATHS AND PYTEST OPTIONS]` is what `make test` calls. The last line reads
`N passed, N failed` and sums both runs; the exit status is 0 only when something ran and nothing failed.

Many tests wait: for processes to start, for a minute to begin, for a browser. So there are more test processes than
processors, and neither half waits for the other. Each gets whole files, whose tests often share an installation, in
the order of `conftest.py`: what takes long first.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from tests.support.postgres import NAMED_BY, database_server, drop_databases, with_database

COMPILE_EACH_TIME = "PYTHONDONTWRITEBYTECODE"
"""With it each of some 150 processes compiles all of our code: more than half of what a start costs."""
NOTHING_SELECTED = 5
"""pytest's exit status when its selection is empty: no failure of one of the two runs by itself."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one run of pytest came to."""

    passed: int = 0
    failed: int = 0

    def __add__(self, other: Outcome) -> Outcome:
        return Outcome(self.passed + other.passed, self.failed + other.failed)


@dataclass(frozen=True, slots=True)
class Half:
    """One of the two runs. `database` is the address on PostgreSQL, or None."""

    title: str
    processes: int
    marker: str
    database: str | None


def main(arguments: Sequence[str]) -> int:
    """Run both halves and print the closing line."""
    rest, marker = take_marker(arguments)
    started = time.monotonic()
    with database_server() as server:
        prefix = f"pillarbox_{os.getpid()}"
        again = f"database and ({marker})" if marker else "database"
        halves = (
            Half("SQLite", 3, marker, None),
            Half(f"PostgreSQL: {server}", 2, again, with_database(server, prefix)),
        )
        try:
            total = run_at_once(halves, rest)
        finally:
            drop_databases(server, f"test_{prefix}")
            drop_databases(server, prefix)
    print(f"== both together, in {time.monotonic() - started:.0f} s")
    print(f"{total.passed} passed, {total.failed} failed")
    return 0 if total.passed and not total.failed else 1


def take_marker(arguments: Sequence[str]) -> tuple[list[str], str]:
    """The arguments without `-m EXPRESSION`, and the expression: the second run narrows it."""
    rest = list(arguments)
    if "-m" not in rest:
        return rest, ""
    place = rest.index("-m")
    marker = rest[place + 1]
    del rest[place : place + 2]
    return rest, marker


def run_at_once(halves: Sequence[Half], arguments: Sequence[str]) -> Outcome:
    """Each in a process of its own, which says what it has to say when those before it have ended.

    A run that breaks down counts as a failure. If we are stopped first, everything that was started is stopped with us.
    """
    total = Outcome()
    with tempfile.TemporaryDirectory(prefix="pillarbox-suite-") as folder, ExitStack() as running:
        started = []
        for number, half in enumerate(halves):
            report, said = Path(folder, f"report-{number}.xml"), Path(folder, f"output-{number}.txt")
            command = pytest_command(half, arguments, report)
            process = running.enter_context(started_process(command, half, said if number else None))
            started.append((half, process, report, said))
        for half, process, report, said in started:
            print(f"== on {half.title}", flush=True)
            status = process.wait()
            if said.exists():
                print(said.read_text(errors="replace"), end="", flush=True)
            total += read_outcome(report, status)
    return total


def pytest_command(half: Half, arguments: Sequence[str], report: Path) -> list[str]:
    command = [sys.executable, "-m", "pytest", "-q", "-n", str(half.processes), f"--junitxml={report}"]
    command += ["--dist", "loadfile", "--no-loadscope-reorder", *arguments]
    return [*command, "-m", half.marker] if half.marker else command


@contextmanager
def started_process(command: Sequence[str], half: Half, output: Path | None) -> Iterator[subprocess.Popen[bytes]]:
    """On the half's database; what it prints goes to a file, or to where ours goes."""
    environment = {**os.environ, **({NAMED_BY: half.database} if half.database else {})}
    for name in (COMPILE_EACH_TIME, *(() if half.database else (NAMED_BY,))):
        environment.pop(name, None)
    with ExitStack() as files:
        printed = files.enter_context(output.open("wb")) if output else None
        process = subprocess.Popen(
            command,
            env=environment,
            start_new_session=True,
            stdout=printed,
            stderr=subprocess.STDOUT if printed else None,
        )
        try:
            yield process
        finally:
            if process.poll() is None:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGTERM)
                process.wait()


def read_outcome(report: Path, status: int) -> Outcome:
    """The report's figures; pytest's exit status has the last word on whether something went wrong.

    A skipped test counts as failed: nothing here is left out silently.
    """
    if status == NOTHING_SELECTED:
        return Outcome()
    if not report.exists():
        return Outcome(failed=1)
    suites = list(ElementTree.parse(report).getroot().iter("testsuite"))
    tests, failed = (sum(int(suite.get(name, "0")) for suite in suites) for name in ("tests", "failures"))
    failed += sum(int(suite.get(name, "0")) for suite in suites for name in ("errors", "skipped"))
    passed = max(0, tests - failed)
    return Outcome(passed, failed or (1 if status else 0))


def _stop(number: int, frame: FrameType | None) -> None:
    """Being told to stop ends the run in hand as well, and cleans up."""
    raise SystemExit(128 + number)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _stop)
    sys.exit(main(sys.argv[1:]))
