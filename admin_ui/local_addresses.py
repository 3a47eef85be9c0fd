# SPDX-License-Identifier: MIT
"""Whether an address belongs to this machine: asked of the operating system, by binding a socket to it."""

from __future__ import annotations

import errno
import socket
from ipaddress import ip_address


def is_address_of_this_machine(address: str) -> bool:
    """True also when it cannot be told (a family that is switched off fails with another error)."""
    family = socket.AF_INET6 if ip_address(address).version == 6 else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.bind((address, 0))
    except OSError as error:
        return error.errno != errno.EADDRNOTAVAIL
    return True
