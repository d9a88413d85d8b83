"""Where numba keeps compiled kernels, keyed so that a stale one is never loaded.

Numba's own index looks only at the file that holds a kernel: an edit in a kernel that it calls from another
file goes unseen. So the folder's name carries a hash of every file that holds kernels and of all that those import.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

KERNEL_PACKAGES = ("dedicated_server", "loadtest", "matchmaker")
IMPORT = re.compile(r"^\s*(?:import ([\w.]+)|from ([\w.]+) import (\([^)]*\)|[^\n]*))", re.MULTILINE)
NAME = re.compile(r"\w+")
MAX_GENERATIONS = 4  # a branch switch or two without compiling anew; about 10 MB each


def configure() -> Path | None:
    """Point ``NUMBA_CACHE_DIR`` at this source tree's folder, unless the environment already names one.

    Returns the folder, or None when it cannot be written, where numba falls back to its own choice.
    """
    if named := os.environ.get("NUMBA_CACHE_DIR"):
        return Path(named)
    root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "launchday"
    folder = root / f"kernels-{source_hash(Path(__file__).parent.parent)}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        folder.touch()
    except OSError:
        return None
    _delete_old_generations(root, folder)
    os.environ["NUMBA_CACHE_DIR"] = str(folder)
    return folder


@contextmanager
def compiling(name: str) -> Iterator[None]:
    """Compile all kernels of one part within; afterwards ``is_marked(name)`` holds.

    Only one process at a time fills the folder: two that compile one function for different types would number their files alike,
    and one would later load the other's code.
    """
    named = os.environ.get("NUMBA_CACHE_DIR")
    if named is None or is_compiled(name):
        yield
        return
    with Path(named, "lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
        Path(named, f"{name}.compiled").touch()


def is_compiled(name: str) -> bool:
    """Whether ``filling`` ended well for these sources before."""
    named = os.environ.get("NUMBA_CACHE_DIR")
    return named is not None and Path(named, f"{name}.compiled").exists()


def source_hash(root: Path) -> str:
    """Hash every file that holds a kernel and what those import, directly or not, as 16 hexadecimal digits.

    What they import counts because a kernel bakes in the constants of other modules, whether those name numba or not. A service's
    routes, which no kernel imports, do not: an edit there costs no compilation.
    """
    sources = {
        path.relative_to(root): path.read_bytes()
        for package in KERNEL_PACKAGES
        for path in (root / package).rglob("*.py")
    }
    reached: set[Path] = set()
    ahead = [path for path, source in sources.items() if b"njit" in source]
    while ahead:
        if (path := ahead.pop()) not in reached:
            reached.add(path)
            ahead += [target for target in _imports(sources[path]) if target in sources]
    digest = hashlib.blake2b(digest_size=8)
    for path in sorted(reached):
        digest.update(str(path).encode())
        digest.update(sources[path])
    return digest.hexdigest()


def _imports(source: bytes) -> Iterator[Path]:
    """Yield the files that the import statements of ``source`` can mean; a name that is no module gives a path that is not there.

    By pattern and not by parsing, which would add a quarter of a second to the start of every process.
    """
    for plain, origin, names in IMPORT.findall(source.decode()):
        parts = (plain or origin).split(".")
        yield from (Path(*parts[:depth], "__init__.py") for depth in range(1, len(parts) + 1))
        yield Path(*parts).with_suffix(".py")
        for name in NAME.findall(names):
            yield Path(*parts, f"{name}.py")
            yield Path(*parts, name, "__init__.py")


def _delete_old_generations(root: Path, current: Path) -> None:
    others = sorted(
        set(root.glob("kernels-*")) - {current}, key=lambda path: path.stat().st_mtime, reverse=True
    )
    for folder in others[MAX_GENERATIONS - 1 :]:
        shutil.rmtree(folder, ignore_errors=True)  # another process may be at it too
