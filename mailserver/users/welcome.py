# SPDX-License-Identifier: MIT
"""The message that greets a new user: ordered in the transaction that creates the user, filed by a worker.

RFC 5322 §3.6 (header fields), RFC 3834 §5 (it answers nobody, and says so).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from email.headerregistry import Address as HeaderAddress
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime

from mailserver import clock
from mailserver.config.catalog import MAIN_ADMINISTRATOR, WELCOME_TEXT
from mailserver.config.stored import get_setting
from mailserver.journey.records import JourneyRecord, JourneyStep, JourneyStepRecord, next_ref
from mailserver.journey.services import find_journey
from mailserver.mime.headers import header_section, summarise
from mailserver.store.interface import Filing, MailStore, NewContent, NewEntry, Unit
from mailserver.store.opening import open_store
from mailserver.users.finding import find_user
from mailserver.users.models import User
from mailserver.values import Body, UserId
from mailserver.work import services as work

KIND = "welcome"
SUBJECT = "Welcome to your mailbox"
SOURCE = "welcome"


def order_welcome(user: UserId) -> None:
    """Have the message sent once the present transaction is committed."""
    work.request(KIND, {"user": user, "ref": next_ref()})


def send_welcome(payload: Mapping[str, object]) -> None:
    """The work itself: `payload` as ordered. Done twice it files once; a user who is gone meanwhile gets nothing."""
    user = User.objects.select_related("domain").filter(pk=str(payload["user"])).first()
    ref = str(payload["ref"])
    if user is None or find_journey(ref) is not None:
        return
    store = open_store(None)
    try:
        store.submit(_make_unit(store, user, ref)).result()
    finally:
        store.close()


def fill_in(text: str, user: User) -> str:
    """The template with this user's name, full name and address; anything else in braces stays as it is."""
    for mark, value in (
        ("{name}", user.name),
        ("{full_name}", user.get_full_name()),
        ("{address}", user.address),
    ):
        text = text.replace(mark, value)
    return text


def _make_unit(store: MailStore, user: User, ref: str) -> Unit:
    message = _make_message(user, ref)
    data = message.as_bytes()
    body = Body(size=len(data), sha256=hashlib.sha256(data).hexdigest(), data=data)
    inbox = store.get_mailbox(UserId(user.pk), "INBOX")
    now = clock.now()
    content = NewContent(ref, body, fields=summarise(header_section(data)).fields)
    return Unit(
        filings=(Filing(content, (NewEntry(inbox.id, recipient=user.address),)),),
        journeys=(
            JourneyRecord(
                ref,
                now,
                SOURCE,
                header_from=str(message["From"]),
                subject=SUBJECT,
                message_id=str(message["Message-ID"]),
                size=len(data),
            ),
        ),
        steps=(JourneyStepRecord(ref, now, JourneyStep.FILED, user.address, "Welcome message"),),
    )


def _make_message(user: User, ref: str) -> EmailMessage:
    message = EmailMessage(policy=SMTP)
    sender = _sender(user)
    message["From"] = HeaderAddress("Postmaster", addr_spec=sender)
    message["To"] = HeaderAddress(user.full_name, addr_spec=user.address)
    message["Subject"] = SUBJECT
    message["Date"] = format_datetime(clock.now())
    message["Message-ID"] = f"<{ref}@{sender.rpartition('@')[2]}>"
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(fill_in(get_setting(WELCOME_TEXT), user))
    return message


def _sender(user: User) -> str:
    """The main administrator's address; where there is none, postmaster's, which every domain answers to."""
    administrator = find_user(get_setting(MAIN_ADMINISTRATOR))
    return administrator.address if administrator else f"postmaster@{user.domain.name}"
