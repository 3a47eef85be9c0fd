# SPDX-License-Identifier: MIT
"""The whole test run: everything on SQLite, then everything marked `database` on a real PostgreSQL.

`python -m tests.support.suites [PATHS AND PYTEST OPTIONS]` is what `make test` calls. The last line reads
`N passed, N failed` and sums both runs; the exit status is 0 only when something ran and nothing failed.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from tests.support.postgres import NAMED_BY, database_server, drop_databases, with_database

PROCESSES = "2"
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


def main(arguments: Sequence[str]) -> int:
    """Run both halves and print the closing line."""
    paths, marker = take_marker(arguments)
    started = time.monotonic()
    print("== on SQLite", flush=True)
    total = run_pytest(paths, marker, {NAMED_BY: None})
    with database_server() as server:
        prefix = f"pillarbox_{os.getpid()}"
        print(f"== on PostgreSQL: {server}", flush=True)
        try:
            selection = f"database and ({marker})" if marker else "database"
            total += run_pytest(paths, selection, {NAMED_BY: with_database(server, prefix)})
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


def run_pytest(arguments: Sequence[str], marker: str, environment: dict[str, str | None]) -> Outcome:
    """One run in a process of its own; a run that breaks down counts as a failure."""
    with tempfile.TemporaryDirectory(prefix="pillarbox-suite-") as folder:
        report = Path(folder) / "report.xml"
        command = [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-n",
            PROCESSES,
            "--dist",
            "worksteal",
            f"--junitxml={report}",
            *arguments,
        ]
        if marker:
            command += ["-m", marker]
        merged = {**os.environ, **{name: value for name, value in environment.items() if value is not None}}
        for name in (COMPILE_EACH_TIME, *(name for name, value in environment.items() if value is None)):
            merged.pop(name, None)
        status = run_to_the_end(command, merged)
        return read_outcome(report, status)


def run_to_the_end(command: Sequence[str], environment: Mapping[str, str]) -> int:
    """The exit status. If we are stopped first, everything that the command started is stopped with it."""
    process = subprocess.Popen(command, env=environment, start_new_session=True)
    try:
        return process.wait()
    except BaseException:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        process.wait()
        raise


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
