# SPDX-License-Identifier: MIT
"""What the environment says at start: the data folder, the ports, the database and the broker (design section 3).

Read once by `settings.py`; the rest of the code asks Django's settings or the configuration snapshot.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit


@dataclass(frozen=True, slots=True)
class Environment:
    """One reading of the environment; every field has the default that a new user gets."""

    data: Path
    port_offset: int
    listen: str
    domain: str
    web_port: int
    database_url: str
    broker_url: str
    key_file: Path
    blobs: str
    """Where large bodies are: empty for the data folder, another folder, or s3://bucket/prefix (store/blobs.py)."""

    metrics_token: str
    """Whoever shows it may read /metrics from another machine; empty: nobody may."""

    @property
    def embedded_database(self) -> bool:
        return not self.database_url


def read_environment(environ: dict[str, str] | None = None) -> Environment:
    """The environment's values; a number that is not one ends the program with a plain sentence (SystemExit)."""
    env = dict(os.environ) if environ is None else environ
    data = Path(env.get("PILLARBOX_DATA") or "data").resolve()
    return Environment(
        data=data,
        port_offset=_number(env, "PILLARBOX_PORT_OFFSET", 2000),
        listen=env.get("PILLARBOX_LISTEN") or "127.0.0.1",
        domain=(env.get("PILLARBOX_DOMAIN") or "example.test").lower(),
        web_port=_number(env, "PILLARBOX_WEB_PORT", 8000),
        database_url=env.get("DATABASE_URL", ""),
        broker_url=env.get("CELERY_BROKER_URL", ""),
        key_file=Path(env.get("PILLARBOX_KEY_FILE") or data / "secret.key").resolve(),
        blobs=env.get("PILLARBOX_BLOBS", ""),
        metrics_token=env.get("PILLARBOX_METRICS_TOKEN", ""),
    )


def _number(env: dict[str, str], name: str, default: int) -> int:
    text = env.get(name, "")
    if not text:
        return default
    try:
        number = int(text)
    except ValueError:
        raise SystemExit(f"{name} must be a whole number, not {text!r}") from None
    if not 0 <= number <= 65535:
        raise SystemExit(f"{name} must lie between 0 and 65535, not {number}")
    return number


POOL = {"min_size": 0, "max_size": 20, "timeout": 5, "reconnect_timeout": 2}
"""A caller waits up to 5 s for a connection. After 2 s of failing the pool gives up and begins anew with the next
caller; left to its own growing pauses, it would stay away for minutes once a stopped server is back."""


def database_config(environment: Environment) -> dict[str, Any]:
    """Django's DATABASES['default'] for this environment: SQLite in the data folder, or PostgreSQL by URL."""
    if environment.embedded_database:
        return {
            "ENGINE": "mailserver.project.sqlite",
            "NAME": str(environment.data / "pillarbox.sqlite3"),
            "CONN_MAX_AGE": None,
            "OPTIONS": {
                "transaction_mode": "IMMEDIATE",
                "timeout": 30,
                "init_command": (
                    "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA cache_size=-8192; "
                    "PRAGMA temp_store=MEMORY; PRAGMA journal_size_limit=67108864;"
                ),
            },
        }
    parts = urlsplit(environment.database_url)
    if parts.scheme not in ("postgres", "postgresql"):
        raise SystemExit(f"DATABASE_URL must start with postgresql://, not {parts.scheme}://")
    options: dict[str, Any] = dict(parse_qsl(parts.query))
    host = unquote(parts.hostname or "") or options.pop("host", "")
    options["pool"] = dict(POOL)
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": unquote(parts.path.lstrip("/")) or "pillarbox",
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": host,
        "PORT": str(parts.port or ""),
        "CONN_MAX_AGE": 0,
        "CONN_HEALTH_CHECKS": True,
        "OPTIONS": options,
    }
