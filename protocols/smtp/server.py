# SPDX-License-Identifier: MIT
"""The SMTP dialogue: aiosmtpd's `SMTP`, run on our own stream.

RFC 5321, RFC 2920 (PIPELINING), RFC 3207 (STARTTLS), RFC 4954 (AUTH). Leaves syntax to `grammar.py` and `data.py`,
wording to `replies.py`, and what a command means to `handler.py`.

Of aiosmtpd there remain its shape (a `smtp_` method for each command, `syntax` for HELP, session and envelope) and its
blanking of secrets in logs. Its loop, its reader and its constructor are not used: the loop takes bare LF for a line
end and reads whole messages into memory, STARTTLS costs 250 KB a session, and the constructor inspects the object anew
for each connection (design section 5).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

from aiosmtpd.smtp import SMTP, sanitize, syntax

from mailserver.config.catalog import DISABLE_DSN, MAX_ERRORS, MAX_FAILED_LOGINS
from mailserver.errors import Kind
from mailserver.mime.received import address_literal
from mailserver.users.authentication import LoggedInUser
from mailserver.values import Body
from protocols.net.bandwidth import UNLIMITED
from protocols.net.connection import Connection
from protocols.net.stream import BytesBeforeTls, ConnectionLost, DeadlinePassed
from protocols.sasl.login import Failure, Login, Success
from protocols.smtp import policy, replies
from protocols.smtp.data import MAX_COMMAND_OCTETS, LineBuffer
from protocols.smtp.exchange import ExchangeBroken, run_exchange
from protocols.smtp.grammar import (
    MAIL_DSN_KEYWORDS,
    MAIL_KEYWORDS,
    RCPT_DSN_KEYWORDS,
    Command,
    GrammarError,
    Wrong,
    parse_command,
    parse_mail_from,
    parse_rcpt_to,
)
from protocols.smtp.handler import SmtpHandler
from protocols.smtp.reception import Reception
from protocols.smtp.transaction import SmtpSession, Transaction

BEFORE_TLS = frozenset({"EHLO", "HELO", "NOOP", "STARTTLS", "QUIT"})
"""What a service that requires TLS answers before it (RFC 3207 §4; spec services 1.3)."""
NOT_IMPLEMENTED = frozenset({"EXPN", "SEND", "SOML", "SAML", "TURN", "ETRN", "ATRN", "BDAT"})
"""Commands that exist elsewhere (RFC 5321 §4.2.4 tells them from unknown ones)."""
LAST_WORDS_SECONDS = 5
"""How long the peer may take to accept the reply that ends the session."""
COMMANDS_IN_A_TURN = 50
"""How many pipelined commands are carried out before other sessions get their turn and the replies leave."""
READ_BYTES = 16 * 1024
"""Taken from the stream at a time. Larger pieces are no faster, and 50 large messages at once then need 24 MB instead
of 13 (tried)."""
MAX_SHOWN_VERB = 10
"""An unknown word that is longer is not shown in the transcript."""
MAX_HELO_CHARACTERS = 255
"""RFC 5321 §4.5.3.1.2."""


async def serve_smtp(connection: Connection) -> None:
    """One session, from the greeting to its end. The listener closes the stream."""
    await SmtpServer(connection).run()


class SmtpServer(SMTP):
    """One session."""

    session: SmtpSession
    envelope: Transaction

    def __init__(self, connection: Connection) -> None:
        # Not super().__init__(): see the module's docstring.
        self._connection = connection
        self._service = connection.service
        self._stream = connection.stream
        self._lines = LineBuffer()
        self._outgoing = b""
        self._ended = False
        self._turn = 0
        self.hostname = connection.snapshot().hostname
        self.loop = asyncio.get_running_loop()
        self.session = self._create_session()
        self.envelope = self._create_envelope()
        self._handler = SmtpHandler(connection, self.hostname)

    def _create_session(self) -> SmtpSession:
        return SmtpSession(self.loop)

    def _create_envelope(self) -> Transaction:
        return Transaction()

    def _set_post_data_state(self) -> None:
        """The transaction is over; what it refused goes into a journey."""
        if self.envelope.refusals:
            self._handler.record_refusals(self.session, self.envelope)
        self.envelope = self._create_envelope()

    def _set_rset_state(self) -> None:
        """Whatever was begun is given up (RFC 5321 §4.1.4)."""
        self._set_post_data_state()

    # ------------------------------------------------------------ the loop

    async def run(self) -> None:
        """Greet, answer until one side has had enough, and say why when it is ours."""
        try:
            await self.push(replies.greeting(self.hostname))
            await self._handle_client()
            await self._flush()
        except DeadlinePassed:
            await self._say_last(replies.timed_out(self.hostname))
        except asyncio.CancelledError:
            await self._say_last()
            raise
        except ConnectionLost:
            self._connection.transcript.note("connection lost")
        except Exception:
            await self._say_last(replies.closing_for_fault(self.hostname))
            raise
        finally:
            self._set_post_data_state()

    async def _handle_client(self) -> None:
        while not self._ended:
            self._stream.set_deadline(self._service.idle_timeout_seconds)
            try:
                command = await self._read_command()
                await self._carry_out(command)
            except GrammarError as error:
                await self.push(replies.misunderstood(error))

    async def _read_command(self) -> Command:
        self._turn += 1
        if self._turn % COMMANDS_IN_A_TURN == 0:
            await self._flush()
            await asyncio.sleep(0)
        line = await self._read_line()
        if self._connection.transcript.enabled:
            self._connection.transcript.received(_for_log(line))
        command = parse_command(line)
        if len(line) > MAX_COMMAND_OCTETS and command.verb != "AUTH":
            raise GrammarError(Wrong.LINE_LENGTH, "Line too long")
        return command

    async def _read_line(self) -> bytes:
        """The next line without its CRLF. Raises GrammarError, ConnectionLost, DeadlinePassed."""
        while (line := self._lines.next_line()) is None:
            self._lines.receive(await self._read())
        return line

    async def _read(self) -> bytes:
        """What the peer says next, once it has heard everything that we had to say."""
        await self._flush()
        data = await self._stream.read(READ_BYTES)
        if not data:
            raise ConnectionLost
        return data

    async def _carry_out(self, command: Command) -> None:
        method = COMMANDS.get(command.verb)
        if method is None:
            known = command.verb in NOT_IMPLEMENTED
            await self.push(replies.NOT_IMPLEMENTED if known else replies.UNKNOWN_COMMAND)
        elif command.verb not in BEFORE_TLS and policy.tls_missing(self._service, self._connection.client):
            await self.push(replies.TLS_FIRST)
        else:
            await method(self, command.argument or None)

    async def push(self, reply: bytes) -> None:  # type: ignore[override]
        """Reply. It leaves when the peer is next waited for, so that pipelined commands share a packet (RFC 2920 §3.2).

        Permanent refusals count as errors; too many of them end the session.
        """
        if self._connection.transcript.enabled:
            self._connection.transcript.sent(reply)
        self._outgoing += reply
        if reply.startswith(b"5"):
            await self._count_error()

    async def _flush(self) -> None:
        if self._outgoing:
            outgoing, self._outgoing = self._outgoing, b""
            await self._stream.write(outgoing)

    async def _count_error(self) -> None:
        self.session.errors += 1
        limit = self._service.get(MAX_ERRORS)
        if limit and self.session.errors >= limit and not self._ended:
            await self._connection.report_nuisance(f"{self.session.errors} refused commands")
            await self._end(replies.too_many_errors(self.hostname))

    async def _end(self, reply: bytes) -> None:
        """Say this and end the session, whatever the client has sent meanwhile."""
        self._ended = True
        await self.push(reply)

    async def _say_last(self, reply: bytes = b"") -> None:
        """Say what is left to say, if the peer still listens. The farewell of an ended session is the listener's."""
        self._stream.set_deadline(LAST_WORDS_SECONDS)
        try:
            if reply:
                await self.push(reply)
            await self._flush()
        except (ConnectionLost, DeadlinePassed):
            self._connection.transcript.note("the peer took no more replies")

    # ------------------------------------------------------------ greeting and leaving

    @syntax("HELO host-name")
    async def smtp_HELO(self, hostname: str | None) -> None:
        """RFC 5321 §4.1.1.1."""
        if await self._greet(hostname, extended=False):
            await self.push(replies.hello(self.hostname, address_literal(self._connection.client.address)))

    @syntax("EHLO host-name")
    async def smtp_EHLO(self, hostname: str | None) -> None:
        """RFC 5321 §4.1.1.1."""
        if await self._greet(hostname, extended=True):
            client = address_literal(self._connection.client.address)
            await self.push(replies.extended_hello(self.hostname, client, self._handler.keywords()))

    async def _greet(self, hostname: str | None, *, extended: bool) -> bool:
        """Take over the name that the client gives itself; a message that was begun is given up.

        RFC 5321 §4.1.4: a wrong name is no reason to refuse anything, so any text passes, made fit for a log.
        """
        if not hostname:
            await self.push(replies.NEEDS_HELLO)
            return False
        name = hostname.split()[0][:MAX_HELO_CHARACTERS]
        refusal = policy.refuse_hello(self._service, name)
        if refusal is not None:
            await self._end(refusal)
            return False
        self._set_rset_state()
        self.session.host_name = "".join(c if "!" <= c <= "~" else "?" for c in name)
        self.session.extended_smtp = extended
        return True

    @syntax("NOOP [text]")
    async def smtp_NOOP(self, arg: str | None) -> None:
        """RFC 5321 §4.1.1.9."""
        await self.push(replies.OK)

    @syntax("RSET")
    async def smtp_RSET(self, arg: str | None) -> None:
        """RFC 5321 §4.1.1.5."""
        if arg:
            await self.push(replies.NO_ARGUMENT)
            return
        self._set_rset_state()
        await self.push(replies.OK)

    @syntax("QUIT")
    async def smtp_QUIT(self, arg: str | None) -> None:
        """RFC 5321 §4.1.1.10."""
        if arg:
            await self.push(replies.NO_ARGUMENT)
        else:
            await self._end(replies.goodbye(self.hostname))

    @syntax("HELP [command]")
    async def smtp_HELP(self, arg: str | None) -> None:
        """RFC 5321 §4.1.1.8."""
        if not arg:
            await self.push(replies.help_overview(sorted(COMMANDS)))
            return
        method = COMMANDS.get(arg.upper())
        await self.push(replies.HELP_UNKNOWN if method is None else replies.help_on(HELP[arg.upper()]))

    @syntax("VRFY address")
    async def smtp_VRFY(self, arg: str | None) -> None:
        """RFC 5321 §3.5."""
        if not arg:
            raise GrammarError(Wrong.ARGUMENT, "Write VRFY address")
        await self.push(self._handler.handle_VRFY(self.session, arg))

    # ------------------------------------------------------------ TLS

    @syntax("STARTTLS")
    async def smtp_STARTTLS(self, arg: str | None) -> None:
        """RFC 3207 §4. Afterwards nothing that the client said before is known any more (§4.2)."""
        if arg:
            await self.push(replies.NO_ARGUMENT)
            return
        if self._connection.client.encrypted:
            await self.push(replies.TLS_ACTIVE)
            return
        context = self._connection.tls_context()
        if context is None:
            await self.push(replies.TLS_NOT_AVAILABLE)
            return
        if self._lines.waiting:
            await self._end(replies.COMMANDS_BEHIND_STARTTLS)
            return
        await self._flush()
        try:
            await self._stream.start_tls(context, replies.READY_FOR_TLS)
        except BytesBeforeTls:
            await self._end(replies.COMMANDS_BEHIND_STARTTLS)
            return
        self._begin_encrypted()

    def _begin_encrypted(self) -> None:
        """A session as new, save for what counts against the client."""
        stream = self._stream
        self._connection.client = replace(self._connection.client, encrypted=True, tls=stream.tls)
        self._connection.transcript.note(f"TLS: {stream.tls}")
        self._set_rset_state()
        former, self.session = self.session, self._create_session()
        self.session.errors = former.errors
        self.session.failed_logins = former.failed_logins
        self.session.refusals_recorded = former.refusals_recorded

    # ------------------------------------------------------------ logging in

    @syntax("AUTH mechanism [initial-response]")
    async def smtp_AUTH(self, arg: str | None) -> None:
        """RFC 4954 §4."""
        mechanism, _, initial = (arg or "").partition(" ")
        mechanism = mechanism.upper()
        refusal = self._handler.refuse_login(self.session, self.envelope, mechanism)
        if refusal is not None:
            await self.push(refusal)
            return
        connection = self._connection
        login = Login(connection.authenticator, connection.offload, connection.client, self.hostname)
        try:
            outcome = await run_exchange(login, mechanism, initial.strip(), self._ask)
        except ExchangeBroken as broken:
            await self.push(broken.reply)
            return
        match outcome:
            case Success(user):
                await self._welcome(user)
            case Failure():
                await self._turn_away(outcome)

    async def _ask(self, challenge: bytes) -> bytes:
        """The line that answers a challenge; it is a secret."""
        await self.push(challenge)
        self._stream.set_deadline(self._service.idle_timeout_seconds)
        line = await self._read_line()
        self._connection.transcript.received(b"********")
        return line

    async def _welcome(self, user: LoggedInUser) -> None:
        self.session.user = user
        self.session.authenticated = True
        self._connection.live.enter(user)
        await self._connection.apply_bandwidth(user.id)
        await self.push(replies.LOGGED_IN)

    async def _turn_away(self, failure: Failure) -> None:
        """RFC 4954 §6. The text is the same whatever was wrong."""
        if failure.malformed:
            await self.push(replies.MALFORMED_LOGIN)
            return
        if failure.error.kind is not Kind.BAD_CREDENTIALS:
            await self.push(replies.LOGIN_NOT_POSSIBLE_NOW)
            return
        self.session.failed_logins += 1
        await self.push(replies.FAILURES[Kind.BAD_CREDENTIALS])
        if self.session.failed_logins >= self._service.get(MAX_FAILED_LOGINS) and not self._ended:
            await self._end(replies.too_many_failed_logins(self.hostname))

    # ------------------------------------------------------------ the envelope

    @syntax("MAIL FROM:<address> [parameters]")
    async def smtp_MAIL(self, arg: str | None) -> None:
        """RFC 5321 §4.1.1.2."""
        if not self.session.host_name:
            await self.push(replies.HELLO_FIRST)
            return
        if self.envelope.begun:
            await self.push(replies.NESTED_MAIL)
            return
        mail = parse_mail_from(arg or "", self._keywords(MAIL_KEYWORDS, MAIL_DSN_KEYWORDS))
        reply = await self._handler.handle_MAIL(self.session, self.envelope, mail)
        if not self.envelope.begun:
            self._set_post_data_state()
        await self.push(reply)

    @syntax("RCPT TO:<address> [parameters]")
    async def smtp_RCPT(self, arg: str | None) -> None:
        """RFC 5321 §4.1.1.3."""
        if not self.envelope.begun:
            await self.push(replies.MAIL_FIRST)
            return
        keywords = self._keywords(frozenset(), RCPT_DSN_KEYWORDS)
        rcpt = parse_rcpt_to(arg or "", keywords, smtputf8=self.envelope.mail.smtputf8)
        reply = await self._handler.handle_RCPT(self.session, self.envelope, rcpt)
        await self.push(reply)
        if self.envelope.overshoot > policy.RECIPIENT_OVERSHOOT and reply is replies.TOO_MANY_RECIPIENTS:
            await self._count_error()

    def _keywords(self, always: frozenset[str], dsn: frozenset[str]) -> frozenset[str]:
        """The parameters on offer: none after HELO (RFC 5321 §4.1.1.11)."""
        if not self.session.extended_smtp:
            return frozenset()
        return always if self._service.get(DISABLE_DSN) else always | dsn

    # ------------------------------------------------------------ the message

    @syntax("DATA")
    async def smtp_DATA(self, arg: str | None) -> None:
        """RFC 5321 §4.1.1.4."""
        refusal = self._refuse_data(arg)
        if refusal is not None:
            await self.push(refusal)
            return
        await self.push(replies.START_DATA)
        await self._flush()
        self._connection.live.doing = "receiving a message"
        with self._connection.store.open_spool() as spool:
            reception = Reception(self._service, spool)
            reply = await self._take_message(reception)
        self._connection.live.doing = ""
        self._set_post_data_state()
        if reception.smuggling:
            await self._end(reply)
        else:
            await self.push(reply)
        if self._handler.interrupted:
            raise asyncio.CancelledError

    def _refuse_data(self, arg: str | None) -> bytes | None:
        if arg:
            return replies.NO_ARGUMENT
        if not self.envelope.begun:
            return replies.MAIL_FIRST
        if not self.envelope.accepted:
            return replies.NO_VALID_RECIPIENTS if self.envelope.refusals else replies.RCPT_FIRST
        return None

    async def _take_message(self, reception: Reception) -> bytes:
        """The reply to the end of data."""
        try:
            await self._receive(reception)
        except (ConnectionLost, DeadlinePassed):
            self.envelope.refuse("", f"the connection was lost after {reception.size} bytes of the message")
            raise
        self.envelope.size = reception.size
        outcome = reception.finish()
        if isinstance(outcome, Body):
            return await self._handler.handle_DATA(self.session, self.envelope, outcome, eight_bit=reception.eight_bit)
        self.envelope.refuse("", outcome.decode("ascii").strip())
        return outcome

    async def _receive(self, reception: Reception) -> None:
        """Everything up to the end of data. No haste is asked of a peer whom we slow down ourselves."""
        started = self.loop.time()
        reception.take(self._lines.take())
        while not reception.finished:
            metered = self._stream.meter is not UNLIMITED
            elapsed = 0.0 if metered else self.loop.time() - started
            self._stream.set_deadline(reception.patience_seconds(elapsed))
            reception.take(await self._read())
        self._lines.receive(reception.rest)


def _for_log(line: bytes) -> bytes:
    """A line as the transcript may show it. What is no command may be a password that came at the wrong moment."""
    verb = line.split(maxsplit=1)[0] if line.strip() else b""
    if verb.decode("latin-1").upper() in COMMANDS.keys() | NOT_IMPLEMENTED:
        return bytes(sanitize(line))
    return b"%s ..." % (verb if verb.isalpha() and len(verb) <= MAX_SHOWN_VERB else b"")


COMMANDS: dict[str, Callable[[SmtpServer, str | None], Awaitable[None]]] = {
    name.removeprefix("smtp_"): method for name, method in vars(SmtpServer).items() if name.startswith("smtp_")
}
"""What a peer may say. Made from our own methods only, so that nothing of the library's can be reached."""
HELP: dict[str, str] = {verb: method.__smtp_syntax__ for verb, method in COMMANDS.items()}  # type: ignore[attr-defined]
