# SPDX-License-Identifier: MIT
"""Whom a collected message is for: the routing methods of a Collector (spec connectors 4.4). Pure.

Asks the header and the snapshot, nothing else. Mappings come first where they exist: `_find_mapped` is their place,
and an address that a mapping of type POP3 names counts as accepted.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from mailserver.addressing.resolve import POSTMASTER, Deliverable, Lan, Local, Remote, Unknown, resolve
from mailserver.config.snapshot import Snapshot, User
from mailserver.connectors.accepted import parse_accepted
from mailserver.connectors.special_fields import find_special
from mailserver.connectors.values import Routing
from mailserver.lan.matching import parse_smtp_target
from mailserver.mime.headers import decode_field
from mailserver.mime.mailboxes import find_address, find_addresses, find_trace_recipient, list_fields
from mailserver.pipeline.message import Delivery
from mailserver.values import Address, Recipient

ADDRESS_FIELDS = ("to", "cc", "apparently-to", "resent-to", "resent-cc")
RECEIVED = "received"


@dataclass(frozen=True, slots=True)
class Route:
    """Where a message goes. `problem` says in plain words why there is nobody; `unknown` are accepted addresses
    behind which nobody is."""

    deliveries: tuple[Delivery, ...] = ()
    unknown: tuple[Address, ...] = ()
    problem: str = ""


def route(header: bytes, routing: Routing, snapshot: Snapshot) -> Route:
    """Everybody whom the message is for, each once."""
    match routing.method:
        case "headers":
            return _by_headers(header, routing, snapshot)
        case "one-address":
            return _by_names(header, routing, snapshot)
        case "subject":
            return _by_marker(header, routing, snapshot)
        case _:
            return _to_target(routing, snapshot)


def find_target(text: str, snapshot: Snapshot) -> Delivery | None:
    """Somebody whom an administrator named: a user by name or address, an address elsewhere, or a server of our own
    network (`SMTP:ann@example.org@10.0.0.5`, spec senders 10.2); lists slot in here."""
    user = snapshot.directory.find_login(text) if text.strip() else None
    if user is not None:
        return deliver_to(user)
    if (named := parse_smtp_target(text)) is not None:
        return Delivery(Recipient(named.address), Lan(named.rule(), named.address))
    address = find_address(text)
    if address is None:
        return None
    target = resolve(address, snapshot)
    return None if isinstance(target, Unknown) else Delivery(Recipient(address), target)


def deliver_to(user: User) -> Delivery:
    """A copy for this user."""
    return Delivery(Recipient(user.address), Local(user))


# ---------------------------------------------------------------- a specified user


def _to_target(routing: Routing, snapshot: Snapshot) -> Route:
    delivery = find_target(routing.target, snapshot)
    if delivery is None:
        named = f"There is no user {routing.target!r}" if routing.target.strip() else "No target user is named"
        return Route(problem=f"{named}, to whom this collector sends its messages.")
    return Route((delivery,))


# ---------------------------------------------------------------- parsing message headers


def _by_headers(header: bytes, routing: Routing, snapshot: Snapshot) -> Route:
    candidates = find_candidates(header, routing)
    deliveries: dict[object, Delivery] = {}
    unknown: list[Address] = []
    for address in candidates:
        target = _find_mapped(address, snapshot)
        if target is None and not routing.disable_default_mapping:
            target = _find_implied(address, snapshot)
        if target is None:
            unknown.append(address)
        else:
            key = target.user.id if isinstance(target, Local) else address
            deliveries.setdefault(key, Delivery(Recipient(address), target))
    if deliveries:
        return Route(tuple(deliveries.values()), tuple(unknown))
    if unknown:
        named = ", ".join(str(address) for address in unknown[:5])
        return Route(unknown=tuple(unknown), problem=f"Nobody here has the address {named}.")
    return Route(problem="No address in the header is one of the collector's accepted domains.")


def find_candidates(header: bytes, routing: Routing) -> list[Address]:
    """Accepted addresses, each once: those of the special fields if there is one, else those of the standard fields.

    What a special field says is the true envelope; To and Cc only tell what the author wrote.
    """
    accepted = parse_accepted(routing.accepted_domains)
    special = _unique(address for address in find_special(header, routing.special_fields) if accepted.accepts(address))
    if special:
        return special
    found = [
        named.address
        for _, value in list_fields(header, ADDRESS_FIELDS)
        for named in find_addresses(value)
        if accepted.accepts(named.address)
    ]
    if not routing.ignore_received:
        traced = (address for address in _traced(header, routing) if accepted.accepts(address))
        first = next(traced, None)
        found += [first] if first is not None else []
    return _unique(found)


def _traced(header: bytes, routing: Routing) -> Iterator[Address]:
    """The recipients that Received lines name: the last server's first, or the first server's."""
    lines = [value for _, value in list_fields(header, (RECEIVED,))]
    for value in reversed(lines) if routing.read_received_reversed else lines:
        address = find_trace_recipient(value)
        if address is not None:
            yield address


def _find_mapped(address: Address, snapshot: Snapshot) -> Deliverable | None:
    """What a mapping says of the address; there are none yet."""
    return None


def _find_implied(address: Address, snapshot: Snapshot) -> Deliverable | None:
    """The user of this name, at whichever accepted domain: the address itself first, then the name alone; then what
    mail that comes by SMTP would find, a server of our own network among it.

    Postmaster has somebody behind it everywhere (RFC 5321 §4.5.1).
    """
    directory = snapshot.directory
    user = directory.find(address) or directory.find_login(address.local.replace("@", ""))
    if user is not None:
        return Local(user)
    is_postmaster = address.local.lower() == POSTMASTER
    target = resolve(Address(POSTMASTER, "") if is_postmaster else address, snapshot, collected=True)
    return None if isinstance(target, Unknown | Remote) else target


def _unique(addresses: Iterable[Address]) -> list[Address]:
    """The first of each, compared without case."""
    found: dict[tuple[str, str], Address] = {}
    for address in addresses:
        found.setdefault((address.local.lower(), address.domain), address)
    return list(found.values())


# ---------------------------------------------------------------- one address, by the names beside it


def _by_names(header: bytes, routing: Routing, snapshot: Snapshot) -> Route:
    """The shared address is written with somebody's name in front: `Bob Example <office@provider.test>`."""
    shared = find_address(routing.shared_address)
    people: dict[int, Delivery] = {}
    for _, value in list_fields(header, ADDRESS_FIELDS):
        for named in find_addresses(value):
            if shared is not None and not _same(named.address, shared):
                continue
            for user in _find_by_name(named.name, snapshot):
                people.setdefault(user.id, deliver_to(user))
    if people:
        return Route(tuple(people.values()))
    return Route(problem=f"No user's name stands beside {shared or 'an address'} in the header.")


def _same(one: Address, other: Address) -> bool:
    return (one.local.lower(), one.domain) == (other.local.lower(), other.domain)


def _find_by_name(name: str, snapshot: Snapshot) -> Iterator[User]:
    wanted = _plain_name(name)
    for user in snapshot.directory.users.values():
        if wanted and wanted in (_plain_name(user.full_name), user.name.lower()):
            yield user


def _plain_name(name: str) -> str:
    """Case, quotes and blanks do not matter, and `Example, Bob` is `Bob Example`."""
    last, comma, first = name.strip("'\" ").partition(",")
    return " ".join(f"{first} {last}".split() if comma else last.split()).casefold()


# ---------------------------------------------------------------- a marker in the subject


def _by_marker(header: bytes, routing: Routing, snapshot: Snapshot) -> Route:
    subject = next(
        (decode_field(value.encode("utf-8", "replace")) for _, value in list_fields(header, ("subject",))), ""
    )
    people: dict[int, Delivery] = {}
    for marked in _marked(subject, routing.marker_prefix, routing.marker_suffix):
        user = snapshot.directory.find_login(marked)
        if user is not None:
            people.setdefault(user.id, deliver_to(user))
    if people:
        return Route(tuple(people.values()))
    marker = f"{routing.marker_prefix}name{routing.marker_suffix}"
    return Route(problem=f"The subject has no marker of the form {marker} with a user's name.")


def _marked(subject: str, prefix: str, suffix: str) -> Iterator[str]:
    """What stands between prefix and suffix; where one of them is empty, up to the next blank or the text's end."""
    if not prefix and not suffix:
        yield from subject.split()
        return
    place = 0
    while True:
        begin = subject.find(prefix, place) if prefix else place
        if begin < 0 or begin >= len(subject):
            return
        begin += len(prefix)
        end = subject.find(suffix, begin) if suffix else _word_end(subject, begin)
        if end < 0:
            return
        text = subject[begin:end].strip()
        yield text if prefix else text.rpartition(" ")[2]
        place = max(end + len(suffix), begin) if prefix else end + len(suffix)


def _word_end(text: str, begin: int) -> int:
    end = text.find(" ", begin)
    return len(text) if end < 0 else end
