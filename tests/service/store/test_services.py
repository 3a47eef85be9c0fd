# SPDX-License-Identifier: MIT
"""What other areas ask of the store: special mailboxes, a user's leaving, totals."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from mailserver.errors import Kind, MailError
from mailserver.store.interface import Removal, Unit
from mailserver.store.models import Mailbox
from mailserver.store.services import (
    Totals,
    count_messages,
    create_special_mailboxes,
    delete_user_mail,
    message_totals,
)
from mailserver.values import SPECIAL_MAILBOXES, Uid, UserId
from tests.support.filings import WAIT_SECONDS, make_filing
from tests.support.stores import make_user, open_database_store

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]


def test_special_mailboxes_are_made_once() -> None:
    user = make_user()
    names = [mailbox.name for mailbox in create_special_mailboxes(user)]
    assert names == [name for name, _ in SPECIAL_MAILBOXES]
    assert Mailbox.objects.filter(user_id=user).count() == len(SPECIAL_MAILBOXES)


def test_special_mailboxes_need_a_user() -> None:
    with pytest.raises(MailError) as caught:
        create_special_mailboxes(UserId(10**9))
    assert caught.value.kind is Kind.NOT_FOUND
    assert not Mailbox.objects.exists()


def test_totals_count_what_is_visible(tmp_path: Path) -> None:
    assert message_totals() == Totals()
    user, other = make_user(), make_user()
    with closing(open_database_store(tmp_path)) as store:
        inbox, trash = store.get_mailbox(user, "INBOX").id, store.get_mailbox(user, "Trash").id
        theirs = store.get_mailbox(other, "INBOX").id
        filing = make_filing(inbox, trash, theirs, data=b"x" * 100)
        store.submit(Unit(filings=(filing, filing))).result(WAIT_SECONDS)
        store.submit(Unit(removals=(Removal(inbox, (Uid(1),), hold=True),))).result(WAIT_SECONDS)
    assert message_totals() == Totals(messages=5, unseen=5, size=500)
    assert (count_messages(user), count_messages(other), count_messages(UserId(10**9))) == (3, 2, 0)
    delete_user_mail(user)
    assert message_totals() == Totals(messages=2, unseen=2, size=200)
    assert not Mailbox.objects.filter(user_id=user).exists()
