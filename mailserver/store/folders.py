# SPDX-License-Identifier: MIT
"""Folders as one user sees them: his own, those that others share with him, and the public ones, with his rights.

RFC 4314 (rights), RFC 2342 (namespaces), spec services 2.4. Pure: works on any MailStore, blocks as its calls do. A
user's own folders have their plain names; `#users/<owner>/<folder>` are those of others, `#public/<folder>` those of
nobody. Owners may do everything with their folders, administrators with the public ones; nobody can lose that.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from mailserver.config.snapshot import Directory
from mailserver.errors import Kind, MailError
from mailserver.store.folder_data import AccessEntry, Granted
from mailserver.store.interface import Mailbox, MailStore
from mailserver.store.names import SEPARATOR, is_below, normal_name
from mailserver.store.rights import ALL_RIGHTS, effective_rights, sort_rights
from mailserver.values import PUBLIC, MailboxId, SpecialUse, UserId

USERS_PREFIX = "#users/"
PUBLIC_PREFIX = "#public/"
ANYONE = "anyone"
"""RFC 4314 §2: every user."""
MAX_DEPTH = 20
"""Levels of a name. CREATE makes the missing ones above; Dovecot's usual limit is much the same."""


@dataclass(frozen=True, slots=True)
class Folder:
    """A mailbox, whose it is (PUBLIC: nobody's), what this user may do with it, and what it is called to him."""

    mailbox: Mailbox
    owner: UserId
    rights: frozenset[str]
    shown_name: str


@dataclass(frozen=True, slots=True)
class Place:
    """Where a shown name points: the owner, and the name among the owner's."""

    owner: UserId
    prefix: str
    name: str


@dataclass(frozen=True, slots=True)
class AccessLine:
    """A line of an access list as clients write it: a log-in name or `anyone`, with `-` in front what is taken."""

    identifier: str
    rights: str


class FolderReading(Protocol):
    """What looking at folders asks for: a MailStore has it, and so has a FolderPicture."""

    def list_mailboxes(self, user: UserId) -> list[Mailbox]: ...

    def get_mailbox(self, user: UserId, name: str) -> Mailbox: ...

    def list_access(self, mailboxes: Sequence[MailboxId]) -> dict[MailboxId, tuple[AccessEntry, ...]]: ...

    def list_granted(self, user: UserId) -> list[Granted]: ...


class ShownFolders:
    """The folders of one user, to be looked at. Cheap to make: one for each command, with the directory of that
    moment."""

    def __init__(self, store: FolderReading, directory: Directory, user: UserId) -> None:
        self._store = store
        self._directory = directory
        self._user = user

    # ------------------------------------------------------------ looking

    def find(self, name: str) -> Folder:
        """The folder of that name; raises NOT_FOUND, also when the user may not do anything with it."""
        try:
            place = self.locate(name)
        except MailError as error:
            raise _not_found(name) from error  # a name that cannot be is none that is
        mailbox = self._store.get_mailbox(place.owner, place.name)
        rights = self._rights(mailbox)
        if not rights:
            raise _not_found(name)
        return Folder(mailbox, place.owner, rights, place.prefix + mailbox.name)

    def open(self, name: str, needed: str = "") -> Folder:
        """The folder, for somebody who has all of the rights `needed`; raises NOT_FOUND, FORBIDDEN.

        RFC 4314 §6: who may not even look it up is not told that it exists.
        """
        folder = self.find(name)
        if folder.rights.issuperset(needed):
            return folder
        if "l" in folder.rights:
            raise MailError(Kind.FORBIDDEN, f"user {self._user} has {sort_rights(folder.rights)} on {name!r}")
        raise _not_found(name)

    def list_all(self) -> list[Folder]:
        """Everything that the user may look up: his own, Inbox first, then shared and public ones by name."""
        own = [
            Folder(mailbox, self._user, frozenset(ALL_RIGHTS), mailbox.name)
            for mailbox in self._store.list_mailboxes(self._user)
        ]
        others = {
            granted.mailbox.id: self._folder_of(granted.mailbox, effective_rights(granted.entries, self._user))
            for granted in self._store.list_granted(self._user)
        }
        if self._is_admin:
            public = self._store.list_mailboxes(PUBLIC)
            others |= {mailbox.id: self._folder_of(mailbox, frozenset(ALL_RIGHTS)) for mailbox in public}
        visible = [folder for folder in others.values() if folder is not None and "l" in folder.rights]
        return own + sorted(visible, key=lambda folder: folder.shown_name)

    def is_parent(self, name: str) -> bool:
        """Whether something that the user may look up is below the name; there need not be a mailbox of that name."""
        below = name.rstrip(SEPARATOR) + SEPARATOR
        return any(folder.shown_name.startswith(below) for folder in self.list_all())

    def locate(self, name: str) -> Place:
        """Where a name points. Raises NOT_FOUND for a name in no namespace, or of no user, FORBIDDEN for no name."""
        if name.startswith(PUBLIC_PREFIX):
            return Place(PUBLIC, PUBLIC_PREFIX, normal_name(name.removeprefix(PUBLIC_PREFIX)))
        if name.startswith(USERS_PREFIX):
            login, _, rest = name.removeprefix(USERS_PREFIX).partition(SEPARATOR)
            owner = self._directory.find_login(login)
            if owner is None:
                raise _not_found(name)
            return Place(owner.id, self.prefix_of(owner.id), normal_name(rest))
        if name.startswith("#"):
            raise _not_found(name)
        return Place(self._user, "", normal_name(name))

    def prefix_of(self, owner: UserId) -> str:
        """What stands in front of an owner's folder names when this user sees them."""
        if owner == self._user:
            return ""
        return PUBLIC_PREFIX if owner == PUBLIC else f"{USERS_PREFIX}{self._login_of(owner)}{SEPARATOR}"

    def normal(self, name: str) -> str:
        """A name as folders are shown by it, whether there is such a folder or not."""
        try:
            place = self.locate(name)
        except MailError as error:
            if error.kind is Kind.NOT_FOUND:
                return name
            raise
        return place.prefix + place.name

    # ------------------------------------------------------------ rights and names

    def _login_of(self, user_id: UserId) -> str:
        """The short name where it means this user, else the address."""
        return shown_login(self._directory, user_id)

    def _rights(self, mailbox: Mailbox) -> frozenset[str]:
        if self._has_all(mailbox.user):
            return frozenset(ALL_RIGHTS)
        return effective_rights(self._store.list_access([mailbox.id]).get(mailbox.id, ()), self._user)

    def _has_all(self, owner: UserId) -> bool:
        return owner == self._user or (owner == PUBLIC and self._is_admin)

    @property
    def _is_admin(self) -> bool:
        user = self._directory.users.get(self._user)
        return user is not None and user.admin

    def _folder_of(self, mailbox: Mailbox, rights: frozenset[str]) -> Folder | None:
        """None for an owner whom the directory does not know yet."""
        if mailbox.user != PUBLIC and mailbox.user not in self._directory.users:
            return None
        return Folder(mailbox, mailbox.user, rights, self.prefix_of(mailbox.user) + mailbox.name)


class Folders(ShownFolders):
    """The same, and to be changed."""

    def __init__(self, store: MailStore, directory: Directory, user: UserId) -> None:
        super().__init__(store, directory, user)
        self._store: MailStore = store

    # ------------------------------------------------------------ changing

    def create(self, name: str, special_use: SpecialUse | None = None) -> Folder:
        """A new folder, with those above it that are missing (RFC 9051 §6.3.4); below another it has its access list.

        A separator at the end says only that there will be folders below. Raises EXISTS, FORBIDDEN, NOT_FOUND.
        """
        place = self._locate_new(name.removesuffix(SEPARATOR))
        _check_depth(place)
        parent = self._nearest_parent(place)
        self._require_creating(place, parent)
        mailbox = self._create_one(place, self._create_above(place, parent), special_use)
        return Folder(mailbox, place.owner, self._rights(mailbox), place.prefix + mailbox.name)

    def delete(self, name: str) -> None:
        """With its messages; what is below it stays. Raises NOT_FOUND, FORBIDDEN."""
        self._store.delete_mailbox(self.open(name, "x").mailbox.id)

    def rename(self, name: str, new_name: str) -> Folder:
        """With everything below; the Inbox's messages move. Raises NOT_FOUND, EXISTS, FORBIDDEN.

        A folder stays with its owner. Missing folders above the new name are made (RFC 9051 §6.3.6).
        """
        folder = self.open(name, "x")
        place = self._locate_new(new_name)
        if place.owner != folder.owner:
            raise MailError(Kind.FORBIDDEN, "a folder cannot be given to somebody else")
        _check_depth(place)
        parent = self._nearest_parent(place)
        self._require_creating(place, parent)
        if not is_below(place.name, folder.mailbox.name):
            self._create_above(place, parent)
        mailbox = self._store.rename_mailbox(folder.mailbox.id, place.name)
        return Folder(mailbox, place.owner, self._rights(mailbox), place.prefix + mailbox.name)

    def set_subscribed(self, name: str, subscribed: bool) -> None:
        """The folder need not exist (RFC 9051 §6.3.7)."""
        self._store.set_subscribed(self._user, self.normal(name), subscribed)

    def _locate_new(self, name: str) -> Place:
        """Names that begin like a namespace, but are in none, cannot be had."""
        try:
            return self.locate(name)
        except MailError as error:
            raise MailError(Kind.FORBIDDEN, error.note) from error

    def _nearest_parent(self, place: Place) -> Mailbox | None:
        """The closest folder above that there is."""
        name = place.name
        while SEPARATOR in name:
            name = name.rpartition(SEPARATOR)[0]
            try:
                return self._store.get_mailbox(place.owner, name)
            except MailError as error:
                if error.kind is not Kind.NOT_FOUND:
                    raise
        return None

    def _require_creating(self, place: Place, parent: Mailbox | None) -> None:
        """RFC 4314 §4: `k` on the folder above; at the top only who has everything there."""
        allowed = self._has_all(place.owner) if parent is None else "k" in self._rights(parent)
        if not allowed:
            raise MailError(Kind.FORBIDDEN, f"user {self._user} may not create {place.prefix}{place.name}")

    def _create_above(self, place: Place, parent: Mailbox | None) -> Mailbox | None:
        """Make the levels that are missing between `parent` and the place; the last of them, or `parent`."""
        levels = place.name.split(SEPARATOR)
        there = 0 if parent is None else parent.name.count(SEPARATOR) + 1
        for depth in range(there + 1, len(levels)):
            parent = self._create_one(replace(place, name=SEPARATOR.join(levels[:depth])), parent, None)
        return parent

    def _create_one(self, place: Place, parent: Mailbox | None, special_use: SpecialUse | None) -> Mailbox:
        mailbox = self._store.create_mailbox(place.owner, place.name, special_use)
        inherited = self._store.list_access([parent.id]).get(parent.id, ()) if parent is not None else ()
        if inherited:
            self._store.set_access(mailbox.id, inherited)
        return mailbox

    # ------------------------------------------------------------ rights

    def list_access(self, name: str) -> list[AccessLine]:
        """Everybody's rights, the owner's first; needs `a`."""
        folder = self.open(name, "a")
        owner = [] if folder.owner == PUBLIC else [AccessLine(self._login_of(folder.owner), ALL_RIGHTS)]
        entries = self._store.list_access([folder.mailbox.id]).get(folder.mailbox.id, ())
        return owner + [AccessLine(self._identifier_of(entry), entry.rights) for entry in entries]

    def set_access(self, name: str, identifier: str, rights: str) -> None:
        """Replace what the identifier has; without rights it has no line any more. Needs `a`.

        Raises NOT_FOUND for a folder or a user that is not there, FORBIDDEN for the owner, whose rights are fixed.
        """
        folder = self.open(name, "a")
        holder, negative = self._parse_identifier(folder, identifier)
        self._store.set_access(folder.mailbox.id, [AccessEntry(holder, sort_rights(rights), negative)])

    def add_access(self, name: str, identifier: str, rights: str) -> None:
        """The same, beside what the identifier has."""
        self.set_access(name, identifier, self._held(name, identifier) + rights)

    def remove_access(self, name: str, identifier: str, rights: str) -> None:
        """The same, taken from what the identifier has."""
        kept = set(self._held(name, identifier)) - set(sort_rights(rights))
        self.set_access(name, identifier, "".join(kept))

    def required_rights(self, name: str, identifier: str) -> str:
        """What the identifier has on the folder whatever its list says (RFC 4314 §3.5); needs `a`."""
        folder = self.open(name, "a")
        user = None if identifier == ANYONE else self._directory.find_login(identifier.removeprefix("-"))
        if user is None:
            return ""
        return ALL_RIGHTS if user.id == folder.owner or (folder.owner == PUBLIC and user.admin) else ""

    def _held(self, name: str, identifier: str) -> str:
        folder = self.open(name, "a")
        holder, negative = self._parse_identifier(folder, identifier)
        entries: Iterable[AccessEntry] = self._store.list_access([folder.mailbox.id]).get(folder.mailbox.id, ())
        return "".join(entry.rights for entry in entries if (entry.user, entry.negative) == (holder, negative))

    def _parse_identifier(self, folder: Folder, identifier: str) -> tuple[UserId | None, bool]:
        negative = identifier.startswith("-")
        name = identifier.removeprefix("-")
        if name.lower() == ANYONE:
            return None, negative
        user = self._directory.find_login(name)
        if user is None:
            raise MailError(Kind.NOT_FOUND, f"no user {name!r}")
        if user.id == folder.owner:
            raise MailError(Kind.FORBIDDEN, "the owner's rights cannot be changed")
        return user.id, negative

    def _identifier_of(self, entry: AccessEntry) -> str:
        return ("-" if entry.negative else "") + (ANYONE if entry.user is None else self._login_of(entry.user))


def shown_login(directory: Directory, user_id: UserId) -> str:
    """What a user is called in folder names and access lists; a number for one who is gone."""
    user = directory.users.get(user_id)
    if user is None:
        return str(user_id)
    found = directory.find_login(user.name)
    return user.name if found is not None and found.id == user_id else str(user.address)


def find_folder(store: MailStore, directory: Directory, user: UserId, name: str) -> Folder:
    """As `Folders.find`."""
    return Folders(store, directory, user).find(name)


def _check_depth(place: Place) -> None:
    levels = place.name.count(SEPARATOR) + 1
    if levels > MAX_DEPTH:
        raise MailError(Kind.FORBIDDEN, f"{levels} levels in {place.name[:80]!r}")


def _not_found(name: str) -> MailError:
    return MailError(Kind.NOT_FOUND, f"mailbox {name[:80]!r}")
