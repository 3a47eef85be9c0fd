# SPDX-License-Identifier: MIT
"""A catch-all mailbox as providers fill it: a table of kinds of messages, each with the users who must get it."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

from mailserver.connectors.values import Routing

ROUTING = Routing(
    method="headers",
    accepted_domains="example.test; example.net; office@provider.test",
    special_fields="X-Envelope-To\nX-RCPT: account-77 * ~",
    read_received_reversed=True,
    errors_action="message-to",
    errors_to="postmaster",
)
TOP = (
    "Received: from mx.provider.test by pop.provider.test for <office@provider.test>; Mon, 2 Mar 2026 09:00:00 +0000\n"
)


@dataclass(frozen=True, slots=True)
class CatchAllCase:
    """`gets` names the users; nobody among them is what the routing errors are for."""

    name: str
    header: str
    gets: frozenset[str]


def _case(name: str, header: str, *gets: str) -> CatchAllCase:
    return CatchAllCase(name, header, frozenset(gets or ("postmaster",)))


CASES = (
    _case("to", "To: alice@example.test\n", "alice"),
    _case("to with name", 'To: "Example, Bob" <bob@example.test>\n', "bob"),
    _case("two users", "To: alice@example.test, Bob <BOB@EXAMPLE.TEST>\n", "alice", "bob"),
    _case("cc", "To: x@elsewhere.test\nCc: bob@example.test\n", "bob"),
    _case("the other domain", "To: bob@example.net\n", "bob"),
    _case("other companies in cc", "To: alice@example.test\nCc: bob@elsewhere.test, alice@other.test\n", "alice"),
    _case("folded", "To: one@elsewhere.test,\n two@elsewhere.test,\n\talice@example.test\n", "alice"),
    _case("resent", "To: x@y.test\nResent-To: alice@example.test\nResent-Cc: bob@example.test\n", "alice", "bob"),
    _case("apparently", "Apparently-To: <alice@example.test>\n", "alice"),
    _case(
        "bcc in received",
        TOP + "Received: from a by mx.provider.test\n\tfor <bob@example.test>; Mon, 2 Mar 2026 08:59:59 +0000\n"
        "To: undisclosed-recipients:;\n",
        "bob",
    ),
    _case(
        "to one, bcc to the other",
        TOP + "Received: from a by mx.provider.test for bob@example.test; Mon, 2 Mar 2026 08:59:59 +0000\n"
        "To: alice@example.test\n",
        "alice",
        "bob",
    ),
    _case("mailing list", "To: talk@lists.test\nList-Id: <lists.test>\nX-Envelope-To: alice@example.test\n", "alice"),
    _case("envelope beats to", "To: alice@example.test\nX-Envelope-To: <bob@example.test>\n", "bob"),
    _case("envelopes", "X-Envelope-To: bob@example.test\nX-Envelope-To: alice@example.test\n", "alice", "bob"),
    _case("envelope of the account", "To: alice@example.test\nX-Envelope-To: else@provider.test\n", "alice"),
    _case("envelope with literals", "To: alice@example.test\nX-RCPT: account-77 bob@example.test by relay 4\n", "bob"),
    _case("encoded names", "To: =?utf-8?b?QWxpY2Ug4pi6?= <alice@example.test>\n", "alice"),
    _case("group", "To: Team: alice@example.test, Bob <bob@example.test>;\n", "alice", "bob"),
    _case("known and unknown", "To: carol@example.test, bob@example.test\n", "bob"),
    _case("unknown", "To: carol@example.test\n"),
    _case("mailing list without envelope", "To: talk@lists.test\nList-Id: <talk.lists.test>\n"),
    _case("bcc without a trace", "To: undisclosed-recipients:;\n"),
    _case("the account itself", "To: office@provider.test\n"),
    _case("rubbish", "To: <<@>,;(\n"),
)


def fill(count: int) -> Iterator[tuple[str, frozenset[str], bytes]]:
    """So many messages, kinds mixed: subject, who must get it, and the message."""
    for number, case in zip(range(count), itertools.cycle(CASES), strict=False):
        subject = f"{number} {case.name}"
        header = (
            "Return-Path: <sender@elsewhere.test>\n" + case.header + "From: sender@elsewhere.test\n"
            f"Subject: {subject}\nMessage-ID: <{number}.catch-all@elsewhere.test>\n"
        )
        yield subject, case.gets, (header + f"\nText {number}.\n.dot\n").replace("\n", "\r\n").encode()
