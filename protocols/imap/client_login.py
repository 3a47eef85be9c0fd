# SPDX-License-Identifier: MIT
"""Logging in to an IMAP4 server: by a SASL mechanism where one fits, else by the LOGIN command.

RFC 9051 §6.2.2, §6.2.3; RFC 4959 (SASL-IR). A token that the server does not like is replaced once.
"""

from __future__ import annotations

import binascii
from base64 import b64decode, b64encode

from mailserver.connectors.values import Credentials, LoginMethod
from protocols.imap import client_grammar as grammar
from protocols.imap.client_dialogue import Dialogue, ImapFailure, end_sentence
from protocols.imap.client_grammar import Condition, Continuation, command
from protocols.sasl.client import (
    BadChallenge,
    ClientMechanism,
    GetToken,
    LoginImpossible,
    TokenClient,
    choose_mechanism,
    start_client,
)
from protocols.sasl.login import is_loopback

_BY_COMMAND = (LoginMethod.AUTOMATIC, LoginMethod.PLAIN, LoginMethod.LOGIN)
"""Ways to log in for which the LOGIN command will do where the server offers no mechanism."""


async def log_in(dialogue: Dialogue, credentials: Credentials, get_token: GetToken | None = None) -> None:
    """Raises ImapFailure."""
    if dialogue.ready:
        return
    capabilities = dialogue.machine.capabilities or frozenset()
    offered = [name.removeprefix("AUTH=") for name in capabilities if name.startswith("AUTH=")]
    private = dialogue.stream.encrypted or is_loopback(dialogue.stream.peer[0])
    try:
        name = choose_mechanism(credentials.method, offered, private=private, with_token=get_token is not None)
    except LoginImpossible as error:
        if get_token is not None or credentials.method not in _BY_COMMAND or "LOGINDISABLED" in capabilities:
            raise ImapFailure(f"{error}") from error
        await _finish(dialogue, await dialogue.ask(grammar.login(credentials.username, credentials.password)))
        return
    await _authenticate(dialogue, name, credentials, get_token)


async def _authenticate(dialogue: Dialogue, name: str, credentials: Credentials, get_token: GetToken | None) -> None:
    token = await get_token("") if get_token is not None else ""
    mechanism = _start(dialogue, name, credentials, token)
    condition = await _exchange(dialogue, mechanism)
    if condition.status != "OK" and get_token is not None and isinstance(mechanism, TokenClient):
        mechanism = _start(dialogue, name, credentials, await get_token(token))
        condition = await _exchange(dialogue, mechanism)
    await _finish(dialogue, condition, mechanism.explanation)


def _start(dialogue: Dialogue, name: str, credentials: Credentials, token: str) -> ClientMechanism:
    try:
        return start_client(
            name,
            credentials.username,
            password=credentials.password,
            token=token,
            host=dialogue.server.host,
            port=dialogue.server.port,
        )
    except LoginImpossible as error:
        raise ImapFailure(str(error)) from error


async def _exchange(dialogue: Dialogue, mechanism: ClientMechanism) -> Condition:
    initial = mechanism.initial()
    at_once = initial is not None and dialogue.has("SASL-IR")
    sent = (b64encode(initial) or b"=") if at_once and initial is not None else None
    tag = await dialogue.send(grammar.authenticate(mechanism.name, sent))
    unsent = None if at_once else initial
    problem = ""
    while True:
        event = await dialogue.next()
        if isinstance(event, Continuation):
            if unsent is not None:
                answer, unsent = b64encode(unsent), None
            else:
                answer, problem = _answer(mechanism, event.text)
            await dialogue.write(answer + b"\r\n", "***" if answer != b"*" else "*")
        elif isinstance(event, Condition) and event.tag == tag:
            break
    if problem:
        raise ImapFailure(f"The log-in by {mechanism.name} was broken off: {problem}.")
    if event.status == "OK":
        try:
            mechanism.finish()
        except BadChallenge as error:
            raise ImapFailure(f"The log-in by {mechanism.name} is not trusted: {error}.") from error
    return event


def _answer(mechanism: ClientMechanism, text: bytes) -> tuple[bytes, str]:
    """To a challenge; `*` and the reason when the server cheats (RFC 9051 §6.2.2)."""
    try:
        return b64encode(mechanism.respond(b64decode(text, validate=True))), ""
    except binascii.Error:
        return b"*", "the server's challenge is not base64"
    except BadChallenge as error:
        return b"*", str(error)


async def _finish(dialogue: Dialogue, condition: Condition, explanation: str = "") -> None:
    if condition.status != "OK":
        words = f"{condition.text} ({explanation})" if explanation else condition.text
        code = f"[{condition.code}] " if condition.code else ""
        raise ImapFailure(f"The server refuses the log-in: {code}{words}".rstrip() + end_sentence(words))
    if condition.code != "CAPABILITY":
        await dialogue.ask_ok(command("CAPABILITY"))
