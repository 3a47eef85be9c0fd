# SPDX-License-Identifier: MIT
"""POP3 over real sockets, read by Python's poplib: the daemon's sessions, users and store in a real database."""

from __future__ import annotations

import asyncio
import base64
import functools
import poplib
import socket
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from mailserver.addressing.services import add_domain
from mailserver.config.catalog import ServiceKind
from mailserver.config.snapshot import Service, Snapshot
from mailserver.hooks.interface import Hooks
from mailserver.journey.models import JourneyEvent
from mailserver.journey.records import JourneyStep, next_ref
from mailserver.store.database import DatabaseStore
from mailserver.store.interface import Filing, NewContent, NewEntry, Unit
from mailserver.users.services import DatabaseAuthenticator, create_user
from mailserver.values import Body, Protocol, UserId
from protocols.net.admission import Refusal, Surrounding
from protocols.net.bandwidth import Pools
from protocols.net.listener import Listener
from protocols.net.offload import ThreadOffload
from protocols.net.sessions import ServedProtocol, Sessions, SessionTools
from protocols.pop3 import replies
from protocols.pop3.server import serve_pop3
from tests.support.certificates import client_context, server_context
from tests.support.filings import make_body, make_spooled
from tests.support.stores import make_process, open_database_store

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]

PASSWORD = "Correct-Horse-1"
PATIENCE_SECONDS = 20


@dataclass
class Installation:
    """A user, a store, and a POP3 service that listens while `serving` runs."""

    store: DatabaseStore
    user: UserId
    spool: Path

    def file(self, *texts: bytes) -> None:
        """Put messages into the Inbox; large ones go by a spool file, as SMTP has them."""
        for text in texts:
            self.file_body(make_spooled(text, self.spool) if len(text) > 65536 else make_body(text))

    def file_body(self, body: Body) -> None:
        inbox = self.store.get_mailbox(self.user, "INBOX")
        filing = Filing(NewContent(next_ref(), body), (NewEntry(inbox.id),))
        self.store.submit(Unit(filings=(filing,))).result(PATIENCE_SECONDS)

    def count(self) -> int:
        return len(self.store.list_entries(self.store.get_mailbox(self.user, "INBOX").id))

    def serve(self, client: Callable[[int], None], service: Service | None = None) -> None:
        """Run the client, which blocks, against a listening service."""
        asyncio.run(self._serve(functools.partial(asyncio.to_thread, client), service or SERVICE))

    async def _serve(self, client: Callable[[int], Awaitable[None]], service: Service) -> None:
        bugs: list[BaseException] = []
        offload = ThreadOffload()
        sessions = Sessions(self._tools(service, offload), lambda error, _client: bugs.append(error))
        listening = socket.create_server(("127.0.0.1", 0))
        listening.setblocking(False)
        listener = Listener(listening, lambda accepted: sessions.accept(accepted, service.id))
        listener.start()
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                await client(listening.getsockname()[1])
        finally:
            listener.close()
            await sessions.drain(1)
            offload.close()
        assert bugs == []

    def _tools(self, service: Service, offload: ThreadOffload) -> SessionTools:
        snapshot = Snapshot(services=(service,), hostname="mail.example.test")
        return SessionTools(
            protocols={Protocol.POP3: ServedProtocol(serve_pop3, {Refusal.NOT_ALLOWED: replies.not_allowed()})},
            snapshot=lambda: snapshot,
            tls_context=server_context,
            surrounding=Surrounding,
            store=self.store,
            authenticator=DatabaseAuthenticator(),
            hooks=Hooks(),
            offload=offload,
            pools=Pools(),
        )


def _service(encryption: str = "none", **options: object) -> Service:
    return Service(1, ServiceKind.POP3, "POP3", Protocol.POP3, encryption=encryption, options=options)


SERVICE = _service()


@pytest.fixture
def installation(tmp_path: Path) -> Iterator[Installation]:
    add_domain("example.test")
    user = create_user("alice", PASSWORD, keep_recoverable=True)
    store = open_database_store(tmp_path, make_process())
    yield Installation(store, UserId(user.pk), tmp_path / "spool")
    store.close()


@contextmanager
def _connected(port: int, *, tls: bool = False, host: str = "127.0.0.1") -> Iterator[poplib.POP3]:
    """A client whose socket is closed in any case."""
    if tls:
        client: poplib.POP3 = poplib.POP3_SSL("localhost", port, context=client_context(), timeout=PATIENCE_SECONDS)
    else:
        client = poplib.POP3(host, port, timeout=PATIENCE_SECONDS)
    with closing(client):
        yield client


@contextmanager
def _logged_in(port: int, *, tls: bool = False) -> Iterator[poplib.POP3]:
    with _connected(port, tls=tls) as client:
        client.user("alice")
        client.pass_(PASSWORD)
        yield client


def _text(response: tuple[bytes, list[bytes], int]) -> bytes:
    return b"".join(line + b"\r\n" for line in response[1])


def test_fetch_and_delete(installation: Installation) -> None:
    small = b"Subject: small\r\n\r\n.dot\r\n..\r\n"
    large = b"Subject: large\r\n\r\n" + b".0123456789\r\n" * 200_000
    last = b"Subject: kept\r\n\r\n"
    installation.file(small, large, last)

    def fetch(port: int) -> None:
        with _logged_in(port) as client:
            assert client.stat() == (3, len(small) + len(large) + len(last))
            assert client.list()[1] == [b"1 %d" % len(small), b"2 %d" % len(large), b"3 %d" % len(last)]
            assert _text(client.retr(1)) == small
            assert _text(client.retr(2)) == large
            assert _text(client.top(2, 1)) == b"Subject: large\r\n\r\n.0123456789\r\n"
            client.dele(1)
            client.dele(2)
            client.quit()
        with _logged_in(port) as client:
            assert client.stat() == (1, len(last))

    installation.serve(fetch)
    assert sorted(JourneyEvent.objects.values_list("kind", flat=True)) == sorted(
        [JourneyStep.DELETED, JourneyStep.DELETED, JourneyStep.FETCHED, JourneyStep.FETCHED]
    )


def test_unique_ids_stay(installation: Installation) -> None:
    installation.file(b"Subject: 1\r\n\r\n", b"Subject: 2\r\n\r\n", b"Subject: 3\r\n\r\n")
    seen: list[list[bytes]] = []

    def look_and_delete_the_last(port: int) -> None:
        with _logged_in(port) as client:
            seen.append([line.split()[1] for line in client.uidl()[1]])
            client.dele(len(seen[-1]))
            client.quit()

    installation.serve(look_and_delete_the_last)
    installation.file(b"Subject: 4\r\n\r\n")
    installation.serve(look_and_delete_the_last)
    first, second = seen
    assert second[:2] == first[:2]
    assert second[2] not in first


def test_a_connection_that_breaks_deletes_nothing(installation: Installation) -> None:
    installation.file(b"Subject: 1\r\n\r\n")

    def vanish(port: int) -> None:
        with _logged_in(port) as client:
            client.retr(1)
            client.dele(1)

    installation.serve(vanish)
    assert installation.count() == 1
    assert list(JourneyEvent.objects.values_list("kind", flat=True)) == [JourneyStep.FETCHED]
    installation.store.unlock_maildrop(installation.store.lock_maildrop(installation.user, 99, exclusive=True))


def test_one_session_at_a_time(installation: Installation) -> None:
    def crowd(port: int) -> None:
        with _logged_in(port) as first:
            with pytest.raises(poplib.error_proto, match="IN-USE"), _logged_in(port):
                pass
            first.quit()
            with _logged_in(port) as second:
                second.quit()

    installation.serve(crowd)


def test_stls(installation: Installation) -> None:
    def upgrade(port: int) -> None:
        with _connected(port, host="localhost") as client:
            with pytest.raises(poplib.error_proto, match="STLS first"):
                client.user("alice")
            assert "STLS" in client.capa()
            client.stls(client_context())
            assert "STLS" not in client.capa()
            client.user("alice")
            client.pass_(PASSWORD)
            client.quit()

    installation.serve(upgrade, _service("tls"))


def test_tls_from_the_first_byte(installation: Installation) -> None:
    text = b"Subject: 1\r\n\r\n" + (b"x" * 70 + b"\r\n") * 1000
    installation.file(text)

    def fetch(port: int) -> None:
        with _logged_in(port, tls=True) as client:
            assert _text(client.retr(1)) == text
            client.quit()

    installation.serve(fetch, _service("ssl"))


def test_apop_and_sasl(installation: Installation) -> None:
    def log_in(port: int) -> None:
        with _connected(port) as client:
            client.apop("alice", PASSWORD)
            client.quit()
        with _connected(port) as client:
            client._shortcmd("AUTH PLAIN " + base64.b64encode(f"\0alice\0{PASSWORD}".encode()).decode())
            client.quit()

    installation.serve(log_in, _service(offer_apop=True))


def test_login_delay_is_kept_in_the_database(installation: Installation) -> None:
    def hurry(port: int) -> None:
        with _logged_in(port) as client:
            client.quit()
        with pytest.raises(poplib.error_proto, match="LOGIN-DELAY"), _logged_in(port):
            pass

    def elsewhere(port: int) -> None:
        with pytest.raises(poplib.error_proto, match="LOGIN-DELAY"), _logged_in(port):
            pass

    installation.serve(hurry, _service(login_delay_seconds=60))
    installation.serve(elsewhere, _service(login_delay_seconds=60))


def test_held_messages_are_gone_for_clients_and_stay_stored(installation: Installation) -> None:
    installation.file(b"Subject: 1\r\n\r\n")

    def delete(port: int) -> None:
        with _logged_in(port) as client:
            client.dele(1)
            client.quit()

    installation.serve(delete, _service(hold_deleted=True))
    assert installation.count() == 0
    assert JourneyEvent.objects.get().detail == "POP3, 127.0.0.1, held"
