"""Compiled kernels are kept by the hash of their sources, so none is ever stale."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from launchday import kernel_cache

PACKAGE = kernel_cache.KERNEL_PACKAGES[0]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    package = tmp_path / PACKAGE
    (package / "shapes").mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "shapes" / "__init__.py").write_text(f"from {PACKAGE} import units\n")
    (package / "kernel.py").write_text(
        f"from numba import njit\nfrom {PACKAGE} import (\n    constants,  # why\n    shapes,\n)\n"
    )
    (package / "constants.py").write_text(f"import {PACKAGE}.deeper\n")
    (package / "deeper.py").write_text("x = 1\n")
    (package / "units.py").write_text("x = 1\n")
    (package / "routes.py").write_text(f"from {PACKAGE}.kernel import step\n")
    (package / "notes.md").write_text("x = 1\n")
    return tmp_path


@pytest.mark.parametrize(
    "name", ["kernel.py", "constants.py", "deeper.py", "shapes/__init__.py", "units.py", "__init__.py"]
)
def test_an_edit_in_what_a_kernel_reaches_gives_another_folder(tree: Path, name: str) -> None:
    before = kernel_cache.source_hash(tree)
    with (tree / PACKAGE / name).open("a") as edited:
        edited.write("# edited\n")
    assert kernel_cache.source_hash(tree) != before


@pytest.mark.parametrize("name", ["routes.py", "notes.md"])
def test_an_edit_elsewhere_keeps_the_folder(tree: Path, name: str) -> None:
    before = kernel_cache.source_hash(tree)
    (tree / PACKAGE / name).write_text("x = 2\n")
    assert kernel_cache.source_hash(tree) == before


def test_every_module_that_a_kernel_file_imports_counts() -> None:
    """The pattern against the parser, over our own sources."""
    root = Path(kernel_cache.__file__).parents[1]
    for package in kernel_cache.KERNEL_PACKAGES:
        for path in (root / package).rglob("*.py"):
            found = set(kernel_cache._imports(path.read_bytes()))
            assert {file for file in _parsed(path) if (root / file).exists()} <= found, path


def _parsed(path: Path) -> Iterator[Path]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (Path(*alias.name.split(".")).with_suffix(".py") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, path
            assert node.module is not None
            origin = Path(*node.module.split("."))
            yield from (origin.with_suffix(".py"), origin / "__init__.py")
            yield from (origin / f"{alias.name}.py" for alias in node.names)
            yield from (origin / alias.name / "__init__.py" for alias in node.names)


def test_only_the_newest_generations_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    for number in range(kernel_cache.MAX_GENERATIONS + 3):
        (tmp_path / "launchday" / f"kernels-{number}").mkdir(parents=True)
    folder = kernel_cache.configure()
    assert folder is not None
    assert folder.exists()
    assert len(list((tmp_path / "launchday").iterdir())) == kernel_cache.MAX_GENERATIONS


def test_a_part_is_marked_only_when_all_of_it_was_compiled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    with pytest.raises(RuntimeError), kernel_cache.compiling("swarm"):
        raise RuntimeError("a kernel does not compile")
    assert not kernel_cache.is_compiled("swarm")
    with kernel_cache.compiling("swarm"):
        assert not kernel_cache.is_compiled("swarm")
    assert kernel_cache.is_compiled("swarm")
