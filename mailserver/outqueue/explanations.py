# SPDX-License-Identifier: MIT
"""What an enhanced status code means, in words for the person whose message came back. RFC 3463 §3. Pure."""

from __future__ import annotations

BY_DETAIL: dict[str, str] = {
    "1.1": "There is no such address. Check how it is written; perhaps it has changed.",
    "1.2": "There is no such domain, or it cannot be found. Check what stands behind the @.",
    "1.3": "The address is not written as the other server wants it.",
    "1.6": "The person has moved and has no mailbox there any more.",
    "1.10": "That domain says that it takes no mail at all.",
    "2.1": "The mailbox is switched off.",
    "2.2": "The mailbox is full. Its owner has to make room; write to them in another way, or try again later.",
    "2.3": "The message is larger than that mailbox takes. Send less, or put large files somewhere and send a link.",
    "3.4": "The message is too large for the other server. Send less, or put large files somewhere and send a link.",
    "4.1": "The other server could not be reached.",
    "4.2": "The connection to the other server broke.",
    "4.3": "Where mail for that domain goes could not be found out.",
    "4.4": "No way was found on which mail for that domain can be sent.",
    "4.6": "The message was going round in circles.",
    "4.7": "The other server could not be reached, or did not take the message, for too long.",
    "6.3": "The other server takes only plain letters, and this message cannot be changed so that it fits.",
    "6.7": "The other server cannot take an address with letters beyond plain Latin.",
    "7.1": "The other server does not accept this message from here. Perhaps it takes it for spam.",
    "7.5": "The connection to the other server could not be encrypted. An administrator has to look at this.",
    "7.8": "Our server could not log in at the server that sends for it. An administrator has to look at this.",
}
BY_SUBJECT: dict[str, str] = {
    "1": "Something is wrong with the address. Check how it is written.",
    "2": "That mailbox cannot take the message.",
    "3": "The other mail system cannot take the message.",
    "4": "The message could not be passed on to the other server.",
    "5": "The two mail servers did not understand each other. An administrator has to look at this.",
    "6": "The other server cannot take this kind of message.",
    "7": "The other server does not allow this message. Perhaps it takes it for spam.",
}


def explain(status: str) -> str:
    """A sentence or two; empty for a code that says nothing."""
    _, _, rest = status.partition(".")
    return BY_DETAIL.get(rest) or BY_SUBJECT.get(rest.partition(".")[0], "")
