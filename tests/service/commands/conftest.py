# SPDX-License-Identifier: MIT
"""Commands as somebody types them: what they print, what they complain about, and their exit status."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from django.core.management import ManagementUtility
from pytest_django import DjangoDbBlocker

from mailserver.config.services import first_run
from mailserver.project.environment import read_environment
from tests.support.baseline import Baseline


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a command did."""

    status: int
    out: str
    err: str


Run = Callable[..., Outcome]


@pytest.fixture(scope="session")
def first_start(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Baseline[object]:
    environment = {"PILLARBOX_DATA": "/nowhere", "PILLARBOX_DOMAIN": "example.test", "PILLARBOX_PORT_OFFSET": "26400"}
    with django_db_blocker.unblock():
        return Baseline("commands", lambda: first_run(read_environment(environment)))


@pytest.fixture
def installation(first_start: Baseline[object], db: None) -> None:
    """As the first start leaves it, at ports where nothing listens."""
    first_start.put_in()


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """`run("adduser", "alice", typed="secret")` is `manage.py adduser alice`, with a text on standard input."""

    # A command closes its connections when it ends; here that would be the test's own, in the middle of a transaction.
    monkeypatch.setattr("django.core.management.base.connections.close_all", lambda: None)

    def run_command(*words: str, typed: str = "") -> Outcome:
        monkeypatch.setattr(sys, "stdin", io.StringIO(typed))
        capsys.readouterr()
        status = 0
        try:
            ManagementUtility(["manage.py", *words]).execute()
        except SystemExit as end:
            status = end.code if isinstance(end.code, int) else int(end.code is not None)
        printed = capsys.readouterr()
        return Outcome(status, printed.out, printed.err)

    return run_command
