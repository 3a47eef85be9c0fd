# SPDX-License-Identifier: MIT
"""`manage.py run`: lock the folder, prepare the database, open the ports, say what listens where, and supervise.

Kept free of Django, so that the process which only watches stays small; what needs the database is done by
`manage.py prepare`, a process of its own.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import pwd
import selectors
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

from mailserver.config.snapshot import Binding
from mailserver.project.environment import read_environment
from mailserver.project.owner import explain_unreadable
from protocols.supervisor.lock import AlreadyRunning, lock_folder
from protocols.supervisor.options import HELP, add_options, environment_for, name_as_typed, project_folder
from protocols.supervisor.ports import Ports
from protocols.supervisor.privileges import WrongUser, choose_user, give_up_root, make_folder
from protocols.supervisor.roles import DaemonRole, WebRole, WorkerRole
from protocols.supervisor.supervisor import Supervisor
from protocols.supervisor.table import Line, format_commands, format_credentials, format_table


def say(text: object, file: TextIO | None = None) -> None:
    """To the person at the terminal; one who has gone away (`| head`) is no reason to stop serving mail."""
    with contextlib.suppress(BrokenPipeError):
        print(text, file=file, flush=True)


def main(arguments: Sequence[str]) -> int:
    """From `manage.py`: the exit status."""
    parser = argparse.ArgumentParser(prog="manage.py run", description=HELP)
    add_options(parser)
    return run(parser.parse_args(arguments))


def run(options: argparse.Namespace) -> int:
    """Until stopped. 0 when it ran and stopped in order, 1 when it could not start; the reason has been printed."""
    environment = environment_for(options, os.environ)
    data = Path(environment["PILLARBOX_DATA"])
    try:
        user = choose_user(options.user, data)
        make_folder(data, user)
        held = lock_folder(data)
        if user is not None:
            os.fchown(held, user.pw_uid, user.pw_gid)
    except (AlreadyRunning, WrongUser) as error:
        say(error, file=sys.stderr)
        return 1
    except OSError as error:
        say(f"The data folder {data} cannot be used: {error.strerror}", file=sys.stderr)
        return 1
    prepared = _prepare(environment, user)
    if prepared is None:
        return 1
    return _supervise(options, environment, prepared, user)


def _prepare(environment: Mapping[str, str], user: pwd.struct_passwd | None) -> dict[str, Any] | None:
    """The database made or brought up to date, and what `manage.py prepare` says of it; None when that failed."""
    as_user: dict[str, Any] = {}
    if user is not None:
        groups = os.getgrouplist(user.pw_name, user.pw_gid)
        as_user = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": groups}
    try:
        finished = subprocess.run(  # noqa: S603 - our own program
            [sys.executable, str(project_folder() / "manage.py"), "prepare", "--json"],
            env=dict(environment),
            cwd=project_folder(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            check=False,
            **as_user,
        )
    except PermissionError:
        say(explain_unreadable(user.pw_name if user is not None else "This user"), file=sys.stderr)
        return None
    if finished.returncode != 0:
        say("Pillarbox did not start: the database could not be prepared.", file=sys.stderr)
        return None
    prepared: dict[str, Any] = json.loads(finished.stdout)
    return prepared


def _supervise(
    options: argparse.Namespace,
    environment: Mapping[str, str],
    prepared: Mapping[str, Any],
    user: pwd.struct_passwd | None,
) -> int:
    read = read_environment(dict(environment))
    lines, ports = _open_ports(prepared)
    listen = read.listen if environment.get("PILLARBOX_LISTEN") else str(prepared["listen"])
    console = Binding(listen, read.web_port)
    selector = selectors.DefaultSelector()
    web = WebRole(environment, console, selector)
    console_error = web.open_port()
    if not len(ports) and any(line.error for line in lines):
        say(format_table(lines, console, console_error))
        say("Pillarbox did not start: no service can listen.", file=sys.stderr)
        return 1
    if user is not None:
        give_up_root(user)
    _introduce(lines, console, console_error, prepared, read.data, user)
    manage = project_folder() / "manage.py"
    daemons = [DaemonRole(manage, environment, ports, selector) for _ in range(options.workers)]
    missing = sum(bool(line.error) for line in lines) + bool(console_error)
    ready = "Pillarbox is ready." if not missing else "Pillarbox is ready, save for what does not listen (see above)."
    roles = [*daemons, web, WorkerRole(environment)]
    Supervisor(roles, project_folder(), selector, lambda: say(ready), say).run()
    return 0


def _open_ports(prepared: Mapping[str, Any]) -> tuple[list[Line], Ports]:
    """Every binding of every service that is switched on, opened where that can be."""
    ports = Ports()
    lines = []
    for service in prepared["services"]:
        for address, port in service["bindings"]:
            binding = Binding(address, port)
            ports.open(binding)
            error = ports.errors.get(binding, "")
            lines.append(Line(service["name"], service["protocol"], service["encryption"], binding, error))
    return lines, ports


def _introduce(
    lines: Sequence[Line],
    console: Binding,
    console_error: str,
    prepared: Mapping[str, Any],
    data: Path,
    user: pwd.struct_passwd | None,
) -> None:
    """The table, the password once, and what to try."""
    credentials = prepared["credentials"]
    command = f"{name_as_typed(Path(sys.executable))} {name_as_typed(project_folder() / 'manage.py')}"
    say(f"Pillarbox, data in {data}\n")
    say(format_table(lines, console, console_error))
    if user is not None:
        say(f"\n  Root was given up: everything runs as {user.pw_name}.")
    elif os.geteuid() == 0:
        say("\n  Runs as root. Better: --user NAME, which gives up root once the ports are open.")
    if credentials is not None:
        say(f"\n{format_credentials(credentials)}")
    say(f"\n{format_commands(lines, command, str(data), credentials)}\n")
