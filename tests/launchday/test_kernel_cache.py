"""Compiled kernels are kept by the hash of their sources, so none is ever stale."""

from __future__ import annotations

import ast
import fcntl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from launchday import kernel_cache
from launchday.kernel_locator import MAX_GENERATIONS, SourceHashLocator
from launchday.launcher import kernels
from tests.waiting import until_sync

PACKAGE = kernel_cache.KERNEL_PACKAGES[0]
KERNEL = f"{PACKAGE}/kernel.py"


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
    before = kernel_cache.module_hashes(tree)[KERNEL]
    with (tree / PACKAGE / name).open("a") as edited:
        edited.write("# edited\n")
    assert kernel_cache.module_hashes(tree)[KERNEL] != before


@pytest.mark.parametrize("name", ["routes.py", "notes.md"])
def test_an_edit_elsewhere_keeps_the_folder(tree: Path, name: str) -> None:
    before = kernel_cache.module_hashes(tree)[KERNEL]
    (tree / PACKAGE / name).write_text("x = 2\n")
    assert kernel_cache.module_hashes(tree)[KERNEL] == before


def test_an_edit_in_one_kernels_file_keeps_the_folder_of_another(tree: Path) -> None:
    other = tree / PACKAGE / "other.py"
    other.write_text("from numba import njit\n")
    before = kernel_cache.module_hashes(tree)
    other.write_text("from numba import njit  # edited\n")
    after = kernel_cache.module_hashes(tree)
    assert after[KERNEL] == before[KERNEL]
    assert after[f"{PACKAGE}/other.py"] != before[f"{PACKAGE}/other.py"]


def test_every_module_that_a_kernel_file_imports_counts() -> None:
    """The pattern against the parser, over our own sources."""
    for package in kernel_cache.KERNEL_PACKAGES:
        for path in (kernel_cache.ROOT / package).rglob("*.py"):
            found = set(kernel_cache._imports(path.read_bytes()))
            assert {file for file in _parsed(path) if (kernel_cache.ROOT / file).exists()} <= found, path


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


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    return tmp_path


def test_our_kernels_lie_in_folders_of_their_own_and_only_the_newest_are_kept(cache: Path) -> None:
    file = kernel_cache.ROOT / "dedicated_server" / "protocol" / "bits.py"
    for number in range(MAX_GENERATIONS + 3):
        (cache / f"dedicated_server.protocol.bits-{number}").mkdir()
    locator = SourceHashLocator.from_function(_parsed, str(file))
    assert locator is not None
    folder = Path(locator.get_cache_path())
    assert folder.name == f"dedicated_server.protocol.bits-{kernel_cache.module_hash(file)}"
    assert folder.exists()
    assert len(list(cache.glob("dedicated_server.*"))) == MAX_GENERATIONS
    assert SourceHashLocator.from_function(_parsed, __file__) is None


def test_the_hashes_of_this_tree_are_remembered_and_right(cache: Path) -> None:
    kernel_cache._hashes_of_this_tree.cache_clear()
    worked_out = kernel_cache._hashes_of_this_tree()
    kernel_cache._hashes_of_this_tree.cache_clear()
    assert kernel_cache._hashes_of_this_tree() == worked_out == kernel_cache.module_hashes(kernel_cache.ROOT)
    assert len(list((cache / "source-hashes").iterdir())) == 1


def test_a_part_is_compiled_only_when_all_of_it_was(cache: Path) -> None:
    with pytest.raises(RuntimeError), kernel_cache.compiling("loadtest"):
        raise RuntimeError("a kernel does not compile")
    assert not kernel_cache.is_compiled("loadtest")
    with kernel_cache.compiling("loadtest"):
        assert not kernel_cache.is_compiled("loadtest")
        assert kernel_cache.parts_being_compiled() == ["loadtest"]
    assert kernel_cache.is_compiled("loadtest")
    assert kernel_cache.parts_being_compiled() == []


def test_a_second_process_waits_for_the_one_that_compiles_until_that_one_is_gone(cache: Path) -> None:
    """Whoever compiles may be killed; whoever waits then compiles itself."""
    holder = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import time; from launchday.kernel_cache import compiling\n"
            "with compiling('loadtest'): print('holds it', flush=True); time.sleep(60)",
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "holds it\n"
    assert kernel_cache.parts_being_compiled() == ["loadtest"]
    waited: list[bool] = []

    def on_wait() -> None:
        waited.append(True)
        holder.kill()

    with kernel_cache.compiling("loadtest", on_wait):
        pass
    holder.wait()
    holder.stdout.close()
    assert waited == [True]
    assert kernel_cache.is_compiled("loadtest")


@pytest.fixture
def parts(cache: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Two parts that compile in no time, of which the second needs the first to be under way."""
    code = "from launchday.kernel_cache import compiling\nwith compiling({name!r}): pass"
    made = tuple(
        kernels.KernelPart(name, f"the {name}", code.format(name=name), 1.0)
        for name in ("loadtest", "matchmaker")
    )
    monkeypatch.setattr(kernels, "PARTS", made)
    return [part.name for part in made]


def test_compiling_says_what_is_compiled_and_does_nothing_the_second_time(parts: list[str]) -> None:
    said: list[str] = []
    assert kernels.compile_kernels(said.append, parts) == 2
    assert said[0].startswith("compiling kernels: the loadtest, the matchmaker (about ")
    assert {line.rsplit(" in ", 1)[0] for line in said[1:]} == {
        "compiled the loadtest",
        "compiled the matchmaker",
    }
    assert kernels.compile_kernels(said.append, parts) == 0
    assert len(said) == 3


def test_a_kernel_that_does_not_compile_is_one_line_with_its_last_words(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    part = kernels.KernelPart("loadtest", "the swarm", "raise SystemExit('no compiler is here')", 1.0)
    monkeypatch.setattr(kernels, "PARTS", (part,))
    with pytest.raises(
        kernels.CompileError, match=r"the swarm does not compile: no compiler is here \(log: "
    ):
        kernels.compile_kernels(lambda _: None, ["loadtest"])


def test_a_held_lock_is_seen_from_outside(cache: Path) -> None:
    with (cache / "matchmaker.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert kernel_cache.parts_being_compiled() == ["matchmaker"]
    until_sync(lambda: kernel_cache.parts_being_compiled() == [], "the lock is given up")


def test_every_part_is_compiled_by_the_module_that_its_mark_stands_for() -> None:
    assert {part.name for part in kernels.PARTS} == set(kernel_cache.PART_ENTRIES)
    for part in kernels.PARTS:
        module = part.code.split()[1]
        assert kernel_cache.PART_ENTRIES[part.name] == module.replace(".", "/") + ".py"
