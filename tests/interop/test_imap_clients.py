# SPDX-License-Identifier: MIT
"""Other people's IMAP4 clients against a whole installation: mbsync, OfflineIMAP, mutt, curl, imaplib, aioimaplib.

RFC 9051, RFC 3501. Two-way synchronisation is done twice: the second time nothing may differ.
"""

from __future__ import annotations

import asyncio
import imaplib
import mailbox
import os
import re
import ssl
from collections.abc import Iterator
from pathlib import Path

import aioimaplib
import pytest

from tests.bench.imap_drivers import Filling, run_driver
from tests.support.installation import Installation
from tests.support.programs import bare_environment, run_program

pytestmark = [pytest.mark.interop, pytest.mark.slow]

PASSWORD = "alice-secret-1"
MANY = 5000
SOME = 300
USERS = ["alice", "bob", "carol", "dora", "emil"]
SYNC_SECONDS = 300


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    with Installation(tmp_path_factory.mktemp("imap") / "data") as running:
        running.add_users(USERS, PASSWORD)
        yield running
        assert running.errors() == ""


@pytest.fixture
def home(tmp_path: Path) -> dict[str, str]:
    return bare_environment(tmp_path)


def _trusting() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _log_in(installation: Installation, user: str) -> imaplib.IMAP4:
    client = imaplib.IMAP4_SSL("127.0.0.1", installation.port("imaps"), ssl_context=_trusting(), timeout=30)
    client.login(user, PASSWORD)
    return client


def _append(client: imaplib.IMAP4, folder: str, subject: str, flags: str = "") -> None:
    message = f"From: a@example.org\r\nTo: b@example.test\r\nSubject: {subject}\r\n\r\nHello {subject}.\r\n"
    assert client.append(folder, flags, imaplib.Time2Internaldate(1_700_000_000), message.encode())[0] == "OK"


def _flags(client: imaplib.IMAP4, folder: str) -> dict[str, str]:
    """Subject to flags of everything in a folder."""
    count = int(client.select(f'"{folder}"', readonly=True)[1][0] or 0)
    found: dict[str, str] = {}
    if count:
        data = client.fetch("1:*", "(FLAGS BODY.PEEK[HEADER.FIELDS (SUBJECT)])")[1]
        for item in data:
            if isinstance(item, tuple):
                flags = re.search(rb"FLAGS \(([^)]*)\)", item[0])
                subject = re.search(rb"Subject: (.*)\r\n", item[1])
                assert flags
                assert subject
                kept = sorted(set(flags[1].decode().split()) - {"\\Recent"})
                found[subject[1].decode()] = " ".join(kept)
    return found


# ---------------------------------------------------------------- two-way synchronisation


def _mbsync_rules(folder: Path, port: int, user: str) -> str:
    return f"""\
IMAPAccount far
Host 127.0.0.1
Port {port}
User {user}
Pass {PASSWORD}
SSLType STARTTLS
CertificateFile {folder}/certificate.pem

IMAPStore far
Account far

MaildirStore near
Path {folder}/mail/
Inbox {folder}/mail/INBOX
SubFolders Verbatim

Channel all
Far :far:
Near :near:
Patterns *
Create Both
Remove Both
Expunge Both
SyncState *
CopyArrivalDate yes
"""


def _certificate(installation: Installation) -> str:
    return ssl.get_server_certificate(("127.0.0.1", installation.port("imaps")))


def test_mbsync_synchronises_both_ways(installation: Installation, tmp_path: Path, home: dict[str, str]) -> None:
    run_driver(Filling(installation.port("imap4"), "alice", PASSWORD, MANY, size_bytes=1500))
    (tmp_path / "certificate.pem").write_text(_certificate(installation))
    (tmp_path / "mail").mkdir()
    rules = tmp_path / "mbsyncrc"
    rules.write_text(_mbsync_rules(tmp_path, installation.port("imap4"), "alice"))
    sync = ["mbsync", "-c", str(rules), "-a"]
    run_program(sync, home, seconds=SYNC_SECONDS)
    inbox = tmp_path / "mail" / "INBOX"
    assert len(os.listdir(inbox / "new")) + len(os.listdir(inbox / "cur")) == MANY
    _change_both_sides(installation, tmp_path / "mail", "alice")
    run_program(sync, home, seconds=SYNC_SECONDS)
    before = _everything(tmp_path / "mail"), _modseqs(installation, "alice")
    run_program(sync, home, seconds=SYNC_SECONDS)
    assert (_everything(tmp_path / "mail"), _modseqs(installation, "alice")) == before
    _check_both_sides(installation, tmp_path / "mail", "alice")


def _change_both_sides(installation: Installation, mail: Path, user: str) -> None:
    """On the server: a flag, a folder with a message, an expunge. In the Maildir: a flag, a new message."""
    client = _log_in(installation, user)
    client.create('"Work/Far away"')
    _append(client, '"Work/Far away"', "made-on-the-server", "(\\Flagged)")
    client.select()
    client.store("1", "+FLAGS", "(\\Answered \\Seen)")
    client.store("2", "+FLAGS", "(\\Deleted)")
    client.expunge()
    client.logout()
    near = mailbox.Maildir(mail / "INBOX")
    last = max(near.keys(), key=lambda key: int(re.search(r"U=(\d+)", str(near._lookup(key)))[1]))  # type: ignore[attr-defined,index]
    message = near[last]
    message.add_flag("F")
    near[last] = message
    added = mailbox.MaildirMessage("Subject: made-in-the-maildir\n\nHello.\n")
    added.set_subdir("cur")
    added.set_flags("S")
    near.add(added)


def _check_both_sides(installation: Installation, mail: Path, user: str) -> None:
    client = _log_in(installation, user)
    flags = _flags(client, "INBOX")
    client.logout()
    assert len(flags) == MANY
    assert flags["made-in-the-maildir"] == "\\Seen"
    assert list(flags.values()).count("\\Flagged") == 1
    assert list(flags.values()).count("\\Answered \\Seen") == 1
    far = mailbox.Maildir(mail / "Work" / "Far away")
    assert [(message["Subject"], message.get_flags()) for message in far] == [("made-on-the-server", "F")]


def _modseqs(installation: Installation, user: str) -> list[bytes]:
    """What would differ if anything at all had been changed on the server (RFC 7162 §3.1.7)."""
    client = _log_in(installation, user)
    said = client._simple_command("LIST", '""', "*", "RETURN (STATUS (MESSAGES UIDNEXT HIGHESTMODSEQ))")  # type: ignore[attr-defined]
    statuses = client.response("STATUS")[1]
    client.logout()
    assert said[0] == "OK"
    return [status for status in statuses if isinstance(status, bytes)]


def _everything(mail: Path) -> list[str]:
    """Every file of the Maildirs, by name: names hold the flags."""
    return sorted(
        str(file.relative_to(mail)) for file in mail.rglob("*") if file.is_file() and file.parent.name in ("cur", "new")
    )


def test_offlineimap_synchronises_both_ways(installation: Installation, tmp_path: Path, home: dict[str, str]) -> None:
    run_driver(Filling(installation.port("imap4"), "bob", PASSWORD, SOME, size_bytes=1500))
    (tmp_path / "certificate.pem").write_text(_certificate(installation))
    rules = tmp_path / "offlineimaprc"
    rules.write_text(f"""\
[general]
accounts = test
metadata = {tmp_path}/metadata
[Account test]
localrepository = near
remoterepository = far
[Repository near]
type = Maildir
localfolders = {tmp_path}/mail
[Repository far]
type = IMAP
remotehost = localhost
remoteport = {installation.port("imaps")}
remoteuser = bob
remotepass = {PASSWORD}
ssl = yes
sslcacertfile = {tmp_path}/certificate.pem
ssl_version = tls1_2
tls_level = tls_compat
""")
    sync = ["offlineimap", "-c", str(rules), "-o", "-u", "basic"]
    run_program(sync, home, seconds=SYNC_SECONDS)
    assert len(_everything(tmp_path / "mail")) == SOME
    client = _log_in(installation, "bob")
    client.select()
    client.store("1:10", "+FLAGS", "(\\Seen)")
    client.logout()
    added = mailbox.MaildirMessage("Subject: made-in-the-maildir\n\nHello.\n")
    mailbox.Maildir(tmp_path / "mail" / "INBOX").add(added)
    run_program(sync, home, seconds=SYNC_SECONDS)
    before = _everything(tmp_path / "mail")
    said = run_program(sync, home, seconds=SYNC_SECONDS)
    assert _everything(tmp_path / "mail") == before
    assert "Copy message" not in said
    client = _log_in(installation, "bob")
    flags = _flags(client, "INBOX")
    client.logout()
    assert len(flags) == SOME + 1
    assert "made-in-the-maildir" in flags
    assert list(flags.values()).count("\\Seen") == 10


# ---------------------------------------------------------------- reading and filing


def test_mutt_reads_and_files(installation: Installation, tmp_path: Path, home: dict[str, str]) -> None:
    """Driven by keys: open the Inbox, save a message into another folder, delete the next, leave."""
    client = _log_in(installation, "carol")
    for subject in ("keep-me", "delete-me", "stay"):
        _append(client, "INBOX", subject)
    rules = tmp_path / "muttrc"
    rules.write_text(f"""\
set imap_user=carol
set imap_pass="{PASSWORD}"
set ssl_starttls=no ssl_force_tls=no
set folder="imap://127.0.0.1:{installation.port("imap4")}/"
set spoolfile="+INBOX"
set confirmappend=no confirmcreate=no delete=yes quit=yes beep=no wait_key=no sort=date-received
set header_cache="" imap_condstore=yes imap_qresync=yes
push "<save-message>=Archive<enter><delete-message><quit>"
""")
    run_program(["script", "-qefc", f"mutt -F {rules}", "/dev/null"], home, seconds=60)
    assert list(_flags(client, "INBOX")) == ["stay"]
    assert list(_flags(client, "Archive")) == ["keep-me"]
    client.logout()


@pytest.mark.parametrize(
    ("scheme", "service", "options"),
    [("imap", "imap4", []), ("imap", "imap4", ["--ssl-reqd"]), ("imaps", "imaps", [])],
    ids=["clear", "starttls", "tls"],
)
def test_curl_lists_and_fetches(
    installation: Installation, tmp_path: Path, home: dict[str, str], scheme: str, service: str, options: list[str]
) -> None:
    client = _log_in(installation, "dora")
    _append(client, "INBOX", f"for-curl-{service}")
    count = int(client.select(readonly=True)[1][0] or 0)
    client.logout()
    url = f"{scheme}://127.0.0.1:{installation.port(service)}/"
    curl = ["curl", "-sS", "--insecure", "--user", f"dora:{PASSWORD}", *options]
    assert '"/" "INBOX"' in run_program([*curl, url], home)
    assert f"Subject: for-curl-{service}" in run_program([*curl, f"{url}INBOX;MAILINDEX={count}"], home)
    found = run_program([*curl, f"{url}INBOX?SUBJECT%20for-curl-{service}"], home)
    assert str(count) in found.split()
    assert "EXISTS" in run_program([*curl, url, "-X", "EXAMINE INBOX"], home)
    message = tmp_path / "message"
    message.write_bytes(b"Subject: by-curl\r\n\r\nHello.\r\n")
    run_program([*curl, "-T", str(message), f"{url}Drafts"], home)
    assert "Subject: by-curl" in run_program([*curl, f"{url}Drafts;MAILINDEX=1"], home)


def test_imaplib_does_the_usual(installation: Installation) -> None:
    client = imaplib.IMAP4("127.0.0.1", installation.port("imap4"), timeout=30)
    client.starttls(_trusting())
    client.authenticate("PLAIN", lambda _: f"\0emil\0{PASSWORD}".encode())
    client.enable("UTF8=ACCEPT")
    assert client.create('"Büro"')[0] == "OK"
    assert any("Büro" in line.decode() for line in client.list()[1] if isinstance(line, bytes))
    _append(client, '"Büro"', "one")
    _append(client, '"Büro"', "two", "(\\Flagged)")
    assert client.select('"Büro"')[1] == [b"2"]
    assert client.search(None, "FLAGGED")[1] == [b"2"]
    assert client.uid("SEARCH", "SUBJECT", "one")[1] == [b"1"]
    assert client.sort("(REVERSE SUBJECT)", "UTF-8", "ALL")[1] == [b"2 1"]
    assert client.thread("REFERENCES", "UTF-8", "ALL")[1] == [b"(1)(2)"]
    assert client.copy("1:2", "Archive")[0] == "OK"
    assert client.store("1", "+FLAGS", "(\\Deleted)")[0] == "OK"
    assert client.expunge()[1] == [b"1"]
    assert client.status("Archive", "(MESSAGES UIDNEXT)")[1] == [b'"Archive" (MESSAGES 2 UIDNEXT 3)']
    assert client.getquotaroot("INBOX")[0] == "OK"
    assert client.myrights("INBOX")[1] == [b'"INBOX" "lrswipkxteacd"']
    assert client.namespace()[1] == [b'(("" "/")) (("#users/" "/")) (("#public/" "/"))']
    assert client.rename('"Büro"', '"Altes Büro"')[0] == "OK"
    client.unselect()
    assert client.delete('"Altes Büro"')[0] == "OK"
    client.logout()


async def test_aioimaplib_hears_of_new_mail_while_it_idles(installation: Installation) -> None:
    client = aioimaplib.IMAP4("127.0.0.1", installation.port("imap4"), timeout=30)
    await client.wait_hello_from_server()
    assert (await client.login("emil", PASSWORD)).result == "OK"
    assert (await client.select("INBOX")).result == "OK"
    idling = await client.idle_start(timeout=30)
    other = await asyncio.to_thread(_log_in, installation, "emil")
    await asyncio.to_thread(_append, other, "INBOX", "while-idling")
    pushed = await asyncio.wait_for(client.wait_server_push(), 5)
    assert any(b"EXISTS" in line for line in pushed), pushed
    client.idle_done()
    await asyncio.wait_for(idling, 5)
    answer = await client.uid("fetch", "1:*", "(FLAGS BODY.PEEK[])")
    assert answer.result == "OK"
    assert any(b"while-idling" in bytes(line) for line in answer.lines)
    await client.logout()
    client.protocol.transport.close()  # it waits for the server to do so, and is gone before it sees that
    await asyncio.to_thread(other.logout)
