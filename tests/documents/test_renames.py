"""docs/renames.csv: each new name is there, and none of the old ones."""

from __future__ import annotations

import ast
import csv
import functools
import re
from pathlib import Path

import pytest
import typer

from launchday.settings import ENV_PREFIX, Settings
from loadtest.bench.cli import app as benchmarks

ROOT = Path(__file__).parent.parent.parent
PACKAGES = ("launchday", "matchmaker", "dedicated_server", "meta_service", "rewards", "loadtest", "tests")
KINDS = (
    "module",
    "class",
    "function",
    "attribute",
    "parameter",
    "file",
    "setting",
    "metric",
    "path",
    "key",
    "cli",
)
MIGRATED = {"cache key: {meta}:books"}  # a worker renames it in an older cache
with (ROOT / "docs" / "renames.csv").open() as table:
    ROWS = [(row["kind"], row["old"], row["new"]) for row in csv.DictReader(table)]


def rows(*kinds: str) -> list[tuple[str, str]]:
    return [(old, new) for kind, old, new in ROWS if kind in kinds]


def test_each_row_has_a_known_kind_and_two_names_that_differ() -> None:
    for kind, old, new in ROWS:
        assert kind in KINDS
        assert old
        assert new
        assert old != new
    assert len({(kind, old) for kind, old, _ in ROWS}) == len(ROWS)


def test_modules() -> None:
    for old, new in rows("module"):
        assert path_of(new) is not None, f"{new} is not there"
        assert path_of(old) is None or is_package(old), f"{old} is still there"


def test_classes_functions_attributes_and_parameters() -> None:
    for old, new in rows("class", "function", "attribute", "parameter"):
        assert resolves(new), f"{new} is not there"
        assert not resolves(old), f"{old} is still there"


def test_files() -> None:
    for old, new in rows("file"):
        assert (ROOT / new).exists(), f"{new} is not there"
        assert not (ROOT / old).exists(), f"{old} is still there"


def test_settings() -> None:
    known = {f"{ENV_PREFIX}{name.upper()}" for name in Settings.model_fields}
    for old, new in rows("setting"):
        assert new in known
        assert old not in known


def test_metrics() -> None:
    for old, new in rows("metric"):
        assert occurs(rf"\b{re.escape(new)}\b"), f"{new} is not there"
        assert not occurs(rf"\b{re.escape(old)}\b"), f"{old} is still there"


def test_paths() -> None:
    """A path may be written in pieces (a router's prefix), so its last part that is no parameter counts."""
    for old, new in rows("path"):
        assert occurs(re.escape(last_part(new))), f"{new} is not there"
        if last_part(old) != last_part(new):
            assert not occurs(rf"""["'/]{re.escape(last_part(old))}["'/?{{]"""), f"{old} is still there"


def test_keys() -> None:
    """A row names the place and the key: ``PLACE: KEY``.

    A key may be a common word, so only the old ones of two places, whose words are rare, are looked for.
    """
    for old, new in rows("key"):
        place, _, key = new.rpartition(": ")
        assert place, f"{new}: say of what"
        assert old.startswith(f"{place}: "), f"{old}: the place of {new} is another"
        assert occurs(rf"\b{re.escape(last_word(key))}\b"), f"{new} is not there"
        if place in ("cache key", "problem type") and old not in MIGRATED:
            assert not occurs(rf"""(?<![\w-]){re.escape(old.rpartition(": ")[2])}["':]"""), (
                f"{old} is still there"
            )


def test_commands() -> None:
    for old, new in rows("cli"):
        assert occurs(re.escape(new.split()[-1])), f"{new} is not there"
        if old.startswith("bench "):
            benches = typer.main.get_command(benchmarks).commands  # type: ignore[attr-defined]
            assert new.split()[1] in benches
            assert old.split()[1] not in benches


@pytest.mark.parametrize(
    ("name", "there"),
    [
        ("launchday.clock.SystemClock.now", True),
        ("launchday.clock.MAX_STEP_S", True),
        ("launchday.clock.Clock.random.name", True),
        ("launchday.clock.ManualClock._now", True),
        ("launchday.clock.SystemClock.then", False),
        ("launchday.clocks.SystemClock", False),
    ],
)
def test_names_are_resolved_in_the_source(name: str, there: bool) -> None:
    assert resolves(name) is there


def path_of(module: str) -> Path | None:
    """The file of a module, None where there is none."""
    base = ROOT / module.replace(".", "/")
    for path in (base.with_suffix(".py"), base / "__init__.py"):
        if path.exists():
            return path
    return None


def is_package(module: str) -> bool:
    """Whether a folder has taken a module's name."""
    return (ROOT / module.replace(".", "/")).is_dir()


def resolves(name: str) -> bool:
    """Whether a dotted name leads to a definition in the source: nothing is imported."""
    parts = name.split(".")
    for length in range(len(parts) - 1, 0, -1):
        path = path_of(".".join(parts[:length]))
        if path is not None:
            return _defines(tree(path), parts[length:])
    return False


def _defines(node: ast.AST, parts: list[str]) -> bool:
    if not parts:
        return True
    head, rest = parts[0], parts[1:]
    for child in _definitions(node):
        if isinstance(child, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            if child.name == head and _defines(child, rest):
                return True
        elif not rest and head in _assigned(child):
            return True
    return False


def _definitions(node: ast.AST) -> list[ast.AST]:
    """What stands directly in a module, class or function, with conditions; a class's ``self.x = …`` too."""
    found: list[ast.AST] = []
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
        return [each for each in ast.walk(node) if each is not node]
    for child in ast.iter_child_nodes(node):
        found.append(child)
        if isinstance(child, (ast.If, ast.Try, ast.With)):
            found += _definitions(child)
        if isinstance(node, ast.ClassDef) and isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef)):
            found += [
                each
                for each in ast.walk(child)
                if isinstance(each, ast.Attribute)
                and isinstance(each.value, ast.Name)
                and each.value.id in ("self", "cls")
            ]
    return found


def _assigned(node: ast.AST) -> set[str]:
    if isinstance(node, ast.Assign):
        return {name.id for target in node.targets for name in ast.walk(target) if isinstance(name, ast.Name)}
    if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
        return {node.target.id}
    if isinstance(node, ast.arg):
        return {node.arg}
    if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
        return {node.attr}
    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
        return {node.id}
    return set()


@functools.cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def last_part(path: str) -> str:
    """``/v1/internal/counters (meta service)`` → ``counters``."""
    plain = path.split(" (")[0].split("?")[0].split(": ")[0].rsplit(" ", 1)[-1]
    return next(part for part in reversed(plain.split("/")) if part and not part.startswith("{"))


def last_word(key: str) -> str:
    """``{mm}:backfill_claims:`` → ``backfill_claims``, ``faults[].ended_s`` → ``ended_s``."""
    return str(re.findall(r"[\w-]+", key)[-1])


@functools.cache
def product() -> str:
    """All sources and scripts of the product as one text."""
    suffixes = {".py", ".lua", ".yaml", ".json", ".conf", ".proto", ".html", ".csv"}
    return "\n".join(
        path.read_text()
        for package in (*PACKAGES[:-1], "compose")
        for path in sorted((ROOT / package).rglob("*"))
        if path.suffix in suffixes and "__pycache__" not in path.parts
    )


def occurs(pattern: str) -> bool:
    return re.search(pattern, product()) is not None
