"""Where numba keeps compiled kernels, keyed so that a stale one is never loaded, and which process compiles them.

Numba's own index looks only at the file that holds a kernel: an edit in a kernel that it calls from another file goes unseen.
So the folder's name carries a hash of every file that holds kernels and of all that those import.

Kernels are compiled in parts (one a package or a command), each within ``compiling(part)``. One process compiles a part at a time; two processes
compile two parts side by side. A process that needs a part which another compiles waits for it, however long that takes; the
operating system frees the lock of a process that ends, so nobody waits for a dead one.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

KERNEL_PACKAGES = ("dedicated_server", "loadtest", "matchmaker")
IMPORT = re.compile(r"^\s*(?:import ([\w.]+)|from ([\w.]+) import (\([^)]*\)|[^\n]*))", re.MULTILINE)
NAME = re.compile(r"\w+")
MAX_GENERATIONS = 4  # a branch switch or two without compiling anew; about 10 MB each
MAX_KEPT_HASHES = 32  # states of source trees whose hash is remembered, 16 bytes each

_saving_is_locked = False


def configure() -> Path | None:
    """Point ``NUMBA_CACHE_DIR`` at this source tree's folder, unless the environment already names one.

    Returns the folder, or None when it cannot be written, where numba falls back to its own choice.
    """
    if named := os.environ.get("NUMBA_CACHE_DIR"):
        return Path(named)
    root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "launchday"
    folder = root / f"kernels-{_remembered_hash(Path(__file__).parent.parent, root / 'source-hashes')}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        folder.touch()
    except OSError:
        return None
    _delete_old_generations(root, folder)
    os.environ["NUMBA_CACHE_DIR"] = str(folder)
    return folder


@contextlib.contextmanager
def compiling(part: str, on_wait: Callable[[], None] | None = None) -> Iterator[None]:
    """Compile all kernels of one part within; afterwards ``is_compiled(part)`` holds.

    Args:
        part: its name, such as ``matchmaker``.
        on_wait: is called once when another process compiles the part and this one waits for it.
    """
    folder = os.environ.get("NUMBA_CACHE_DIR")
    if folder is None or is_compiled(part):
        yield
        return
    lock_saving()
    with Path(folder, f"{part}.lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if on_wait is not None:
                on_wait()
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
        Path(folder, f"{part}.compiled").touch()


def is_compiled(part: str) -> bool:
    """Whether ``compiling(part)`` ended well for these sources before."""
    folder = os.environ.get("NUMBA_CACHE_DIR")
    return folder is not None and Path(folder, f"{part}.compiled").exists()


def parts_being_compiled() -> list[str]:
    """The parts that living processes compile right now, by name."""
    folder = os.environ.get("NUMBA_CACHE_DIR")
    locks = [] if folder is None else sorted(Path(folder).glob("*.lock"))
    return [lock.stem for lock in locks if not is_compiled(lock.stem) and _is_held(lock)]


def lock_saving() -> None:
    """Make this process save compiled functions one at a time with every other process that has called this.

    Numba numbers the files of one function by what its index holds. Two processes that save one function for different types at
    the same moment would take the same number, and one of them would later load the other's code.
    """
    global _saving_is_locked
    if _saving_is_locked:
        return
    from numba.core import caching

    save = caching.IndexDataCacheFile.save

    def save_alone(self: Any, key: Any, data: Any) -> None:
        with Path(self._cache_path, "saving").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            save(self, key, data)

    caching.IndexDataCacheFile.save = save_alone
    _saving_is_locked = True


def source_hash(root: Path) -> str:
    """Hash every file that holds a kernel and what those import, directly or not, as 16 hexadecimal digits.

    What they import counts because a kernel bakes in the constants of other modules, whether those name numba or not. A
    service's routes, which no kernel imports, do not count: an edit there costs no compilation.

    Args:
        root: the folder that holds the packages `KERNEL_PACKAGES`.
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


def _remembered_hash(root: Path, folder: Path) -> str:
    """The ``source_hash`` of a tree, looked up by each file's name, size, inode and time of change.

    Reading and searching every file takes 0.1 s at the start of every process; asking for their times takes 2 ms. A file that
    is written has another time of change, which nobody can set back (``st_ctime_ns``).

    Args:
        root: the folder that holds the packages.
        folder: holds one small file for each state of a tree that was seen.
    """
    state = hashlib.blake2b(digest_size=16)
    for package in filter(Path.is_dir, (root / name for name in KERNEL_PACKAGES)):
        for line in sorted(_file_states(package)):
            state.update(line.encode())
    known = folder / state.hexdigest()
    with contextlib.suppress(OSError):
        if len(remembered := known.read_text()) == 16:
            return remembered
    found = source_hash(root)
    with contextlib.suppress(
        OSError
    ):  # a folder that cannot be written: the hash is worked out again next time
        folder.mkdir(parents=True, exist_ok=True)
        for old in _by_age(folder.iterdir())[MAX_KEPT_HASHES - 1 :]:
            old.unlink(missing_ok=True)
        fresh = known.with_suffix(f".{os.getpid()}")
        fresh.write_text(found)
        fresh.replace(known)
    return found


def _file_states(folder: Path) -> Iterator[str]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.endswith(".py"):
                at = entry.stat()
                yield f"{entry.path}\0{at.st_size}\0{at.st_ino}\0{at.st_ctime_ns}\n"
            elif entry.is_dir(follow_symlinks=False) and entry.name != "__pycache__":
                yield from _file_states(Path(entry.path))


def _imports(source: bytes) -> Iterator[Path]:
    """Yield the files that the import statements of ``source`` can mean; a name that is no module gives a path that is not there.

    By pattern and not by parsing, which takes three times as long.
    """
    for plain, origin, names in IMPORT.findall(source.decode()):
        parts = (plain or origin).split(".")
        yield from (Path(*parts[:depth], "__init__.py") for depth in range(1, len(parts) + 1))
        yield Path(*parts).with_suffix(".py")
        for name in NAME.findall(names):
            yield Path(*parts, f"{name}.py")
            yield Path(*parts, name, "__init__.py")


def _is_held(file: Path) -> bool:
    with contextlib.suppress(FileNotFoundError), file.open("rb") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def _by_age(paths: Iterator[Path]) -> list[Path]:
    """The paths, the newest first."""
    return sorted(paths, key=lambda path: path.stat().st_mtime, reverse=True)


def _delete_old_generations(root: Path, current: Path) -> None:
    others = _by_age(path for path in root.glob("kernels-*") if path != current)
    for folder in others[MAX_GENERATIONS - 1 :]:
        shutil.rmtree(folder, ignore_errors=True)  # another process may be at it too
