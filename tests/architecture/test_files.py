# SPDX-License-Identifier: MIT
"""How every file looks: licence line, opening sentence, size, and nothing that only one machine understands."""

from __future__ import annotations

import ast
import re
import subprocess

from tests.support.sources import ROOT, Source, all_sources, product_sources

LONGEST_FILE = 500
LONGEST_FUNCTION = 60
EVERYTHING = {"Exception", "BaseException"}
MAY_CATCH_EVERYTHING = ("protocols/net/sessions.py", "workers/work.py", "admin_ui/actions.py")
THIS_FILE = "architecture/test_files.py"
VAGUE_NAMES = {"utils", "util", "helpers", "common", "base", "misc"}
NAMED_BY_DJANGO = {"mailserver/project/sqlite/base.py"}
UNFINISHED = re.compile(r"\b(TO" + r"DO|FIX" + r"ME|XX" + r"X|HA" + r"CK)\b")
WAITS = re.compile(r"\btime\.sleep\(|\basyncio\.sleep\((?!0\))")
LEFT_OUT = re.compile(r"\bpytest\.(mark\.)?(skip|skipif|xfail|importorskip)\b")
FOREIGN_PLACES = re.compile(r"(?<![\w.])/(work|farm|root)/|index-url\s*=|//pypi\.|//files\.pythonhosted")
TEXTS = ("*.py", "*.toml", "*.md", "*.txt", "*.lock", "*.yaml", "*.html", "*.js", "*.css", "Makefile", ".ci/*")


def test_every_file_opens_with_its_licence_and_what_it_is_for() -> None:
    written = [source for source in all_sources() if not source.is_empty]
    assert [source.name for source in written if _first_line(source) != "# SPDX-License-Identifier: MIT"] == []
    assert [source.name for source in written if not ast.get_docstring(source.tree)] == []


def _first_line(source: Source) -> str:
    first, _, rest = source.text.partition("\n")
    return rest.partition("\n")[0] if first.startswith("#!") else first


def test_files_and_functions_can_be_read_in_one_sitting() -> None:
    sources = all_sources()
    assert [source.name for source in sources if source.text.count("\n") > LONGEST_FILE] == []
    assert [
        f"{source.name}: {function.name}"
        for source in sources
        for function in source.functions()
        if (function.end_lineno or 0) - function.lineno >= LONGEST_FUNCTION
    ] == []


def test_files_are_named_for_what_they_hold() -> None:
    stems = {source.name: source.name.rpartition("/")[2].removesuffix(".py") for source in all_sources()}
    assert [name for name, stem in stems.items() if stem in VAGUE_NAMES and name not in NAMED_BY_DJANGO] == []


def test_nothing_is_left_unfinished() -> None:
    assert [source.name for source in all_sources() if UNFINISHED.search(source.text)] == []
    assert [
        f"{source.name}: {function.name}"
        for source in all_sources()
        for function in source.functions()
        if _only_raises_not_implemented(function)
    ] == []


def _only_raises_not_implemented(function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    body = [node for node in function.body if not _is_docstring(node)]
    return len(body) == 1 and isinstance(body[0], ast.Raise) and "NotImplementedError" in ast.dump(body[0])


def _is_docstring(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def test_tests_neither_sleep_nor_step_aside() -> None:
    tests = [s for s in all_sources() if s.name.startswith("tests/") and not s.name.endswith(THIS_FILE)]
    assert [source.name for source in tests if WAITS.search(source.text)] == []
    assert [source.name for source in tests if LEFT_OUT.search(source.text)] == []


def test_a_broad_except_says_why_it_stands_there() -> None:
    """House style section 7: in the session loop, the task wrapper and the admin action; elsewhere with a reason."""
    assert [
        f"{source.name}:{node.lineno}"
        for source in product_sources()
        if source.name not in MAY_CATCH_EVERYTHING
        for node in ast.walk(source.tree)
        if isinstance(node, ast.ExceptHandler) and _swallows_everything(node)
        if not source.says_why(node.lineno)
    ] == []


def _swallows_everything(handler: ast.ExceptHandler) -> bool:
    broad = handler.type is None or (isinstance(handler.type, ast.Name) and handler.type.id in EVERYTHING)
    return broad and not any(isinstance(node, ast.Raise) for node in ast.walk(handler))


def test_no_committed_file_names_a_machine_or_an_index() -> None:
    listed = subprocess.run(["git", "ls-files", *TEXTS], cwd=ROOT, capture_output=True, text=True, check=True)
    named = []
    for name in listed.stdout.split("\n"):
        if name and not name.endswith(THIS_FILE) and (ROOT / name).exists():
            text = (ROOT / name).read_text(encoding="utf-8")
            named += [f"{name}: {match.group()}" for match in FOREIGN_PLACES.finditer(text)]
    assert named == []
