# SPDX-License-Identifier: MIT
"""From options and environment to the environment of every process."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from protocols.supervisor.options import add_options, environment_for


def parse(*arguments: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_options(parser)
    return parser.parse_args(arguments)


def test_options_come_before_the_environment() -> None:
    options = parse("--data", "/srv/mail", "--port-offset", "0", "--listen", "::", "--web-port", "80")
    environ = {"PILLARBOX_DATA": "/elsewhere", "PILLARBOX_PORT_OFFSET": "5", "PILLARBOX_DOMAIN": "example.org"}
    made = environment_for(options, environ)
    assert made["PILLARBOX_DATA"] == "/srv/mail"
    assert made["PILLARBOX_PORT_OFFSET"] == "0"
    assert made["PILLARBOX_LISTEN"] == "::"
    assert made["PILLARBOX_WEB_PORT"] == "80"
    assert made["PILLARBOX_DOMAIN"] == "example.org"
    assert made["PILLARBOX_KEY_FILE"] == "/srv/mail/secret.key"


def test_relative_paths_are_meant_from_here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert environment_for(parse(), {})["PILLARBOX_DATA"] == str(tmp_path / "data")
    assert environment_for(parse("--data", "mail"), {})["PILLARBOX_DATA"] == str(tmp_path / "mail")
    assert environment_for(parse(), {"PILLARBOX_KEY_FILE": "key"})["PILLARBOX_KEY_FILE"] == str(tmp_path / "key")


@pytest.mark.parametrize("offset", ["many", "-1", "70000"])
def test_nonsense_ends_in_a_sentence(offset: str) -> None:
    with pytest.raises(SystemExit, match="PILLARBOX_PORT_OFFSET must"):
        environment_for(parse(f"--port-offset={offset}"), {})


@pytest.mark.parametrize("workers", ["0", "65", "x"])
def test_count_of_daemons_is_checked(workers: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse("--workers", workers)
    assert "--workers" in capsys.readouterr().err
