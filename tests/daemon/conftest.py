# SPDX-License-Identifier: MIT
"""The database of an installation that a test starts."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.postgres import named_database


@pytest.fixture
def database(request: pytest.FixtureRequest) -> Iterator[dict[str, str]]:
    """The environment that names the database of this half of the run: a fresh one on PostgreSQL, or none."""
    with named_database(request.path.stem.removeprefix("test_")) as environment:
        yield environment
