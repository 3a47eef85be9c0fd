# SPDX-License-Identifier: MIT
"""A worker's process that collects once, on the database of the running test, and says how far it is: to be killed."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any


def start_collecting(folder: Path, collector: int, port: int, username: str, password: str) -> subprocess.Popen[str]:
    """A new process; it writes a line for each message that is filed, and `done` in the end."""
    from django.db import connection

    order = {
        "database": connection.settings_dict["NAME"],
        "folder": str(folder),
        "collector": collector,
        "port": port,
        "username": username,
        "password": password,
    }
    return subprocess.Popen(
        [sys.executable, "-m", "tests.support.collecting_process", json.dumps(order)],
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "tests.support.settings"},
        stdout=subprocess.PIPE,
        text=True,
    )


def collect(order: dict[str, Any]) -> None:
    """What that process does."""
    from mailserver.config.building import build_snapshot
    from mailserver.connectors.values import Credentials, LoginMethod, RemoteServer
    from mailserver.hooks.interface import Hooks
    from protocols.net.offload import ThreadOffload
    from tests.support.collectors import NotedLog, make_collector
    from tests.support.stores import open_database_store
    from workers.collecting import run_collector
    from workers.tools import WorkerTools

    class Log(NotedLog):
        def advance(self, messages: int = 1, size_bytes: int = 0) -> None:
            print("filed", flush=True)

    settings = make_collector(
        id=order["collector"],
        server=RemoteServer("127.0.0.1", order["port"]),
        credentials=Credentials(LoginMethod.AUTOMATIC, order["username"], order["password"]),
    )
    store, offload = open_database_store(Path(order["folder"])), ThreadOffload()
    snapshot = build_snapshot()
    result = asyncio.run(run_collector(settings, "me", Log(), WorkerTools(store, offload, Hooks(), lambda: snapshot)))
    store.close()
    offload.close()
    print("done", result.outcome, result.text, flush=True)


if __name__ == "__main__":
    import django
    from django.db import connections

    django.setup()
    asked = json.loads(sys.argv[1])
    connections.settings["default"]["NAME"] = asked["database"]
    collect(asked)
