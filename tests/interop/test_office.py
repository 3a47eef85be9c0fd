# SPDX-License-Identifier: MIT
"""The small office's configuration file, with a Dovecot for its provider and a mail server for its way out."""

from __future__ import annotations

import poplib
import smtplib
from pathlib import Path

import pytest
import yaml

from tests.support.dovecot import PASSWORD, Dovecot
from tests.support.installation import Installation
from tests.support.remote_smtp import RemoteSmtp
from tests.support.sources import ROOT
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.interop, pytest.mark.slow]

OFFICE = ROOT / "tests" / "support" / "examples" / "office.yaml"


def message(to: str, subject: str) -> bytes:
    return (
        f"From: someone@remote.example\r\nTo: {to}\r\nSubject: {subject}\r\nMessage-ID: <{subject}@remote.example>\r\n"
        "\r\nhello\r\n"
    ).encode()


def subjects(office: Installation, user: str, password: str) -> list[str]:
    """What is in an Inbox."""
    client = poplib.POP3("127.0.0.1", office.port("pop3"), timeout=30)
    client.user(user)
    client.pass_(password)
    count = client.stat()[0]
    lines = [line for number in range(1, count + 1) for line in client.top(number, 0)[1]]
    client.quit()
    return sorted(line.decode()[9:] for line in lines if line.startswith(b"Subject: "))


def test_the_small_office(tmp_path: Path) -> None:
    with Dovecot() as provider, RemoteSmtp() as outside, Installation(tmp_path / "data") as office:
        text = OFFICE.read_text().replace("11110", str(provider.pop3_port)).replace("12526", str(outside.port))
        file = tmp_path / "office.yaml"
        file.write_text(text.replace("password: pass\n", f"password: {PASSWORD}\n"))
        provider.deliver("office", message("office@test.local", "One"), message("whoever@test.local", "Two"))
        provider.deliver(
            "catchall",
            message("bob@example.test", "For-Bob"),
            message("Alice <alice@example.test>, bob@example.test", "For-both"),
            message("stranger@example.org", "For-nobody"),
        )
        office.manage("importconfig", str(file))
        wait_until(office.workers, 60, "the worker")
        said = office.manage("connect")
        assert "Main line, collecting Provider mailbox: 2 messages, done\n" in said
        assert said.endswith("Main line: done\n")
        assert subjects(office, "alice", "alice-secret-1") == ["For-both", "One", "Two"]
        assert subjects(office, "bob", "bob-secret-22") == ["For-Bob", "For-both"]
        assert (provider.count("office"), provider.count("catchall")) == (0, 3)
        with smtplib.SMTP("127.0.0.1", office.port("submission"), timeout=30) as client:
            client.login("alice", "alice-secret-1")
            client.sendmail("alice@example.test", ["far@remote.example"], message("far@remote.example", "Out"))
        wait_until(lambda: outside.messages, 30, "the message, without anybody connecting")
        assert b"Subject: Out\r\n" in outside.messages[0].data
        office.manage("connect", "Main line")
        assert subjects(office, "bob", "bob-secret-22") == ["For-Bob", "For-both"]
        wait_until(lambda: office.manage("queue", "list") == "", 30, "an empty queue")
        assert_exported(office, file)
        postmaster = office.manage("trace", "For-nobody")
        assert "postmaster@example.test" in postmaster
        assert office.errors() == ""


def assert_exported(office: Installation, file: Path) -> None:
    """All that was written in the file comes out again."""
    exported = yaml.safe_load(office.manage("exportconfig", "--secrets"))
    wanted = yaml.safe_load(file.read_text())
    for section in ("collectors", "connections", "schedule"):
        assert [row["name"] for row in exported[section]] == [row["name"] for row in wanted[section]]
        for given, found in zip(wanted[section], exported[section], strict=True):
            differing = {key for key in given if key not in ("sender", "routing") and found[key] != given[key]}
            assert differing == set()
            for part in ("sender", "routing"):
                assert {key for key in given.get(part, {}) if found[part][key] != given[part][key]} == set()
