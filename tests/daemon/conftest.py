# SPDX-License-Identifier: MIT
"""Installations that several files of tests share: starting one takes longer than most of what is tested on it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.installation import Installation
from tests.support.postgres import named_database

CONFIGURATION = """\
users:
  - {name: alice, password: secret-word-1}
  - {name: bob, password: secret-word-1}
  - {name: anna, password: Imap-secret-1}
  - {name: bert, password: Imap-secret-1}
services:
  - {kind: imap4, options: {max_logins_per_user: 100}}
"""


@pytest.fixture(scope="session")
def crowded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """Two protocol daemons, and users who may have many sessions each."""
    with named_database("crowded") as environment:
        running = Installation(tmp_path_factory.mktemp("crowded") / "data", **environment)
        running.start("--workers", "2")
        try:
            assert len(running.daemons()) == 2
            file = running.data.with_name("crowded.yaml")
            file.write_text(CONFIGURATION)
            running.manage("importconfig", str(file))
            yield running
            assert running.errors() == ""
        finally:
            running.stop()
