# SPDX-License-Identifier: MIT
"""SMTP Relay: which server, what is recorded, limits, scripts, and servers that misbehave."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from mailserver import clock
from mailserver.config.catalog import ServiceKind
from mailserver.config.snapshot import Binding, Service
from mailserver.connectors.values import Credentials, Encryption, LoginMethod, Outcome, RemoteServer
from mailserver.hooks.events import (
    CandidateVerdict,
    RemoteReplied,
    ReturnPathComputed,
    SendCandidate,
    SendLimits,
    SendStarted,
)
from mailserver.hooks.interface import Hooks
from mailserver.outqueue.models import QueuedRecipient
from mailserver.store.models import Content
from mailserver.values import Protocol
from tests.support.bugs import BugCatcher
from tests.support.certificates import server_context
from tests.support.installation import free_port
from tests.support.queueing import MESSAGE, make_queued, make_sender, row
from tests.support.remote_smtp import RESET, SILENCE, RemoteSmtp
from tests.support.sending import SendingOffice, attempts, claims, open_office, replies, statuses
from workers import delivery
from workers.sending import relay

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]


@pytest.fixture
def office(tmp_path: Path) -> Iterator[SendingOffice]:
    with open_office(tmp_path) as opened:
        yield opened


def test_a_queue_goes_out(office: SendingOffice) -> None:
    ids = [id_ for number in range(150) for id_ in make_queued(f"u{number}@remote.example", "x@other.example")]
    with RemoteSmtp() as server:
        result = office.send(office.relay(server.port))
    assert result.outcome is Outcome.OK
    assert set(statuses(ids)) == {"sent"}
    assert len(server.messages) == 150
    assert {taken.data for taken in server.messages} == {MESSAGE}
    assert len(attempts()) == 300
    assert attempts()[0].result == "250 2.0.0 taken"
    assert attempts()[0].server == f"127.0.0.1:{server.port}"
    assert 1 < server.most_sessions <= 10
    assert claims() == 0
    assert office.log.done == 150


def test_the_return_path_line_stays_here_and_parameters_go_along(office: SendingOffice) -> None:
    (id_,) = make_queued("u@remote.example", notify="SUCCESS", envelope_id="e1", dsn_return="HDRS", eight_bit=True)
    with RemoteSmtp() as server:
        office.send(office.relay(server.port))
    assert "BODY=8BITMIME RET=HDRS ENVID=e1" in server.messages[0].mail
    assert server.messages[0].recipients == ["RCPT TO:<u@remote.example> NOTIFY=SUCCESS"]
    assert statuses([id_]) == ["sent"]


def test_mixed_results_are_kept_for_each_recipient(office: SendingOffice) -> None:
    ids = make_queued("good@r.example", "gone@r.example", "busy@r.example")
    answers = {
        "RCPT TO:<gone@r.example>": b"550-5.1.1 never\r\n550 5.1.1 heard of\r\n",
        "RCPT TO:<busy@r.example>": b"450 4.2.1 busy\r\n",
    }
    with RemoteSmtp(answers=answers) as server:
        office.send(office.relay(server.port))
    assert statuses(ids) == ["sent", "failed", "waiting"]
    assert replies(ids) == ["250 2.0.0 taken", "550-5.1.1 never\n550 5.1.1 heard of", "450 4.2.1 busy"]
    later = row(ids[2])
    assert later.next_attempt is not None
    assert later.next_attempt > clock.now() + timedelta(minutes=4)
    assert claims() == 0


# ---------------------------------------------------------------- which server


@pytest.mark.parametrize("reply", [b"452 4.5.3 Error: too many\r\n", b"552 Too many recipients\r\n"])
def test_recipients_that_are_too_many_for_a_transaction_come_in_the_next(office: SendingOffice, reply: bytes) -> None:
    ids = make_queued("a@r.example", "b@r.example", "c@r.example")
    with RemoteSmtp(answers={"RCPT TO:<b@r.example>": [reply], "RCPT TO:<c@r.example>": [reply, reply]}) as server:
        assert office.send(office.relay(server.port)).outcome is Outcome.OK
    assert statuses(ids) == ["sent", "sent", "sent"]
    assert [len(taken.recipients) for taken in server.messages] == [1, 1, 1]


def test_nobody_is_too_many_where_none_was_taken(office: SendingOffice) -> None:
    ids = make_queued("a@r.example")
    with RemoteSmtp(answers={"RCPT": b"452 4.5.3 too many\r\n"}) as server:
        office.send(office.relay(server.port))
    assert statuses(ids) == ["waiting"]
    assert replies(ids) == ["452 4.5.3 too many"]


def test_no_server_is_named(office: SendingOffice) -> None:
    ids = make_queued("u@r.example")
    result = office.send(office.relay())
    assert result.outcome is Outcome.FAILED
    assert "No relay server is named" in result.text
    assert statuses(ids) == ["waiting"]
    assert "No relay server is named" in replies(ids)[0]


def test_nothing_is_connected_to_when_nothing_waits(office: SendingOffice) -> None:
    with RemoteSmtp() as server:
        assert office.send(office.relay(server.port)).outcome is Outcome.OK
    assert server.sessions == 0


def test_a_server_that_cannot_be_reached_is_another_trouble_than_one_that_says_no(office: SendingOffice) -> None:
    make_queued("u@r.example")
    result = office.send(office.relay(free_port()))
    assert result.outcome is Outcome.FAILED
    assert result.connect_error


def test_the_next_server_when_the_first_cannot_be_reached(office: SendingOffice) -> None:
    ids = make_queued("u@r.example")
    with RemoteSmtp() as server:
        result = office.send(office.relay(free_port(), server.port))
    assert result.outcome is Outcome.OK
    assert statuses(ids) == ["sent"]


@pytest.mark.parametrize("greeting", [b"554 5.7.1 go away\r\n", b"421 4.3.2 busy\r\n"])
def test_not_the_next_server_when_the_first_says_no(office: SendingOffice, greeting: bytes) -> None:
    """Spec senders 3: fallback is for connecting only."""
    ids = make_queued("u@r.example")
    with RemoteSmtp(answers={"greeting": greeting}) as first, RemoteSmtp() as second:
        result = office.send(office.relay(first.port, second.port))
    assert result.outcome is Outcome.FAILED
    assert greeting.decode().strip() in result.text
    assert not result.connect_error
    assert second.sessions == 0
    assert statuses(ids) == ["waiting"]


def test_a_relay_that_cannot_be_reached_does_not_lengthen_the_waits(office: SendingOffice) -> None:
    ids = make_queued("u@r.example", "v@r.example")
    port = free_port()
    result = office.send(office.relay(port))
    assert result.outcome is Outcome.FAILED
    assert result.text.startswith(f"127.0.0.1 port {port} cannot be reached: ")
    assert replies(ids)[0] == f"451 4.4.1 {result.text}"
    assert [row(id_).tries for id_ in ids] == [0, 0]
    assert statuses(ids) == ["waiting", "waiting"]
    assert row(ids[0]).next_attempt is not None


def test_this_server_is_not_its_own_relay(office: SendingOffice) -> None:
    ids = make_queued("u@r.example")
    with RemoteSmtp() as server:
        binding = Binding("0.0.0.0", server.port)
        office.changes["services"] = (Service(1, ServiceKind.SMTP, "SMTP", Protocol.SMTP, (binding,)),)
        result = office.send(office.relay(server.port))
    assert "is this server itself" in result.text
    assert server.sessions == 0
    assert statuses(ids) == ["waiting"]


def test_a_wrong_password_is_told_and_nothing_is_lost(office: SendingOffice) -> None:
    ids = make_queued("u@r.example")
    with RemoteSmtp(passwords={"office": "right"}) as server:
        credentials = Credentials(LoginMethod.AUTOMATIC, "office", "wrong")
        result = office.send(office.relay(server.port, credentials=credentials))
        assert "does not accept the log-in" in result.text
        assert statuses(ids) == ["waiting"]
        assert replies(ids)[0].startswith("451 4.7.8 127.0.0.1 port ")
        QueuedRecipient.objects.update(next_attempt=None)
        again = office.send(office.relay(server.port, credentials=Credentials(LoginMethod.PLAIN, "office", "right")))
    assert again.outcome is Outcome.OK
    assert not any("wrong" in line or "d3Jvbmc" in line for line in office.log.lines)


@pytest.mark.parametrize("renewed", ["right", "wrong as well"])
def test_a_token_that_is_refused_is_renewed_once(
    office: SendingOffice, monkeypatch: pytest.MonkeyPatch, renewed: str
) -> None:
    asked: list[str] = []

    def give(account: int, refused: str = "") -> str:
        asked.append(refused)
        return renewed if refused else "withdrawn"

    monkeypatch.setattr(delivery, "fetch_access_token", give)
    monkeypatch.setattr(relay, "fetch_access_token", give)
    ids = make_queued("u@r.example")
    with RemoteSmtp(passwords={"office": "right"}) as server:
        sender = office.relay(server.port, credentials=Credentials(LoginMethod.XOAUTH2, "office", oauth=7))
        good = renewed == "right"
        assert office.check(sender).outcome is (Outcome.OK if good else Outcome.FAILED)
        assert office.send(sender).outcome is (Outcome.OK if good else Outcome.FAILED)
    assert statuses(ids) == ["sent" if good else "waiting"]
    assert asked == ["", "withdrawn", "", "withdrawn"]


def test_a_relay_that_does_not_like_anybody_now_costs_no_token(
    office: SendingOffice, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def give(account: int, refused: str = "") -> str:
        asked.append(refused)
        return "right"

    monkeypatch.setattr(delivery, "fetch_access_token", give)
    monkeypatch.setattr(relay, "fetch_access_token", give)
    make_queued("u@r.example")
    with RemoteSmtp(passwords={"office": "right"}, answers={"AUTH": b"454 4.7.0 later\r\n"}) as server:
        sender = office.relay(server.port, credentials=Credentials(LoginMethod.XOAUTH2, "office", oauth=7))
        assert office.send(sender).outcome is Outcome.FAILED
    assert asked == [""]


def test_a_certificate_that_does_not_match(office: SendingOffice) -> None:
    ids = make_queued("u@r.example")
    with RemoteSmtp(tls=server_context()) as server:
        result = office.send(office.relay(server.port, encryption=Encryption.STARTTLS, verify_certificate=True))
    assert "certificate of 127.0.0.1 is not valid" in result.text
    assert server.messages == []
    assert statuses(ids) == ["waiting"]


# ---------------------------------------------------------------- sessions


def test_a_server_that_ends_the_session_now_and_then(office: SendingOffice) -> None:
    ids = [id_ for number in range(30) for id_ in make_queued(f"u{number}@r.example")]
    with RemoteSmtp(answers={"MAIL": [b"", b"", b"421 4.7.0 enough\r\n"] * 20}) as server:
        result = office.send(office.relay(server.port, threads=1))
    assert result.outcome is Outcome.OK
    assert set(statuses(ids)) == {"sent"}
    assert len(server.messages) == 30
    assert server.sessions > 5


def test_a_reset_in_mid_text_leaves_it_for_later(office: SendingOffice) -> None:
    first, second = make_queued("a@r.example") + make_queued("b@r.example")
    with RemoteSmtp(answers={"end": [RESET]}) as server:
        result = office.send(office.relay(server.port, threads=1))
    assert result.outcome is Outcome.OK
    assert statuses([first, second]) == ["waiting", "sent"]
    assert "may have taken the message" in replies([first])[0]


def test_a_server_that_vanishes_during_the_run(office: SendingOffice) -> None:
    ids = [id_ for number in range(5) for id_ in make_queued(f"u{number}@r.example")]
    with RemoteSmtp(answers={"end": [b"", RESET], "greeting": [b"", RESET, RESET]}) as server:
        result = office.send(office.relay(server.port, threads=1))
    assert result.outcome is Outcome.PARTLY
    assert "cannot be made again" in result.text
    assert sorted(statuses(ids)) == ["sent", "waiting", "waiting", "waiting", "waiting"]
    assert claims() == 0


def test_a_further_session_that_the_server_does_not_want(office: SendingOffice) -> None:
    ids = [id_ for number in range(40) for id_ in make_queued(f"u{number}@r.example")]
    with RemoteSmtp(answers={"greeting": [b"", *[b"421 4.7.0 too many\r\n"] * 50]}) as server:
        result = office.send(office.relay(server.port))
    assert result.outcome is Outcome.OK
    assert set(statuses(ids)) == {"sent"}
    assert len({taken.session for taken in server.messages}) == 1


def test_stopping_finishes_what_is_on_the_wire_and_frees_the_rest(office: SendingOffice) -> None:
    ids = [id_ for number in range(60) for id_ in make_queued(f"u{number}@r.example")]
    with RemoteSmtp() as server:
        office.stop(office.relay(server.port, threads=2), lambda: len(server.messages) >= 3)
    assert statuses(ids).count("sent") == len(server.messages) < 60
    assert claims() == 0


def test_a_server_that_falls_silent_does_not_keep_a_stop_waiting(
    office: SendingOffice, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.sending.leaving.FINISH_SECONDS", 0.2)
    ids = make_queued("u@r.example")
    with RemoteSmtp(answers={"end": SILENCE}) as server:
        office.stop(office.relay(server.port), lambda: "DATA" in server.commands)
    assert statuses(ids) == ["waiting"]
    assert claims() == 0


def test_a_message_that_meets_our_bug_holds_nobody_up(office: SendingOffice, bug_catcher: BugCatcher) -> None:
    class Buggy(Hooks):
        async def on_return_path(self, event: ReturnPathComputed) -> str | None:
            if event.recipients[0].local == "a":
                raise ValueError("a bug")
            return None

    office.hooks = Buggy()
    ids = [*make_queued("a@r.example"), *make_queued("b@r.example")]
    with RemoteSmtp() as server:
        assert office.send(office.relay(server.port)).outcome is Outcome.OK
    assert statuses(ids) == ["waiting", "sent"]
    assert replies(ids)[0].startswith("451 4.3.0 ")
    assert bug_catcher.bugs
    bug_catcher.bugs.clear()


def test_a_message_whose_file_is_gone_holds_nobody_up(office: SendingOffice) -> None:
    """The disk may come back, so it is not returned either."""
    gone = make_queued("a@r.example")
    Content.objects.update(body=None, blob="no/such/file")
    ids = make_queued("b@r.example")
    with RemoteSmtp() as server:
        result = office.send(office.relay(server.port))
    assert result.outcome is Outcome.OK
    assert statuses([*gone, *ids]) == ["waiting", "sent"]
    assert replies(gone)[0].startswith("451 4.3.0 The stored message cannot be read")


# ---------------------------------------------------------------- limits


def test_messages_in_a_session(office: SendingOffice) -> None:
    ids = [id_ for number in range(8) for id_ in make_queued(f"u{number}@r.example")]
    with RemoteSmtp() as server:
        sender = office.relay(server.port, max_messages_per_session=3)
        office.send(sender)
        assert statuses(ids).count("sent") == 3
        assert server.sessions == 1
        office.send(sender)
    assert statuses(ids).count("sent") == 6
    assert claims() == 0


def test_recipients_of_a_message(office: SendingOffice) -> None:
    ids = make_queued(*(f"u{number}@r.example" for number in range(10)))
    with RemoteSmtp() as server:
        office.send(office.relay(server.port, max_recipients_per_message=4))
    assert [len(taken.recipients) for taken in server.messages] == [4, 4, 2]
    assert set(statuses(ids)) == {"sent"}


def test_recipients_in_a_session(office: SendingOffice) -> None:
    ids = make_queued(*(f"u{number}@r.example" for number in range(5))) + make_queued("x@r.example")
    with RemoteSmtp() as server:
        sender = office.relay(server.port, max_recipients_per_session=3)
        office.send(sender)
        assert statuses(ids).count("sent") == 3
        office.send(sender)
    assert set(statuses(ids)) == {"sent"}
    assert server.sessions == 2


def test_recipients_in_a_time(office: SendingOffice) -> None:
    ids = [id_ for number in range(6) for id_ in make_queued(f"u{number}@r.example")]
    with RemoteSmtp() as server:
        sender = office.relay(server.port, rate_recipients=4, rate_minutes=10)
        office.send(sender)
        assert statuses(ids).count("sent") == 4
        QueuedRecipient.objects.update(next_attempt=None)
        office.send(sender)
    assert statuses(ids).count("sent") == 4
    assert any("limit of 4 recipients" in note for note in office.log.notes)
    assert claims() == 0


def test_only_what_waited_at_the_start(office: SendingOffice) -> None:
    (first,) = make_queued("a@r.example")
    second: list[int] = []

    class Late(Hooks):
        async def on_server_connected(self, event: SendStarted, server: str) -> SendLimits | None:
            second.extend(await office.offload(make_queued, "b@r.example"))
            return None

    office.hooks = Late()
    with RemoteSmtp() as server:
        office.send(office.relay(server.port, only_waiting_at_start=True))
    assert statuses([first, *second]) == ["sent", "waiting"]


# ---------------------------------------------------------------- return paths


@pytest.mark.parametrize(
    ("mode", "setting", "path"),
    [
        ("keep", "", "alice@example.test"),
        ("fixed", "bounces@other.example", "bounces@other.example"),
        ("domain", "other.example", "alice@other.example"),
        ("fixed", "nonsense", "alice@example.test"),
    ],
)
def test_return_paths(office: SendingOffice, mode: str, setting: str, path: str) -> None:
    make_queued("u@r.example")
    make_queued("u@r.example", reverse_path="")
    with RemoteSmtp() as server:
        office.send(office.relay(server.port, return_path_mode=mode, return_path=setting, threads=1))
    assert [taken.mail.split(" ")[1] for taken in server.messages] == [f"FROM:<{path}>", "FROM:<>"]


# ---------------------------------------------------------------- scripts


class Script(Hooks):
    """Says what a test wants, and notes what it was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def on_send_started(self, event: SendStarted) -> SendLimits | None:
        self.asked.append("start")
        return SendLimits(max_recipients_per_message=1)

    async def on_server_connected(self, event: SendStarted, server: str) -> SendLimits | None:
        self.asked.append(f"connected {server}")
        return SendLimits(max_messages=3)

    async def on_send_candidate(self, event: SendCandidate) -> CandidateVerdict | None:
        self.asked.append(str(event.recipients[0].local))
        if event.recipients[0].local == "skip":
            return CandidateVerdict(skip=True, reason="too big")
        return CandidateVerdict(priority=90 if event.recipients[0].local == "first" else 50)

    async def on_remote_reply(self, event: RemoteReplied) -> str | None:
        return "550 5.1.1 for good" if event.reply.startswith("450") else None

    async def on_return_path(self, event: ReturnPathComputed) -> str | None:
        return f"script+{event.recipients[0].local}@example.test"


def test_scripts_hear_whom_else_a_message_is_for(office: SendingOffice) -> None:
    heard: list[ReturnPathComputed] = []

    class Listening(Hooks):
        async def on_return_path(self, event: ReturnPathComputed) -> str | None:
            heard.append(event)
            return None

    office.hooks = Listening()
    sent, *_ = make_queued("a@r.example", "b@r.example", "c@r.example")
    make_queued("z@r.example")
    QueuedRecipient.objects.filter(pk=sent).update(status="sent")
    with RemoteSmtp() as server:
        office.send(office.relay(server.port, return_path_mode="fixed", return_path="we@example.test", threads=1))
    (event, other) = heard
    assert [str(address) for address in event.recipients] == ["b@r.example", "c@r.example"]
    assert [str(address) for address in event.all_recipients] == ["a@r.example", "b@r.example", "c@r.example"]
    assert [str(address) for address in other.all_recipients] == ["z@r.example"]
    assert (str(event.computed), str(event.original)) == ("we@example.test", "alice@example.test")


def test_scripts_have_their_say(office: SendingOffice) -> None:
    script = office.hooks = Script()
    skipped, second, bad = make_queued("skip@r.example") + make_queued("b@r.example") + make_queued("bad@r.example")
    first, beyond = make_queued("first@r.example") + make_queued("zz@r.example")
    with RemoteSmtp(answers={"RCPT TO:<bad@r.example>": b"450 4.2.0 later\r\n"}) as server:
        office.send(office.relay(server.port))
    assert statuses([skipped, second, bad, first, beyond]) == ["waiting", "sent", "failed", "sent", "waiting"]
    assert [taken.mail.split(" ")[1] for taken in server.messages] == [
        "FROM:<script+first@example.test>",
        "FROM:<script+b@example.test>",
    ]
    assert script.asked[0] == "start"
    assert script.asked[-1] == "connected 127.0.0.1"
    assert replies([bad]) == ["550 5.1.1 for good"]
    assert claims() == 0


# ---------------------------------------------------------------- the Test button


def test_the_test_button(office: SendingOffice) -> None:
    with RemoteSmtp(tls=server_context()) as server:
        good = office.check(office.relay(server.port, encryption=Encryption.STARTTLS))
        assert good.outcome is Outcome.OK
        assert any("encrypted (TLSv1." in note for note in office.log.notes)
        partly = office.check(office.relay(server.port, free_port()))
        assert partly.outcome is Outcome.PARTLY
    assert office.check(office.relay(free_port())).outcome is Outcome.FAILED
    assert "No relay server" in office.check(office.relay()).text
    assert server.messages == []
    unknown = make_sender(servers=(RemoteServer("no-such-name.invalid", 25),))
    assert office.check(unknown).outcome is Outcome.FAILED
    assert any("is not known" in note for note in office.log.notes)
