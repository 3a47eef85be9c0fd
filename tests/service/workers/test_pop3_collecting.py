# SPDX-License-Identifier: MIT
"""Collecting by POP3 from servers that behave badly: each ends in a clear line, and every message is safe."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mailserver.connectors.models import RemoteMessage, SeenMessage
from mailserver.connectors.values import Credentials, LoginMethod, Outcome, Routing
from mailserver.errors import Kind, MailError
from mailserver.hooks.events import LanQueued, LanRulesAsked, LanRuleView
from mailserver.hooks.interface import Hooks
from mailserver.lan import services as lan
from mailserver.lan.services import RuleInput
from mailserver.outqueue.models import QueuedRecipient
from mailserver.pipeline import collected_text
from tests.support.collecting import CollectingOffice, make_message, open_office
from tests.support.evil_mailbox import CATCH_ALL, collector, mailbox, numbers, rule
from tests.support.evil_pop3 import PASSWORD, EvilPop3, Tricks

pytestmark = [pytest.mark.database, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def office(tmp_path: Path) -> Iterator[CollectingOffice]:
    with open_office(tmp_path) as opened:
        yield opened


@pytest.mark.parametrize("pipelining", [True, False])
def test_a_good_server(office: CollectingOffice, pipelining: bool) -> None:
    with mailbox(5, pipelining=pipelining) as evil:
        assert office.collect(collector(office, evil)).outcome is Outcome.OK
        assert (numbers(office), evil.messages) == ([1, 2, 3, 4, 5], [])
        assert evil.log[-1] == "QUIT"
        rows = RemoteMessage.objects.all()
        assert [(row.downloaded is not None, row.deleted is not None) for row in rows] == [(True, True)] * 5
        assert office.log.done == office.log.expected == 5


@pytest.mark.parametrize("factor", [0.001, 1000.0])
def test_sizes_that_are_lies(office: CollectingOffice, factor: float) -> None:
    with mailbox(size_factor=factor, junk_listing=True) as evil:
        assert office.collect(collector(office, evil)).outcome is Outcome.OK
        assert (numbers(office), evil.messages) == ([1, 2, 3, 4, 5], [])


@pytest.mark.parametrize("pipelining", [True, False])
def test_a_connection_that_ends_in_a_message(office: CollectingOffice, pipelining: bool) -> None:
    with mailbox(drop_in=3, pipelining=pipelining) as evil:
        result = office.collect(collector(office, evil))
        assert result.outcome is Outcome.PARTLY
        assert "closed the connection in the middle of the session (in message 3, which stays" in result.text
        assert numbers(office) == [1, 2, 4, 5]
        assert evil.messages == [make_message(3)]
        evil.tricks.drop_in = 0
        assert office.collect(collector(office, evil)).outcome is Outcome.OK
        assert (numbers(office), evil.messages) == ([1, 2, 3, 4, 5], [])


def test_a_connection_that_ends_again_and_again(office: CollectingOffice) -> None:
    with mailbox(9, drop_after=2, pipelining=False) as evil:
        for _ in range(4):
            office.collect(collector(office, evil))
        assert numbers(office) == list(range(1, 10))
        evil.tricks.drop_after = 0
        office.collect(collector(office, evil))
        assert (numbers(office), evil.messages) == (list(range(1, 10)), [])


def test_a_message_without_end(office: CollectingOffice, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collected_text, "MAX_SURPRISE_BYTES", 200_000)
    with mailbox(endless=2) as evil:
        result = office.collect(collector(office, evil))
        assert result.outcome is Outcome.PARTLY
        assert "sends a message that does not end (in message 2, which stays at the provider)" in result.text
        assert numbers(office) == [1, 3, 4, 5]
        assert evil.messages == [make_message(2)]


def test_a_header_without_end(office: CollectingOffice) -> None:
    rule("ignore", ("header", "Subject", "no such thing"))
    with mailbox(endless_top=2) as evil:
        result = office.collect(collector(office, evil, use_download_rules=True))
        assert (result.outcome, "answer to TOP does not come to an end" in result.text) == (Outcome.PARTLY, True)
        assert numbers(office) == [1, 3, 4, 5]
        assert evil.messages == [make_message(2)]


def test_a_line_without_end(office: CollectingOffice) -> None:
    with mailbox(long_line=True) as evil:
        result = office.collect(collector(office, evil))
        assert result.outcome is Outcome.FAILED
        assert "does not keep to the protocol: it sent a line without end" in result.text
        assert len(evil.messages) == 5


def test_the_same_id_for_everything(office: CollectingOffice) -> None:
    with mailbox(same_ids=True) as evil:
        assert office.collect(collector(office, evil, leave_on_server_days=5)).outcome is Outcome.OK
        assert "gives the same id to several messages" in office.log.notes[0]
        office.collect(collector(office, evil, leave_on_server_days=5))
        assert numbers(office) == [1, 2, 3, 4, 5]
        assert len(evil.messages) == 5


@pytest.mark.parametrize("no_top", [False, True])
def test_no_ids_at_all(office: CollectingOffice, no_top: bool) -> None:
    with mailbox(no_uidl=True, no_top=no_top) as evil:
        office.collect(collector(office, evil))
        assert (numbers(office), evil.messages) == ([1, 2, 3, 4, 5], [])


def test_left_by_a_server_that_tells_messages_apart_by_nothing(office: CollectingOffice) -> None:
    """Neither UIDL nor TOP: what is left there would come again at every visit."""
    with mailbox(no_uidl=True, no_top=True) as evil:
        settings = collector(office, evil, leave_on_server_days=5, detect_duplicates=False)
        assert office.collect(settings).outcome is Outcome.OK
        assert [note for note in office.log.notes if "cannot be left there for 5 days" in note]
        assert office.collect(settings).outcome is Outcome.OK
        assert (numbers(office), evil.messages) == ([1, 2, 3, 4, 5], [])
    routing = Routing(method="headers", accepted_domains="example.test", errors_action="remote")
    with EvilPop3([make_message(1, "carol@example.test")], Tricks(no_uidl=True, no_top=True)) as evil:
        office.collect(collector(office, evil, routing, leave_on_server_days=5))
        assert len(evil.messages) == 1, "nobody here has it: another office collects it"


def test_the_same_header_twice(office: CollectingOffice) -> None:
    with EvilPop3([make_message(1), make_message(1, size=400)], Tricks(no_uidl=True)) as evil:
        office.collect(collector(office, evil, detect_duplicates=False))
        assert (numbers(office), evil.messages) == ([1, 1], [])


def test_left_with_the_same_header_twice(office: CollectingOffice) -> None:
    with EvilPop3([make_message(1), make_message(1, size=400)], Tricks(no_uidl=True)) as evil:
        for _ in range(2):
            office.collect(collector(office, evil, detect_duplicates=False, leave_on_server_days=5))
        assert (numbers(office), len(evil.messages)) == ([1, 1], 2)


def test_headers_that_the_server_does_not_show(office: CollectingOffice) -> None:
    with EvilPop3([b"\r\n\r\nfirst\r\n"], Tricks(no_uidl=True)) as evil:
        office.collect(collector(office, evil))
        evil.messages = [b"\r\n\r\nsecond\r\n"]
        office.collect(collector(office, evil))
        assert (len(office.messages("alice")), evil.messages) == (2, [])


def test_dots_that_are_not_doubled(office: CollectingOffice) -> None:
    """A lone dot in the text ends the message for us, and what follows is no answer: it stays at the provider."""
    messages = [make_message(1), make_message(2) + b".\r\nthe rest\r\n", make_message(3)]
    messages[0] = messages[0].replace(b"\r\n.\r\n", b"\r\n").replace(b"..two", b".two")
    messages[2] = messages[2].replace(b"\r\n.\r\n", b"\r\n").replace(b"..two", b".two")
    with EvilPop3(messages, Tricks(no_stuffing=True)) as evil:
        result = office.collect(collector(office, evil))
        assert "does not keep to the protocol" in result.text
        assert numbers(office) == [1, 3]
        assert b"\r\n.two\r\n.one\r\n" in office.messages("alice")[0]
        assert evil.messages == [messages[1]]


def test_a_message_that_is_refused(office: CollectingOffice) -> None:
    with mailbox(refuse=2) as evil:
        result = office.collect(collector(office, evil))
        assert (result.outcome, result.text) == (Outcome.PARTLY, "The server did not give message 2: it is damaged.")
        assert (numbers(office), evil.messages) == ([1, 3, 4, 5], [make_message(2)])


def test_quit_that_is_not_answered(office: CollectingOffice) -> None:
    """RFC 1939 §6: then nothing was deleted. It is not fetched again, but deleted again."""
    with mailbox(fail_quit=True) as evil:
        assert office.collect(collector(office, evil)).outcome is Outcome.PARTLY
        assert len(evil.messages) == 5
        evil.tricks.fail_quit = False
        evil.log.clear()
        office.collect(collector(office, evil))
        assert (numbers(office), evil.messages) == ([1, 2, 3, 4, 5], [])
        assert not any(line.startswith("RETR") for line in evil.log)


def test_a_server_that_lets_nobody_in(office: CollectingOffice) -> None:
    with mailbox(greeting=b"-ERR [SYS/TEMP] too busy\r\n") as evil:
        result = office.collect(collector(office, evil))
        assert result.text == "127.0.0.1 does not let us in: [SYS/TEMP] too busy"
    result = office.collect(collector(office, evil))
    assert result.text == f"127.0.0.1 port {evil.port} refuses connections: nothing listens there."
    assert result.connect_error


def test_looking_fetches_nothing(office: CollectingOffice) -> None:
    with mailbox() as evil:
        result = office.check(collector(office, evil))
        size = sum(map(len, evil.messages))
        assert result.outcome is Outcome.OK
        assert result.text == f"5 messages ({size} bytes) are there. The session was not encrypted."
        wrong = office.check(collector(office, evil, credentials=Credentials(LoginMethod.PLAIN, "office", "nonsense")))
        assert (wrong.outcome, wrong.text) == (Outcome.FAILED, "The login was refused: [AUTH] wrong")
        assert len(evil.messages) == 5
    assert numbers(office) == []
    assert "nonsense" not in "\n".join(office.log.lines)
    assert office.check(collector(office, evil)).connect_error


def test_apop(office: CollectingOffice) -> None:
    """RFC 1939 §7: the digest of the greeting's stamp and the password."""
    with mailbox(1, greeting=b"+OK ready <1.2@provider.test>\r\n") as evil:
        office.collect(collector(office, evil, credentials=Credentials(LoginMethod.APOP, "office", PASSWORD)))
        assert evil.messages == []
        digest = hashlib.md5(f"<1.2@provider.test>{PASSWORD}".encode()).hexdigest()
        assert f"APOP office {digest}" in evil.log
        assert "C: APOP office ***" in office.log.lines
    with mailbox(1) as evil:
        result = office.collect(collector(office, evil, credentials=Credentials(LoginMethod.APOP, "office", PASSWORD)))
        assert result.text == "The server does not offer APOP."


def test_a_store_that_is_full(office: CollectingOffice, monkeypatch: pytest.MonkeyPatch) -> None:
    with mailbox() as evil:
        settings = collector(office, evil)

        def fail(unit: object) -> Any:
            from concurrent.futures import Future

            future: Future[Any] = Future()
            future.set_exception(MailError(Kind.STORAGE_FULL, "no space"))
            return future

        with monkeypatch.context() as patched:
            patched.setattr(office.store, "submit", fail)
            result = office.collect(settings)
        assert result.outcome is Outcome.FAILED
        assert "nothing is deleted at the provider" in result.text
        assert len(evil.messages) == 5
        office.collect(settings)
        assert (numbers(office), evil.messages) == ([1, 2, 3, 4, 5], [])


# ---------------------------------------------------------------- routing errors, duplicates


def test_notices_for_our_own_network_go_to_its_server(office: CollectingOffice) -> None:
    lan.save_rule(RuleInput("*@branch.test", "10.0.0.5"))
    routing = Routing(method="headers", accepted_domains="example.test; branch.test", errors_action="bounce")
    unknown = make_message(1, "carol@example.test", Return_Path="<dora@branch.test>")
    large = make_message(2, "emil@branch.test", size=100_000)
    with EvilPop3([unknown, large]) as evil:
        assert office.collect(collector(office, evil, routing, max_kilobytes=20)).outcome is Outcome.OK
    rows = QueuedRecipient.objects.order_by("recipient").values_list("recipient", "lan_server")
    assert list(rows) == [("dora@branch.test", "10.0.0.5:25"), ("emil@branch.test", "10.0.0.5:25")]


class LanScript(Hooks):
    def __init__(self) -> None:
        self.told: list[LanRulesAsked | LanQueued] = []

    async def on_lan_rules(self, event: LanRulesAsked) -> tuple[LanRuleView, ...] | None:
        self.told.append(event)
        return None

    async def on_lan_queued(self, event: LanQueued) -> str | None:
        self.told.append(event)
        return None


def test_scripts_of_lan_forwarding_hear_which_collector_it_was(office: CollectingOffice) -> None:
    lan.save_rule(RuleInput("*@branch.test", "10.0.0.5"))
    office.hooks = script = LanScript()
    routing = Routing(method="headers", accepted_domains="branch.test")
    with EvilPop3([make_message(1, "emil@branch.test")]) as evil:
        settings = collector(office, evil, routing)
        assert office.collect(settings).outcome is Outcome.OK
    assert [(type(event), event.collector) for event in script.told] == [
        (LanRulesAsked, settings.id),
        (LanQueued, settings.id),
    ]


@pytest.mark.parametrize(
    ("action", "subjects"),
    [
        ("message-to", {"bob": ["Message 1"]}),
        ("message-to-admin", {"postmaster": ["Message 1"]}),
        ("error-to", {"bob": ["A collected message is for nobody here"]}),
        ("error-to-admin", {"postmaster": ["A collected message is for nobody here"]}),
        ("bounce", {}),
        ("remote", {}),
    ],
)
def test_mail_for_nobody(office: CollectingOffice, action: str, subjects: dict[str, list[str]]) -> None:
    original = make_message(1, "carol@example.test", size=90_000)
    routing = Routing(method="headers", accepted_domains="example.test", errors_action=action, errors_to="bob")
    with EvilPop3([original]) as evil:
        assert office.collect(collector(office, evil, routing)).outcome is Outcome.OK
        assert {user: found for user in office.users if (found := office.subjects(user))} == subjects
        assert evil.messages == ([original] if action == "remote" else [])
        assert "Nobody here has the address carol@example.test." in office.log.notes[0]
        office.collect(collector(office, evil, routing))
    assert {user: found for user in office.users if (found := office.subjects(user))} == subjects
    if action.startswith("error"):
        notice = office.messages(next(iter(subjects)))[0]
        text = original[original.index(b"Received:") :]
        assert b"Nobody here has the address carol@example.test." in notice
        assert text in notice
    queued = list(QueuedRecipient.objects.values_list("recipient", "reverse_path"))
    assert queued == ([("sender@elsewhere.test", "")] if action == "bounce" else [])


@pytest.mark.parametrize(
    "fields",
    [
        {"Return_Path": "<>"},
        {"Return_Path": ""},
        {"List_Id": "<x.y>"},
        {"Precedence": "bulk"},
        {"Auto_Submitted": "auto-replied"},
        {"X_Spam_Flag": "YES"},
    ],
)
def test_nobody_is_bothered_by_a_bounce(office: CollectingOffice, fields: dict[str, str]) -> None:
    routing = Routing(method="headers", accepted_domains="example.test", errors_action="bounce")
    with EvilPop3([make_message(1, "carol@example.test", **fields)]) as evil:
        office.collect(collector(office, evil, routing))
        assert evil.messages == []
    assert QueuedRecipient.objects.count() == 0
    assert office.subjects("postmaster") == ["A collected message is for nobody here"]


def test_a_message_that_goes_round_in_circles(office: CollectingOffice) -> None:
    lines = "Received: from a by b; Mon, 2 Mar 2026 09:00:00 +0000\r\n" * 40
    with EvilPop3([lines.encode() + make_message(1)]) as evil:
        office.collect(collector(office, evil, CATCH_ALL))
        assert evil.messages == []
    assert office.subjects("postmaster") == ["Message 1"]
    assert "too many Received lines" in office.steps("unrouted")[0]


def test_copies_for_each_recipient_are_filed_once(office: CollectingOffice) -> None:
    """Spec connectors 4.8: a provider that puts one copy for each recipient into a catch-all mailbox."""
    both = "alice@example.test, bob@example.test"
    copies = [make_message(1, both, Delivered_To=to) for to in ("alice@example.test", "bob@example.test")]
    copies += [make_message(2, both, Message_ID=""), make_message(2, both, Message_ID="", X_Other="1")]
    with EvilPop3(copies[:1]) as evil:
        office.collect(collector(office, evil, CATCH_ALL))
        evil.messages = copies[1:]
        office.collect(collector(office, evil, CATCH_ALL))
        assert evil.messages == []
    assert numbers(office) == numbers(office, "bob") == [1, 2, 2]
    assert len(office.steps("dropped")) == 2
    with EvilPop3([make_message(1, both, X_Other="2")]) as evil:
        office.collect(collector(office, evil, CATCH_ALL, detect_duplicates=False, name="Another"))
    assert numbers(office) == [1, 1, 2, 2]
    assert SeenMessage.objects.count() == 2


def test_both_copies_in_one_session(office: CollectingOffice) -> None:
    both = "alice@example.test, bob@example.test"
    with EvilPop3([make_message(1, both, X_Copy=str(copy)) for copy in range(3)]) as evil:
        office.collect(collector(office, evil, CATCH_ALL))
        assert evil.messages == []
    assert numbers(office) == numbers(office, "bob") == [1]
