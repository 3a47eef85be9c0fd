# SPDX-License-Identifier: MIT
"""Other people's clients against a whole installation, in clear and encrypted; and the README's own examples.

smtplib, curl and swaks in; poplib, curl and fetchmail out. RFC 5321, RFC 1939, RFC 3207, RFC 2595, RFC 8314.
"""

from __future__ import annotations

import os
import poplib
import re
import shutil
import smtplib
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.installation import Installation, is_free
from tests.support.sources import ROOT

pytestmark = [pytest.mark.interop, pytest.mark.slow]

PASSWORD = "alice-secret-1"
README_OFFSET = 2000
README_PORTS = (2025, 2465, 2587, 2110, 2995, 2143, 2993, 8000)
EXAMPLE = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    with Installation(tmp_path_factory.mktemp("clients") / "data") as running:
        running.add_users(["alice"], PASSWORD)
        yield running
        assert running.errors() == ""


@pytest.fixture
def home(tmp_path: Path) -> dict[str, str]:
    """An environment in which no program finds a configuration of its user."""
    return {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "FETCHMAILHOME": str(tmp_path), "LC_ALL": "C.UTF-8"}


def _trusting() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _run(command: list[str], environment: dict[str, str], text: str = "") -> str:
    """A program's output; it must exist and succeed."""
    assert shutil.which(command[0]), f"{command[0]} is not installed (.ci/debian-packages installs it)"
    done = subprocess.run(command, env=environment, input=text, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}{done.stderr}"
    return done.stdout


def _inbox(installation: Installation) -> str:
    """Everything in Alice's maildrop, by poplib."""
    client = poplib.POP3("127.0.0.1", installation.port("pop3"), timeout=20)
    client.user("alice")
    client.pass_(PASSWORD)
    texts = [b"\n".join(client.retr(number)[1]) for number in range(1, client.stat()[0] + 1)]
    client.quit()
    return b"\n".join(texts).decode()


# ---------------------------------------------------------------- in


def _message(subject: str) -> str:
    return f"Subject: {subject}\r\n\r\nHello.\r\n"


def test_smtplib_in_clear(installation: Installation) -> None:
    with smtplib.SMTP("127.0.0.1", installation.port("smtp"), timeout=20) as client:
        client.sendmail("friend@example.org", ["alice@example.test"], _message("smtplib-clear"))
    assert "Subject: smtplib-clear" in _inbox(installation)


def test_smtplib_with_starttls_and_a_login(installation: Installation) -> None:
    with smtplib.SMTP("127.0.0.1", installation.port("submission"), timeout=20) as client:
        client.starttls(context=_trusting())
        client.login("alice", PASSWORD)
        client.sendmail("alice@example.test", ["alice@example.test"], _message("smtplib-starttls"))
    assert "Subject: smtplib-starttls" in _inbox(installation)


def test_smtplib_over_tls(installation: Installation) -> None:
    with smtplib.SMTP_SSL("127.0.0.1", installation.port("smtps"), timeout=20, context=_trusting()) as client:
        client.login("alice@example.test", PASSWORD)
        client.sendmail("alice@example.test", ["alice@example.test"], _message("smtplib-tls"))
    assert "Subject: smtplib-tls" in _inbox(installation)


@pytest.mark.parametrize(
    ("scheme", "service", "options"),
    [
        ("smtp", "smtp", []),
        ("smtp", "submission", ["--ssl-reqd", "--user", f"alice:{PASSWORD}"]),
        ("smtps", "smtps", ["--user", f"alice:{PASSWORD}"]),
    ],
    ids=["clear", "starttls", "tls"],
)
def test_curl_sends(
    installation: Installation, home: dict[str, str], scheme: str, service: str, options: list[str]
) -> None:
    url = f"{scheme}://127.0.0.1:{installation.port(service)}"
    envelope = ["--mail-from", "friend@example.org", "--mail-rcpt", "alice@example.test", "--upload-file", "-"]
    _run(["curl", "-sS", "--insecure", url, *options, *envelope], home, _message(f"curl-{service}"))
    assert f"Subject: curl-{service}" in _inbox(installation)


@pytest.mark.parametrize(
    ("service", "options"),
    [
        ("smtp", []),
        ("smtp", ["--tls"]),
        ("smtp", ["--pipeline"]),
        ("submission", ["--tls", "--auth", "PLAIN", "--auth-user", "alice", "--auth-password", PASSWORD]),
        ("submission", ["--tls", "--auth", "LOGIN", "--auth-user", "alice", "--auth-password", PASSWORD]),
        ("smtps", ["--tls-on-connect", "--auth", "PLAIN", "--auth-user", "alice", "--auth-password", PASSWORD]),
    ],
    ids=["clear", "starttls", "pipelining", "plain", "login", "tls"],
)
def test_swaks_sends(installation: Installation, home: dict[str, str], service: str, options: list[str]) -> None:
    subject = "swaks-" + "".join(option.strip("-") for option in options[:3]) + service
    envelope = ["--from", "friend@example.org", "--to", "alice@example.test", "--header", f"Subject: {subject}"]
    _run(["swaks", "--server", f"127.0.0.1:{installation.port(service)}", *envelope, *options], home)
    assert f"Subject: {subject}" in _inbox(installation)


def test_swaks_is_refused_where_it_must_be(installation: Installation, home: dict[str, str]) -> None:
    """Mail for others without a login, and a wrong password: swaks ends with an error."""
    server = ["swaks", "--server", f"127.0.0.1:{installation.port('smtp')}", "--from", "friend@example.org"]
    for options in (
        ["--to", "stranger@elsewhere.example"],
        ["--to", "nobody@example.test"],
        ["--to", "alice@example.test", "--auth", "PLAIN", "--auth-user", "alice", "--auth-password", "wrong"],
    ):
        done = subprocess.run([*server, *options], env=home, capture_output=True, timeout=60, check=False)
        assert done.returncode != 0


# ---------------------------------------------------------------- out


@pytest.fixture
def waiting_message(installation: Installation) -> str:
    """The subject of a message that waits for Alice."""
    with smtplib.SMTP("127.0.0.1", installation.port("smtp"), timeout=20) as client:
        client.sendmail("friend@example.org", ["alice@example.test"], _message("waiting"))
    return "Subject: waiting"


def test_poplib_over_tls_and_stls(installation: Installation, waiting_message: str) -> None:
    implicit = poplib.POP3_SSL("127.0.0.1", installation.port("pop3s"), timeout=20, context=_trusting())
    explicit = poplib.POP3("127.0.0.1", installation.port("pop3"), timeout=20)
    explicit.stls(context=_trusting())
    for client in (implicit, explicit):
        client.user("alice")
        client.pass_(PASSWORD)
        count = client.stat()[0]
        assert count
        assert waiting_message.encode() in client.retr(count)[1]
        assert len(client.uidl()[1]) == count
        client.quit()


@pytest.mark.parametrize(
    ("scheme", "service", "options"),
    [("pop3", "pop3", []), ("pop3", "pop3", ["--ssl-reqd"]), ("pop3s", "pop3s", [])],
    ids=["clear", "stls", "tls"],
)
def test_curl_reads(
    installation: Installation,
    home: dict[str, str],
    waiting_message: str,
    scheme: str,
    service: str,
    options: list[str],
) -> None:
    url = f"{scheme}://127.0.0.1:{installation.port(service)}/"
    login = ["curl", "-sS", "--insecure", "--user", f"alice:{PASSWORD}", *options]
    newest = _run([*login, url], home).splitlines()[-1].split()[0]
    assert waiting_message in _run([*login, url + newest], home)


@pytest.mark.parametrize(
    ("service", "options"),
    [("pop3", "sslproto ''"), ("pop3", "sslproto 'auto'"), ("pop3s", "ssl"), ("pop3", "sslproto '' uidl")],
    ids=["clear", "stls", "tls", "uidl"],
)
def test_fetchmail_reads(
    installation: Installation, home: dict[str, str], waiting_message: str, service: str, options: str
) -> None:
    proto, _, uidl = options.partition(" uidl")
    poll = f"poll 127.0.0.1 protocol pop3 port {installation.port(service)}" + (" uidl" if "uidl" in options else "")
    rules = f"{poll} user alice password {PASSWORD} {proto}{uidl} no sslcertck keep mda cat\n"
    assert waiting_message in _run(["fetchmail", "--fetchmailrc", "-", "--all", "--nosyslog"], home, rules)


def test_fetchmail_empties_the_maildrop(installation: Installation, home: dict[str, str], waiting_message: str) -> None:
    rules = (
        f"poll 127.0.0.1 protocol pop3 port {installation.port('pop3')} "
        f"user alice password {PASSWORD} sslproto '' no keep mda cat\n"
    )
    assert waiting_message in _run(["fetchmail", "--fetchmailrc", "-", "--all", "--nosyslog"], home, rules)
    assert _inbox(installation) == ""


# ---------------------------------------------------------------- the README


def test_the_examples_of_the_readme_work_as_they_stand(tmp_path: Path, home: dict[str, str]) -> None:
    """Each command is pasted into a shell, in order, on a fresh installation at the default ports."""
    taken = [port for port in README_PORTS if not is_free(port)]
    assert taken == [], "a Pillarbox (or something else) uses the ports that the README names; stop it first"
    examples = EXAMPLE.findall((ROOT / "README.md").read_text(encoding="utf-8"))
    assert len(examples) >= 8
    installation = Installation(tmp_path / "data", PILLARBOX_WEB_PORT="8000")
    installation.environment["PILLARBOX_PORT_OFFSET"] = str(README_OFFSET)
    environment = {**home, "PILLARBOX_DATA": str(installation.data), "VIRTUAL_ENV": ""}
    with installation:
        said = [_paste(example, environment) for example in examples]
    whole = "\n".join(said)
    for words in ("Sent with Python.", "Sent with curl.", "Sent with swaks.", "3 messages", "Hello"):
        assert words in whole


def _paste(example: str, environment: dict[str, str]) -> str:
    done = subprocess.run(
        ["bash", "-c", example], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, f"{example}\n{done.stdout}{done.stderr}"
    return done.stdout
