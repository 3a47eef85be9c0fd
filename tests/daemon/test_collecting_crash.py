# SPDX-License-Identifier: MIT
"""The worker is killed at any moment of collecting: nothing is lost, nothing comes twice, nothing goes too early.

Short by default, against a server of the tests' own; PILLARBOX_CRASH_ROUNDS makes it as long as wanted. Against
Dovecot it runs with the interop tests.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.collecting import CollectingOffice, make_message, open_office
from tests.support.collecting_process import start_collecting
from tests.support.dovecot import PASSWORD, Dovecot
from tests.support.evil_pop3 import PASSWORD as EVIL_PASSWORD
from tests.support.evil_pop3 import EvilPop3

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]

ROUNDS = int(os.environ.get("PILLARBOX_CRASH_ROUNDS", "3"))
MESSAGES = 120
"""New ones before each round."""


@pytest.mark.database
def test_killed_while_collecting(tmp_path: Path) -> None:
    with EvilPop3([]) as provider, open_office(tmp_path) as office:

        def deliver(*messages: bytes) -> None:
            provider.messages = [*provider.messages, *messages]

        _kill_again_and_again(office, tmp_path, provider.port, EVIL_PASSWORD, deliver, lambda: len(provider.messages))


@pytest.mark.interop
def test_killed_while_collecting_from_dovecot(tmp_path: Path) -> None:
    with Dovecot() as dovecot, open_office(tmp_path) as office:
        _kill_again_and_again(
            office,
            tmp_path,
            dovecot.pop3_port,
            PASSWORD,
            lambda *messages: dovecot.deliver("office", *messages),
            lambda: dovecot.count("office"),
        )


def _kill_again_and_again(
    office: CollectingOffice,
    folder: Path,
    port: int,
    password: str,
    deliver: Callable[..., None],
    waiting: Callable[[], int],
) -> None:
    collector = office.collector(port)
    delivered: list[str] = []
    for number in range(ROUNDS):
        names = [f"Message {number * MESSAGES + count}" for count in range(1, MESSAGES + 1)]
        deliver(*(_message(name) for name in names))
        delivered += names
        process = start_collecting(folder, collector.id, port, "office", password)
        assert process.stdout is not None
        for _ in range(random.randint(0, MESSAGES * 11 // 10)):
            if not process.stdout.readline().startswith("filed"):
                break
        process.kill()
        process.wait()
        process.stdout.close()
        filed = office.subjects("alice")
        assert len(filed) == len(set(filed)), "nothing comes twice"
        assert len(set(delivered) - set(filed)) <= waiting(), "nothing goes before it is here"
    process = start_collecting(folder, collector.id, port, "office", password)
    output, _ = process.communicate(timeout=120)
    assert output.splitlines()[-1].split() == ["done", "ok"]
    assert sorted(office.subjects("alice")) == sorted(delivered)
    assert waiting() == 0


def _message(name: str) -> bytes:
    """Some are large, and go through a file."""
    number = int(name.split()[1])
    return make_message(number, size=80_000 if number % 10 == 0 else 500)
