# SPDX-License-Identifier: MIT
"""The message that greets a new user: ordered in the transaction that creates the user, filed by a worker."""

from __future__ import annotations

from collections.abc import Mapping

from mailserver import clock
from mailserver.config.catalog import MAIN_ADMINISTRATOR, WELCOME_TEXT
from mailserver.config.stored import get_setting
from mailserver.journey.records import next_ref
from mailserver.journey.services import find_journey
from mailserver.pipeline.own_mail import OwnMessage, build_own_unit
from mailserver.store.opening import open_store
from mailserver.users.finding import find_user
from mailserver.users.models import User
from mailserver.values import UserId
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
        inbox = store.get_mailbox(UserId(user.pk), "INBOX")
        store.submit(build_own_unit(_make_message(user, ref), inbox.id, clock.now())).result()
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


def _make_message(user: User, ref: str) -> OwnMessage:
    return OwnMessage(
        ref=ref,
        source=SOURCE,
        sender=_sender(user),
        sender_name="Postmaster",
        recipient=user.address,
        recipient_name=user.full_name,
        subject=SUBJECT,
        text=fill_in(get_setting(WELCOME_TEXT), user),
        detail="Welcome message",
    )


def _sender(user: User) -> str:
    """The main administrator's address; where there is none, postmaster's, which every domain answers to."""
    administrator = find_user(get_setting(MAIN_ADMINISTRATOR))
    return administrator.address if administrator else f"postmaster@{user.domain.name}"
