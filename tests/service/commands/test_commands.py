# SPDX-License-Identifier: MIT
"""Every command of the domain: what it prints, and status 0 only on success, without a traceback ever."""

from __future__ import annotations

import getpass
import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.db import OperationalError, ProgrammingError

from mailserver import clock
from mailserver.activity.models import Process
from mailserver.activity.services import heartbeat, register_process
from mailserver.addressing.services import list_domains
from mailserver.config import services
from mailserver.config.building import build_snapshot
from mailserver.config.models import Service
from mailserver.journey.models import Journey, JourneyEvent
from mailserver.leases import services as leases
from mailserver.management import diagnosis
from mailserver.outqueue.models import QueuedRecipient
from mailserver.outqueue.recalling import Recalled
from mailserver.outqueue.recording import record
from mailserver.outqueue.values import Attempt, AttemptResult
from mailserver.store.models import Content, Mailbox
from mailserver.users.services import DatabaseAuthenticator, find_user
from mailserver.values import Client, Protocol
from tests.service.commands.conftest import Run
from tests.support.queueing import make_queued, make_sender, row

pytestmark = [pytest.mark.django_db, pytest.mark.database, pytest.mark.usefixtures("installation")]

COMMANDS = (
    "adduser",
    "setpassword",
    "deluser",
    "adddomain",
    "deldomain",
    "settings",
    "status",
    "trace",
    "queue",
    "importconfig",
    "exportconfig",
    "doctor",
)


def can_log_in(name: str, password: str) -> bool:
    client = Client(Protocol.SMTP, service_id=1, session=1, address="127.0.0.1", port=1)
    return DatabaseAuthenticator().check_password(name, password, client).name == name


@pytest.mark.parametrize("command", COMMANDS)
def test_help_is_for_people(run: Run, command: str) -> None:
    outcome = run(command, "--help")
    assert outcome.status == 0
    assert len(outcome.out.splitlines()) > 4
    for noise in ("--pythonpath", "--traceback", "--settings", "--verbosity"):
        assert noise not in outcome.out


class TestUsers:
    """adduser, setpassword, deluser."""

    def test_a_user_can_log_in_afterwards(self, run: Run) -> None:
        outcome = run("adduser", "alice", "--password", "alice-secret-1", "--full-name", "Alice Example")
        assert (outcome.status, outcome.err) == (0, "")
        assert outcome.out == "alice@example.test can log in now.\n"
        assert can_log_in("alice", "alice-secret-1")

    def test_an_administrator_in_another_domain(self, run: Run) -> None:
        run("adddomain", "second.example")
        assert run("adduser", "bob", "--password", "bob-secret-22", "--admin", "--domain", "second.example").status == 0
        user = find_user("bob@second.example")
        assert user is not None
        assert user.is_admin

    def test_the_password_may_come_on_standard_input(self, run: Run) -> None:
        assert run("adduser", "alice", typed="alice-secret-1\n").status == 0
        assert can_log_in("alice", "alice-secret-1")

    def test_at_a_terminal_it_is_typed_twice(self, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        answers = iter(["alice-secret-1", "alice-secret-1", "one-secret-here", "another-secret"])
        monkeypatch.setattr(getpass, "getpass", lambda prompt: next(answers))
        monkeypatch.setattr("mailserver.management.plain.is_terminal", lambda: True)
        assert run("adduser", "alice").status == 0
        outcome = run("adduser", "bob")
        assert (outcome.status, outcome.err) == (1, "The two passwords are not the same.\n")

    @pytest.mark.parametrize(
        ("words", "sentence"),
        [
            (("adduser", "alice", "--password", "x"), "password: A password needs at least 8 characters.\n"),
            (("adduser", "a b", "--password", "alice-secret-1"), "name: Use 1 to 32 letters"),
            (("adduser", "postmaster", "--password", "another-secret"), "name: There is already a user"),
            (("adduser", "a", "--password", "alice-secret-1", "--domain", "x.example"), "domain: x.example is not"),
            (("setpassword", "nobody", "--password", "some-secret"), "There is no user nobody.\n"),
            (("setpassword", "postmaster", "--password", "postmaster"), "password: A password may not be the same"),
            (("deluser", "nobody"), "There is no user nobody.\n"),
            (("deluser", "postmaster"), "postmaster@example.test is the last administrator."),
            (("adddomain", "not a domain"), "name: 'not a domain' is not a domain name"),
            (("adddomain", "example.test"), "name: example.test is already a local domain.\n"),
            (("deldomain", "example.test"), "name: example.test is the only domain."),
            (("settings", "get", "no.such"), "There is no setting no.such."),
            (("settings", "set", "no.such", "1"), "no.such: There is no setting of this name.\n"),
            (("settings", "set", "mail.max_hops", "x"), "mail.max_hops: must be a whole number, not 'x'\n"),
            (("settings", "reset", "no.such"), "no.such: There is no setting of this name.\n"),
            (("trace", "nothing-like-this"), "Nothing is known of such a message.\n"),
            (("queue", "show", "17"), "Nothing in the queue is called 17.\n"),
            (("importconfig", "/no/such/file"), "/no/such/file cannot be read: No such file or directory.\n"),
            (("exportconfig", "/no/such/folder/file"), "/no/such/folder/file cannot be written"),
        ],
    )
    def test_what_is_wrong_is_a_plain_sentence(self, run: Run, words: tuple[str, ...], sentence: str) -> None:
        outcome = run(*words)
        assert outcome.status == 1
        assert outcome.err.startswith(sentence)
        assert outcome.out == ""
        assert "Traceback" not in outcome.err

    @pytest.mark.parametrize("words", [("adduser",), ("settings",), ("queue", "fly"), ("status", "--frob")])
    def test_what_cannot_be_understood(self, run: Run, words: tuple[str, ...]) -> None:
        outcome = run(*words)
        assert outcome.status == 2
        assert "usage:" in outcome.err

    def test_a_new_password(self, run: Run) -> None:
        assert run("setpassword", "postmaster@example.test", "--password", "a-new-secret").status == 0
        assert can_log_in("postmaster", "a-new-secret")

    def test_messages_go_only_by_force(self, run: Run) -> None:
        run("adduser", "alice", "--password", "alice-secret-1")
        Mailbox.objects.filter(user__name="alice", special_use="inbox").update(messages=2)
        outcome = run("deluser", "alice")
        assert (outcome.status, "still has 2 messages" in outcome.err) == (1, True)
        assert run("deluser", "alice", "--force").status == 0
        assert find_user("alice") is None

    def test_domains_come_and_go(self, run: Run) -> None:
        assert run("adddomain", "Second.Example").out == "second.example is a local domain now.\n"
        assert run("deldomain", "second.example").status == 0
        assert list_domains() == ["example.test"]


class TestSettings:
    """settings list, get, set, reset."""

    def test_round(self, run: Run) -> None:
        assert run("settings", "get", "mail.max_hops").out == "30\n"
        assert run("settings", "set", "mail.max_hops", "50").status == 0
        assert run("settings", "get", "mail.max_hops").out == "50\n"
        lines = run("settings", "list").out.splitlines()
        assert len([line for line in lines if line.startswith("* mail.max_hops ") and line.endswith(" 50")]) == 1
        assert run("settings", "reset", "mail.max_hops").status == 0
        assert run("settings", "get", "mail.max_hops").out == "30\n"

    def test_a_setting_of_several_lines_takes_one_in_the_list(self, run: Run) -> None:
        lines = run("settings", "list").out.splitlines()
        assert [line for line in lines if "users.welcome_text" in line and r"\n" in line]


class TestMail:
    """trace and queue."""

    def journey(self) -> None:
        now = clock.now()
        Journey.objects.create(
            ref="01HZX",
            started=now,
            source="smtp",
            client="192.0.2.9",
            sender="a@b.example",
            subject="Grüße",
            size=1234,
            login="alice@example.test",
        )
        JourneyEvent.objects.create(
            journey_id="01HZX", at=now, kind="filed", recipient="bob@example.test", detail="INBOX"
        )

    def test_trace_tells_the_story(self, run: Run) -> None:
        self.journey()
        outcome = run("trace", "grüße", "bob@example.test")
        assert outcome.status == 0
        first, second, third = outcome.out.splitlines()
        assert first.startswith("01HZX  ")
        assert first.endswith("from <a@b.example>  'Grüße'")
        assert second == "    came by smtp 192.0.2.9 (logged in as alice@example.test), 1234 bytes"
        assert third.endswith("filed     bob@example.test  INBOX")

    def test_times_are_those_of_the_time_zone(self, run: Run) -> None:
        self.journey()
        services.set_setting("server.time_zone", "Pacific/Kiritimati")
        started = Journey.objects.get().started
        assert f"{started:%Y-%m-%d %H:%M:%S}" not in run("trace").out

    def test_the_queue_from_list_to_delete(self, run: Run) -> None:
        assert (run("queue", "list").status, run("queue", "list").out) == (0, "")
        content = Content.objects.create(ref="01HZX", sha256="0" * 64, size=5, body=b"hello", created=clock.now())
        for name in ("x", "y"):
            QueuedRecipient.objects.create(
                ref="01HZX",
                content=content,
                recipient=f"{name}@remote.example",
                domain="remote.example",
                size=5,
                queued=clock.now(),
            )
        lines = run("queue", "list").out.splitlines()
        assert len(lines) == 2
        assert lines[0].endswith("<> -> <x@remote.example>")
        number = lines[0].split()[0]
        assert run("queue", "hold", number).out == "1 recipient held.\n"
        assert "held" in run("queue", "show", number).out
        assert run("queue", "release", "01HZX").out == "1 recipient released.\n"
        assert run("queue", "delete", "01hzx").out == "2 recipients deleted.\n"
        assert not QueuedRecipient.objects.exists()

    def test_the_queue_tells_what_was_said(self, run: Run) -> None:
        (id_,) = make_queued(claim="me")
        reply = "450-4.2.0 busy\x1b[2J\n450 4.2.0 come back"
        record([Attempt(id_, AttemptResult.DEFERRED, reply, server="mx.remote.example")], "me", make_sender())
        (line,) = run("queue", "list").out.splitlines()
        assert line.endswith("<alice@example.test> -> <x@remote.example>  450-4.2.0 busy [2J")
        shown = run("queue", "show", str(id_)).out
        assert "mx.remote.example\n    450-4.2.0 busy [2J\n    450 4.2.0 come back\n" in shown
        assert "tries:              1\n" in shown
        assert run("queue", "retry", str(id_)).out.startswith("1 recipient to be tried")
        assert row(id_).next_attempt is None
        assert run("queue", "priority", "7", str(id_)).out == "1 recipient now of priority 7.\n"
        assert run("queue", "priority", "700", str(id_)).status == 1
        assert run("queue", "retry").status == 1
        assert run("queue", "retry", "--all").status == 0
        assert run("queue", "delete", "--notify", str(id_)).out == "1 recipient deleted; their senders are told.\n"
        assert run("queue", "list").out == ""
        assert "state:              failed" in run("queue", "show", str(id_)).out
        assert run("queue", "hold", str(id_)).status == 1

    def test_what_is_being_sent_is_left(self, run: Run) -> None:
        (id_,) = make_queued(claim="me")
        assert leases.acquire("sender:1", "me", 60)
        assert run("queue", "list").out.split()[2] == "sending"
        outcome = run("queue", "delete", str(id_))
        assert (outcome.status, outcome.out) == (1, "0 recipients deleted.\n")
        assert outcome.err == "1 recipient being sent at this moment: left.\n"
        outcome = run("queue", "hold", str(id_))
        assert (outcome.status, outcome.out) == (1, "0 recipients held.\n")
        assert outcome.err == "1 recipient being sent at this moment: held only if that fails.\n"

    def test_a_key_that_is_gone_keeps_nothing_from_the_others(self, run: Run) -> None:
        first, sent, last = make_queued() + make_queued(status="sent") + make_queued()
        outcome = run("queue", "hold", str(first), str(sent), "999999", str(last))
        assert (outcome.status, outcome.out) == (1, "2 recipients held.\n")
        assert outcome.err == f"{sent} does not wait any more: sent.\nNothing in the queue is called 999999.\n"
        assert [row(id_).status for id_ in (first, sent, last)] == ["held", "sent", "held"]
        outcome = run("queue", "show", "999999", str(sent))
        assert (outcome.status, outcome.err) == (1, "Nothing in the queue is called 999999.\n")
        assert f"number:             {sent}\n" in outcome.out
        outcome = run("queue", "hold", str(sent))
        assert (outcome.status, outcome.out) == (1, "")

    def test_a_recipient_that_is_named_twice_counts_once(self, run: Run) -> None:
        (id_,) = make_queued()
        outcome = run("queue", "delete", str(id_), row(id_).ref)
        assert (outcome.status, outcome.out) == (0, "1 recipient deleted.\n")

    def test_what_is_sent_in_the_very_moment_is_said(self, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        first, last = make_queued() + make_queued()

        def send_and_recall(ids: object, **_: object) -> Recalled:
            QueuedRecipient.objects.filter(pk=first).update(status="sent")
            return Recalled()

        monkeypatch.setattr("mailserver.outqueue.services.recall", send_and_recall)
        outcome = run("queue", "hold", str(first), str(last))
        assert (outcome.status, outcome.out) == (1, "1 recipient held.\n")
        assert outcome.err == "1 recipient sent, or given up, in the meantime.\n"


class TestConfigurationFile:
    """importconfig and exportconfig."""

    def test_out_and_in_again(self, run: Run, tmp_path: Path) -> None:
        path = tmp_path / "office.yaml"
        assert run("exportconfig", str(path)).status == 0
        assert path.stat().st_mode & 0o777 == 0o600
        outcome = run("importconfig", str(path))
        assert outcome.status == 0
        assert outcome.out.endswith("The configuration has been imported.\n")

    def test_both_formats_say_the_same(self, run: Run) -> None:
        as_json = json.loads(run("exportconfig", "--format", "json").out)
        assert yaml.safe_load(run("exportconfig").out) == as_json
        assert as_json["domains"] == ["example.test"]

    def test_each_wrong_line(self, run: Run, tmp_path: Path) -> None:
        path = tmp_path / "office.yaml"
        path.write_text(
            "domains: [x y]\nusers:\n  - {name: alice, password: alice-secret-1}\n  - {name: bob, password: bob}\n"
        )
        outcome = run("importconfig", str(path))
        assert outcome.status == 1
        assert list(dict.fromkeys(line.partition(": ")[0] for line in outcome.err.splitlines())) == [
            f"{path}, line 1",
            f"{path}, line 4",
            "Nothing was changed.",
        ]
        assert find_user("alice") is None

    def test_what_still_needs_somebody_is_a_warning(self, run: Run) -> None:
        outcome = run("importconfig", "-", typed="users: [{name: dave}]\ndomains: [y.example]\n")
        assert outcome.status == 0
        assert outcome.err.startswith("Warning: dave@example.test has no password yet")
        assert "y.example" in list_domains()

    def test_a_file_that_is_no_text(self, run: Run, tmp_path: Path) -> None:
        path = tmp_path / "office.yaml"
        path.write_bytes(b"\xff\xfe\x00")
        assert run("importconfig", str(path)).err == f"{path} is not a text in UTF-8.\n"


@pytest.fixture
def listening() -> Iterator[None]:
    """Something answers at every binding of every service."""
    sockets = []
    for service in build_snapshot().services:
        opened = socket.create_server(("127.0.0.1", 0))
        sockets.append(opened)
        services.update_service(service.id, bindings=[services.Binding("127.0.0.1", opened.getsockname()[1])])
    yield
    for opened in sockets:
        opened.close()


def report(*, problem: str = "") -> int:
    """A protocol daemon that says that it listens everywhere."""
    process = register_process(Process.Kind.SERVE)
    listeners = [
        [service.id, f"{binding.address}:{binding.port}", problem]
        for service in build_snapshot().services
        for binding in service.bindings
    ]
    heartbeat(process, Process.Kind.SERVE, report={"listeners": listeners})
    return process


class TestStatus:
    """status."""

    def test_nothing_runs(self, run: Run) -> None:
        outcome = run("status")
        assert outcome.status == 1
        assert outcome.err.startswith("The server is not running.")
        assert outcome.out.count("does not listen") == 7

    def test_all_is_well(self, run: Run) -> None:
        report()
        Service.objects.filter(name="POP3S").update(enabled=False)
        outcome = run("status", "--sessions")
        assert (outcome.status, outcome.err) == (0, "")
        assert outcome.out.count(" listens\n") == 6
        assert outcome.out.count("switched off") == 1
        assert "Today: 0 messages accepted" in outcome.out

    def test_a_port_that_is_taken(self, run: Run) -> None:
        report(problem="address already in use")
        outcome = run("status")
        assert (outcome.status, outcome.err) == (1, "Not every service listens.\n")
        assert "address already in use" in outcome.out


@pytest.fixture
def private_folder(tmp_path: Path, settings: Any) -> Path:
    """A data folder that is as it should be."""
    settings.DATA = tmp_path
    return tmp_path


@pytest.mark.usefixtures("private_folder")
class TestDoctor:
    """doctor."""

    def test_all_is_well(self, run: Run, listening: None) -> None:
        report()
        outcome = run("doctor")
        assert outcome.err == ""
        assert outcome.status == 0
        for sentence in (
            "is there and private",
            "answers and is up to date",
            "settings make sense",
            "POP3S on 127.0.0.1",
        ):
            assert sentence in outcome.out

    def test_what_is_wrong_is_found(self, run: Run) -> None:
        services.set_setting("mail.main_administrator", "postmaster")
        outcome = run("doctor")
        assert outcome.status == 1
        assert "PROBLEM  The server is not running." in outcome.out
        assert outcome.out.count("does not answer: connection refused") == 7
        assert outcome.err == "8 problems found.\n"

    def test_settings_that_make_no_sense(self, run: Run) -> None:
        Service.objects.filter(name="SMTP").update(options={"max_recipients": "many"})
        assert "PROBLEM  The settings cannot be used: the service SMTP" in run("doctor").out

    def test_the_main_administrator_is_missed(self) -> None:
        from mailserver.config.models import StoredSetting

        StoredSetting.objects.create(name="mail.main_administrator", value="nobody")
        assert [finding.text for finding in diagnosis.check_settings() if finding.level is diagnosis.Level.PROBLEM]

    def test_a_key_file_that_others_can_read(self, tmp_path: Path) -> None:
        path = tmp_path / "secret.key"
        path.write_text("x")
        path.chmod(0o644)
        (finding,) = diagnosis.check_key_file(path)
        assert finding.level is diagnosis.Level.PROBLEM
        assert f"chmod 600 {path}" in finding.text
        (missing,) = diagnosis.check_key_file(tmp_path / "none")
        assert "cannot be read" in missing.text

    @pytest.mark.parametrize(
        ("free", "level"),
        [(10**6, diagnosis.Level.PROBLEM), (5 * 10**8, diagnosis.Level.NOTE), (10**12, diagnosis.Level.GOOD)],
    )
    def test_room(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: int, level: diagnosis.Level) -> None:
        monkeypatch.setattr(diagnosis.shutil, "disk_usage", lambda folder: type("Usage", (), {"free": free}))
        (finding,) = diagnosis.check_data_folder(tmp_path)
        assert finding.level is level

    def test_a_data_folder_that_is_not_there(self, tmp_path: Path) -> None:
        (finding,) = diagnosis.check_data_folder(tmp_path / "none")
        assert finding.level is diagnosis.Level.PROBLEM

    def test_a_data_folder_that_everybody_can_read(self, private_folder: Path) -> None:
        private_folder.chmod(0o755)
        findings = list(diagnosis.check_data_folder(private_folder))
        assert [finding.level.value for finding in findings] == ["PROBLEM", "ok"]
        assert f"chmod 700 {private_folder}" in findings[0].text

    @pytest.mark.parametrize(("limit", "level"), [(0, "PROBLEM"), (1, "ok")])
    def test_messages_that_nobody_has(
        self, monkeypatch: pytest.MonkeyPatch, still_clock: Any, limit: int, level: str
    ) -> None:
        monkeypatch.setattr(diagnosis, "MANY_ORPHANS", limit)
        Content.objects.create(ref="R", sha256="0" * 64, size=1, body=b"x", created=clock.now())
        still_clock.advance(days=2)
        (finding,) = diagnosis.check_housekeeping()
        assert (finding.level.value, finding.text.startswith("1 messages")) == (level, True)

    def test_a_heartbeat_from_the_future(self, still_clock: Any) -> None:
        report()
        still_clock.advance(minutes=-5)
        (finding,) = diagnosis.check_clock()
        assert finding.level is diagnosis.Level.PROBLEM

    @pytest.mark.parametrize(("days", "level"), [(3651, "PROBLEM"), (3640, "note"), (100, "note")])
    def test_the_certificates_dates(self, still_clock: Any, days: int, level: str) -> None:
        services.make_self_signed("mail.example.test")
        still_clock.advance(days=days)
        (finding,) = diagnosis.check_certificate()
        assert finding.level.value == level


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (OperationalError("no such table: config_service"), "The database is not set up yet."),
        (ProgrammingError('relation "config_service" does not exist\nLINE 1'), "The database is not set up yet."),
        (OperationalError("connection refused"), "The database cannot be used: connection refused\n"),
        (KeyboardInterrupt(), "Interrupted.\n"),
    ],
)
def test_trouble_is_a_sentence_too(
    run: Run, monkeypatch: pytest.MonkeyPatch, error: BaseException, sentence: str
) -> None:
    def fail() -> None:
        raise error

    monkeypatch.setattr("mailserver.management.commands.queue.list_queue", fail)
    outcome = run("queue", "list")
    assert outcome.status in (1, 130)
    assert outcome.err.startswith(sentence)
    assert outcome.err.count("\n") == 1
