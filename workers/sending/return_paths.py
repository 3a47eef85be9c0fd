# SPDX-License-Identifier: MIT
"""The return path of a transaction, in the order of spec senders 11.3: as it is stored, the Sender's setting (3.1),
then the scripts. The null path is not for a setting to change (RFC 5321 §4.5.5)."""

from __future__ import annotations

from collections.abc import Sequence

from mailserver.addressing.syntax import BadDomain, parse_domain
from mailserver.config.snapshot import Snapshot
from mailserver.connectors.values import SenderSettings
from mailserver.hooks.events import ReturnPathComputed
from mailserver.outqueue.values import QueuedMessage, QueuedOne
from mailserver.values import Address
from workers.sending.outbound import Outbound
from workers.sending.sessions import SendingRun


async def return_path(run: SendingRun, outbound: Outbound, recipients: Sequence[QueuedOne]) -> Address | None:
    """What MAIL FROM says. LAN forwarding settles that when a message joins its queue."""
    if not run.scripts:
        return outbound.queued.reverse_path
    computed = configured_path(outbound.queued, run.sender, run.snapshot)
    return await _ask_scripts(run, outbound, computed, recipients)


def configured_path(queued: QueuedMessage, sender: SenderSettings, snapshot: Snapshot) -> Address | None:
    """Spec senders 3.1. A setting that cannot be carried out leaves the path as it is."""
    path = queued.reverse_path
    if path is None:
        return None
    match sender.return_path_mode:
        case "fixed":
            return read_address(sender.return_path) or path
        case "login":
            user = snapshot.directory.find_login(queued.login) if queued.login else None
            return user.address if user is not None else path
        case "domain":
            domain = read_domain(sender.return_path)
            return Address(path.local, domain) if domain else path
    return path


async def _ask_scripts(
    run: SendingRun, outbound: Outbound, computed: Address | None, recipients: Sequence[QueuedOne]
) -> Address | None:
    """What scripts make of the path; what is no address is not used."""
    queued = outbound.queued
    event = ReturnPathComputed(
        run.started,
        computed,
        queued.reverse_path,
        queued.reverse_path,  # Forwarding keeps the path, so that the queue has it as it came.
        queued.login,
        tuple(one.address for one in recipients),
        queued.queued,
        outbound.header,
        outbound.size,
        queued.client,
        queued.subject,
        queued.all_recipients,
    )
    answer = await run.tools.hooks.on_return_path(event)
    if answer is None:
        return computed
    return None if answer.strip() in ("", "<>") else read_address(answer) or computed


def read_address(text: str) -> Address | None:
    """An address that a person or a script wrote, with or without angle brackets."""
    local, at, domain = text.strip().removeprefix("<").removesuffix(">").rpartition("@")
    found = read_domain(domain)
    if not at or not local or not found or any(ord(letter) < 33 or letter in "<>" for letter in local):
        return None
    return Address(local, found)


def read_domain(text: str) -> str:
    """The domain's usual form, empty for what is none."""
    try:
        return parse_domain(text.strip().lstrip("@*"))
    except BadDomain:
        return ""
