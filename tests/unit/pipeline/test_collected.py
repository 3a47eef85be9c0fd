# SPDX-License-Identifier: MIT
"""A collected message becomes one unit: traces, routing errors with their notices, what is remembered."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from email import message_from_bytes, policy
from pathlib import Path

import pytest

from mailserver.connectors.values import Routing
from mailserver.errors import Kind, MailError
from mailserver.hooks.interface import Hooks
from mailserver.pipeline import collected
from mailserver.pipeline.collected import Fetched, Placed, Provider, build_collected_unit, find_administrator
from mailserver.pipeline.collected_report import add_report, write_report
from mailserver.pipeline.collected_text import TextCollector
from mailserver.store.interface import Unit
from mailserver.store.spool import SpoolWriter
from mailserver.values import Address, Protocol
from tests.support.collecting import make_message
from tests.support.collectors import make_collector, make_office

NOW = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
OFFICE = make_office()
CATCH_ALL = Routing(method="headers", accepted_domains="example.test")
PROVIDER = Provider(Protocol.POP3, "pop.provider.test", "192.0.2.7", 995, "TLSv1.3 X")


def place(data: bytes, routing: Routing, folder: Path) -> Placed:
    """As a collector would have it placed; the spool is in memory for such small ones."""
    text = TextCollector(SpoolWriter(folder))
    text.feed(data)
    source = collected.make_source(make_collector(routing), PROVIDER)
    return asyncio.run(collected.place(Fetched("key", text.finish(), len(data), NOW), source, OFFICE, Hooks()))


def unit_of(placed: Placed, routing: Routing, seen: set[tuple[int, str]] | None = None) -> Unit:
    return build_collected_unit(placed, make_collector(routing), OFFICE.hostname, seen or set())  # type: ignore[arg-type]


def test_trace_lines(tmp_path: Path) -> None:
    unit = unit_of(place(make_message(1), CATCH_ALL, tmp_path), CATCH_ALL)
    (content,) = [filing.content for filing in unit.filings]
    assert content.head.startswith(
        b"Return-Path: <sender@elsewhere.test>\r\nReceived: from pop.provider.test ([192.0.2.7])\r\n"
        b"\tby mail.example.test (Pillarbox) with POP3\r\n\t(TLSv1.3 X)\r\n\tid "
    )
    assert content.head[: content.return_path_size] == b"Return-Path: <sender@elsewhere.test>\r\n"
    assert content.body.data is not None
    assert b"Return-Path" not in content.body.data
    (journey,) = unit.journeys
    assert (journey.source, journey.sender, journey.subject) == ("pop3", "sender@elsewhere.test", "Message 1")
    assert unit.steps[0].detail == "POP3 from 192.0.2.7, by the collector Provider mailbox"
    assert [(memory.key, memory.ref) for memory in unit.collected] == [("key", journey.ref)]


def test_no_return_path_is_not_the_null_path(tmp_path: Path) -> None:
    unit = unit_of(place(make_message(1, Return_Path=""), CATCH_ALL, tmp_path), CATCH_ALL)
    assert unit.filings[0].content.head.startswith(b"Received: ")
    unit = unit_of(place(make_message(1, Return_Path="<>"), CATCH_ALL, tmp_path), CATCH_ALL)
    assert unit.filings[0].content.head.startswith(b"Return-Path: <>\r\n")


def test_a_message_without_a_header(tmp_path: Path) -> None:
    single = Routing(target="alice")
    unit = unit_of(place(b"just text\r\n", single, tmp_path), single)
    assert unit.filings[0].content.head.endswith(b"\r\n\r\n")


def test_who_has_it_already_gets_no_second_copy(tmp_path: Path) -> None:
    placed = place(make_message(1, "alice@example.test, bob@example.test"), CATCH_ALL, tmp_path)
    unit = unit_of(placed, CATCH_ALL, {(2, placed.digest)})
    assert [entry.mailbox for entry in unit.filings[0].entries] == [3]
    assert [seen.user for seen in unit.seen] == [3]
    unit = unit_of(placed, CATCH_ALL, {(2, placed.digest), (3, placed.digest)})
    assert (unit.filings, unit.seen, len(unit.collected)) == ((), (), 1)
    assert [step.kind.value for step in unit.steps] == ["accepted", "dropped", "dropped"]


def written(placed: Placed, folder: Path) -> bytes:
    """The notice as it is filed."""
    assert placed.report is not None
    report = write_report(SpoolWriter(folder), placed, placed.report, "example.test", NOW)
    unit = add_report(unit_of(placed, CATCH_ALL), report, "mail.example.test")
    assert len(unit.filings) == 1
    assert len(unit.journeys) == 2
    data = unit.filings[0].content.body.data
    assert data is not None
    return data


def test_the_administrator_gets_the_original(tmp_path: Path) -> None:
    routing = replace(CATCH_ALL, errors_action="error-to-admin")
    original = make_message(1, "carol@example.test")
    notice = message_from_bytes(written(place(original, routing, tmp_path), tmp_path), policy=policy.default)
    assert notice["To"] == "postmaster@example.test"
    assert notice["Auto-Submitted"] == "auto-generated"
    assert not notice.defects
    text, attached = notice.iter_parts()
    assert "Nobody here has the address carol@example.test." in text.get_content()
    assert attached.get_content_type() == "message/rfc822"
    assert attached.get_content()["Subject"] == "Message 1"


def test_a_bounce_has_three_parts(tmp_path: Path) -> None:
    """RFC 3464, RFC 6522."""
    routing = replace(CATCH_ALL, errors_action="bounce")
    original = make_message(1, "carol@example.test, dave@example.test")
    notice = message_from_bytes(written(place(original, routing, tmp_path), tmp_path))
    assert notice["To"] == "<sender@elsewhere.test>"
    assert notice.get_content_type() == "multipart/report"
    assert notice.get_param("report-type") == "delivery-status"
    _, status, headers = notice.get_payload()  # type: ignore[misc]
    message, carol, dave = status.get_payload()  # type: ignore[union-attr, misc]
    assert message["Reporting-MTA"] == "dns; example.test"
    assert (carol["Final-Recipient"], carol["Action"], carol["Status"]) == (
        "rfc822; carol@example.test",
        "failed",
        "5.1.1",
    )
    assert dave["Final-Recipient"] == "rfc822; dave@example.test"
    assert "Subject: Message 1" in headers.get_payload()  # type: ignore[union-attr]


def test_nobody_at_all_is_an_error_that_keeps_the_message() -> None:
    with pytest.raises(MailError) as caught:
        find_administrator(replace(OFFICE, directory=type(OFFICE.directory)(("example.test",), ())))
    assert caught.value.kind is Kind.NOT_FOUND


@pytest.mark.parametrize("action", ["error-to", "message-to"])
def test_errors_for_somebody_who_is_gone_go_to_the_administrator(tmp_path: Path, action: str) -> None:
    routing = replace(CATCH_ALL, errors_action=action, errors_to="gone")
    placed = place(make_message(1, "carol@example.test"), routing, tmp_path)
    target = placed.report.to if placed.report is not None else placed.message.deliveries[0]
    assert target.recipient.address == Address("postmaster", "example.test")
