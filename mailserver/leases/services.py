# SPDX-License-Identifier: MIT
"""Taking, keeping and giving back a lease.

The holder's name says host and process, so that on the machine where it died nobody waits for the lease to run out:
a killed worker's successor goes on at once. On other machines the time decides.
"""

from __future__ import annotations

import os
import secrets
import socket
from datetime import timedelta
from functools import cache
from pathlib import Path

from django.db import IntegrityError, transaction

from mailserver import clock
from mailserver.leases.models import Lease

GONE = timedelta(minutes=10)
"""A holder whose lease ran out while the database was away may renew it afterwards, if nobody else took it."""


def make_owner() -> str:
    """A name that no other holder has had: `place:pid:start of the process:chance`."""
    return f"{this_place()}:{os.getpid()}:{process_start(os.getpid())}:{secrets.token_hex(6)}"


@cache
def this_place() -> str:
    """Where process numbers mean what they mean here: this machine since it started, and this container of it."""
    place = socket.gethostname()[:60]
    for path in ("/proc/sys/kernel/random/boot_id", "/proc/self/ns/pid"):
        try:
            text = os.readlink(path) if path.endswith("pid") else Path(path).read_text()
        except OSError:
            continue
        place += f"/{''.join(filter(str.isalnum, text))[-12:]}"
    return place


def acquire(name: str, owner: str, seconds: int) -> bool:
    """Get the lease when nobody has it, or its holder is dead, or it ran out; whether we have it now."""
    now = clock.now()
    until = now + timedelta(seconds=seconds)
    try:
        with transaction.atomic():
            row = Lease.objects.select_for_update().filter(name=name).first()
            if row is None:
                Lease.objects.create(name=name, owner=owner, until=until)
                return True
            if row.owner != owner and row.until > now and not is_dead(row.owner):
                return False
            row.owner, row.until = owner, until
            row.save(update_fields=["owner", "until"])
            return True
    except IntegrityError:  # Somebody else made the row in the same instant.
        return False


def extend(name: str, owner: str, seconds: int) -> bool:
    """More time; false when the lease was lost, and the holder must stop."""
    until = clock.now() + timedelta(seconds=seconds)
    return bool(Lease.objects.filter(name=name, owner=owner).update(until=until))


def confirm(name: str, owner: str) -> bool:
    """Whether we have it; if so, nobody else gets it before the caller's transaction ends."""
    row = Lease.objects.select_for_update().filter(name=name, owner=owner).first()
    return row is not None and row.until > clock.now()


def release(name: str, owner: str) -> None:
    """Give it back; one that was lost meanwhile stays with its new holder."""
    Lease.objects.filter(name=name, owner=owner).delete()


def find_holder(name: str) -> str | None:
    """Who has it now; None when it is free."""
    row = Lease.objects.filter(name=name, until__gt=clock.now()).first()
    return row.owner if row is not None and not is_dead(row.owner) else None


def holds_any(owner: str) -> bool:
    """Whether this owner is alive and has a lease, whichever."""
    return not is_dead(owner) and Lease.objects.filter(owner=owner, until__gt=clock.now()).exists()


def is_gone(owner: str) -> bool:
    """Whether this owner is dead, or has had no lease for so long that he will not come back for it."""
    return is_dead(owner) or not Lease.objects.filter(owner=owner, until__gt=clock.now() - GONE).exists()


def is_dead(owner: str) -> bool:
    """Whether this was a process of this machine that is gone. Of other machines nothing is known: not dead."""
    place, _, rest = owner.partition(":")
    pid, _, rest = rest.partition(":")
    if place != this_place() or not pid.isdecimal():
        return False
    return process_start(int(pid)) != rest.partition(":")[0]


def process_start(pid: int) -> str:
    """When a process began, in ticks since the machine did (process numbers come round again); `-`: there is none."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return "-"
    return "-" if fields[0] == "Z" else fields[19]
