# SPDX-License-Identifier: MIT
"""IMAP4 over real sockets, against a whole installation with two protocol daemons on the same ports.

Python's imaplib where it will do, a bare connection where bytes matter. RFC 9051 §5.3 (TLS), §6.3.13 (IDLE), RFC 4978.
"""

from __future__ import annotations

import imaplib
import ssl
import time
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from tests.support.installation import Installation
from tests.support.processes import resident_bytes
from tests.support.waiting import wait_until
from tests.support.wire import Wire

pytestmark = pytest.mark.slow

PASSWORD = "Imap-secret-1"
AT_ONCE_SECONDS = 1.0
"""How soon a client that is listening hears of news (issue: within a second)."""
MEGABYTE = 1_000_000
TWO_DAEMONS = ("--workers", "2")


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    running = Installation(tmp_path_factory.mktemp("imap") / "data")
    running.start(*TWO_DAEMONS)
    try:
        running.add_users(["anna", "bert", "carl", "dora", "emil", "fred"], PASSWORD)
        yield running
        assert running.errors() == ""
    finally:
        running.stop()


class Client(Wire):
    """Logged in; remembers what it was told."""

    def __init__(self, port: int, user: str) -> None:
        super().__init__(port)
        assert self.line().startswith(b"* OK ")
        self.said = self.command(f"LOGIN {user} {PASSWORD}")

    def command(self, text: str) -> list[bytes]:
        """The lines of the answer, the tagged one last."""
        self.send(f"t {text}\r\n".encode())
        return self.until(b"t ")

    def until(self, start: bytes) -> list[bytes]:
        lines = [self.line()]
        while not lines[-1].startswith(start):
            assert lines[-1], f"the server closed before {start!r}: {lines}"
            lines.append(self.line())
        return lines


@contextmanager
def mailbox(installation: Installation, user: str, messages: int) -> Iterator[imaplib.IMAP4]:
    """An Inbox with so many messages, selected by imaplib over STARTTLS."""
    client = imaplib.IMAP4("127.0.0.1", installation.port("imap4"))
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    client.starttls(context)
    client.login(user, PASSWORD)
    for number in range(messages):
        text = f"Subject: {number}\r\n\r\ntext {number}\r\n".encode()
        assert client.append("INBOX", "", "", text)[0] == "OK"
    client.select("INBOX")
    try:
        yield client
    finally:
        client.logout()


def test_a_session_by_imaplib(installation: Installation) -> None:
    with mailbox(installation, "anna", 3) as client:
        assert client.fetch("2", "(BODY[TEXT])")[1][0][1] == b"text 1\r\n"
        assert client.store("1,3", "+FLAGS", "\\Deleted")[0] == "OK"
        assert client.expunge()[1] == [b"3", b"1"]
        assert client.copy("1", "Archive")[0] == "OK"
        assert client.status("Archive", "(MESSAGES)")[1] == [b'"Archive" (MESSAGES 1)']


def test_a_large_message_comes_back_as_it_was(installation: Installation) -> None:
    text = b"Subject: large\r\n\r\n" + b"".join(b"%070d\r\n" % number for number in range(40_000))
    with mailbox(installation, "anna", 0) as client:
        client.append("Drafts", "", "", text)
        client.select("Drafts")
        assert client.fetch("1", "(BODY.PEEK[])")[1][0][1] == text
        assert client.fetch("1", "(BODY.PEEK[TEXT]<100000.70>)")[1][0][1] == text[100_018:100_088]
        assert client.fetch("1", "(RFC822.SIZE)")[1] == [b"1 (RFC822.SIZE %d)" % len(text)]


def test_listening_clients_of_both_processes_hear_within_a_second(installation: Installation) -> None:
    """Eight of them: that all land in one process happens once in a hundred runs, and then proves less, not nothing."""
    port = installation.port("imap4")
    with mailbox(installation, "bert", 3) as writer, ExitStack() as stack:
        listeners = [stack.enter_context(Client(port, "bert")) for _ in range(8)]
        for client in listeners:
            client.command("SELECT INBOX")
            client.send(b"t IDLE\r\n")
            client.until(b"+ ")
        writer.append("INBOX", "", "", b"Subject: new\r\n\r\n")
        _all_hear(listeners, b"* 4 EXISTS")
        writer.store("2", "+FLAGS", "(\\Flagged)")
        _all_hear(listeners, b"* 2 FETCH (FLAGS (\\Flagged")
        writer.store("1", "+FLAGS.SILENT", "(\\Deleted)")
        writer.expunge()
        _all_hear(listeners, b"* 1 EXPUNGE")
        for client in listeners:
            client.send(b"DONE\r\n")
            assert client.until(b"t ")[-1] == b"t OK IDLE completed"
            assert client.command("FETCH 1:* UID")[:-1] == [b"* %d FETCH (UID %d)" % (n, n + 1) for n in (1, 2, 3)]


def _all_hear(listeners: list[Client], start: bytes) -> None:
    since = time.monotonic()
    for client in listeners:
        client.until(start)
    assert time.monotonic() - since < AT_ONCE_SECONDS


def test_a_client_hears_at_once_of_what_others_do(installation: Installation) -> None:
    """NOTIFY with the real store and real notices: RFC 5465."""
    port = installation.port("imap4")
    with Client(port, "anna") as listening, Client(port, "anna") as doing, Client(port, "bert") as sharing:
        assert all(client.said[-1].startswith(b"t OK") for client in (listening, doing, sharing))
        wanted = "(PERSONAL (MessageNew MessageExpunge MailboxName)) (SUBTREE #users (MailboxName))"
        assert listening.command(f"NOTIFY SET {wanted}")[-1].startswith(b"t OK")
        assert doing.command("CREATE Work")[-1].startswith(b"t OK")
        assert listening.line() == b'* LIST () "/" "Work"'
        assert doing.command("APPEND Work {15+}\r\nSubject: x\r\n\r\ny")[-1].startswith(b"t OK")
        assert listening.line().startswith(b'* STATUS "Work" (MESSAGES 1 UIDNEXT 2 UIDVALIDITY ')
        assert doing.command("RENAME Work Play")[-1].startswith(b"t OK")
        assert listening.line() == b'* LIST () "/" "Play" ("OLDNAME" ("Work"))'
        assert doing.command("DELETE Play")[-1].startswith(b"t OK")
        assert listening.line() == b'* LIST (\\NonExistent) "/" "Play"'
        assert sharing.command("SETACL Archive anna lr")[-1].startswith(b"t OK")
        assert listening.line() == b'* LIST () "/" "#users/bert/Archive"'
        assert sharing.command("DELETEACL Archive anna")[-1].startswith(b"t OK")
        assert listening.line() == b'* LIST (\\NonExistent) "/" "#users/bert/Archive"'


def test_an_expunge_waits_until_numbers_may_change(installation: Installation) -> None:
    """RFC 9051 §7.5.1: not during FETCH, STORE or SEARCH by number."""
    with mailbox(installation, "carl", 3) as other, Client(installation.port("imap4"), "carl") as client:
        client.command("SELECT INBOX")
        other.store("1", "+FLAGS.SILENT", "(\\Deleted)")
        other.expunge()
        wait_until(lambda: b"[EXPUNGEISSUED]" in client.command("FETCH 1 UID")[-1], 5, "the news in the other process")
        assert client.command("FETCH 2 UID") == [b"* 2 FETCH (UID 2)", b"t OK FETCH completed"]
        assert b"* 1 EXPUNGE" in client.command("NOOP")
        assert client.command("FETCH 1 UID")[0] == b"* 1 FETCH (UID 2)"


def test_compression(installation: Installation) -> None:
    with Client(installation.port("imap4"), "carl") as client:
        assert client.command("COMPRESS DEFLATE")[-1] == b"t OK COMPRESS completed"
        packer, unpacker = zlib.compressobj(wbits=-15), zlib.decompressobj(wbits=-15)
        client.socket.sendall(packer.compress(b"u CAPABILITY\r\n") + packer.flush(zlib.Z_SYNC_FLUSH))
        heard = b""
        while b"u OK" not in heard:
            heard += unpacker.decompress(client.socket.recv(65536))
        assert heard.startswith(b"* CAPABILITY IMAP4rev1")
        assert b"COMPRESS" not in heard


def test_a_client_with_a_connection_for_each_folder_is_told_so(installation: Installation) -> None:
    """Spec services 2.2: the twenty-first is refused with a word, and others are served meanwhile."""
    port = installation.port("imap4")
    with ExitStack() as stack:
        logins = [stack.enter_context(Client(port, "dora")) for _ in range(20)]
        assert all(client.said[-1].startswith(b"t OK") for client in logins)
        for _ in range(5):
            refused = stack.enter_context(Client(port, "dora"))
            assert refused.said[-1] == b"t NO [LIMIT] Too many concurrent logins"
            assert refused.line().startswith(b"* BYE [LIMIT]")
        since = time.monotonic()
        assert stack.enter_context(Client(port, "emil")).said[-1].startswith(b"t OK")
        assert time.monotonic() - since < AT_ONCE_SECONDS


def test_changes_are_found_again_after_a_restart(installation: Installation) -> None:
    """RFC 7162 §3.2.5: what QRESYNC tells is in the database, and no process needs to remember it."""
    with mailbox(installation, "fred", 4) as client:
        known = int(client.response("UIDVALIDITY")[1][0]), int(client.response("HIGHESTMODSEQ")[1][0])
        client.store("2", "+FLAGS.SILENT", "(\\Deleted)")
        client.expunge()
        client.store("1", "+FLAGS.SILENT", "(\\Flagged)")
    installation.stop()
    installation.start(*TWO_DAEMONS)
    with Client(installation.port("imap4"), "fred") as client:
        client.command("ENABLE QRESYNC")
        told = client.command(f"SELECT INBOX (QRESYNC ({known[0]} {known[1]}))")
    assert b"* VANISHED (EARLIER) 2" in told
    assert [line for line in told if b" FETCH " in line] == [b"* 1 FETCH (UID 1 FLAGS (\\Flagged \\Recent) MODSEQ (8))"]


# ---------------------------------------------------------------- hostile clients


@pytest.mark.parametrize(
    "nonsense",
    [
        b"\0\r\n",
        b"a LOGIN {99999999999999999999}\r\n",
        b"a LOGIN {5000+}\r\n" + b"x" * 5000 + b" y\r\n",
        b"a " + b"x" * 200_000 + b"\r\n",
        b"a SEARCH " + b"(" * 10_000 + b"\r\n",
        b"\xff\xfe\xfd\r\n",
        b"a LIST \"\" &broken\r\n",
    ],
    ids=["nul", "absurd literal", "literal too big", "endless line", "nesting", "bytes", "before login"],
)  # fmt: skip
def test_nonsense_is_answered_and_the_session_goes_on(installation: Installation, nonsense: bytes) -> None:
    with Wire(installation.port("imap4")) as wire:
        wire.line()
        wire.send(nonsense + b"z NOOP\r\n")
        lines = [wire.line()]
        while not lines[-1].startswith((b"z ", b"* BYE")) and lines[-1]:
            lines.append(wire.line())
        assert b" BAD " in lines[0] or lines[0].startswith(b"* BYE")
        assert lines[-1] == b"z OK NOOP completed" or lines[-1].startswith(b"* BYE")


def test_a_literal_without_end_costs_no_memory(installation: Installation) -> None:
    """LITERAL+ bytes of what was refused are passed over up to a limit, and then the client is gone."""
    daemons = installation.daemons()
    before = sum(map(resident_bytes, daemons))
    with Wire(installation.port("imap4")) as wire:
        wire.line()
        wire.send(b"a LOGIN {2000000000+}\r\n" + b"x" * 20 * MEGABYTE)
        assert wire.rest()[-1].startswith(b"* BYE [TOOBIG]") or wire.line() == b""
    assert sum(map(resident_bytes, daemons)) - before < 30 * MEGABYTE


def test_a_nuisance_is_noted_for_the_administrator(installation: Installation) -> None:
    with Wire(installation.port("imap4")) as wire:
        wire.line()
        wire.send(b"x BOGUS\r\n" * 25)
        assert wire.rest()[-1] == b"* BYE [CLIENTBUG] Too many errors"
    security = installation.data / "logs" / "security.log"
    noted = lambda: security.exists() and "imap4 nuisance from 127.0.0.1" in security.read_text()  # noqa: E731
    wait_until(noted, 5, "a line in security.log")
