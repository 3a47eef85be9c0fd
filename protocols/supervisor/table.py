# SPDX-License-Identifier: MIT
"""What `manage.py run` says at its start: one table, the console's address, the password once, three things to try."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from mailserver.config.snapshot import Binding
from protocols.net.sockets import format_binding

ENCRYPTION = {"none": "clear, TLS offered", "tls": "TLS required", "ssl": "TLS only"}


@dataclass(frozen=True, slots=True)
class Line:
    """One binding of one service, and why it does not listen if it does not."""

    service: str
    protocol: str
    encryption: str
    binding: Binding
    error: str = ""


def reachable_address(binding: Binding) -> str:
    """Where a program on this machine connects to."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(binding.address, binding.address)  # noqa: S104
    return format_binding(Binding(host, binding.port))


def format_table(lines: Iterable[Line], console: Binding, console_error: str) -> str:
    """What listens where."""
    rows = [("Service", "Listens on", "Encryption", "")]
    rows += [
        (line.service, format_binding(line.binding), ENCRYPTION[line.encryption], _fault(line.error)) for line in lines
    ]
    address = f"http://{reachable_address(console)}/"
    rows.append(("Web console", address, "none", _fault(console_error)))
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    texts = [
        "  " + "  ".join((*(row[column].ljust(widths[column]) for column in range(3)), row[3])).rstrip() for row in rows
    ]
    texts.insert(1, "  " + "  ".join("-" * width for width in widths))
    return "\n".join(texts)


def _fault(error: str) -> str:
    return f"NOT LISTENING: {error}" if error else ""


def format_credentials(credentials: dict[str, Any]) -> str:
    """Shown at the first start only."""
    return (
        f"  Log in to the console as {credentials['login']} with the password {credentials['password']}\n"
        "  (it is shown only this once; keep it)"
    )


def format_commands(lines: Iterable[Line], command: str, data: str, credentials: dict[str, Any] | None) -> str:
    """Three commands to try, as they can be typed in another terminal."""
    listening = [line for line in lines if not line.error]
    smtp = next((line for line in listening if line.protocol == "smtp" and line.encryption != "ssl"), None)
    pop3 = next((line for line in listening if line.protocol == "pop3" and line.encryption != "ssl"), None)
    address = credentials["address"] if credentials else "NAME@DOMAIN"
    login = f"{credentials['login']}:{credentials['password']}" if credentials else "NAME:PASSWORD"
    tries = [f"PILLARBOX_DATA={shlex.quote(data)} {command} adduser anna --password 'Choose-your-own-1'"]
    if smtp is not None:
        tries.append(
            "printf 'Subject: Hello\\n\\nIt works.\\n' | "
            f"curl smtp://{reachable_address(smtp.binding)} --mail-from me@example.net --mail-rcpt {address}"
            " --crlf --upload-file -"
        )
    if pop3 is not None:
        tries.append(f"curl pop3://{reachable_address(pop3.binding)}/1 --user '{login}'")
    return "\n".join(["  To try, in another terminal:", *(f"    {text}" for text in tries)])
