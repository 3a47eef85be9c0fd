# SPDX-License-Identifier: MIT
"""`manage.py run` as the person at the keyboard meets it: what it says, what it survives, what it leaves behind."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from mailserver.config.snapshot import Binding
from protocols.net.sockets import binding_of, open_listening
from tests.support.installation import STANDARD_PORTS, Installation, free_port
from tests.support.processes import is_running
from tests.support.sources import ROOT
from tests.support.waiting import wait_until
from tests.support.wire import Wire

pytestmark = pytest.mark.slow

SERVICES = tuple(STANDARD_PORTS)
MEMORY_BUDGET_BYTES = 350 * 1024 * 1024
"""Design section 10, at rest."""


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    with Installation(tmp_path_factory.mktemp("run") / "data") as running:
        yield running


def greeting(port: int) -> bytes:
    with Wire(port) as wire:
        return wire.line()


def listens(port: int) -> bool:
    """Whether a session begins there: the supervisor's socket alone would not do."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
            return bool(connection.recv(1))
    except ConnectionError:
        return False


def set_bindings(installation: Installation, kind: str, *ports: int) -> None:
    bindings = ", ".join(f"'127.0.0.1:{port}'" for port in ports)
    file = installation.data.with_name("services.yaml")
    file.write_text(f"services:\n  - {{kind: {kind}, bindings: [{bindings}]}}\n")
    installation.manage("importconfig", str(file))


def test_first_start_says_all_there_is_to_know(installation: Installation) -> None:
    said = installation.output()
    for service in SERVICES:
        assert f"127.0.0.1:{installation.port(service)}" in said
    assert f"http://127.0.0.1:{installation.web_port}/" in said
    assert re.search(r"Log in to the console as postmaster with the password \S{16,}", said)
    assert said.count("NOT LISTENING") == 0
    assert len(re.findall(r"^    (?:PILLARBOX_DATA|printf|curl)", said, re.MULTILINE)) == 3
    assert said.index("postmaster") < said.index("Pillarbox is ready")


def test_second_start_is_told_who_runs(installation: Installation) -> None:
    done = subprocess.run(
        [sys.executable, "manage.py", "run"],
        cwd=ROOT,
        env={**installation.environment, "PILLARBOX_WEB_PORT": str(free_port())},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 1
    assert done.stdout == ""
    assert installation.process is not None
    assert re.fullmatch(
        rf"Pillarbox already runs on \S+: process {installation.process.pid} on \S+, since 2\S+ \S+\.\n", done.stderr
    )


def test_killed_daemon_is_replaced_while_a_client_waits(installation: Installation) -> None:
    """Its socket stays open in the supervisor: nobody is refused, nobody who waits is reset."""
    (daemon,) = installation.daemons()
    os.kill(daemon, signal.SIGSTOP)
    with Wire(installation.port("smtp")) as waiting:
        os.kill(daemon, signal.SIGKILL)
        assert waiting.line().startswith(b"220 ")
    (successor,) = installation.daemons()
    assert successor != daemon
    assert "The serve process was killed by SIGKILL; it is started again." in installation.output()


def test_binding_changes_at_once_and_drops_no_session(installation: Installation) -> None:
    old, new = installation.port("smtp"), free_port()
    with Wire(old) as wire, Wire(installation.port("pop3")) as other:
        assert wire.line().startswith(b"220 ")
        assert other.line().startswith(b"+OK")
        set_bindings(installation, "smtp", new)
        wait_until(lambda: listens(new) and not listens(old), 2, "the new binding")
        assert wire.ask(b"NOOP").startswith(b"250 ")
        assert other.ask(b"CAPA").startswith(b"+OK")
    os.kill(installation.daemons()[0], signal.SIGKILL)
    wait_until(lambda: listens(new), 10, "the new binding in the next daemon")
    set_bindings(installation, "smtp", old)
    wait_until(lambda: listens(old) and not listens(new), 2, "the old binding")


def test_taken_port_is_reported_and_used_once_it_is_free(installation: Installation) -> None:
    old = installation.port("pop3")
    with open_listening(Binding("127.0.0.1", 0)) as taken:
        port = binding_of(taken).port
        set_bindings(installation, "pop3", port)
        complaint = f"port {port} is already used by another program"
        wait_until(lambda: complaint in installation.manage("status", check=False), 10, "the complaint")
        assert json.loads(ask_health(installation)[1])["problems"] == [f"Nothing listens on 127.0.0.1:{port}."]
    wait_until(lambda: listens(port), 10, "the port that is free now")
    set_bindings(installation, "pop3", old)
    wait_until(lambda: listens(old), 2, "the old binding")


def ask_health(installation: Installation) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{installation.web_port}/healthz", timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as answer:
        return answer.code, answer.read().decode()


def test_memory_at_rest(installation: Installation) -> None:
    assert installation.memory_bytes() < MEMORY_BUDGET_BYTES


def test_stops_in_order_and_leaves_nobody_behind(tmp_path: Path) -> None:
    installation = Installation(tmp_path / "data")
    installation.start("--workers", "2")
    assert len(installation.daemons()) == 2
    processes = installation.processes()
    with Wire(installation.port("pop3")) as wire:
        assert wire.line().startswith(b"+OK")
        assert installation.process is not None
        installation.process.send_signal(signal.SIGINT)
        assert installation.process.wait(30) == 0
        assert wire.line() == b""
    wait_until(lambda: not any(map(is_running, processes)), 10, "the end of every process")
    assert "Traceback" not in installation.output()
    assert installation.output().endswith("Pillarbox is stopping.\nPillarbox has stopped.\n")
    assert installation.errors() == ""


def test_killed_supervisor_takes_its_processes_along_and_the_next_start_finds_the_ports_free(tmp_path: Path) -> None:
    installation = Installation(tmp_path / "data")
    installation.start()
    processes = installation.processes()
    assert installation.process is not None
    installation.process.kill()
    installation.process.wait()
    wait_until(lambda: not any(map(is_running, processes)), 30, "the end of every process")
    again = installation.start()
    assert "NOT LISTENING" not in again
    assert "password" not in again.replace("--password", "")
    assert installation.stop() == 0


def test_no_service_can_listen(tmp_path: Path) -> None:
    installation = Installation(tmp_path / "data")
    taken = [open_listening(Binding("127.0.0.1", installation.port(name))) for name in SERVICES]
    done = subprocess.run(
        [sys.executable, "manage.py", "run"],
        cwd=ROOT,
        env=installation.environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    for listening in taken:
        listening.close()
    assert done.returncode == 1
    assert done.stdout.count("is already used by another program") == len(SERVICES)
    assert done.stderr == "Pillarbox did not start: no service can listen.\n"


def test_one_taken_port_does_not_stop_the_others(tmp_path: Path) -> None:
    installation = Installation(tmp_path / "data")
    with open_listening(Binding("127.0.0.1", installation.port("smtp"))):
        said = installation.start()
        assert f"NOT LISTENING: port {installation.port('smtp')} is already used by another program" in said
        assert "Pillarbox is ready, save for what does not listen" in said
        assert greeting(installation.port("pop3")).startswith(b"+OK")
    wait_until(lambda: listens(installation.port("smtp")), 10, "the port that is free now")
    assert installation.stop() == 0


def test_damaged_key_file_ends_in_a_sentence(tmp_path: Path) -> None:
    installation = Installation(tmp_path / "data")
    installation.data.mkdir()
    (installation.data / "secret.key").write_text("nonsense")
    done = subprocess.run(
        [sys.executable, "manage.py", "run"],
        cwd=ROOT,
        env=installation.environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "is damaged: put back the one of your backup" in done.stderr
