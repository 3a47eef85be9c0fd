# SPDX-License-Identifier: MIT
"""Fixtures and rules that hold for every test: which tests run, the clock, swallowed exceptions, how long to fuzz."""

from __future__ import annotations

import gc
import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from mailserver import clock
from tests.support.bugs import BugCatcher
from tests.support.commits import empty_tables_by_deleting
from tests.support.still_clock import StillClock

empty_tables_by_deleting()
settings.register_profile(
    "fast", max_examples=60, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("long", max_examples=5000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "fast"))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--interop", action="store_true", help="also run what needs other people's programs")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What waits for whole installations goes first, so that short tests fill the end of the run.

    Leave `interop` out unless it was asked for: by `--interop`, by `-m`, or by naming a path of it.
    """
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)
    if config.getoption("--interop") or "interop" in config.getoption("-m"):
        return
    if any("interop" in Path(argument.partition("::")[0]).parts for argument in config.invocation_params.args):
        return
    left_out = [item for item in items if item.get_closest_marker("interop")]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if not item.get_closest_marker("interop")]


def pytest_collection_finish() -> None:
    """What is there now stays until the end, thousands of tests and all of our code: to look through it for garbage
    again and again took an eighth of the processor time of tests that start nothing."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def still_clock() -> Iterator[StillClock]:
    """Time stands still at a Monday morning; `still_clock.advance(minutes=5)` moves it."""
    source = StillClock()
    clock.set_source(source)
    yield source
    clock.set_source(None)


@pytest.fixture(autouse=True)
def bug_catcher(request: pytest.FixtureRequest) -> Iterator[BugCatcher]:
    """Fails the test when something swallowed an exception. A test that provokes one clears `bug_catcher.bugs`."""
    catcher = BugCatcher()
    root = logging.getLogger()
    root.addHandler(catcher)
    yield catcher
    root.removeHandler(catcher)
    if catcher.bugs:
        pytest.fail(f"an exception was swallowed:\n{catcher.report()}", pytrace=False)


@pytest.fixture
def data_folder(tmp_path: Path, settings: object) -> Path:
    """An empty data folder, named to Django as DATA for this test alone."""
    settings.DATA = tmp_path  # type: ignore[attr-defined]
    return tmp_path
