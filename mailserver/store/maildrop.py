# SPDX-License-Identifier: MIT
"""Who is using a user's mail: POP3 alone, IMAP4 together (RFC 1939 §3, spec services 2.4).

A lock is a row that names its process, and counts as long as that process is alive. Deciders take turns by locking
the row of the user's Inbox; the unique constraint on exclusive locks stands behind that.
"""

from __future__ import annotations

import logging
from threading import Lock

from django.db import DatabaseError, IntegrityError, InterfaceError, connection, transaction

from mailserver import clock
from mailserver.activity.services import fresh_since
from mailserver.errors import Kind, MailError
from mailserver.store.interface import LockToken
from mailserver.store.models import Mailbox, MaildropLock
from mailserver.store.names import INBOX
from mailserver.values import UserId

logger = logging.getLogger(__name__)


class MaildropLocks:
    """The locks of one process. A store without a process (a command, a worker) has none to give."""

    def __init__(self, process: int | None) -> None:
        self._process = process
        self._mutex = Lock()
        self._unreleased: set[int] = set()

    def lock(self, user: UserId, session: int, *, exclusive: bool, limit: int = 0) -> LockToken:
        """As `MailStore.lock_maildrop` promises."""
        if self._process is None:
            raise MailError(Kind.INTERNAL, "a store that belongs to no process cannot lock a maildrop")
        self._release_overdue()
        try:
            with transaction.atomic():
                self._refuse_if_in_use(user, exclusive=exclusive, limit=limit)
                row = MaildropLock.objects.create(
                    user_id=user,
                    process_id=self._process,
                    exclusive=exclusive,
                    session=session,
                    created=clock.now(),
                )
        except IntegrityError as error:
            raise MailError(Kind.IN_USE, f"maildrop of user {user}") from error
        return LockToken(row.pk, user)

    def unlock(self, token: LockToken) -> None:
        """Never fails: while the database is away, the lock is given back by whichever call comes next."""
        with self._mutex:
            self._unreleased.add(token.id)
        self._release_overdue()

    def _refuse_if_in_use(self, user: UserId, *, exclusive: bool, limit: int) -> None:
        inbox = Mailbox.objects.select_for_update(no_key=True).filter(user_id=user, name=INBOX)
        if not inbox.values_list("id"):
            raise MailError(Kind.NOT_FOUND, f"user {user}")
        locks = MaildropLock.objects.filter(user_id=user).values_list("id", "exclusive", "process__heartbeat")
        fresh = fresh_since()
        dead = [lock for lock, _, heartbeat in locks if heartbeat < fresh]
        alive = [other for _, other, heartbeat in locks if heartbeat >= fresh]
        if any(exclusive or other for other in alive):
            raise MailError(Kind.IN_USE, f"maildrop of user {user}")
        if limit and len(alive) >= limit:
            raise MailError(Kind.LIMIT_REACHED, f"user {user} is logged in {len(alive)} times")
        if dead:
            MaildropLock.objects.filter(id__in=dead).delete()

    def _release_overdue(self) -> None:
        with self._mutex:
            ids = list(self._unreleased)
        if not ids:
            return
        try:
            MaildropLock.objects.filter(id__in=ids).delete()
        except (DatabaseError, InterfaceError) as error:
            logger.warning("%d maildrop locks are given back later: %s", len(ids), error)
            if not connection.in_atomic_block:
                connection.close()
            return
        with self._mutex:
            self._unreleased.difference_update(ids)
