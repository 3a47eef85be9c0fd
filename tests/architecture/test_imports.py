# SPDX-License-Identifier: MIT
"""House style section 4, what import-linter cannot say: who may touch Django, asyncio, Lua; where imports stand."""

from __future__ import annotations

import ast
import re
import sys
from fnmatch import fnmatch

import pytest

from tests.support.sources import PACKAGES, Source, product_sources

MAY_IMPORT = {
    "django": (
        "manage.py",
        "mailserver/*/models.py",
        "mailserver/*/services.py",
        "mailserver/*/apps.py",
        "mailserver/config/*.py",
        "mailserver/project/*.py",
        "mailserver/management/*.py",
        "mailserver/connectors/*.py",  # but see STILL_PURE
        "mailserver/database.py",  # the one translation of Django's failures
        "mailserver/notices.py",
        "mailserver/outqueue/choosing.py",
        "mailserver/outqueue/housekeeping.py",
        "mailserver/outqueue/recalling.py",
        "mailserver/outqueue/recording.py",
        "mailserver/outqueue/reporting.py",
        "mailserver/outqueue/retargeting.py",
        "mailserver/outqueue/taking.py",
        "mailserver/outqueue/unwanted.py",
        "mailserver/vault.py",  # asks the settings which key file is this installation's
        "mailserver/store/*.py",  # but see STILL_PURE
        "mailserver/users/backend.py",  # the console's log-in
        "mailserver/users/finding.py",  # the area's queries, which stand below its services
        "mailserver/users/passwords.py",  # Django's hasher interface
        "protocols/management/*.py",
        "admin_ui/*.py",
        "workers/*.py",
    ),
    "asyncio": (
        "protocols/net/*.py",
        "protocols/*/session.py",
        "protocols/*/handler.py",
        "protocols/smtp/transaction.py",  # aiosmtpd's session wants the loop
        "protocols/*/server.py",
        "protocols/*/client.py",
        "protocols/smtp/client_wire.py",  # the connection under the client
        "protocols/imap/indexes.py",  # mailboxes that sessions share, looked at once for all of them
        "protocols/imap/mailbox_index.py",
        "protocols/imap/outlet.py",  # gives others a turn between large writes
        "protocols/imap/searching.py",  # tells the client how far a long search is
        "protocols/pop3/access.py",  # the session's hold on the store: futures, and what cancellation must not stop
        "protocols/sasl/login.py",
        "protocols/management/*.py",
        "protocols/supervisor/*.py",
        "mailserver/pipeline/*.py",
        "mailserver/hooks/*.py",
        "workers/*.py",
    ),
    "aiosmtpd": ("protocols/smtp/*.py",),
    "lupa": ("mailserver/hooks/lua.py",),
    "regex": ("mailserver/patterns.py",),
    "celery": ("workers/*.py", "mailserver/project/*.py"),
    "kombu": ("mailserver/project/*.py", "workers/*.py"),
}
"""Each library, and the files that may import it (house style section 4, rule 5)."""

STILL_PURE = (
    "mailserver/config/catalog.py",
    "mailserver/config/snapshot.py",
    "mailserver/connectors/values.py",
    "mailserver/store/interface.py",
)
"""Files within a permitted folder that stand on Python alone."""


@pytest.mark.parametrize("library", MAY_IMPORT)
def test_a_library_stays_where_it_belongs(library: str) -> None:
    strays = [
        f"{source.name}:{getattr(statement, 'lineno', 0)}"
        for source in product_sources()
        for module, statement in source.imported()
        if module.partition(".")[0] == library and not _may(source, library)
    ]
    assert strays == []


def _may(source: Source, library: str) -> bool:
    if source.name in STILL_PURE:
        return False
    return any(fnmatch(source.name, pattern) for pattern in MAY_IMPORT[library])


@pytest.mark.parametrize("library", MAY_IMPORT)
def test_every_permission_is_used_for_something(library: str) -> None:
    """A pattern that names one file which is gone is a leftover."""
    names = {source.name for source in product_sources()}
    gone = [pattern for pattern in MAY_IMPORT[library] if "*" not in pattern and pattern not in names]
    assert [name for name in gone if name != "mailserver/hooks/lua.py"] == []


PLAIN = ("mailserver.values", "mailserver.errors", "mailserver.clock")
"""What pure files may stand on beside the standard library and each other."""


def test_what_calls_itself_pure_is() -> None:
    """A module whose docstring says `Pure.` imports the standard library and other pure modules, and does no I/O."""
    pure = {source.module for source in product_sources() if _is_pure(source)} | set(PLAIN) | set(VALUES)
    impure = [
        f"{source.name}: {module}"
        for source in product_sources()
        if _is_pure(source)
        for module in set(source.imported_modules())
        if module.partition(".")[0] in ASYNCHRONOUS or not (module in pure or _is_plain(module))
    ]
    assert impure == []


VALUES = (
    "mailserver.config.catalog",
    "mailserver.config.snapshot",
    "mailserver.hooks.events",
    "mailserver.journey.records",
    "mailserver.pipeline.message",
    "mailserver.pipeline.verdict",
    "mailserver.store.interface",
    "mailserver.users.authentication",
)
"""Interfaces and records; an import-linter contract keeps these pure."""
PURE_BY_NAME = ("grammar.py", "commands.py", "replies.py", "machine.py")
"""Within a protocol; the same contract."""
PURE_LIBRARIES = {"regex", "yaml"}
ASYNCHRONOUS = {"asyncio", "ssl", "selectors", "subprocess"}


def _is_pure(source: Source) -> bool:
    if source.name.startswith("protocols/") and source.name.endswith(PURE_BY_NAME):
        return True
    return bool(re.search(r"\bPure[.:]", ast.get_docstring(source.tree) or ""))


def _is_plain(module: str) -> bool:
    top = module.partition(".")[0]
    return top in sys.stdlib_module_names or top in PURE_LIBRARIES


def test_no_import_hides_in_a_function_to_escape_a_cycle() -> None:
    """Our own modules are imported at the top, save where the line says what else it is for (a heavy library).

    `AppConfig.ready` is where Django itself asks for late imports.
    """
    hidden = [
        f"{source.name}:{node.lineno} {function.name}"
        for source in product_sources()
        for function in source.functions()
        if function.name != "ready"
        for node in ast.walk(function)
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] in PACKAGES
        if not source.says_why(node.lineno)
    ]
    assert hidden == []
