"""Where numba keeps compiled kernels, keyed so that a stale one is never loaded.

Numba's own index looks only at the file that holds a kernel: an edit in a kernel that it calls from another
file goes unseen. So the folder's name carries a hash of every source file of the packages that hold kernels.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

KERNEL_PACKAGES = ("dedicated_server", "loadtest", "matchmaker")
KEPT_GENERATIONS = 4  # a branch switch or two without compiling anew; about 10 MB each


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
    _forget_old_generations(root, folder)
    os.environ["NUMBA_CACHE_DIR"] = str(folder)
    return folder


@contextmanager
def filling(name: str) -> Iterator[None]:
    """Compile all kernels of one part within; afterwards ``is_marked(name)`` holds.

    Only one process at a time fills the folder: two that compile one function for different types would number their files alike,
    and one would later load the other's code.
    """
    named = os.environ.get("NUMBA_CACHE_DIR")
    if named is None or is_marked(name):
        yield
        return
    with Path(named, "lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
        Path(named, f"{name}.compiled").touch()


def is_marked(name: str) -> bool:
    """Whether ``filling`` ended well for these sources before."""
    named = os.environ.get("NUMBA_CACHE_DIR")
    return named is not None and Path(named, f"{name}.compiled").exists()


def source_hash(root: Path) -> str:
    """Hash the packages that hold kernels, as 16 hexadecimal digits.

    All of their files: a kernel bakes in the constants of any module that it imports, whether that one names numba or not.
    """
    digest = hashlib.blake2b(digest_size=8)
    for package in KERNEL_PACKAGES:
        for path in sorted((root / package).rglob("*.py")):
            digest.update(str(path.relative_to(root)).encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()


def _forget_old_generations(root: Path, current: Path) -> None:
    others = sorted(
        set(root.glob("kernels-*")) - {current}, key=lambda path: path.stat().st_mtime, reverse=True
    )
    for folder in others[KEPT_GENERATIONS - 1 :]:
        shutil.rmtree(folder, ignore_errors=True)  # another process may be at it too
