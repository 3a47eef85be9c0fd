# SPDX-License-Identifier: MIT
"""What `manage.py run` may be told, and how that reaches the processes it starts: by their environment.

Design section 3. Plain Python: the supervisor works without Django.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping
from pathlib import Path

from mailserver.project.environment import read_environment

HELP = "Start the whole mail server: mail services, background worker and web console."


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of design section 3; what is not given comes from the environment."""
    parser.add_argument("--data", metavar="DIR", help="the data folder (PILLARBOX_DATA; default: data)")
    parser.add_argument(
        "--port-offset",
        metavar="N",
        help="at the first start: listen on the standard ports plus N (PILLARBOX_PORT_OFFSET; default: 2000)",
    )
    parser.add_argument(
        "--listen",
        metavar="ADDR",
        help="at the first start: listen on this address (PILLARBOX_LISTEN; default: 127.0.0.1)",
    )
    parser.add_argument("--web-port", metavar="N", help="the console's port (PILLARBOX_WEB_PORT; default: 8000)")
    parser.add_argument("--workers", metavar="N", type=_count, default=1, help="protocol daemons (default: 1)")
    parser.add_argument("--user", metavar="NAME", help="started as root: become this user once the ports are open")


def _count(text: str) -> int:
    count = int(text)
    if not 1 <= count <= 64:
        raise argparse.ArgumentTypeError("must lie between 1 and 64")
    return count


def environment_for(options: argparse.Namespace, environ: Mapping[str, str]) -> dict[str, str]:
    """The environment of every process: options before variables, paths made absolute. Ends the program on nonsense."""
    given = {
        "PILLARBOX_DATA": options.data,
        "PILLARBOX_PORT_OFFSET": options.port_offset,
        "PILLARBOX_LISTEN": options.listen,
        "PILLARBOX_WEB_PORT": options.web_port,
    }
    made = {**environ, **{name: str(value) for name, value in given.items() if value is not None}}
    read = read_environment(made)
    made["PILLARBOX_DATA"] = str(read.data)
    made["PILLARBOX_KEY_FILE"] = str(read.key_file)
    made["DJANGO_SETTINGS_MODULE"] = made.get("DJANGO_SETTINGS_MODULE") or "mailserver.project.settings"
    return made


def project_folder() -> Path:
    """Where `manage.py` is."""
    return Path(__file__).resolve().parent.parent.parent


def name_as_typed(path: Path) -> str:
    """A path as short as it can be typed from here."""
    relative = os.path.relpath(path)
    return str(path) if relative.startswith("..") else relative
