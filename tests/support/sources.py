# SPDX-License-Identifier: MIT
"""The project's own source files as the architecture tests see them: paths, texts and syntax trees."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
PACKAGES = ("mailserver", "protocols", "workers", "admin_ui")


@dataclass(frozen=True)
class Source:
    """One Python file; `name` is its path from the project's root, with slashes."""

    name: str

    @cached_property
    def text(self) -> str:
        return (ROOT / self.name).read_text(encoding="utf-8")

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text, self.name)

    @property
    def is_empty(self) -> bool:
        """An `__init__.py` that only marks a package."""
        return not self.text.strip()

    @property
    def module(self) -> str:
        """Its name in an import."""
        return self.name.removesuffix(".py").removesuffix("/__init__").replace("/", ".")

    def imported_modules(self) -> Iterator[str]:
        """Like `imported`, but `from package import module` gives the module."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module:
                for alias in node.names:
                    inner = f"{node.module}.{alias.name}"
                    exists = (ROOT / f"{inner.replace('.', '/')}.py").exists()
                    yield inner if exists else node.module

    def says_why(self, line_number: int) -> bool:
        """Whether the line carries a comment that is more than an instruction to a linter."""
        comment = self.text.splitlines()[line_number - 1].partition("#")[2]
        return bool(re.sub(r"noqa(: [A-Z0-9, ]+)?|type: ignore\S*", "", comment).strip(" -#"))

    def functions(self) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
        return (node for node in ast.walk(self.tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))

    def imported(self) -> Iterator[tuple[str, ast.AST]]:
        """Full names of the modules imported anywhere in the file, each with its statement."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                yield from ((alias.name, node) for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module:
                yield node.module, node


@cache
def product_sources() -> tuple[Source, ...]:
    """The four packages and manage.py, migrations left out."""
    return (Source("manage.py"), *(source for package in PACKAGES for source in _below(package)))


@cache
def all_sources() -> tuple[Source, ...]:
    """The same and the tests."""
    return (*product_sources(), *_below("tests"))


def _below(folder: str) -> Iterator[Source]:
    for path in sorted((ROOT / folder).rglob("*.py")):
        name = path.relative_to(ROOT).as_posix()
        if "/migrations/" not in name:
            yield Source(name)
