# SPDX-License-Identifier: MIT
"""What each POP3 command means here: asks the authenticator and the store, and chooses the reply.

RFC 1939, RFC 2449, RFC 2595, RFC 5034, RFC 6856; spec services 3. Knows neither sockets nor syntax.

Nothing is removed before QUIT, and a session that ends in any other way removes nothing (RFC 1939 §6). The same
capabilities are announced before and after login; what differs is what encryption allows. LIST, STAT and UIDL leave
out what is marked as deleted.

A message whose header needs UTF-8 must not go as it is to a client that has not said UTF8 (RFC 6856 §2.1). It gets
the surrogate of RFC 6858 rather than an error, which would stop most mail programs for good. LIST tells the sizes of
the stored texts, since it reads none of them: for such surrogates, and where blank lines at the end are left out
(STRIP_BLANK_END), RETR sends more or less than LIST has said, as RFC 6856 §2.1 allows.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import replace
from itertools import chain, islice
from typing import Any

from mailserver.config.catalog import (
    HOLD_DELETED,
    LOGIN_DELAY,
    MAX_FAILED_LOGINS,
    OFFER_APOP,
    OFFER_CRAM_MD5,
    STRIP_BLANK_END,
)
from mailserver.errors import Kind, MailError
from mailserver.store.interface import StoredContent
from mailserver.users.authentication import LoggedInUser
from mailserver.values import MEMORY_BODY_BYTES
from protocols.net.connection import Connection
from protocols.pop3 import replies
from protocols.pop3.access import MaildropAccess
from protocols.pop3.bodies import BlankEndStripper, TopCut, downgrade
from protocols.pop3.commands import (
    Apop,
    Auth,
    Capa,
    Command,
    Dele,
    Lang,
    List,
    ListMechanisms,
    Noop,
    Pass,
    Quit,
    Retr,
    Rset,
    SaslCancel,
    SaslResponse,
    Stat,
    Stls,
    Top,
    Uidl,
    User,
    Utf8,
)
from protocols.pop3.maildrop import Maildrop
from protocols.pop3.replies import END, Answer, Piece, Reply, Whole
from protocols.sasl.login import Failure, Login, Outcome, Success, may_send_password
from protocols.sasl.mechanisms import Challenge, next_stamp, offered

log = logging.getLogger("pillarbox.pop3")

LINES_IN_A_PIECE = 1000
"""Listings of large maildrops are made in pieces of so many lines."""

Answers = Iterable[Answer]


class Pop3Session:
    """One client, from the greeting to the end."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._service = connection.service
        self._client = connection.client
        self._hostname = connection.snapshot().hostname
        self._stamp = next_stamp(self._hostname) if self._service.get(OFFER_APOP) else b""
        self._access = MaildropAccess(connection.store, connection.offload, connection.client.session)
        self._login: Login | None = None
        self._name = ""
        self._failures = 0
        self._utf8 = False
        self._handlers: dict[type, Callable[[Any], Awaitable[Answers]]] = {
            User: self._user,
            Pass: self._pass,
            Apop: self._apop,
            ListMechanisms: self._list_mechanisms,
            Auth: self._auth,
            SaslResponse: self._sasl_response,
            SaslCancel: self._sasl_cancel,
            Stls: self._stls,
            Capa: self._capa,
            Stat: self._stat,
            List: self._list,
            Uidl: self._uidl,
            Retr: self._retr,
            Top: self._top,
            Dele: self._dele,
            Noop: self._noop,
            Rset: self._rset,
            Quit: self._quit,
            Utf8: self._enable_utf8,
            Lang: self._lang,
        }

    def greeting(self) -> Reply:
        return replies.greeting(self._hostname, self._stamp)

    async def answer(self, command: Command) -> Answers:
        """The reply, in parts; reading a message's parts may raise OSError."""
        try:
            return await self._handlers[type(command)](command)
        except MailError as error:
            log.info("POP3 session %d, %s: %s", self._client.session, command.verb, error)
            return [replies.failure(error.kind)]

    def tls_started(self, tls: str) -> None:
        """Everything that the client said in clear is forgotten (RFC 2595 §4)."""
        self._client = replace(self._client, encrypted=True, tls=tls)
        self._name = ""
        self._login = None
        self._utf8 = False

    async def close(self) -> None:
        """Give the maildrop back. Messages marked as deleted stay unless QUIT removed them."""
        try:
            await self._access.release(self._detail)
        except MailError as error:
            log.warning("POP3 session %d: what was fetched is not recorded: %s", self._client.session, error)

    # ------------------------------------------------------------ authorization

    async def _user(self, command: User) -> Answers:
        if not self._plain_allowed:
            return [replies.encryption_needed()]
        self._name = command.name
        return [replies.name_accepted()]

    async def _pass(self, command: Pass) -> Answers:
        try:
            user = await self._new_login().by_password(self._name, command.password)
        except MailError as error:
            return [self._refuse_login(error)]
        return [await self._enter(user)]

    async def _apop(self, command: Apop) -> Answers:
        if not self._stamp:
            return [replies.apop_not_offered()]

        def matches(secret: str) -> bool:
            right = hashlib.md5(self._stamp + secret.encode(), usedforsecurity=False).hexdigest()
            return hmac.compare_digest(right, command.digest)

        try:
            user = await self._new_login().by_secret(command.name, matches)
        except MailError as error:
            return [self._refuse_login(error)]
        return [await self._enter(user)]

    async def _list_mechanisms(self, command: ListMechanisms) -> Answers:
        return replies.mechanisms(self._mechanisms)

    async def _auth(self, command: Auth) -> Answers:
        if command.mechanism not in self._mechanisms:
            known = command.mechanism in offered(self._service.get(OFFER_CRAM_MD5), plain_allowed=True)
            return [replies.encryption_needed() if known else replies.unknown_mechanism()]
        self._login = self._new_login()
        return [await self._go_on(await self._login.begin(command.mechanism, command.initial))]

    async def _sasl_response(self, command: SaslResponse) -> Answers:
        assert self._login is not None
        return [await self._go_on(await self._login.answer(command.data))]

    async def _sasl_cancel(self, command: SaslCancel) -> Answers:
        self._login = None
        return [replies.cancelled()]

    async def _go_on(self, outcome: Outcome) -> Reply:
        match outcome:
            case Challenge(data):
                return replies.challenge(data)
            case Success(user):
                return await self._enter(user)
            case Failure(error, malformed):
                return self._refuse_login(error, replies.malformed_exchange() if malformed else None)

    async def _enter(self, user: LoggedInUser) -> Reply:
        """Spec services 1.7, rule 6: the lock comes after the credentials, the bandwidth last."""
        maildrop = await self._access.open(user)
        try:
            if not await self._has_waited(user):
                await self._access.release(self._detail)
                return replies.login_too_soon(self._service.get(LOGIN_DELAY))
            await self._connection.apply_bandwidth(user.id)
        except MailError:
            await self._access.release(self._detail)
            raise
        self._connection.live.enter(user)
        return replies.logged_in(maildrop.count, maildrop.size)

    async def _has_waited(self, user: LoggedInUser) -> bool:
        """RFC 2449 §6.5. Asked with the lock held, so that a locked maildrop does not cost anybody the next try."""
        delay = self._service.get(LOGIN_DELAY)
        may_log_in = self._connection.authenticator.may_log_in_again
        return not delay or await self._connection.offload(may_log_in, user.id, delay)

    def _refuse_login(self, error: MailError, reply: Reply | None = None) -> Reply:
        """Only wrong credentials count towards the end of the session."""
        log.info("POP3 session %d, login refused: %s", self._client.session, error)
        if error.kind is Kind.BAD_CREDENTIALS:
            self._failures += 1
            if self._failures >= self._service.get(MAX_FAILED_LOGINS):
                return replies.too_many_failures()
        return reply or replies.failure(error.kind)

    async def _stls(self, command: Stls) -> Answers:
        return [replies.begin_tls() if self._tls_offered else replies.tls_not_possible()]

    # ------------------------------------------------------------ in every state

    async def _capa(self, command: Capa) -> Answers:
        return replies.capabilities(self._capabilities())

    def _capabilities(self) -> Iterator[str]:
        """RFC 2449 §6, RFC 2595 §4, RFC 3206 §3, RFC 6856 §2 and §3."""
        yield from ("TOP", "UIDL", "RESP-CODES", "AUTH-RESP-CODE", "PIPELINING")
        if self._plain_allowed:
            yield "USER"
        yield f"SASL {' '.join(self._mechanisms)}"
        if self._tls_offered:
            yield "STLS"
        yield from ("UTF8 USER", "LANG", "EXPIRE NEVER")
        if delay := self._service.get(LOGIN_DELAY):
            yield f"LOGIN-DELAY {delay}"
        yield f"IMPLEMENTATION {replies.PRODUCT}"

    async def _enable_utf8(self, command: Utf8) -> Answers:
        self._utf8 = True
        return [replies.utf8_on()]

    async def _lang(self, command: Lang) -> Answers:
        """RFC 6856 §3. A longer tag finds the language that begins it (RFC 4647 §3.4)."""
        if command.language is None:
            return replies.languages()
        wanted = command.language.lower()
        for tag, _ in replies.LANGUAGES:
            if wanted in ("*", tag) or wanted.startswith(f"{tag}-"):
                return [replies.language_chosen(tag)]
        return [replies.unknown_language(command.language)]

    # ------------------------------------------------------------ transaction

    async def _stat(self, command: Stat) -> Answers:
        return [replies.status(self._maildrop.count, self._maildrop.size)]

    async def _list(self, command: List) -> Answers:
        drop = self._maildrop
        if command.number is not None:
            number = command.number
            return [self._problem(number) or replies.listed(number, drop.message_size(number))]
        lines = (b"%d %d\r\n" % (number, drop.message_size(number)) for number in drop.numbers())
        return _listing(replies.listing_follows(drop.count, drop.size), lines)

    async def _uidl(self, command: Uidl) -> Answers:
        drop = self._maildrop
        if command.number is not None:
            number = command.number
            return [self._problem(number) or replies.unique_id(number, drop.unique_id(number))]
        lines = (b"%d %s\r\n" % (number, drop.unique_id(number)) for number in drop.numbers())
        return _listing(replies.unique_ids_follow(), lines)

    async def _retr(self, command: Retr) -> Answers:
        number = command.number
        if problem := self._problem(number):
            return [problem]
        content = await self._access.read(number)
        if content.body is not None and self._goes_as_it_is(content.head, content.body):
            self._access.note_fetched(number, content.ref)
            return [Whole(replies.message_follows(content.size), content.head + content.body)]
        longer, pieces = self._for_client(content)
        return self._send_message(number, content, content.size + longer, pieces)

    async def _top(self, command: Top) -> Answers:
        number = command.number
        if problem := self._problem(number):
            return [problem]
        _, pieces = self._for_client(await self._access.read(number))
        return _send_top(pieces, command.lines)

    async def _dele(self, command: Dele) -> Answers:
        number = command.number
        if self._maildrop.is_deleted(number):
            return [replies.already_deleted(number)]
        if problem := self._problem(number):
            return [problem]
        self._maildrop.delete(number)
        return [replies.deleted(number)]

    async def _noop(self, command: Noop) -> Answers:
        return [replies.nothing_done()]

    async def _rset(self, command: Rset) -> Answers:
        self._maildrop.restore()
        return [replies.restored(self._maildrop.count, self._maildrop.size)]

    async def _quit(self, command: Quit) -> Answers:
        """The lock is given back before the reply: the client may come again at once (RFC 1939 §6)."""
        if not self._access.is_open:
            return [replies.good_bye()]
        try:
            await self._access.update(hold=self._service.get(HOLD_DELETED), detail=self._detail)
        except MailError as error:
            log.warning("POP3 session %d: deleted messages not removed: %s", self._client.session, error)
            return [replies.not_all_removed()]
        finally:
            await self.close()
        return [replies.good_bye()]

    # ------------------------------------------------------------ small questions

    @property
    def _maildrop(self) -> Maildrop:
        return self._access.maildrop

    @property
    def _plain_allowed(self) -> bool:
        return may_send_password(self._client, encryption_required=self._service.require_encrypted_login)

    @property
    def _tls_offered(self) -> bool:
        return not self._client.encrypted and self._connection.tls_context() is not None

    @property
    def _mechanisms(self) -> tuple[str, ...]:
        return offered(self._service.get(OFFER_CRAM_MD5), self._plain_allowed)

    @property
    def _detail(self) -> str:
        return f"POP3, {self._client.address}"

    def _new_login(self) -> Login:
        return Login(self._connection.authenticator, self._connection.offload, self._client, self._hostname)

    def _problem(self, number: int) -> Reply | None:
        """Why there is no such message, if there is none."""
        if not self._maildrop.exists(number):
            return replies.no_such_message(self._maildrop.highest)
        if self._maildrop.is_deleted(number):
            return replies.already_deleted(number)
        return None

    def _goes_as_it_is(self, head: bytes, body: bytes) -> bool:
        """Whether it is short, and nothing of it has to be changed for this client."""
        return (
            len(body) <= MEMORY_BODY_BYTES
            and (self._utf8 or (head.isascii() and body.isascii()))
            and not self._service.get(STRIP_BLANK_END)
        )

    def _for_client(self, content: StoredContent) -> tuple[int, Iterator[bytes]]:
        """The message as this client can take it, and by how much it is longer than the stored one."""
        pieces = _open_pieces(content)
        return (0, pieces) if self._utf8 else downgrade(pieces)

    def _send_message(
        self, number: int, content: StoredContent, size: int, pieces: Iterator[bytes]
    ) -> Iterator[Answer]:
        yield replies.message_follows(size)
        if self._service.get(STRIP_BLANK_END):
            pieces = _strip_blank_end(pieces)
        yield from map(Piece, pieces)
        self._access.note_fetched(number, content.ref)
        yield END


def _listing(first: Reply, lines: Iterator[bytes]) -> Iterator[Answer]:
    yield first
    while piece := b"".join(islice(lines, LINES_IN_A_PIECE)):
        yield Piece(piece)
    yield END


def _open_pieces(content: StoredContent) -> Iterator[bytes]:
    """The message in pieces, its file opened now: a missing one is found before the reply has begun."""
    pieces = content.chunks()
    try:
        begun = list(islice(pieces, 2 if content.path is not None else 1))
    except OSError as error:
        raise MailError(Kind.UNAVAILABLE, f"content {content.id}: {error}") from error
    return chain(begun, pieces)


def _send_top(pieces: Iterator[bytes], lines: int) -> Iterator[Answer]:
    """RFC 1939 §7, TOP."""
    yield replies.top_follows()
    cut = TopCut(lines)
    for piece in pieces:
        yield Piece(cut.feed(piece))
        if cut.done:
            break
    yield END


def _strip_blank_end(pieces: Iterator[bytes]) -> Iterator[bytes]:
    stripper = BlankEndStripper()
    for piece in pieces:
        yield stripper.feed(piece)
    yield stripper.finish()
