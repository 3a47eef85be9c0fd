# SPDX-License-Identifier: MIT
"""SMTP Direct, through a DNS server on loopback: which servers, in which order, and what becomes of the message.

Mail servers of different names have different addresses of this machine (127.0.0.2 and so on) and one port.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from mailserver.config.catalog import ServiceKind
from mailserver.config.snapshot import Binding, Service
from mailserver.connectors.values import Outcome
from mailserver.hooks.events import (
    CandidateVerdict,
    SendCandidate,
    ServerOverrides,
    ServersSought,
    ServerVerdict,
    TargetDetails,
    TargetFound,
)
from mailserver.hooks.interface import Hooks
from mailserver.outqueue.models import QueuedRecipient
from mailserver.values import Protocol
from tests.support.bugs import BugCatcher
from tests.support.certificates import server_context
from tests.support.dns_server import SERVFAIL, DnsServer, Records
from tests.support.installation import free_port
from tests.support.queueing import MESSAGE, make_queued, row
from tests.support.remote_smtp import CLOSE, RESET, SILENCE, RemoteSmtp
from tests.support.sending import HOSTNAME, SendingOffice, attempts, claims, open_office, replies, statuses

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]

HOSTS: dict[str, Records | str] = {f"mx{number}.example": {"A": [f"127.0.0.{number}"]} for number in range(2, 8)} | {
    "dead.example": {"A": ["127.0.0.77"]},
    "nowhere.example": {"TXT": ['"x"']},
}


class Internet:
    """Domains by their DNS records, and the mail servers that the test starts."""

    def __init__(self, office: SendingOffice, stack: ExitStack) -> None:
        self.office = office
        self.port = free_port()
        self.dns = stack.enter_context(DnsServer(HOSTS))
        self._stack = stack

    def server(self, number: int, **manners: object) -> RemoteSmtp:
        """The server of mx<number>.example."""
        made = RemoteSmtp(address=f"127.0.0.{number}", port=self.port, name=f"mx{number}.example", **manners)  # type: ignore[arg-type]
        return self._stack.enter_context(made)

    def domain(self, name: str, *exchanges: str, **records: list[str]) -> str:
        """A domain with these MX records (`10 mx2.example.`)."""
        self.dns.table[name] = {**({"MX": list(exchanges)} if exchanges else {}), **records}
        return f"u@{name}"

    def send(self, **settings: object) -> Outcome:
        return self.office.send(self.office.direct(self.dns.address, self.port, **settings)).outcome


@pytest.fixture
def internet(tmp_path: Path) -> Iterator[Internet]:
    with open_office(tmp_path) as office, ExitStack() as stack:
        yield Internet(office, stack)


def only_status(ids: list[int]) -> str:
    (status,) = set(statuses(ids))
    return status


# ---------------------------------------------------------------- which server


def test_the_lowest_preference_first(internet: Internet) -> None:
    ids = make_queued(internet.domain("a.example", "20 mx2.example.", "10 mx3.example.", "30 mx4.example."))
    worse, best = internet.server(2), internet.server(3)
    assert internet.send() is Outcome.OK
    assert only_status(ids) == "sent"
    assert (len(best.messages), worse.sessions) == (1, 0)
    assert attempts()[0].server == f"mx3.example:{internet.port}"
    assert claims() == 0


def test_equal_preferences_share_the_work(internet: Internet) -> None:
    address = internet.domain("a.example", "10 mx2.example.", "10 mx3.example.")
    first, second = internet.server(2), internet.server(3)
    for number in range(40):
        make_queued(address.replace("u@", f"u{number}@"))
        if number % 8 == 7:
            internet.send(max_per_domain=4)
            QueuedRecipient.objects.filter(status="sent").delete()
    assert first.messages
    assert second.messages


@pytest.mark.parametrize("dead", ["dead.example.", "nowhere.example.", "not-in-the-dns.example."])
def test_a_dead_first_server(internet: Internet, dead: str) -> None:
    ids = make_queued(internet.domain("a.example", f"10 {dead}", "20 mx2.example."))
    server = internet.server(2)
    internet.send()
    assert only_status(ids) == "sent"
    assert len(server.messages) == 1


@pytest.mark.parametrize(
    ("step", "what"),
    [
        ("greeting", b"421 4.3.2 busy\r\n"),
        ("greeting", b"554 5.7.1 not you\r\n"),
        ("greeting", CLOSE),
        ("EHLO", RESET),
        ("MAIL", RESET),
        ("MAIL", b"421 4.7.0 no more\r\n"),
        ("RCPT", b"250-junk\r\nmore junk\r\n"),
        ("DATA", CLOSE),
    ],
)
def test_the_next_server_while_nothing_was_sent(internet: Internet, step: str, what: bytes) -> None:
    ids = make_queued(internet.domain("a.example", "10 mx2.example.", "20 mx3.example."))
    internet.server(2, answers={step: what})
    good = internet.server(3)
    internet.send()
    assert only_status(ids) == "sent"
    assert len(good.messages) == 1


def test_a_server_that_takes_so_many_messages_in_a_session(internet: Internet) -> None:
    """It says so in place of taking the next one: that goes in a new session with it, at once."""
    address = internet.domain("a.example", "10 mx2.example.")
    ids = [id_ for number in range(5) for id_ in make_queued(address.replace("u@", f"u{number}@"))]
    server = internet.server(2, answers={"MAIL": [b"", b"", b"421 4.7.0 enough\r\n"] * 5})
    internet.send(max_per_domain=1)
    assert only_status(ids) == "sent"
    assert len(server.messages) == 5
    assert server.sessions == 3


def test_not_the_next_server_when_the_text_is_on_its_way(internet: Internet) -> None:
    ids = make_queued(internet.domain("a.example", "10 mx2.example.", "20 mx3.example."))
    internet.server(2, answers={"end": RESET})
    other = internet.server(3)
    internet.send()
    assert only_status(ids) == "waiting"
    assert other.messages == []
    assert "may have taken" in replies(ids)[0]


@pytest.mark.parametrize(
    ("answer", "status"), [(b"550 5.1.1 nobody\r\n", "failed"), (b"450 4.2.0 later\r\n", "waiting")]
)
def test_what_a_server_says_of_a_recipient_counts(internet: Internet, answer: bytes, status: str) -> None:
    ids = make_queued(internet.domain("a.example", "10 mx2.example.", "20 mx3.example."))
    internet.server(2, answers={"RCPT": answer})
    other = internet.server(3)
    internet.send()
    assert only_status(ids) == status
    assert replies(ids) == [answer.decode().strip()]
    assert other.messages == []


def test_a_server_without_8bitmime_gets_seven_bits(internet: Internet) -> None:
    ids = make_queued(internet.domain("a.example", "10 mx2.example."), data=b"A: b\r\n\r\n\xe4\r\n", eight_bit=True)
    server = internet.server(2, keywords=())
    assert internet.send() is Outcome.OK
    assert only_status(ids) == "sent"
    assert server.messages[0].data.endswith(b"\r\n\r\n=E4\r\n")


def test_every_address_of_a_host(internet: Internet) -> None:
    internet.dns.table["both.example"] = {"A": ["127.0.0.77", "127.0.0.2"]}
    ids = make_queued(internet.domain("a.example", "10 both.example."))
    internet.server(2)
    internet.send()
    assert only_status(ids) == "sent"


@pytest.mark.parametrize(
    ("records", "address"),
    [({"A": ["127.0.0.2"]}, "u@a.example"), ({"CNAME": ["mx2.example."]}, "u@a.example"), ({}, "u@[127.0.0.2]")],
)
def test_domains_without_mail_servers_of_their_own(
    internet: Internet, records: dict[str, list[str]], address: str
) -> None:
    internet.dns.table["a.example"] = records
    ids = make_queued(address)
    server = internet.server(2)
    internet.send()
    assert only_status(ids) == "sent"
    assert len(server.messages) == 1


FAILURES = [
    ({"MX": ["0 ."]}, "failed", "556 5.1.10"),
    (None, "failed", "550 5.1.2"),
    (SERVFAIL, "waiting", "451 4.4.3"),
    ({"TXT": ['"x"']}, "failed", "550 5.1.2"),
    ({"MX": ["10 192.0.2.1."]}, "failed", "550 5.4.4"),
    ({"MX": ["10 dead.example."]}, "waiting", "451 4.4.1"),
]


@pytest.mark.parametrize(("records", "status", "code"), FAILURES)
def test_domains_that_take_no_mail(internet: Internet, records: Records | str | None, status: str, code: str) -> None:
    if records is not None:
        internet.dns.table["a.example"] = records
    ids = make_queued("u@a.example")
    assert internet.send() is Outcome.OK
    assert only_status(ids) == status
    assert replies(ids)[0].startswith(code)
    assert any(note.startswith("MX Send Warning - a.example: ") for note in internet.office.log.notes)
    assert claims() == 0


def test_a_message_that_meets_our_bug_holds_nobody_up(internet: Internet, bug_catcher: BugCatcher) -> None:
    class Buggy(Hooks):
        async def on_mx_overrides(self, event: ServersSought) -> ServerOverrides | None:
            if event.tries:
                raise ValueError("a bug")
            return None

    internet.office.hooks = Buggy()
    address = internet.domain("a.example", "10 mx2.example.")
    internet.server(2)
    ids = [*make_queued(address, tries=1), *make_queued(address)]
    assert internet.send() is Outcome.OK
    assert statuses(ids) == ["waiting", "sent"]
    assert bug_catcher.bugs
    bug_catcher.bugs.clear()


# ---------------------------------------------------------------- never to ourselves


def test_we_are_the_mail_server_by_address(internet: Internet) -> None:
    internet.server(2)
    bindings = (Binding("127.0.0.2", internet.port),)
    internet.office.changes["services"] = (Service(1, ServiceKind.SMTP, "SMTP", Protocol.SMTP, bindings),)
    ids = make_queued(internet.domain("a.example", "10 mx2.example.", "20 mx3.example."))
    internet.send()
    assert only_status(ids) == "failed"
    assert replies(ids)[0].startswith("554 5.4.6 Mail for a.example would come back")


def test_only_better_servers_than_ourselves(internet: Internet) -> None:
    good, us, worse = internet.server(2), internet.server(3), internet.server(4)
    internet.office.changes["services"] = (
        Service(1, ServiceKind.SMTP, "SMTP", Protocol.SMTP, (Binding("127.0.0.3", internet.port),)),
    )
    good.answers["greeting"] = b"421 4.3.2 busy\r\n"
    ids = make_queued(internet.domain("a.example", "10 mx2.example.", "20 mx3.example.", "30 mx4.example."))
    internet.send()
    assert only_status(ids) == "waiting"
    assert (us.sessions, worse.sessions) == (0, 0)


def test_a_server_that_calls_itself_as_we_do(internet: Internet) -> None:
    server = internet.server(2, answers={"greeting": f"220 {HOSTNAME} ESMTP\r\n".encode()})
    ids = make_queued(internet.domain("a.example", "10 mx2.example."))
    internet.send()
    assert only_status(ids) == "waiting"
    assert server.messages == []
    assert "in circles" in replies(ids)[0]


# ---------------------------------------------------------------- encryption


def test_encryption_where_it_is_offered(internet: Internet) -> None:
    ids = make_queued(internet.domain("a.example", "10 mx2.example."))
    server = internet.server(2, tls=server_context())
    internet.send()
    assert only_status(ids) == "sent"
    assert server.messages[0].tls
    assert attempts()[0].tls.startswith("TLSv1.")


def test_without_where_it_fails(internet: Internet) -> None:
    ids = make_queued(internet.domain("a.example", "10 mx2.example."))
    server = internet.server(2, keywords=("STARTTLS",), answers={"STARTTLS": b"220 go ahead\r\n"})
    internet.send()
    assert only_status(ids) == "sent"
    assert not server.messages[0].tls
    assert server.sessions == 2


# ---------------------------------------------------------------- many at the same time


def test_many_domains_and_few_sessions_with_each(internet: Internet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workers.sending.leaving.FINISH_SECONDS", 0.2)  # which is what a silent server gets of a stop
    slow = internet.server(2, answers={"MAIL": SILENCE})
    servers = [internet.server(number) for number in range(3, 8)]
    for number in range(3, 8):
        address = internet.domain(f"d{number}.example", f"10 mx{number}.example.")
        for _ in range(20):
            make_queued(address)
    stuck = make_queued(internet.domain("slow.example", "10 mx2.example."))
    sender = internet.office.direct(internet.dns.address, internet.port, threads=6, max_per_domain=2)
    internet.office.stop(sender, lambda: sum(len(server.messages) for server in servers) == 100)
    assert slow.sessions == 1
    assert max(server.most_sessions for server in servers) <= 2
    assert max(server.sessions for server in servers) <= 2
    assert only_status(stuck) == "waiting"
    assert claims() == 0


def test_a_message_to_several_domains(internet: Internet) -> None:
    good = internet.domain("a.example", "10 mx2.example.")
    gone = "u@gone.example"
    ids = make_queued(good, gone, good.replace("u@", "v@"))
    server = internet.server(2)
    internet.send()
    assert statuses(ids) == ["sent", "failed", "sent"]
    assert [len(taken.recipients) for taken in server.messages] == [2]


# ---------------------------------------------------------------- overrides and scripts


def test_overrides_instead_of_the_dns(internet: Internet) -> None:
    server = internet.server(2, passwords={"ann": "secret"})
    overrides = (
        f"*.branch.example 127.0.0.9:{internet.port} $priority:1\n*.branch.example ann:secret@127.0.0.2:{internet.port}"
    )
    ids = make_queued("u@x.branch.example")
    internet.send(dns_overrides=overrides)
    assert only_status(ids) == "sent"
    assert internet.dns.questions == []
    assert any(command.startswith("AUTH") for command in server.commands)
    assert not any("secret" in line for line in internet.office.log.lines)


class Script(Hooks):
    """Of a domain's name it makes what to do."""

    async def on_send_candidate(self, event: SendCandidate) -> CandidateVerdict | None:
        return CandidateVerdict(force_last_try=event.recipients[0].local == "last")

    async def on_mx_cache(self, event: ServersSought) -> bool | None:
        return event.domain != "fresh.example"

    async def on_mx_overrides(self, event: ServersSought) -> ServerOverrides | None:
        if event.domain == "scripted.example":
            return ServerOverrides(((10, "mx2.example"),), only=True)
        return ServerOverrides(only=True) if event.domain == "unroutable.example" else None

    async def on_mx_server(self, event: ServersSought, server: str, use: bool) -> ServerVerdict | None:
        return ServerVerdict(False, 30) if event.domain == "held.example" else None

    async def on_target_found(self, event: TargetFound) -> TargetDetails | None:
        return TargetDetails(try_tls=False, ehlo_name="script.example")


def test_scripts_have_their_say(internet: Internet) -> None:
    internet.office.hooks = Script()
    server = internet.server(2, tls=server_context())
    for name in ("fresh.example", "held.example"):
        internet.domain(name, "10 mx2.example.")
    internet.domain("dead.example", "10 mx7.example.")
    unroutable, held, last = (
        make_queued("u@unroutable.example") + make_queued("u@held.example") + make_queued("last@dead.example")
    )
    fresh = make_queued("u@fresh.example") + make_queued("v@fresh.example")
    overrides = f"scripted.example 127.0.0.9:{internet.port}"
    internet.send(dns_overrides=overrides, max_per_domain=1)
    assert statuses([unroutable, held, last, *fresh]) == ["failed", "waiting", "failed", "sent", "sent"]
    assert row(held).next_attempt is not None
    assert row(held).tries == 0
    assert internet.dns.questions.count("fresh.example MX") == 2
    assert not server.messages[0].tls
    assert "EHLO script.example" in server.commands
    assert claims() == 0


class SessionScript(Hooks):
    """The same for every server."""

    def __init__(self, details: TargetDetails) -> None:
        self.details = details

    async def on_target_found(self, event: TargetFound) -> TargetDetails | None:
        return self.details


def test_a_script_may_want_extensions_not_to_be_used(internet: Internet) -> None:
    internet.office.hooks = SessionScript(
        TargetDetails(use_chunking=False, use_8bitmime=False, use_pipelining=False, min_tls="1.0")
    )
    server = internet.server(2, keywords=("PIPELINING", "8BITMIME", "CHUNKING", "SIZE 1000000"))
    ids = make_queued(internet.domain("a.example", "10 mx2.example."), eight_bit=True)
    internet.send()
    assert only_status(ids) == "sent"
    assert server.commands[1:4] == [
        f"MAIL FROM:<alice@example.test> SIZE={len(MESSAGE)}",
        "RCPT TO:<u@a.example>",
        "DATA",
    ]


@pytest.mark.parametrize(("minimum", "status"), [("1.2", "sent"), ("1.3", "waiting")])
def test_a_script_may_want_a_newer_tls(internet: Internet, minimum: str, status: str) -> None:
    """Then it is not gone without, either."""
    internet.office.hooks = SessionScript(TargetDetails(min_tls=minimum))
    context = server_context()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    server = internet.server(2, tls=context)
    ids = make_queued(internet.domain("a.example", "10 mx2.example."))
    internet.send()
    assert only_status(ids) == status
    assert [taken.tls for taken in server.messages] == [True] * (status == "sent")


class FinalScript(Hooks):
    """Of a domain's name it makes which servers are tried."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.seen: list[tuple[str, ...]] = []

    async def on_mx_final(self, event: ServersSought, servers: tuple[str, ...]) -> tuple[str, ...] | None:
        self.seen.append(servers)
        answers = {"turned.example": servers[::-1], "none.example": (), "other.example": (f"127.0.0.4:{self.port}",)}
        return answers.get(event.domain)


def test_a_script_has_the_last_word_on_servers(internet: Internet) -> None:
    script = internet.office.hooks = FinalScript(internet.port)
    servers = [internet.server(number) for number in (2, 3, 4)]
    names = ("turned", "none", "other", "usual")
    addresses = [internet.domain(f"{name}.example", "10 mx2.example.", "20 mx3.example.") for name in names]
    turned, held, other, usual = [make_queued(address)[0] for address in addresses]
    internet.send(threads=1)
    assert statuses([turned, held, other, usual]) == ["sent", "waiting", "sent", "sent"]
    assert [[taken.recipients for taken in server.messages] for server in servers] == [
        [["RCPT TO:<u@usual.example>"]],
        [["RCPT TO:<u@turned.example>"]],
        [["RCPT TO:<u@other.example>"]],
    ]
    assert set(script.seen) == {(f"mx2.example:{internet.port}", f"mx3.example:{internet.port}")}
    assert (row(held).tries, row(held).next_attempt is not None) == (0, True)


def test_the_test_button(internet: Internet) -> None:
    internet.dns.table["example.com"] = {"A": ["192.0.2.1"]}
    sender = internet.office.direct(internet.dns.address, internet.port)
    assert internet.office.check(sender).outcome is Outcome.OK
    internet.dns.table["example.com"] = SERVFAIL
    assert internet.office.check(sender).outcome is Outcome.FAILED
