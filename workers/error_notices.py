# SPDX-License-Identifier: MIT
"""Telling the main administrator that a Sender or a Collector fails, when it is time to (spec senders 8.7)."""

from __future__ import annotations

import asyncio
import logging

from mailserver import clock
from mailserver.addressing.resolve import Answer, Lan, Local, Unknown, resolve
from mailserver.config.catalog import DEFAULT_DOMAIN
from mailserver.config.snapshot import Snapshot
from mailserver.connectors.admin_notices import Failure, record_failure, record_report, record_success
from mailserver.connectors.values import Outcome, TaskResult
from mailserver.errors import MailError
from mailserver.hooks.events import ErrorNotice
from mailserver.journey.records import next_ref
from mailserver.pipeline.filing import lan_target
from mailserver.pipeline.own_mail import OwnMessage, build_own_unit
from mailserver.values import Address
from workers.tools import WorkerTools

log = logging.getLogger("pillarbox.runs")

SENDER, COLLECTOR = 1, 2
"""Components, as scripts know them."""
WHAT = {SENDER: "Sender", COLLECTOR: "Collector"}
SOURCE = "notice"
ERROR_SEVERITY = 1

TITLE = "{what} {name}: {first_line}"
TEXT = """\
The {what} {name} fails since {since:%d %B %Y, %H:%M} UTC:

  {error}

Its runs are listed in the console under Connections, with the whole dialogue. This message comes again while the
error lasts, less and less often; how often is decided by the settings "error messages after".
"""


async def report_result(tools: WorkerTools, component: int, number: int, name: str, result: TaskResult) -> None:
    """What a run's task came to: a failure is told when it is time, anything better ends the story.

    Telling may fail; the run goes on.
    """
    try:
        if result.outcome is not Outcome.FAILED:
            await tools.offload(record_success, component, number)
            return
        snapshot = tools.snapshot()
        failure = await tools.offload(record_failure, component, number, result.text, result.connect_error, snapshot)
        if await _tell(tools, snapshot, _compose(component, number, name, result, failure, snapshot), failure.due):
            await tools.offload(record_report, component, number)
    except MailError as error:
        log.warning("the administrator is not told of an error of %s: %s", name, error)


def _compose(
    component: int, number: int, name: str, result: TaskResult, failure: Failure, snapshot: Snapshot
) -> ErrorNotice:
    administrator = snapshot.main_administrator
    text = result.text or "It gave no reason."
    first_line = text.splitlines()[0]
    return ErrorNotice(
        component=component,
        id=number,
        kind=0,
        severity=ERROR_SEVERITY,
        error=text,
        connect_error=result.connect_error,
        title=TITLE.format(what=WHAT[component], name=name, first_line=first_line)[:200],
        text=TEXT.format(what=WHAT[component], name=name, since=failure.since, error=text.replace("\n", "\n  ")),
        target=str(administrator.address) if administrator is not None else "",
        sender=f"postmaster@{_own_domain(snapshot)}",
    )


async def _tell(tools: WorkerTools, snapshot: Snapshot, notice: ErrorNotice, due: bool) -> bool:
    """Whether it was filed. A script may change it, force it, or suppress it by an empty target."""
    title, text, target, sender = notice.title, notice.text, notice.target, notice.sender
    change = await tools.hooks.on_error_notice(notice)
    if change is not None:
        title, text, target, sender = change.title, change.text, change.target, change.sender
        due = due or change.force
    if not due or not target:
        return False
    local, _, domain = target.rpartition("@")
    found = resolve(Address(local, domain), snapshot)
    if isinstance(found, Unknown | Answer):
        log.warning("an error message is not sent: nobody here is called %s", target)
        return False
    message = OwnMessage(
        ref=next_ref(),
        source=SOURCE,
        sender=sender,
        sender_name="Pillarbox",
        recipient=str(found.address) if isinstance(found, Lan) else target,
        recipient_name="",
        subject=title,
        text=text,
        detail="Error message",
    )
    inbox = found.user.inbox if isinstance(found, Local) else None
    lan = lan_target(found) if isinstance(found, Lan) else None
    unit = build_own_unit(message, inbox, clock.now(), lan)
    await asyncio.wrap_future(tools.store.submit(unit))
    return True


def _own_domain(snapshot: Snapshot) -> str:
    return snapshot.get(DEFAULT_DOMAIN) or next(iter(snapshot.directory.domains), "localhost")
