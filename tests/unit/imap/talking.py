# SPDX-License-Identifier: MIT
"""Short words for talking to the machine."""

from __future__ import annotations

import pytest

from mailserver.errors import ProtocolViolation
from protocols.imap import commands as c
from protocols.imap import replies
from protocols.imap.events import CommandReceived, Signal
from protocols.imap.machine import Machine, State


def machine(state: State = State.SELECTED, **options: bool) -> Machine:
    made = Machine(**options)
    made.state = state
    return made


def next_command(talk: Machine) -> c.Command:
    event = talk.next_event()
    assert isinstance(event, CommandReceived), event
    return event.command


def finish(talk: Machine, status: replies.Status = replies.Status.OK) -> bytes:
    """End the command that is waiting."""
    assert talk._command
    return talk.send(replies.Completion(talk._command.tag, status, "done"))


def violation(talk: Machine) -> ProtocolViolation:
    with pytest.raises(ProtocolViolation) as caught:
        skip_to_the_end(talk)
    return caught.value


def skip_to_the_end(talk: Machine) -> None:
    while not isinstance(talk.next_event(), Signal):
        pass
