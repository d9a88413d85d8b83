"""Compiled kernels are kept by the hash of their sources, so none is ever stale."""

from __future__ import annotations

from pathlib import Path

import pytest

from launchday import kernel_cache


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    package = tmp_path / kernel_cache.KERNEL_PACKAGES[0]
    package.mkdir()
    (package / "kernel.py").write_text("from numba import njit\n")
    (package / "constants.py").write_text("x = 1\n")
    (package / "notes.md").write_text("x = 1\n")
    return tmp_path


def test_an_edit_in_a_kernel_gives_another_folder(tree: Path) -> None:
    before = kernel_cache.source_hash(tree)
    (tree / kernel_cache.KERNEL_PACKAGES[0] / "kernel.py").write_text("from numba import njit  # edited\n")
    assert kernel_cache.source_hash(tree) != before


def test_an_edit_in_a_module_of_constants_does_too(tree: Path) -> None:
    before = kernel_cache.source_hash(tree)
    (tree / kernel_cache.KERNEL_PACKAGES[0] / "constants.py").write_text("x = 2\n")
    assert kernel_cache.source_hash(tree) != before


def test_an_edit_elsewhere_keeps_the_folder(tree: Path) -> None:
    before = kernel_cache.source_hash(tree)
    (tree / kernel_cache.KERNEL_PACKAGES[0] / "notes.md").write_text("x = 2\n")
    assert kernel_cache.source_hash(tree) == before


def test_only_the_newest_generations_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    for number in range(kernel_cache.KEPT_GENERATIONS + 3):
        (tmp_path / "launchday" / f"kernels-{number}").mkdir(parents=True)
    folder = kernel_cache.configure()
    assert folder is not None
    assert folder.exists()
    assert len(list((tmp_path / "launchday").iterdir())) == kernel_cache.KEPT_GENERATIONS


def test_a_part_is_marked_only_when_all_of_it_was_compiled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    with pytest.raises(RuntimeError), kernel_cache.filling("swarm"):
        raise RuntimeError("a kernel does not compile")
    assert not kernel_cache.is_marked("swarm")
    with kernel_cache.filling("swarm"):
        assert not kernel_cache.is_marked("swarm")
    assert kernel_cache.is_marked("swarm")
