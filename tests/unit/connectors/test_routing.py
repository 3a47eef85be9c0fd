# SPDX-License-Identifier: MIT
"""Whom collected mail is for: the table of cases of spec connectors 4.4."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from mailserver.addressing.resolve import Local
from mailserver.connectors.accepted import find_problems, parse_accepted
from mailserver.connectors.routing import Route, find_target, route
from mailserver.connectors.special_fields import find_special, parse_special_fields
from mailserver.connectors.values import Routing
from mailserver.errors import InvalidInput
from mailserver.values import Address
from tests.support import catch_all
from tests.support.collectors import make_office, make_user

OFFICE = make_office(
    make_user(4, "mark1", "Mark One", "domain1.test"), make_user(5, "mark2", "Mark Two", "domain2.test")
)
HEADERS = Routing(method="headers", accepted_domains="example.test")


def users(found: Route) -> list[str]:
    return [d.target.user.name for d in found.deliveries if isinstance(d.target, Local)]


def headers(**changes: object) -> Routing:
    return Routing(**{"method": "headers", "accepted_domains": "example.test", **changes})  # type: ignore[arg-type]


@dataclass(frozen=True)
class Case:
    name: str
    header: str
    gets: tuple[str, ...]
    routing: Routing = HEADERS


RECEIVED_BOTH = (
    "Received: from a by b for <office@isp.test>; Mon, 2 Mar 2026 09:00:00 +0000\n"
    "Received: from c by d (Postfix) with ESMTP id 1\n\tfor <bob@example.test>; Mon, 2 Mar 2026 08:59:00 +0000\n"
)
CASES = (
    Case("To", "To: alice@example.test\n", ("alice",)),
    Case("To with a name", 'To: "Example, Alice" <ALICE@Example.Test>\n', ("alice",)),
    Case("To folded", "To: nobody@elsewhere.test,\n\tAlice <alice@example.test>\n", ("alice",)),
    Case("To and Cc", "To: alice@example.test\nCc: Bob <bob@example.test>\n", ("alice", "bob")),
    Case("the same twice", "To: alice@example.test, Alice <ALICE@example.test>\n", ("alice",)),
    Case("a group", "To: us: alice@example.test, bob@example.test;\n", ("alice", "bob")),
    Case("two To fields", "To: alice@example.test\nTo: bob@example.test\n", ("alice", "bob")),
    Case("Apparently-To", "Apparently-To: bob@example.test\n", ("bob",)),
    Case("Resent-To", "To: x@elsewhere.test\nResent-To: bob@example.test\n", ("bob",)),
    Case("Resent-Cc", "To: x@elsewhere.test\nResent-Cc: bob@example.test\n", ("bob",)),
    Case("another company's bob", "To: alice@example.test\nCc: bob@elsewhere.test\n", ("alice",)),
    Case("Bcc in Received", "To: x@elsewhere.test\n" + RECEIVED_BOTH, ("bob",)),
    Case("Received without brackets", "Received: by x for bob@example.test; date\n", ("bob",)),
    Case("Received with a comment", "Received: by x (for <alice@example.test>) for <bob@example.test>; d\n", ("bob",)),
    Case("Received for many", "Received: by x id 1 for multiple recipients; date\n", ()),
    Case(
        "the top line names the account",
        RECEIVED_BOTH,
        (),
        headers(accepted_domains="example.test; isp.test"),
    ),
    Case(
        "and the bottom line the addressee",
        RECEIVED_BOTH,
        ("bob",),
        headers(accepted_domains="example.test; isp.test", read_received_reversed=True),
    ),
    Case(
        "read in reverse",
        "Received: by y for <alice@example.test>; d\nReceived: by x for <bob@example.test>; d\n",
        ("bob",),
        headers(read_received_reversed=True),
    ),
    Case("read from the top", "Received: by y for <alice@example.test>; d\nReceived: by x for <bob@example.test>; d\n",
         ("alice",)),
    Case("Received ignored", RECEIVED_BOTH, (), headers(ignore_received=True)),
    Case(
        "the envelope beats To",
        "To: alice@example.test\nDelivered-To: bob@example.test\n",
        ("bob",),
        headers(special_fields="Delivered-To"),
    ),
    Case(
        "an envelope that is not ours is no envelope",
        "To: alice@example.test\nDelivered-To: office@isp.test\n",
        ("alice",),
        headers(special_fields="Delivered-To"),
    ),
    Case(
        "several envelope lines",
        "X-Envelope-To: alice@example.test\nX-Envelope-To: <bob@example.test>\nTo: x@y.test\n",
        ("alice", "bob"),
        headers(special_fields="x-rcptto\nX-Envelope-To"),
    ),
    Case("one address of a line", "X-RCPTTO: alice@example.test, bob@example.test\n", ("alice",),
         headers(special_fields="X-RCPTTO")),
    Case(
        "literal texts around it",
        "X-Recipient: account-5123112 bob@example.test delivered\nTo: alice@example.test\n",
        ("bob",),
        headers(special_fields="X-Recipient: account-5123112 * delivered"),
    ),
    Case(
        "literal texts that are not there",
        "X-Recipient: account-7 bob@example.test delivered\nTo: alice@example.test\n",
        ("alice",),
        headers(special_fields="X-Recipient: account-5123112 * delivered"),
    ),
    Case(
        "the rest swallowed",
        "X-Recipient: abc bob@example.test and so on\n",
        ("bob",),
        headers(special_fields="X-Recipient: abc * ~"),
    ),
    Case("nobody of this name", "To: carol@example.test\n", ()),
    Case("one known, one not", "To: carol@example.test, bob@example.test\n", ("bob",)),
    Case("postmaster", "To: postmaster@example.test\n", ("postmaster",)),
    Case("a name at a domain that is not local", "To: bob@isp.test\n", ("bob",), headers(accepted_domains="isp.test")),
    Case("a whole address", "To: office@isp.test, bob@isp.test\n", ("bob",), headers(accepted_domains="bob@isp.test")),
    Case("a wildcard", "To: bob@sub.example.test\n", ("bob",), headers(accepted_domains="*.example.test")),
    Case("everything", "To: bob@elsewhere.test\n", ("bob",), headers(accepted_domains="*")),
    Case("the other company's mark", "To: mark2@domain1.test\n", ("mark2",), headers(accepted_domains="domain1.test")),
    Case("only explicit mappings count", "To: mark2@domain1.test\n", (),
         headers(accepted_domains="domain1.test", disable_default_mapping=True)),
    Case("an encoded name", "To: =?utf-8?q?Al=C3=AFce?= <alice@example.test>\n", ("alice",)),
    Case("no header at all", "", ()),
    Case("rubbish", "To: <<>>,,;:@@\nCc: ((((\nReceived: for for <\n", ()),
    Case("a single mailbox", "To: x@y.test\n", ("bob",), Routing(target="bob")),
    Case("a single mailbox by address", "To: x@y.test\n", ("bob",), Routing(target="bob@example.test")),
    Case("a single mailbox of nobody", "To: alice@example.test\n", (), Routing(target="carol")),
    Case("no target", "To: alice@example.test\n", (), Routing(target="")),
    Case("the name beside the address", "To: Bob Example <office@isp.test>\n", ("bob",),
         Routing(method="one-address", shared_address="office@isp.test")),
    Case("the name the other way round", 'Cc: "Example, Bob" <office@isp.test>\n', ("bob",),
         Routing(method="one-address", shared_address="office@isp.test")),
    Case("the user name beside the address", "To: 'alice' <Office@isp.test>\n", ("alice",),
         Routing(method="one-address", shared_address="office@isp.test")),
    Case("the right name at another address", "To: Bob Example <bob@elsewhere.test>\n", (),
         Routing(method="one-address", shared_address="office@isp.test")),
    Case("no name", "To: office@isp.test\n", (), Routing(method="one-address", shared_address="office@isp.test")),
    Case("a marker", "Subject: [bob] the plan\n", ("bob",), Routing(method="subject")),
    Case("a marker behind another", "Subject: Re: [list] for [Alice] and [bob]\n", ("alice", "bob"),
         Routing(method="subject")),
    Case("an encoded marker", "Subject: =?utf-8?q?=5Bbob=5D_plan?=\n", ("bob",), Routing(method="subject")),
    Case("another marker", "Subject: for:bob the plan\n", ("bob",),
         Routing(method="subject", marker_prefix="for:", marker_suffix="")),
    Case("a marker with an end only", "Subject: bob: the plan\n", ("bob",),
         Routing(method="subject", marker_prefix="", marker_suffix=":")),
    Case("no marker", "Subject: bob\n", (), Routing(method="subject")),
)  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_who_gets_it(case: Case) -> None:
    found = route(case.header.replace("\n", "\r\n").encode(), case.routing, OFFICE)
    assert tuple(users(found)) == case.gets
    assert bool(found.problem) == (not case.gets)


def test_unknown_addresses_are_named() -> None:
    found = route(b"To: carol@example.test, bob@example.test, x@elsewhere.test\r\n", HEADERS, OFFICE)
    assert found.unknown == (Address("carol", "example.test"),)
    found = route(b"To: carol@example.test\r\n", HEADERS, OFFICE)
    assert found.problem == "Nobody here has the address carol@example.test."


def test_a_target_elsewhere() -> None:
    found = find_target("me@elsewhere.test", OFFICE)
    assert found is not None
    assert found.recipient.address == Address("me", "elsewhere.test")
    assert find_target("carol@example.test", OFFICE) is None


@pytest.mark.parametrize(
    ("text", "accepted", "refused"),
    [
        ("example.test", "a@example.test", "a@sub.example.test"),
        ("Example.Test , other.test", "a@OTHER.test", "a@else.test"),
        ("joe.*@example.test", "joe.x@example.test", "jim@example.test"),
        ("?@example.test", "j@example.test", "jo@example.test"),
        ("exa?ple.*", "a@example.org", "a@exaple.org"),
        ("bücher.example", "a@xn--bcher-kva.example", "a@bucher.example"),
        ("", "", "a@example.test"),
        ("a.b", "x@a.b", "x@acb"),
    ],
)
def test_accepted_domains(text: str, accepted: str, refused: str) -> None:
    parsed = parse_accepted(text)
    for address, expected in ((accepted, True), (refused, False)):
        if address:
            local, _, domain = address.partition("@")
            assert parsed.accepts(Address(local, domain.lower())) is expected


def test_problems_with_accepted_domains() -> None:
    assert find_problems("example.test; joe@*; *.x; *") == []
    assert find_problems("@example.test") == ["Write example.test without the @ in front."]
    assert find_problems("a..b; -x*!") == [f"{entry} is neither a domain nor an address." for entry in ("a..b", "-x*!")]


def test_problems_with_special_fields() -> None:
    assert [field.name for field in parse_special_fields("X-RCPTTO\n\nX-A: b * ~")] == ["X-RCPTTO", "X-A"]
    with pytest.raises(InvalidInput) as caught:
        parse_special_fields("X Y\nX-A: none\nX-A: * *\nX-A: ~ *")
    lines = [text.partition(":")[0] for text in caught.value.messages["special_fields"]]
    assert lines == ["Line 1", "Line 2", "Line 3", "Line 4"]


def test_a_wrong_line_does_not_hide_the_others() -> None:
    found = list(find_special(b"X-A: a@b.test\r\n", "X-A: none\nX-A"))
    assert found == [Address("a", "b.test")]


@pytest.mark.parametrize("case", catch_all.CASES, ids=lambda case: case.name)
def test_catch_all_mailbox(case: catch_all.CatchAllCase) -> None:
    found = route(case.header.replace("\n", "\r\n").encode(), catch_all.ROUTING, OFFICE)
    assert set(users(found)) == (case.gets if case.gets != {"postmaster"} else set())


def test_many_blanks_cost_nothing() -> None:
    value = f"abc{' ' * 3900}bob@example.test{' ' * 40}"
    assert list(find_special(f"X-Rcpt: {value} x\r\n\r\n".encode(), "X-Rcpt: abc * delivered")) == []
    found = find_special(f"X-Rcpt: {value} x\r\n\r\n".encode(), "X-Rcpt: abc * x")
    assert [str(address) for address in found] == ["bob@example.test"]
