# SPDX-License-Identifier: MIT
"""Collecting by IMAP4 from a provider that does what each test wants: nothing lost, nothing twice, nothing deleted
there that is not safe here."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mailserver.connectors.imap_memory import Renumbered, match_renumbered
from mailserver.connectors.models import DownloadRule, OAuthAccount, RemoteMessage
from mailserver.connectors.values import (
    CollectMethod,
    CollectorSettings,
    Credentials,
    LoginMethod,
    Outcome,
    Routing,
    TaskResult,
)
from mailserver.errors import Kind, MailError
from mailserver.hooks.events import CollectStarted, MessageListed
from mailserver.hooks.interface import Hooks
from mailserver.pipeline import collected_text
from protocols.imap.client import ImapClient
from tests.support.collecting import CollectingOffice, make_message, open_office
from tests.support.collectors import NotedLog
from tests.support.remote_imap import RemoteFolder, RemoteImap, running_remote_imap
from tests.support.still_clock import StillClock
from workers.collecting import check_collector, run_collector

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]


@pytest.fixture
def office(tmp_path: Path) -> Iterator[CollectingOffice]:
    with open_office(tmp_path) as opened:
        yield opened


@pytest.fixture
def remote() -> RemoteImap:
    return RemoteImap(users={"office": "secret"})


def collector(office: CollectingOffice, remote: RemoteImap, **changes: Any) -> CollectorSettings:
    values: dict[str, Any] = {
        "method": CollectMethod.IMAP,
        "credentials": Credentials(LoginMethod.AUTOMATIC, "office", "secret"),
        **changes,
    }
    return office.collector(remote.port, **values)


def run(office: CollectingOffice, remote: RemoteImap, *, check: bool = False, **changes: Any) -> TaskResult:
    """One run against the provider."""
    office.log = NotedLog()
    settings, tools = collector(office, remote, **changes), office.tools

    async def session() -> TaskResult:
        async with running_remote_imap(remote):
            reachable = replace(settings, server=replace(settings.server, port=remote.port))
            function = check_collector if check else run_collector
            return await function(reachable, "me", office.log, tools)

    return asyncio.run(session())


def fill(folder: RemoteFolder, count: int, first: int = 1) -> None:
    for number in range(first, first + count):
        folder.add(make_message(number))


def test_everything_comes_and_goes(office: CollectingOffice, remote: RemoteImap) -> None:
    fill(remote.inbox, 250)
    assert run(office, remote) == TaskResult(Outcome.OK)
    assert office.subjects("alice") == [f"Message {number}" for number in range(1, 251)]
    assert remote.inbox.uids == []
    assert (office.log.expected, office.log.done) == (250, 250)
    stored = office.messages("alice")[0]
    assert stored.startswith(b"Return-Path: <sender@elsewhere.test>\r\nReceived: from 127.0.0.1")
    assert stored.endswith(make_message(1).partition(b"\r\n")[2])
    assert "secret" not in "\n".join(office.log.lines)
    assert run(office, remote) == TaskResult(Outcome.OK)
    assert len(office.subjects("alice")) == 250


def test_several_folders(office: CollectingOffice, remote: RemoteImap) -> None:
    remote.folders["Spam"] = RemoteFolder()
    fill(remote.inbox, 2)
    fill(remote.folders["Spam"], 2, first=3)
    result = run(office, remote, folders=("INBOX", "Archive", "Spam"))
    assert result.outcome is Outcome.PARTLY
    assert "Archive cannot be opened" in result.text
    assert "INBOX, Spam" in result.text
    assert office.subjects("alice") == ["Message 1", "Message 2", "Message 3", "Message 4"]
    assert remote.folders["Spam"].uids == []
    assert (office.log.done, office.log.expected) == (4, 4)


def test_left_for_some_days(office: CollectingOffice, remote: RemoteImap, still_clock: StillClock) -> None:
    fill(remote.inbox, 2)
    run(office, remote, leave_on_server_days=3)
    still_clock.advance(days=1)
    fill(remote.inbox, 1, first=3)
    run(office, remote, leave_on_server_days=3)
    assert remote.inbox.uids == [1, 2, 3]
    assert len(office.subjects("alice")) == 3
    still_clock.advance(days=2)
    run(office, remote, leave_on_server_days=3)
    assert remote.inbox.uids == [3]
    still_clock.advance(days=1)
    run(office, remote, leave_on_server_days=3)
    assert remote.inbox.uids == []
    assert len(office.subjects("alice")) == 3


@pytest.mark.parametrize("capabilities", ["IMAP4rev1 AUTH=PLAIN MOVE UIDPLUS", "IMAP4rev1 AUTH=PLAIN"])
def test_moved_afterwards(
    office: CollectingOffice, remote: RemoteImap, still_clock: StillClock, capabilities: str
) -> None:
    remote.capabilities = capabilities
    fill(remote.inbox, 2)
    changes = {"after": "move", "move_to": "Collected", "leave_on_server_days": 1}
    run(office, remote, **changes)
    assert remote.inbox.uids == [1, 2]
    still_clock.advance(days=1)
    assert run(office, remote, **changes) == TaskResult(Outcome.OK)
    assert remote.inbox.uids == []
    assert len(remote.folders["Collected"].messages) == 2
    assert len(office.subjects("alice")) == 2


@pytest.mark.parametrize("broken_at", [b"UID STORE", b"UID EXPUNGE"])
def test_a_move_that_was_cut_in_half_makes_no_second_copy(
    office: CollectingOffice, remote: RemoteImap, broken_at: bytes
) -> None:
    """Without MOVE a message is in both folders for a moment, in which a worker may be killed."""
    remote.capabilities = "IMAP4rev1 AUTH=PLAIN UIDPLUS"
    fill(remote.inbox, 3)
    remote.cut_after = broken_at
    changes = {"after": "move", "move_to": "Collected"}
    assert run(office, remote, **changes).outcome is Outcome.PARTLY
    assert (len(remote.inbox.uids), len(remote.folders["Collected"].messages)) == (3, 3)
    remote.cut_after = b""
    fill(remote.inbox, 1, first=4)
    assert run(office, remote, **changes) == TaskResult(Outcome.OK)
    assert remote.inbox.uids == []
    assert len(remote.folders["Collected"].messages) == 4
    assert len(office.subjects("alice")) == 4


def test_a_move_that_did_not_begin_is_made_up_for(office: CollectingOffice, remote: RemoteImap) -> None:
    """A message of the same Message-ID and another size in the target is another one."""
    remote.capabilities = "IMAP4rev1 AUTH=PLAIN UIDPLUS"
    fill(remote.inbox, 2)
    remote.inbox.add(make_message(3, Message_ID=""))
    remote.folders["Collected"] = RemoteFolder()
    remote.folders["Collected"].add(make_message(1, size=5000))
    remote.cut_after = b"UID COPY"
    changes = {"after": "move", "move_to": "Collected"}
    run(office, remote, **changes)
    remote.cut_after = b""
    assert run(office, remote, **changes) == TaskResult(Outcome.OK)
    assert remote.inbox.uids == []
    assert len(remote.folders["Collected"].messages) == 4


def test_nothing_is_removed_by_numbers_that_hold_no_longer(
    office: CollectingOffice, remote: RemoteImap, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folder is opened again after the look into the target, and the provider may have changed its UIDVALIDITY."""
    remote.capabilities = "IMAP4rev1 AUTH=PLAIN UIDPLUS"
    fill(remote.inbox, 2)
    remote.cut_after = b"UID STORE"
    changes = {"after": "move", "move_to": "Collected"}
    run(office, remote, **changes)
    remote.cut_after, find_in = b"", ImapClient.find_in

    async def find_while_it_is_repaired(client: ImapClient, *arguments: Any) -> Any:
        found = await find_in(client, *arguments)
        remote.inbox.rebuild()
        return found

    monkeypatch.setattr(ImapClient, "find_in", find_while_it_is_repaired)
    remote.told.clear()
    result = run(office, remote, **changes)
    assert (
        result.text == "The provider has numbered the messages in INBOX anew meanwhile: they are moved in the next run."
    )
    assert (len(remote.inbox.uids), remote.count(b"UID STORE")) == (2, 0)
    monkeypatch.undo()
    assert run(office, remote, **changes) == TaskResult(Outcome.OK)
    assert (remote.inbox.uids, len(remote.folders["Collected"].messages)) == ([], 2)
    assert len(office.subjects("alice")) == 2


def test_what_can_only_be_marked_is_copied_once(office: CollectingOffice, remote: RemoteImap) -> None:
    """Without UIDPLUS, while somebody else's marks keep us from EXPUNGE."""
    remote.capabilities = "IMAP4rev1 AUTH=PLAIN"
    fill(remote.inbox, 2)
    remote.inbox.messages[0].flags.add("\\Deleted")
    for _ in range(3):
        run(office, remote, after="move", move_to="Collected")
    assert remote.inbox.uids == [1, 2]
    assert len(remote.folders["Collected"].messages) == 1


def test_kept_for_ever(office: CollectingOffice, remote: RemoteImap, still_clock: StillClock) -> None:
    fill(remote.inbox, 2)
    for _ in range(3):
        assert run(office, remote, after="keep") == TaskResult(Outcome.OK)
        still_clock.advance(days=400)
    assert remote.inbox.uids == [1, 2]
    assert len(office.subjects("alice")) == 2
    assert remote.count(b"UID STORE") == 0


def test_the_provider_numbers_everything_anew(
    office: CollectingOffice, remote: RemoteImap, still_clock: StillClock
) -> None:
    """A changed UIDVALIDITY: what stays there is known by its Message-ID, and its days go on."""
    fill(remote.inbox, 3)
    remote.inbox.add(make_message(4, Message_ID=""))
    run(office, remote, leave_on_server_days=5, detect_duplicates=False)
    remote.inbox.rebuild()
    fill(remote.inbox, 1, first=5)
    still_clock.advance(days=1)
    run(office, remote, leave_on_server_days=5, detect_duplicates=False)
    assert any("numbered the messages in INBOX anew" in note for note in office.log.notes)
    subjects = [f"Message {number}" for number in (1, 2, 3, 4)]
    assert office.subjects("alice") == [*subjects, "Message 4", "Message 5"], "only what has no Message-ID comes twice"
    still_clock.advance(days=4)
    run(office, remote, leave_on_server_days=5, detect_duplicates=False)
    assert len(remote.inbox.uids) == 2, "the days of those that were known again went on"
    assert office.subjects("alice") == [*subjects, "Message 4", "Message 5"]


def test_a_message_in_which_the_session_breaks(office: CollectingOffice, remote: RemoteImap) -> None:
    fill(remote.inbox, 5)
    remote.cut_in_body_of = 3
    result = run(office, remote)
    assert result.outcome is Outcome.PARTLY
    assert "broke off the connection (in a message" in result.text
    assert office.subjects("alice") == ["Message 1", "Message 2", "Message 4", "Message 5"]
    assert remote.inbox.uids == [3]
    remote.cut_in_body_of = 0
    assert run(office, remote) == TaskResult(Outcome.OK)
    assert len(office.subjects("alice")) == 5
    assert remote.inbox.uids == []


@pytest.mark.parametrize("after", [b"UID STORE", b"UID EXPUNGE", b"LOGOUT"])
def test_a_session_that_breaks_after_the_commit(office: CollectingOffice, remote: RemoteImap, after: bytes) -> None:
    fill(remote.inbox, 3)
    remote.cut_after = after
    result = run(office, remote)
    assert result.outcome is (Outcome.OK if after == b"LOGOUT" else Outcome.PARTLY)
    remote.cut_after = b""
    assert run(office, remote) == TaskResult(Outcome.OK)
    assert len(office.subjects("alice")) == 3
    assert remote.inbox.uids == []


def test_nothing_goes_that_was_not_stored(
    office: CollectingOffice, remote: RemoteImap, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(remote.inbox, 3)
    with monkeypatch.context() as patched:

        def full(unit: object) -> Future[object]:
            failed: Future[object] = Future()
            failed.set_exception(MailError(Kind.STORAGE_FULL, "the disk is full"))
            return failed

        patched.setattr(office.store, "submit", full)
        result = run(office, remote)
    assert result.outcome is Outcome.FAILED
    assert remote.inbox.uids == [1, 2, 3]
    assert remote.count(b"UID STORE") == 0
    assert run(office, remote) == TaskResult(Outcome.OK)
    assert len(office.subjects("alice")) == 3


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"users": {"office": "another"}}, "refuses the log-in"),
        ({"greeting": b"* BYE overloaded\r\n"}, "overloaded"),
        ({"greeting": b"220 smtp\r\n"}, "breaks the rules of IMAP4"),
        ({"refuses": {b"UID FETCH": b"NO the disk is broken"}}, "the disk is broken"),
        ({"noise": b"* 1 FETCH (UID x)\r\n"}, "breaks the rules of IMAP4"),
        ({"noise": b"a9999 OK\r\n"}, "breaks the rules of IMAP4"),
        ({"cut_after": b"SELECT"}, "broke off"),
    ],
)
def test_failures_are_told_in_words(
    office: CollectingOffice, remote: RemoteImap, change: dict[str, Any], words: str
) -> None:
    fill(remote.inbox, 2)
    for name, value in change.items():
        setattr(remote, name, value)
    result = run(office, remote)
    assert result.outcome is Outcome.FAILED
    assert words in result.text
    assert remote.inbox.uids == [1, 2]


def test_wrong_sizes_and_odd_answers_do_no_harm(office: CollectingOffice, remote: RemoteImap) -> None:
    fill(remote.inbox, 3)
    remote.inbox.add(b"no header at all")
    remote.inbox.add(b"")
    remote.size_error = 1000
    remote.uid_last = remote.quotes = True
    assert run(office, remote) == TaskResult(Outcome.OK)
    assert len(office.messages("alice")) == 5
    assert remote.inbox.uids == []


def test_what_somebody_else_deleted_is_left(office: CollectingOffice, remote: RemoteImap) -> None:
    remote.inbox.add(make_message(1), "\\Deleted")
    fill(remote.inbox, 1, first=2)
    remote.capabilities = "IMAP4rev1 AUTH=PLAIN"
    result = run(office, remote)
    assert office.subjects("alice") == ["Message 2"]
    assert remote.inbox.uids == [1, 2]
    assert "Somebody else has marked" in result.text
    remote.inbox.messages[0].flags.clear()
    assert run(office, remote) == TaskResult(Outcome.OK)
    assert sorted(office.subjects("alice")) == ["Message 1", "Message 2"]
    assert remote.inbox.uids == []


def test_what_could_only_be_marked_after_moving_is_told(office: CollectingOffice, remote: RemoteImap) -> None:
    remote.inbox.add(make_message(1), "\\Deleted")
    fill(remote.inbox, 1, first=2)
    remote.capabilities = "IMAP4rev1 AUTH=PLAIN"
    result = run(office, remote, after="move", move_to="Collected")
    assert "Somebody else has marked" in result.text
    assert remote.inbox.uids == [1, 2]
    assert len(remote.folders["Collected"].messages) == 1


@pytest.mark.parametrize("check", [False, True])
@pytest.mark.parametrize(("cut_after", "lost"), [(b"SELECT", True), (b"", False)])
def test_a_connection_that_is_lost_is_a_network_error(
    office: CollectingOffice, remote: RemoteImap, check: bool, cut_after: bytes, lost: bool
) -> None:
    fill(remote.inbox, 1)
    remote.cut_after = cut_after
    if not lost:
        remote.refuses = {b"UID FETCH": b"NO the disk is broken"}
    result = run(office, remote, check=check)
    assert (result.outcome, result.connect_error) == (Outcome.FAILED, lost)


def test_what_went_is_not_taken_for_another_of_its_message_id() -> None:
    """A message that was deleted at the provider is known again by its size only."""
    gone, left = Renumbered("INBOX/1/1", "d", 100, deleted=True), Renumbered("INBOX/1/2", "d", 100)
    assert match_renumbered([gone], [("INBOX/2/1", "d", 150)]) == {}
    assert match_renumbered([gone], [("INBOX/2/1", "d", 100)]) == {"INBOX/1/1": "INBOX/2/1"}
    assert match_renumbered([gone, left], [("INBOX/2/1", "d", 150)]) == {"INBOX/1/2": "INBOX/2/1"}


def test_a_folder_that_may_only_be_read(office: CollectingOffice, remote: RemoteImap) -> None:
    fill(remote.inbox, 1)
    remote.read_only = True
    result = run(office, remote)
    assert "may only be read" in result.text
    assert run(office, remote).outcome is Outcome.PARTLY
    assert len(office.subjects("alice")) == 1


def test_rules_and_limits(office: CollectingOffice, remote: RemoteImap) -> None:
    conditions = [{"kind": "header", "field": "Subject", "value": "Message 2"}]
    DownloadRule.objects.create(name="No twos", action="delete", conditions=conditions)
    fill(remote.inbox, 3)
    remote.inbox.add(make_message(4, size=100_000))
    assert run(office, remote, use_download_rules=True, max_kilobytes=20) == TaskResult(Outcome.OK)
    subjects = office.subjects("alice")
    assert [subject for subject in subjects if subject.startswith("Message")] == ["Message 1", "Message 3"]
    assert any("Shall this message be fetched? Message 4" in subject for subject in subjects)
    assert remote.inbox.uids == [4]
    assert remote.count(b"UID FETCH 4 (UID BODY.PEEK[])") == 0
    RemoteMessage.objects.filter(query="asked").update(query="wanted")
    assert run(office, remote, max_kilobytes=20) == TaskResult(Outcome.OK)
    assert office.subjects("alice")[-1] == "Message 4"
    assert remote.inbox.uids == []


def test_no_rule_decides_about_a_header_that_is_not_given(
    office: CollectingOffice, remote: RemoteImap, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def give_none(client: ImapClient, uids: object, fields: str = "") -> dict[int, bytes]:
        return {}

    monkeypatch.setattr(ImapClient, "fetch_headers", give_none)
    DownloadRule.objects.create(name="All", action="delete")
    fill(remote.inbox, 2)
    run(office, remote, use_download_rules=True)
    assert remote.inbox.uids == [1, 2]
    assert not RemoteMessage.objects.exists()


def test_a_message_without_end(office: CollectingOffice, remote: RemoteImap, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collected_text, "MAX_MESSAGE_BYTES", 10_000)
    remote.inbox.add(make_message(1))
    remote.inbox.add(make_message(2, size=200_000))
    remote.inbox.add(make_message(3))
    result = run(office, remote)
    assert result.outcome is Outcome.PARTLY
    assert "does not end" in result.text
    assert sorted(office.subjects("alice")) == ["Message 1", "Message 3"]
    assert remote.inbox.uids == [2]


def test_routed_by_the_header(office: CollectingOffice, remote: RemoteImap) -> None:
    remote.inbox.add(make_message(1, to="bob@example.test"))
    remote.inbox.add(make_message(2, to="alice@example.test, bob@example.test"))
    run(office, remote, routing=Routing(method="headers", accepted_domains="example.test"))
    assert office.subjects("bob") == ["Message 1", "Message 2"]
    assert office.subjects("alice") == ["Message 2"]


class CountingHooks(Hooks):
    def __init__(self) -> None:
        self.told: list[str] = []

    async def on_collect_started(self, event: CollectStarted) -> None:
        self.told.append("start")

    async def on_message_listed(self, event: MessageListed) -> str | None:
        self.told.append("listed")
        return None

    async def on_message_start(self, event: MessageListed) -> None:
        self.told.append("begin")

    async def on_message_end(self, event: MessageListed, size: int) -> None:
        self.told.append(f"end {size}")

    async def on_collect_ended(self, event: CollectStarted) -> None:
        self.told.append("end")


def test_scripts_hear_of_every_step(office: CollectingOffice, remote: RemoteImap) -> None:
    hooks = office.hooks = CountingHooks()
    fill(remote.inbox, 1)
    run(office, remote)
    assert hooks.told == ["start", "listed", "begin", f"end {len(make_message(1))}", "end"]


def test_looked_at_only(office: CollectingOffice, remote: RemoteImap) -> None:
    fill(remote.inbox, 2)
    result = run(office, remote, check=True)
    assert result.outcome is Outcome.OK
    assert "INBOX: 2 messages" in result.text
    assert remote.inbox.uids == [1, 2]
    assert office.messages("alice") == []
    result = run(office, remote, check=True, folders=("Nowhere",))
    assert (result.outcome, "cannot be opened" in result.text) == (Outcome.FAILED, True)
    remote.users = {}
    assert "refuses the log-in" in run(office, remote, check=True).text


def test_an_account_for_which_nobody_has_signed_in(office: CollectingOffice, remote: RemoteImap) -> None:
    account = OAuthAccount.objects.create(name="Office", username="office@example.test")
    remote.capabilities = "IMAP4rev1 AUTH=XOAUTH2"
    credentials = Credentials(LoginMethod.XOAUTH2, "office@example.test", oauth=account.pk)
    result = run(office, remote, credentials=credentials)
    assert result.outcome is Outcome.FAILED
    assert "Nobody has signed in for the OAuth2 account Office yet" in result.text


def test_many_thousand_remembered_messages(office: CollectingOffice, remote: RemoteImap) -> None:
    """What stays at the provider is neither fetched nor renamed again, however much it is."""
    fill(remote.inbox, 600)
    run(office, remote, after="keep")
    remote.told.clear()
    run(office, remote, after="keep")
    assert [line for line in remote.told if line.startswith(b"UID")] == [b"UID FETCH 1:* (UID RFC822.SIZE FLAGS)"]
