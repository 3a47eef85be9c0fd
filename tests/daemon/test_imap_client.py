# SPDX-License-Identifier: MIT
"""The IMAP4 client over real sockets, against a provider's server that does what each test wants."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from mailserver.connectors.values import Credentials, Encryption, LoginMethod, RemoteServer
from protocols.imap.client import ImapClient, ImapFailure, ListedUid, split_windows
from protocols.imap.client_machine import BodyPiece
from protocols.net.outgoing import CannotConnect
from tests.support.remote_imap import RemoteFolder, RemoteImap, running_remote_imap

TEXT = b"Subject: hello\r\n\r\nsome text\r\n"
PASSWORD = Credentials(LoginMethod.AUTOMATIC, "anne", "secret")


OPENED: list[ImapClient] = []


@pytest.fixture(autouse=True)
async def nothing_stays_open() -> AsyncIterator[None]:
    yield
    while OPENED:
        OPENED.pop().close()
    await asyncio.sleep(0)


@pytest.fixture
async def remote() -> AsyncIterator[RemoteImap]:
    async with running_remote_imap() as running:
        yield running


class Wire(list[str]):
    def __call__(self, line: str) -> None:
        self.append(line)


async def connect(
    remote: RemoteImap, encryption: Encryption = Encryption.NONE, wire: Wire | None = None, *, verify: bool = False
) -> ImapClient:
    server = RemoteServer("127.0.0.1", remote.port, encryption, verify)
    client = await ImapClient.connect(server, wire if wire is not None else Wire())
    OPENED.append(client)
    return client


async def logged_in(remote: RemoteImap, wire: Wire | None = None) -> ImapClient:
    client = await connect(remote, wire=wire)
    await client.login(PASSWORD)
    return client


async def fetch(client: ImapClient, uids: list[int]) -> dict[int, bytes]:
    found, text = {}, b""
    async for event in client.fetch_messages(uids):
        if isinstance(event, BodyPiece):
            text += event.data
        elif hasattr(event, "uid") and event.uid is not None:
            found[event.uid], text = text, b""
    return found


async def test_from_the_greeting_to_the_end(remote: RemoteImap) -> None:
    for number in range(3):
        remote.inbox.add(TEXT + b"%d" % number)
    wire = Wire()
    client = await logged_in(remote, wire)
    selected = await client.select("INBOX")
    assert (selected.uid_validity, selected.exists, selected.writable) == (1000, 3, True)
    listed = await client.list_messages()
    assert [(message.uid, message.size) for message in listed] == [(uid, len(TEXT) + 1) for uid in (1, 2, 3)]
    assert await fetch(client, [1, 3]) == {1: TEXT + b"0", 3: TEXT + b"2"}
    assert await client.fetch_headers([2]) == {2: b"Subject: hello\r\n\r\n"}
    assert await client.remove([1, 3])
    assert remote.inbox.uids == [2]
    await client.logout()
    assert remote.count(b"LOGOUT") == 1
    assert "secret" not in "\n".join(wire)
    assert "C: a1 AUTHENTICATE PLAIN ***" in wire
    assert any(line.startswith("S: * FETCH ... BODY[] {") for line in wire)


@pytest.mark.parametrize("encryption", [Encryption.TLS, Encryption.STARTTLS, Encryption.OPPORTUNISTIC])
async def test_encrypted(encryption: Encryption) -> None:
    remote = RemoteImap(capabilities="IMAP4rev1 STARTTLS AUTH=PLAIN", implicit_tls=encryption is Encryption.TLS)
    async with running_remote_imap(remote):
        client = await connect(remote, encryption)
        assert client.tls.startswith("TLSv1.3")
        await client.login(PASSWORD)
        await client.logout()
        assert remote.count(b"STARTTLS") == (encryption is not Encryption.TLS)


async def test_encryption_where_there_is_none(remote: RemoteImap) -> None:
    with pytest.raises(ImapFailure, match="no encryption by STARTTLS"):
        await connect(remote, Encryption.STARTTLS)
    client = await connect(remote, Encryption.OPPORTUNISTIC)
    assert client.tls == ""
    await client.logout()
    with pytest.raises(CannotConnect, match="TLS"):
        await connect(remote, Encryption.TLS)


@pytest.mark.parametrize("encryption", [Encryption.TLS, Encryption.STARTTLS])
async def test_a_certificate_that_nobody_vouches_for(encryption: Encryption) -> None:
    remote = RemoteImap(capabilities="IMAP4rev1 STARTTLS AUTH=PLAIN", implicit_tls=encryption is Encryption.TLS)
    async with running_remote_imap(remote):
        with pytest.raises(CannotConnect, match="certificate"):
            await connect(remote, encryption, verify=True)
        assert remote.count(b"AUTHENTICATE") == 0


async def test_what_is_slipped_in_before_tls() -> None:
    """RFC 2595 §4, CVE-2011-0411 turned round: capabilities from somebody in the middle."""
    remote = RemoteImap(capabilities="IMAP4rev1 STARTTLS", before_tls=b"* CAPABILITY IMAP4rev1 AUTH=PLAIN\r\n")
    async with running_remote_imap(remote):
        with pytest.raises(ImapFailure, match="forged"):
            await connect(remote, Encryption.STARTTLS)


@pytest.mark.parametrize(
    ("capabilities", "method", "told"),
    [
        ("IMAP4rev1 AUTH=PLAIN SASL-IR", LoginMethod.AUTOMATIC, b"AUTHENTICATE PLAIN AGFubmUAc2VjcmV0"),
        ("IMAP4rev1 AUTH=PLAIN", LoginMethod.AUTOMATIC, b"AUTHENTICATE PLAIN"),
        ("IMAP4rev1", LoginMethod.AUTOMATIC, b'LOGIN "anne" "secret"'),
        ("IMAP4rev1 AUTH=X", LoginMethod.PLAIN, b'LOGIN "anne" "secret"'),
    ],
)
async def test_ways_to_log_in(remote: RemoteImap, capabilities: str, method: LoginMethod, told: bytes) -> None:
    remote.capabilities = capabilities
    client = await connect(remote)
    await client.login(Credentials(method, "anne", "secret"))
    assert told in remote.told
    await client.select("INBOX")
    await client.logout()


async def test_ways_that_there_are_not(remote: RemoteImap) -> None:
    remote.capabilities = "IMAP4rev1 LOGINDISABLED"
    client = await connect(remote)
    with pytest.raises(ImapFailure, match="does not offer"):
        await client.login(PASSWORD)
    assert remote.count(b"LOGIN") == 0
    client.close()


async def test_a_wrong_password(remote: RemoteImap) -> None:
    client = await connect(remote)
    with pytest.raises(ImapFailure, match=r"refuses the log-in: \[AUTHENTICATIONFAILED\] wrong name or password\."):
        await client.login(Credentials(LoginMethod.AUTOMATIC, "anne", "wröng"))
    await client.logout()


async def test_greeted_as_known(remote: RemoteImap) -> None:
    remote.greeting = b"* PREAUTH welcome back\r\n"
    client = await connect(remote)
    await client.login(PASSWORD)
    assert (await client.select("INBOX")).exists == 0
    await client.logout()


@pytest.mark.parametrize("mechanism", ["XOAUTH2", "OAUTHBEARER"])
async def test_tokens(remote: RemoteImap, mechanism: str) -> None:
    """One that the server does not like any more is replaced, once, in the same session."""
    remote.capabilities = f"IMAP4rev1 AUTH={mechanism}"
    remote.token_is_good = lambda token: token == "fresh"
    asked: list[str] = []

    async def get_token(refused: str) -> str:
        asked.append(refused)
        return "fresh" if refused else "stale"

    client = await connect(remote)
    await client.login(Credentials(LoginMethod.AUTOMATIC, "anne", oauth=1), get_token)
    assert asked == ["", "stale"]
    await client.select("INBOX")
    await client.logout()
    remote.token_is_good = lambda token: False
    client = await connect(remote)
    with pytest.raises(ImapFailure, match="invalid_token"):
        await client.login(Credentials(LoginMethod.AUTOMATIC, "anne", oauth=1), get_token)
    assert asked == ["", "stale", "", "stale"]
    client.close()


async def test_a_folder_that_is_not_there(remote: RemoteImap) -> None:
    remote.folders["Entw&APw-rfe"] = RemoteFolder()
    client = await logged_in(remote)
    with pytest.raises(ImapFailure, match=r"Archive cannot be opened: no such folder\. .*: INBOX, Entwürfe"):
        await client.select("Archive")
    assert (await client.select("Entwürfe")).exists == 0
    await client.logout()


async def test_a_server_that_names_uids_late_and_quotes(remote: RemoteImap) -> None:
    remote.uid_last = remote.quotes = True
    remote.inbox.add(b"short")
    remote.inbox.add(TEXT)
    remote.inbox.add(b"")
    client = await logged_in(remote)
    await client.select("INBOX")
    assert await fetch(client, [1, 2, 3]) == {1: b"short", 2: TEXT, 3: b""}
    await client.logout()


async def test_only_ours_is_removed(remote: RemoteImap) -> None:
    """Without UIDPLUS, EXPUNGE would take what somebody else has marked."""
    remote.capabilities = "IMAP4rev1"
    for _ in range(3):
        remote.inbox.add(TEXT)
    client = await logged_in(remote)
    await client.select("INBOX")
    assert await client.remove([1])
    assert remote.inbox.uids == [2, 3]
    remote.inbox.messages[0].flags.add("\\Deleted")
    assert not await client.remove([3])
    assert remote.inbox.uids == [2, 3]
    await client.logout()


@pytest.mark.parametrize("capabilities", ["IMAP4rev1 UIDPLUS MOVE", "IMAP4rev1 UIDPLUS", "IMAP4rev1"])
async def test_moved_into_a_folder_that_is_made(remote: RemoteImap, capabilities: str) -> None:
    remote.capabilities = capabilities
    remote.inbox.add(TEXT)
    remote.inbox.add(TEXT)
    client = await logged_in(remote)
    await client.select("INBOX")
    assert await client.move([2], "Done")
    assert remote.inbox.uids == [1]
    assert len(remote.folders["Done"].messages) == 1
    await client.logout()


async def test_news(remote: RemoteImap) -> None:
    client = await logged_in(remote)
    assert client.can_idle
    await client.select("INBOX")
    waiting = asyncio.create_task(client.wait_for_news())
    await remote.idle.wait()
    remote.inbox.add(TEXT)
    await remote.announce()
    assert await waiting
    waiting = asyncio.create_task(client.wait_for_news())
    await remote.idle.wait()
    client.wake()
    assert not await waiting
    await client.logout()


@pytest.mark.parametrize(
    ("greeting", "text"),
    [
        (b"* BYE too busy\r\n", "good-bye: too busy"),
        (b"+OK POP3 server ready\r\n", "breaks the rules"),
        (b"220 mx ESMTP\r\n", "breaks the rules"),
    ],
)
async def test_other_greetings(remote: RemoteImap, greeting: bytes, text: str) -> None:
    remote.greeting = greeting
    with pytest.raises(ImapFailure, match=text):
        await connect(remote)


@pytest.mark.parametrize("after", [b"CAPABILITY", b"AUTHENTICATE", b"SELECT", b"UID FETCH", b"UID STORE", b"LOGOUT"])
async def test_cut_off_anywhere(remote: RemoteImap, after: bytes) -> None:
    remote.inbox.add(TEXT)
    remote.cut_after = after
    remote.tells_capabilities = False

    async def session() -> None:
        client = await logged_in(remote)
        await client.select("INBOX")
        await fetch(client, [1])
        await client.remove([1])
        await client.logout()

    if after == b"LOGOUT":
        await session()
        return
    with pytest.raises(ImapFailure, match="broke off"):
        await session()


async def test_cut_off_in_a_message(remote: RemoteImap) -> None:
    remote.cut_in_body_of = remote.inbox.add(TEXT)
    client = await logged_in(remote)
    await client.select("INBOX")
    with pytest.raises(ImapFailure, match="broke off"):
        await fetch(client, [1])


@pytest.mark.parametrize(
    ("noise", "text"),
    [
        (b"* BYE going down\r\n", "good-bye: going down"),
        (b"a77 OK x\r\n", "breaks the rules"),
        (b"* 1 FETCH (UID x)\r\n", "breaks the rules"),
        (b"* OK [ALERT] quota\r\n* XYZZY (a\r\n", ""),
    ],
)
async def test_what_a_server_says_in_between(remote: RemoteImap, noise: bytes, text: str) -> None:
    client = await connect(remote)
    remote.noise = noise
    if text:
        with pytest.raises(ImapFailure, match=text):
            await client.login(PASSWORD)
        return
    await client.login(PASSWORD)
    await client.logout()


async def test_nobody_listens() -> None:
    async with running_remote_imap() as remote:
        port = remote.port
    with pytest.raises(CannotConnect, match="refuses connections"):
        await ImapClient.connect(RemoteServer("127.0.0.1", port), Wire())


def test_windows() -> None:
    sizes = [10, 10, 10, 50, 5, 5]
    messages = [ListedUid(uid, size, frozenset()) for uid, size in enumerate(sizes, 1)]
    windows = split_windows(messages, 3, 25)
    assert [[message.uid for message in window] for window in windows] == [[1, 2], [3], [4], [5, 6]]
    assert split_windows([], 3, 25) == []
    assert [len(window) for window in split_windows(messages, 2, 1000)] == [2, 2, 2]
