# SPDX-License-Identifier: MIT
"""What Linux says about processes: who descends from whom, who still runs, and how much memory each holds."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path


def descendants(pid: int) -> Iterator[int]:
    """The process itself, its children, and theirs."""
    yield pid
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            children = task.read_text().split()
        except OSError:
            continue
        for child in children:
            yield from descendants(int(child))


def is_running(pid: int) -> bool:
    """Whether it is there and not merely waiting to be collected by its parent."""
    state = read_proc(pid, "stat").rpartition(b")")[2].split()
    return bool(state) and state[0] not in (b"Z", b"X")


def proportional_bytes(pid: int) -> int:
    """Its share of memory: a page that n processes share counts one n-th."""
    return _kilobytes(rb"^Pss:\s+(\d+) kB", read_proc(pid, "smaps_rollup"))


def resident_bytes(pid: int) -> int:
    """What it holds in memory now, shared pages included."""
    return _kilobytes(rb"^VmRSS:\s+(\d+) kB", read_proc(pid, "status"))


def peak_resident_bytes(pid: int) -> int:
    """The most that it ever held in memory."""
    return _kilobytes(rb"^VmHWM:\s+(\d+) kB", read_proc(pid, "status"))


def read_proc(pid: int, name: str) -> bytes:
    """A file of /proc/PID; empty once the process is gone."""
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes()
    except OSError:
        return b""


def processor_seconds(pids: Iterable[int]) -> float:
    """What they have used so far, and what their children had used that have ended and were waited for."""
    ticks = 0
    for pid in pids:
        fields = read_proc(pid, "stat").rpartition(b")")[2].split()
        ticks += sum(map(int, fields[11:15]))
    return ticks / os.sysconf("SC_CLK_TCK")


def _kilobytes(pattern: bytes, text: bytes) -> int:
    found = re.search(pattern, text, re.MULTILINE)
    return int(found[1]) * 1024 if found else 0
