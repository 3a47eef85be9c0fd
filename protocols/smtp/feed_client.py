# SPDX-License-Identifier: MIT
"""Asking another server for the mail that it holds for us: ETRN, after which it calls, and ATRN, after which it speaks.

RFC 1985 (ETRN), RFC 2645 (ODMR: ATRN), over RFC 5321, RFC 3207 and RFC 4954. After ATRN the roles turn on this very
connection; `turned.py` goes on from there. Every failure is a FeedFailure whose text is one sentence for the
administrator, or CannotConnect.
"""

from __future__ import annotations

import binascii
import contextlib
import re
from base64 import b64decode, b64encode
from collections.abc import Callable, Sequence

from mailserver.connectors.values import Credentials, Encryption, LoginMethod, RemoteServer
from protocols.net.outgoing import IDLE_SECONDS, open_stream, start_client_tls
from protocols.net.stream import BytesBeforeTls, ConnectionLost, DeadlinePassed, Stream
from protocols.sasl.client import (
    BadChallenge,
    ClientMechanism,
    GetToken,
    LoginImpossible,
    choose_mechanism,
    start_client,
)
from protocols.sasl.login import is_loopback
from protocols.smtp.client_grammar import NO_EXTENSIONS, BadReply, Reply, ReplyReader, parse_extensions

MAX_ATRN_DOMAINS = 100
"""A command line holds no more of them; RFC 5321 §4.5.3.1.4."""
ETRN_ACCEPTED = (250, 251, 252, 253)
"""RFC 1985 §5.3."""
ETRN_NOTHING = 251
ATRN_TURNED = 250
ATRN_NOTHING = 453
"""RFC 2645 §5.2.1: no mail, which is no error."""

# A domain, or @ with its subdomains, or # with the name of a queue (RFC 1985 §5.2)
_NODE = re.compile(r"[@#]?[A-Za-z0-9][A-Za-z0-9._-]{0,253}")

Wire = Callable[[str], None]


class FeedFailure(Exception):
    """It did not work; the text is one sentence for the administrator."""


def split_nodes(text: str) -> list[str]:
    """Domains or node names, separated by commas, semicolons or blanks. Raises FeedFailure for what cannot be sent."""
    nodes = [word for word in re.split(r"[,;\s]+", text) if word]
    for node in nodes:
        if not _NODE.fullmatch(node):
            raise FeedFailure(f"{node!r} is no domain or node name.")
    return nodes


class FeedClient:
    """One connection; made by `connect`."""

    def __init__(self, stream: Stream, server: RemoteServer, hostname: str, wire: Wire) -> None:
        self.stream = stream
        self._server = server
        self._hostname = hostname
        self._wire = wire
        self._reader = ReplyReader()
        self.extensions = NO_EXTENSIONS

    @classmethod
    async def connect(cls, server: RemoteServer, hostname: str, wire: Wire) -> FeedClient:
        """Connected, greeted, and encrypted as the server's settings say. Raises FeedFailure, CannotConnect."""
        client = cls(await open_stream(server), server, hostname, wire)
        try:
            await client._begin()
        except BaseException:
            client.close()
            raise
        return client

    def close(self) -> None:
        """Without a word."""
        self.stream.abort()

    async def quit(self) -> None:
        """Politely; a server that is not polite is left."""
        try:
            with contextlib.suppress(FeedFailure):
                await self._command("QUIT")
        finally:
            self.close()

    async def login(self, credentials: Credentials, get_token: GetToken | None = None) -> None:
        """RFC 4954. Raises FeedFailure."""
        if credentials.method is LoginMethod.NONE:
            return
        private = self.stream.encrypted or is_loopback(self.stream.peer[0])
        try:
            name = choose_mechanism(
                credentials.method,
                self.extensions.login_methods,
                private=private,
                with_token=get_token is not None,
            )
            mechanism = start_client(
                name,
                credentials.username,
                password=credentials.password,
                token=await get_token("") if get_token is not None else "",
                host=self._server.host,
                port=self._server.port,
            )
            reply = await self._exchange(mechanism)
            if reply.code == 235:
                mechanism.finish()
                return
        except (LoginImpossible, BadChallenge) as error:
            raise FeedFailure(f"The log-in failed: {error}") from error
        words = f" ({mechanism.explanation})" if mechanism.explanation else ""
        raise FeedFailure(f"The server does not accept the log-in: {reply.text}{words}")

    async def request(self, node: str) -> bool:
        """ETRN for one of `split_nodes`; whether anything may come. Raises FeedFailure (RFC 1985 §5.3)."""
        reply = await self._command(f"ETRN {node}")
        if reply.code not in ETRN_ACCEPTED:
            raise FeedFailure(f"The server does not accept ETRN {node}: {reply.text}")
        return reply.code != ETRN_NOTHING

    async def turn(self, domains: Sequence[str]) -> bool:
        """ATRN: true when the server speaks from now on, false when it has nothing. Raises FeedFailure."""
        if len(domains) > MAX_ATRN_DOMAINS:
            raise FeedFailure(f"At most {MAX_ATRN_DOMAINS} domains can be asked for at once.")
        reply = await self._command(f"ATRN {','.join(domains)}".strip())
        if reply.code == ATRN_NOTHING:
            return False
        if reply.code != ATRN_TURNED:
            raise FeedFailure(f"The server does not accept ATRN: {reply.text}")
        if not self._reader.empty:
            raise FeedFailure("The server spoke before it was its turn.")
        return True

    # ------------------------------------------------------------ inside

    async def _begin(self) -> None:
        greeting = await self._reply()
        if not greeting.positive:
            raise FeedFailure(f"The server does not want to talk: {greeting.text}")
        await self._hello()
        encryption = self._server.encryption
        if encryption in (Encryption.NONE, Encryption.TLS):
            return
        if "STARTTLS" not in self.extensions:
            if encryption is Encryption.STARTTLS:
                raise FeedFailure("The server offers no encryption by STARTTLS, which this collector insists on.")
            return
        reply = await self._command("STARTTLS")
        if not reply.positive:
            raise FeedFailure(f"The server refuses STARTTLS: {reply.text}")
        try:
            if not self._reader.empty:
                raise BytesBeforeTls
            await start_client_tls(self.stream, self._server)
        except BytesBeforeTls:
            raise FeedFailure(
                "The server said something before the encryption began; somebody may have forged it."
            ) from None
        await self._hello()

    async def _hello(self) -> None:
        reply = await self._command(f"EHLO {self._hostname}")
        if not reply.positive:
            raise FeedFailure(f"The server does not take our greeting: {reply.text}")
        self.extensions = parse_extensions(reply)

    async def _exchange(self, mechanism: ClientMechanism) -> Reply:
        initial = mechanism.initial()
        command = f"AUTH {mechanism.name}"
        if initial is None:
            reply = await self._command(command)
        else:
            reply = await self._command(f"{command} {b64encode(initial).decode() or '='}", f"{command} ***")
        while reply.code == 334:
            try:
                challenge = b64decode(reply.lines[0].strip(), validate=True)
                answer = b64encode(mechanism.respond(challenge)).decode()
            except (binascii.Error, BadChallenge) as error:
                await self._command("*")
                raise BadChallenge(f"{error}") from error
            reply = await self._command(answer, "***")
        return reply

    async def _command(self, command: str, shown: str = "") -> Reply:
        self._wire(f"C: {shown or command}")
        self.stream.set_deadline(IDLE_SECONDS)
        try:
            await self.stream.write(command.encode() + b"\r\n")
        except (ConnectionLost, DeadlinePassed) as error:
            raise FeedFailure("The server broke off the connection.") from error
        return await self._reply()

    async def _reply(self) -> Reply:
        self.stream.set_deadline(IDLE_SECONDS)
        try:
            while (reply := self._reader.next_reply()) is None:
                data = await self.stream.read()
                if not data:
                    raise FeedFailure("The server broke off the connection.")
                self._reader.feed(data)
        except BadReply as error:
            raise FeedFailure(f"What the server says is not SMTP: {error}.") from error
        except ConnectionLost as error:
            raise FeedFailure("The server broke off the connection.") from error
        except DeadlinePassed as error:
            raise FeedFailure(f"The server has said nothing for {IDLE_SECONDS} seconds.") from error
        for line in reply.text.split("\n"):
            self._wire(f"S: {line}")
        return reply
