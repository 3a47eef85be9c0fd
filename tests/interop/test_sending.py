# SPDX-License-Identifier: MIT
"""Sending through Postfix, which relays on to smtp-sink: the whole way, with its pipelining, DSN and chunking."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from mailserver.connectors.values import Outcome
from tests.bench.peer import Peer
from tests.support.queueing import make_queued, row
from tests.support.sending import SendingOffice, attempts, claims, open_office, statuses
from tests.support.sink import Sink
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.interop, pytest.mark.django_db(transaction=True)]

TEXT = b"Subject: hello\r\n\r\n.a line with a dot\r\n..\r\n" + b"and more of it\r\n" * 200
LARGE = TEXT + b"x" * 70 + b"\r\n" + b"a line of a large message\r\n" * 40_000


@pytest.fixture
def office(tmp_path: Path) -> Iterator[SendingOffice]:
    with open_office(tmp_path) as opened:
        yield opened


def test_through_postfix_and_out_to_the_sink(office: SendingOffice) -> None:
    ids = [id_ for number in range(60) for id_ in make_queued(f"u{number}@outside.test", data=TEXT)]
    ids += make_queued("big@outside.test", data=LARGE)
    with Sink() as sink, Peer(relay_port=sink.port) as peer:
        result = office.send(office.relay(peer.smtp_port))
        assert result.outcome is Outcome.OK
        assert set(statuses(ids)) == {"sent"}
        wait_until(lambda: sink.count() == len(ids), 60, "the sink to have everything")
    assert "queued as" in attempts()[0].result
    assert any("BDAT" in line for line in office.log.lines)
    assert claims() == 0


def test_what_postfix_files_is_what_was_sent(office: SendingOffice) -> None:
    (small,) = make_queued("u1@bench.test", data=TEXT)
    (large,) = make_queued("u2@bench.test", data=LARGE)
    with Peer() as peer:
        office.send(office.relay(peer.smtp_port))
        wait_until(lambda: peer.filed() == 2, 30, "both to be filed")
        filed = [file.read_bytes() for file in peer.folder.glob("mail/*/new/*")]
    for text in (TEXT, LARGE):
        body = text.partition(b"\r\n\r\n")[2].replace(b"\r\n", b"\n")
        assert any(one.partition(b"\n\n")[2] == body for one in filed)
    assert statuses([small, large]) == ["sent", "sent"]


REFUSALS = {"-f": "failed", "-r": "waiting", "-q": "waiting", "-Q": "waiting"}
"""What smtp-sink can do at a command: 5xx, 4xx, hang up, 421 and hang up."""


@pytest.mark.parametrize("command", ["MAIL", "RCPT", "DATA", "."])
@pytest.mark.parametrize("option", REFUSALS)
def test_a_sink_that_refuses(office: SendingOffice, option: str, command: str) -> None:
    ids = make_queued("u1@outside.test", data=TEXT)
    with Sink(option, command) as sink:
        office.send(office.relay(sink.port))
    assert statuses(ids) == [REFUSALS[option]]
    assert row(ids[0]).last_reply[0] == ("5" if option == "-f" else "4")
    assert row(ids[0]).tries == 1
