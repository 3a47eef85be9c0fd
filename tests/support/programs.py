# SPDX-License-Identifier: MIT
"""Running other people's programs in tests."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path


def bare_environment(home: Path) -> dict[str, str]:
    """One in which no program finds a configuration of its user."""
    return {"PATH": os.environ["PATH"], "HOME": str(home), "LC_ALL": "C.UTF-8", "TERM": "xterm"}


def run_program(command: Sequence[str], environment: Mapping[str, str], text: str = "", seconds: float = 60) -> str:
    """A program's output, what it complained of included; it must exist and succeed."""
    assert shutil.which(command[0]), f"{command[0]} is not installed (.ci/debian-packages installs it)"
    done = subprocess.run(
        command, env=environment, input=text, capture_output=True, text=True, timeout=seconds, check=False
    )
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
    return done.stdout + done.stderr
