# SPDX-License-Identifier: MIT
"""Sending over SMTP: one session with one server, reused for many messages, and a verdict for each recipient.

RFC 5321 §3.3 and §4.5.3.2 (time-outs), RFC 2920 (PIPELINING), RFC 3030 (CHUNKING), RFC 3207 (STARTTLS), RFC 4954
(AUTH), RFC 1870, 6152, 6531 and 3461 (what MAIL and RCPT carry). Which server, and what becomes of the verdicts, is
decided in `workers.delivery`.

Replies are matched to commands in order; whatever a server does, `send` gives a verdict for every recipient, and
`usable` says whether the session goes on. A connection that breaks between the end of the data and its reply leaves
the message deferred: it may then arrive twice, and is never lost (RFC 5321 §4.5.3.2.6).
"""

from __future__ import annotations

import asyncio
import ssl
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

from mailserver.connectors.values import Credentials, Encryption, LoginMethod
from protocols.net.outgoing import client_context
from protocols.sasl.client import BadChallenge, ClientMechanism, LoginImpossible, choose_mechanism, start_client
from protocols.smtp.client_grammar import (
    NO_EXTENSIONS,
    DotStuffer,
    OutgoingRecipient,
    Reply,
    format_mail,
    format_rcpt,
    needs_smtputf8,
    parse_extensions,
    parse_reply,
)
from protocols.smtp.client_options import COMMAND_SECONDS
from protocols.smtp.client_options import CannotSend as CannotSend
from protocols.smtp.client_options import SessionOptions as SessionOptions
from protocols.smtp.client_options import Stage as Stage
from protocols.smtp.client_transaction import Delivery, Outcome, OutgoingMessage, Transaction, Verdict
from protocols.smtp.client_wire import HANDSHAKE_SECONDS, ClientWire, WireLost, describe

CONNECT_SECONDS = 30
BLOCK_SECONDS = 180
END_SECONDS = 600
"""RFC 5321 §4.5.3.2.6: what ends sooner makes doubles."""
QUIT_SECONDS = 5
PIPELINED_BODY_BYTES = 64 * 1024
"""A message up to this size follows its recipients by BDAT without waiting; a larger one may be sent for nothing."""
LOOPBACK = ("127.", "::1")
NEEDS_SMTPUTF8 = Verdict(
    Outcome.REFUSED,
    "553 5.6.7 The server cannot take addresses or header fields with letters beyond ASCII",
    "5.6.7",
    remote=False,
)
OTHER_SIZE = "The stored message has another size than was announced."

ReplyHook = Callable[[str, str], Awaitable[str | None]]
"""The last command and the reply; gives a reply to take instead (`Hooks.on_remote_reply`)."""


async def no_opinion(command: str, reply: str) -> str | None:
    """Scripts have nothing to say."""
    return None


def be_silent(line: str) -> None:
    """Nobody reads the dialogue."""


class SmtpClient:
    """One session, from `open_session` to `quit`."""

    def __init__(self, wire: ClientWire, options: SessionOptions, log: Callable[[str], None], ask: ReplyHook) -> None:
        self._wire = wire
        self._options = options
        self._log = log
        self._ask = ask
        self._seconds = min(options.timeout_seconds, COMMAND_SECONDS)
        self._needs_reset = False
        self._closing: Reply | None = None
        self.extensions = NO_EXTENSIONS
        self.greeting = ""
        self.tls = ""
        self.sent = 0
        """Transactions that ended with the server's yes."""

    @property
    def usable(self) -> bool:
        """Another message may be sent in this session."""
        return self._closing is None and not self._wire.lost

    # ------------------------------------------------------------ the beginning

    async def begin(self) -> None:
        """Greeting, EHLO, TLS and log-in, as the options say. Raises CannotSend, WireLost."""
        options = self._options
        greeting = await self._read("")
        if not greeting.positive:
            raise CannotSend(Stage.HELLO, f"The server does not want to talk: {greeting.text}", greeting)
        self.greeting = greeting.lines[0]
        await self._hello()
        if options.encryption in (Encryption.STARTTLS, Encryption.OPPORTUNISTIC):
            await self._start_tls()
        self.tls = self._wire.tls_text()
        if options.credentials.method is not LoginMethod.NONE:
            await self._log_in(options.credentials)

    async def _hello(self) -> None:
        reply = await self._command(f"EHLO {self._options.ehlo_name}")
        if reply.positive:
            self.extensions = parse_extensions(reply).without(self._options.avoided)
            return
        if reply.permanent:
            reply = await self._command(f"HELO {self._options.ehlo_name}")
        if not reply.positive:
            raise CannotSend(Stage.HELLO, f"The server does not take our greeting: {reply.text}", reply)

    async def _start_tls(self) -> None:
        required = self._options.encryption is Encryption.STARTTLS
        if "STARTTLS" not in self.extensions:
            if required:
                raise CannotSend(Stage.TLS, "The server does not offer encryption (STARTTLS). Nothing was sent.")
            return
        _check_name(self._options.name)
        try:
            reply = await self._command("STARTTLS")
        except WireLost as error:
            raise CannotSend(Stage.TLS, f"Encryption was to begin, and then: {error}") from error
        if reply.code != 220:
            if required or not self.usable:
                raise CannotSend(Stage.TLS, f"The server refuses encryption: {reply.text}", reply)
            return
        try:
            await self._wire.start_tls(_tls_context(self._options), self._options.name)
        except OSError as error:
            raise CannotSend(Stage.TLS, _tls_text(error, self._options.name)) from error
        self._log(f"-- {self._wire.tls_text()}")
        await self._hello()

    async def _log_in(self, credentials: Credentials) -> None:
        private = bool(self.tls) or self._wire.peer_address.startswith(LOOPBACK)
        try:
            name = choose_mechanism(
                credentials.method,
                self.extensions.login_methods,
                private=private,
                with_token=credentials.oauth is not None,
            )
            mechanism = start_client(
                name,
                credentials.username,
                password=credentials.password,
                token=self._options.token,
                host=self._options.name,
            )
            reply = await self._exchange(mechanism)
            if reply.code == 235:
                mechanism.finish()
                return
        except LoginImpossible as error:
            raise CannotSend(Stage.LOGIN, str(error)) from error
        except BadChallenge as error:
            raise CannotSend(Stage.LOGIN, f"Logging in failed: {error}.") from error
        words = f" ({mechanism.explanation})" if mechanism.explanation else ""
        raise CannotSend(Stage.LOGIN, f"The server does not accept the log-in: {reply.text}{words}", reply)

    async def _exchange(self, mechanism: ClientMechanism) -> Reply:
        """RFC 4954 §4: the first message goes with the command where there is one, `=` for an empty one."""
        initial = mechanism.initial()
        command = f"AUTH {mechanism.name}"
        if initial is not None:
            reply = await self._command(f"{command} {b64encode(initial).decode() or '='}", f"{command} ***")
        else:
            reply = await self._command(command)
        while reply.code == 334:
            try:
                challenge = b64decode(reply.lines[0].strip(), validate=True)
                answer = b64encode(mechanism.respond(challenge)).decode()
            except (Base64Error, BadChallenge) as error:
                await self._command("*")
                raise BadChallenge(str(error)) from error
            reply = await self._command(answer, "***")
        return reply

    # ------------------------------------------------------------ messages

    async def send(self, message: OutgoingMessage) -> Delivery:
        """One transaction. Raises nothing: what goes wrong is in the verdicts."""
        if not self.usable or self._wire.answered:
            self.abort()
            text = self._closing.text if self._closing else "421 4.4.2 The server ended the session."
            return self._all(message, Verdict(Outcome.DEFERRED, text, remote=self._closing is not None), stale=True)
        impossible = self._find_obstacle(message)
        if impossible is not None:
            return self._all(message, impossible)
        if any(beyond := [self._is_beyond(recipient) for recipient in message.recipients]):
            return await self._send_to_others(message, beyond)
        transaction = Transaction(message, "PIPELINING" in self.extensions)
        try:
            mail, recipients = self._format_envelope(message)
        except ValueError as error:
            text = f"553 5.1.3 The envelope cannot be written: {error}"
            return self._all(message, Verdict(Outcome.REFUSED, text, "5.1.3", remote=False))
        try:
            await self._run(transaction, mail, recipients)
        except WireLost as error:
            self._wire.abort()
            transaction.lose(str(error), self._closing)
        except OSError as error:  # Of our disk: what goes wrong on the wire is WireLost.
            self._wire.abort()
            transaction.lose(f"The stored message cannot be read here: {describe(error)}.", None)
        stale = transaction.unheard and not self.usable
        self.sent += transaction.accepted
        return Delivery(transaction.outcome(), stale, transaction.broken, "DSN" in self.extensions)

    def _find_obstacle(self, message: OutgoingMessage) -> Verdict | None:
        """What is known before anything is sent."""
        limit = self.extensions.max_size
        if limit and message.size > limit:
            text = f"552 5.3.4 The message has {message.size} bytes; the server takes at most {limit}"
            return Verdict(Outcome.REFUSED, text, "5.3.4", remote=False)
        header = message.header if message.smtputf8 else b""
        if "SMTPUTF8" not in self.extensions and needs_smtputf8([message.reverse_path], header):
            return NEEDS_SMTPUTF8
        return None

    def _is_beyond(self, recipient: OutgoingRecipient) -> bool:
        """The server could not even be told of this recipient; a list or a forwarder may have named him."""
        return "SMTPUTF8" not in self.extensions and needs_smtputf8([recipient.address], b"")

    async def _send_to_others(self, message: OutgoingMessage, beyond: Sequence[bool]) -> Delivery:
        """Without those that are beyond the server; the others get theirs."""
        others = tuple(one for one, out in zip(message.recipients, beyond, strict=True) if not out)
        delivery = await self.send(replace(message, recipients=others)) if others else Delivery(())
        verdicts = iter(delivery.verdicts)
        return replace(delivery, verdicts=tuple(NEEDS_SMTPUTF8 if out else next(verdicts) for out in beyond))

    def _format_envelope(self, message: OutgoingMessage) -> tuple[bytes, list[bytes]]:
        """Raises ValueError."""
        addresses = [recipient.address for recipient in message.recipients]
        mail = format_mail(
            message.reverse_path,
            self.extensions,
            message.size,
            eight_bit=message.eight_bit,
            smtputf8=message.smtputf8 or needs_smtputf8([message.reverse_path, *addresses], b""),
            dsn_return=message.dsn_return,
            envelope_id=message.envelope_id,
        )
        return mail, [format_rcpt(recipient, self.extensions) for recipient in message.recipients]

    async def _run(self, transaction: Transaction, mail: bytes, recipients: Sequence[bytes]) -> None:
        if transaction.pipelining:
            await self._run_pipelined(transaction, mail, recipients)
        else:
            await self._run_stepwise(transaction, mail, recipients)

    async def _run_pipelined(self, transaction: Transaction, mail: bytes, recipients: Sequence[bytes]) -> None:
        """RFC 2920: envelope and DATA in one write; with CHUNKING a small message too."""
        message = transaction.message
        chunking = "CHUNKING" in self.extensions
        whole = chunking and message.size <= PIPELINED_BODY_BYTES
        envelope = [mail, *recipients] if chunking else [mail, *recipients, b"DATA"]
        if self._needs_reset:
            envelope.insert(0, b"RSET")
        self._note(envelope)
        piece = b"\r\n".join(envelope) + b"\r\n"
        if whole:
            body = b"".join(message.chunks())
            if len(body) != message.size:
                raise WireLost(OTHER_SIZE)
            piece += self._bdat(message) + body
            transaction.data_begun = True
        self._wire.write(piece)
        if self._needs_reset:
            await self._read("RSET")
            self._needs_reset = False
        transaction.take_mail(await self._read(_text(mail)))
        for command in recipients:
            transaction.take_recipient(await self._read(_text(command)))
        if whole:
            self._finish(transaction, await self._read("BDAT", END_SECONDS))
        elif chunking and transaction.wanted:
            await self._send_chunk(transaction)
        elif chunking:
            self._needs_reset = True
        else:
            await self._send_data(transaction, await self._read("DATA"))

    async def _run_stepwise(self, transaction: Transaction, mail: bytes, recipients: Sequence[bytes]) -> None:
        if self._needs_reset:
            await self._command("RSET")
            self._needs_reset = False
        transaction.take_mail(await self._command(_text(mail)))
        if transaction.mail_refused:
            self._needs_reset = True
            return
        for command in recipients:
            transaction.take_recipient(await self._command(_text(command)))
        if not transaction.wanted:
            self._needs_reset = True
        elif "CHUNKING" in self.extensions:
            await self._send_chunk(transaction)
        else:
            await self._send_data(transaction, await self._command("DATA"))

    async def _send_data(self, transaction: Transaction, go_ahead: Reply) -> None:
        """RFC 2920 §3.1: after 354 there must be an end of the data, also when nobody is left to get it."""
        if go_ahead.code != 354:
            if transaction.wanted:
                transaction.finish(go_ahead)
            self._needs_reset = True
            return
        if not transaction.wanted:
            self._wire.write(b".\r\n")
            await self._read("end of data", END_SECONDS)
            self._needs_reset = True
            return
        message = transaction.message
        self._log(f"C: ({message.size} bytes)")
        stuffer = DotStuffer()
        transaction.data_begun = True
        pieces = [stuffer.stuff(piece) for piece in message.chunks()] if message.size <= PIPELINED_BODY_BYTES else None
        if pieces is not None:
            self._wire.write(b"".join((*pieces, stuffer.end())))
        else:
            for piece in message.chunks():
                self._wire.write(stuffer.stuff(piece))
                await self._wire.drain(BLOCK_SECONDS)
            self._wire.write(stuffer.end())
        self._finish(transaction, await self._read("end of data", END_SECONDS))

    async def _send_chunk(self, transaction: Transaction) -> None:
        """RFC 3030 §2: the whole message is the last chunk, for its size is known."""
        message = transaction.message
        transaction.data_begun = True
        self._wire.write(self._bdat(message))
        left = message.size
        for piece in message.chunks():
            left -= len(piece)
            if left < 0:
                break
            self._wire.write(piece)
            await self._wire.drain(BLOCK_SECONDS)
        if left:
            raise WireLost(OTHER_SIZE)
        self._finish(transaction, await self._read("BDAT", END_SECONDS))

    def _bdat(self, message: OutgoingMessage) -> bytes:
        self._log(f"C: BDAT {message.size} LAST")
        return b"BDAT %d LAST\r\n" % message.size

    def _finish(self, transaction: Transaction, reply: Reply) -> None:
        transaction.finish(reply)
        self._needs_reset = not reply.positive

    # ------------------------------------------------------------ the end

    async def quit(self) -> None:
        """Good-bye, without insisting on an answer."""
        try:
            if self.usable:
                await self._command("QUIT", seconds=QUIT_SECONDS)
        except WireLost:
            pass
        finally:
            self._wire.close()
        await self._wire.wait_closed(QUIT_SECONDS)

    def abort(self) -> None:
        """End it at once."""
        self._wire.abort()

    # ------------------------------------------------------------ commands and replies

    async def _command(self, command: str, shown: str = "", seconds: float | None = None) -> Reply:
        self._log(f"C: {shown or command}")
        self._wire.write(f"{command}\r\n".encode())
        return await self._read(shown or command, seconds)

    async def _read(self, command: str, seconds: float | None = None) -> Reply:
        """The reply to a command, as scripts want it. 421 ends the session, wherever it comes (RFC 5321 §3.8)."""
        reply = await self._wire.reply(self._seconds if seconds is None else seconds)
        for line in reply.text.split("\n"):
            self._log(f"S: {line}")
        other = await self._ask(command, reply.raw)
        if other is not None:
            changed = parse_reply(other)
            self._log(f"-- a script makes of that: {changed.text}" if changed else "-- a script's reply has no code")
            reply = changed or reply
        if reply.code == 421:
            self._closing = reply
        return reply

    def _note(self, commands: Sequence[bytes]) -> None:
        for command in commands:
            self._log(f"C: {_text(command)}")

    def _all(self, message: OutgoingMessage, verdict: Verdict, *, stale: bool = False) -> Delivery:
        return Delivery((verdict,) * len(message.recipients), stale)


async def open_session(
    address: str,
    port: int,
    options: SessionOptions,
    log: Callable[[str], None] = be_silent,
    ask: ReplyHook = no_opinion,
) -> SmtpClient:
    """A session that is ready for messages. `address` is an IP address, or a name that the system knows.

    Raises CannotSend, and nothing else that a server could cause.
    """
    wire = await _connect(address, port, options)
    client = SmtpClient(wire, options, log, ask)
    try:
        await client.begin()
    except CannotSend as error:
        if error.stage is Stage.LOGIN or error.reply is not None:
            await client.quit()
        wire.abort()
        raise
    except WireLost as error:
        wire.abort()
        raise CannotSend(Stage.HELLO, str(error)) from error
    except BaseException:
        wire.abort()
        raise
    return client


async def _connect(address: str, port: int, options: SessionOptions) -> ClientWire:
    loop = asyncio.get_running_loop()
    from_start = options.encryption is Encryption.TLS
    if from_start:
        _check_name(options.name)
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            _, wire = await loop.create_connection(
                ClientWire,
                address,
                port,
                local_addr=(options.local_address, 0) if options.local_address else None,
                ssl=_tls_context(options) if from_start else None,
                server_hostname=options.name if from_start else None,
                ssl_handshake_timeout=HANDSHAKE_SECONDS if from_start else None,
            )
    except TimeoutError as error:
        raise CannotSend(Stage.CONNECT, f"{address} port {port} does not answer.") from error
    except ssl.SSLError as error:
        raise CannotSend(Stage.TLS, _tls_text(error, options.name)) from error
    except OSError as error:
        raise CannotSend(Stage.CONNECT, f"{address} port {port} cannot be reached: {describe(error)}.") from error
    return wire


def _tls_context(options: SessionOptions) -> ssl.SSLContext:
    oldest = ssl.TLSVersion.TLSv1_3 if options.newest_tls else ssl.TLSVersion.TLSv1_2
    return client_context(options.verify_certificate, oldest)


def _check_name(name: str) -> None:
    """MX records may name anything, also what the TLS library does not take for a name. Raises CannotSend."""
    try:
        usable = bool(name.encode("idna")) and not name.startswith(".")
    except UnicodeError:
        usable = False
    if not usable:
        raise CannotSend(Stage.TLS, f"{name} is no name that a certificate could have.")


def _tls_text(error: BaseException, name: str) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"The certificate of {name} is not valid: {describe(error)}."
    return f"Encryption with {name} could not be started: {describe(error)}."


def _text(command: bytes) -> str:
    return command.decode("utf-8", "replace")
