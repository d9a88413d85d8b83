"""Where numba keeps compiled kernels, keyed so that a stale one is never loaded, and which process compiles
them.

Numba's own index looks only at the file that holds a kernel: an edit in a kernel that it calls from another
file goes unseen, and so does a constant that it has baked in. So each file's kernels lie in a folder whose
name carries a hash of the file and of all files that it imports, directly or not (`module_hashes`). An edit
costs the compilation of what it can have changed, and nothing else. Numba finds the folder by
`launchday.kernel_locator`, whose name is in its environment. The folder of a studio's mode has a key of its
own (`launchday.kernel_folders`).

Kernels are compiled in parts (`PART_ENTRIES`), each within ``compiling(part)``. One process compiles a part
at a time; two processes compile two parts side by side. A process that needs a part which another compiles
waits for it, however long that takes; the operating system frees the lock of a process that ends, so nobody
waits for a dead one.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import hashlib
import importlib
import importlib.metadata
import json
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from launchday import cache_folder, kernel_folders
from launchday.folders import remove_files

ROOT = Path(__file__).parent.parent
KERNEL_PACKAGES = ("dedicated_server", "loadtest", "matchmaker")
# A part is compiled when the kernels that this module calls are; its hash is in the name of the part's mark.
PART_ENTRIES = {
    "dedicated_server": "dedicated_server/match/warm_up.py",
    "matchmaker": "matchmaker/matching/warm_up.py",
    "flexmatch": "matchmaker/rules/flexmatch/warm_up.py",
    "plans": "matchmaker/plans/warm_up.py",
    "why": "matchmaker/plans/why/warm_up.py",
    "loadtest": "loadtest/warm_up.py",
    "simulation": "loadtest/simulate/command.py",
}
PARTS_WITH_MODES = ("dedicated_server", "loadtest")  # which compile the hooks of every mode in force, too
CARD = "card.yaml"  # of a mode, in its folder
MODES_VARIABLE = "LAUNCHDAY_MODES"  # as the setting has it: the folders of a studio's modes
SHIPPED_HOOKS = re.compile(r"dedicated_server/modes/[^/]+/hooks\.py")
# Each compiled entry of a mode is made by these, whatever its hooks import.
MODE_ENTRIES = ("dedicated_server.modes.entries",)
LOCATORS = (
    "launchday.kernel_locator.SourceHashLocator",
    "UserProvidedCacheLocator",
    "InTreeCacheLocator",
    "UserWideCacheLocator",
    "launchday.kernel_locator.NoFolderLocator",
)
IMPORT = re.compile(r"^\s*(?:import ([\w.]+)|from ([\w.]+) import (\([^)]*\)|[^\n]*))", re.MULTILINE)
NAME = re.compile(r"\w+")
CACHE_VARIABLE = "NUMBA_CACHE_DIR"
CPU_INFO = "/proc/cpuinfo"
# LLVM chooses instructions by these of a processor.
CPU_NAMES = ("vendor_id", "cpu family", "model", "flags", "CPU implementer", "CPU part", "Features")
MAX_KEPT_HASHES = 32  # states of source trees whose hashes are remembered, 20 kB each

_SAID_VARIABLE = "LAUNCHDAY_KERNEL_CACHE_WARNING"

_saving_is_locked = False
_saves_lost = 0
_warning = ""


def configure() -> Path | None:
    """Tell numba, by its environment, where to keep kernels and how to key them; call it before numba is
    imported.

    Returns the folder: that of ``NUMBA_CACHE_DIR`` where the environment names one that can be written, or
    that holds the kernels of these sources, as in an image; else `cache_folder.writable_folder`. None where
    there is no place at all: each process then compiles the kernels that it needs, and `warning` says so.
    """
    os.environ.setdefault("NUMBA_CACHE_LOCATOR_CLASSES", ",".join(LOCATORS))
    if named := os.environ.get(CACHE_VARIABLE):
        folder = Path(named)
        if cache_folder.is_writable(folder) or _is_prepared(folder):
            return folder
        os.environ.pop(CACHE_VARIABLE)
    found = cache_folder.writable_folder("kernels")
    if found is not None:
        os.environ[CACHE_VARIABLE] = str(found)
    if named and found is not None:
        _say(f"{CACHE_VARIABLE}={named} cannot be written: compiled kernels are kept in {found}")
    elif found is None:
        _say(
            "there is no folder for compiled kernels, so each process compiles its own, for a minute and "
            "more: "
            f"set {CACHE_VARIABLE} to a folder that can be written"
        )
    return found


def warning() -> str:
    """What `configure` found wrong, in one line; empty where nothing is, or where a parent has said it."""
    return "" if os.environ.get(_SAID_VARIABLE) == _warning else _warning


def was_said() -> None:
    """Note that somebody has read the `warning`: the processes that this one starts need not repeat it."""
    os.environ[_SAID_VARIABLE] = _warning


def _say(text: str) -> None:
    global _warning
    _warning = text


def _is_prepared(folder: Path) -> bool:
    """Whether a folder that cannot be written has all kernels of these sources, for this machine."""
    if not folder.is_dir():
        return False
    hashes = module_hashes(ROOT)
    try:
        return all(_marked(folder, part, hashes).exists() for part in PART_ENTRIES)
    except OSError:
        return False


@contextlib.contextmanager
def compiling(part: str, on_wait: Callable[[], None] | None = None) -> Iterator[None]:
    """Compile all kernels of one part within; afterwards ``is_compiled(part)`` holds.

    Args:
        part: its name, of `PART_ENTRIES`.
        on_wait: is called once when another process compiles the part and this one waits for it.
    """
    folder = os.environ.get(CACHE_VARIABLE)
    if folder is None or is_compiled(part):
        yield
        return
    lock_saving()
    lost = saves_lost()
    try:
        lock = Path(folder, f"{part}.lock").open("a")  # noqa: SIM115  # closed below
    except OSError:  # a full disk: it is compiled all the same, and compiled again next time
        yield
        return
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if on_wait is not None:
                on_wait()
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
        if saves_lost() > lost:
            return
        with contextlib.suppress(OSError):
            remove_files(Path(folder), (f"{part}-{'[0-9a-f]' * 16}.{_compiler()}.compiled",))
            _mark(folder, part).touch()


def is_compiled(part: str) -> bool:
    """Whether ``compiling(part)`` ended well for these sources before."""
    folder = os.environ.get(CACHE_VARIABLE)
    return folder is not None and _mark(folder, part).exists()


def parts_being_compiled() -> list[str]:
    """The parts that living processes compile right now, by name."""
    folder = os.environ.get(CACHE_VARIABLE)
    locks = [] if folder is None else sorted(Path(folder).glob("*.lock"))
    return [lock.stem for lock in locks if _is_held(lock)]


def functions_kept() -> int:
    """How many compiled functions the folder has, of any sources: it grows while a process compiles."""
    folder = os.environ.get(CACHE_VARIABLE)
    return 0 if folder is None else sum(1 for _ in Path(folder).rglob("*.nbc"))


def lock_saving() -> None:
    """Make this process save compiled functions one at a time with every other process that has called this.

    Numba numbers the files of one function by what its index holds. Two processes that save one function for
    different types at the same moment would take the same number, and one of them would later load the
    other's code.
    """
    global _saving_is_locked
    if _saving_is_locked:
        return
    from numba.core import caching

    importlib.import_module("launchday.kernel_locator")  # beneath it: a save that fails ends nothing

    save = caching.IndexDataCacheFile.save

    def save_alone(self: Any, key: Any, data: Any) -> None:
        try:
            lock = Path(self._cache_path, "saving").open("a")  # noqa: SIM115  # closed below
        except OSError:
            save(self, key, data)  # which counts it as lost
            return
        with lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            save(self, key, data)

    caching.IndexDataCacheFile.save = save_alone
    _saving_is_locked = True


def lose_save(reason: Exception) -> None:
    """Count a compiled function that could not be kept; the first is said on standard error."""
    global _saves_lost
    _saves_lost += 1
    if _saves_lost == 1 and not _warning:
        folder = os.environ.get(CACHE_VARIABLE, "no folder")
        with contextlib.suppress(OSError, AttributeError):
            sys.stderr.write(
                f"warning: compiled kernels are not kept, so they are compiled again at each start: {reason} "
                f"(make room in {folder}, or set {CACHE_VARIABLE} to another folder)\n"
            )


def saves_lost() -> int:
    """How many compiled functions this process could not keep."""
    return _saves_lost


def module_hash(file: str | Path) -> str | None:
    """The hash of a file of `KERNEL_PACKAGES` and of all that it imports; None for any other file."""
    with contextlib.suppress(ValueError):
        return _hashes_of_this_tree().get(str(Path(file).relative_to(ROOT)))
    return None


def mode_key(folder: Path) -> str | None:
    """The key of the kernels of a mode in a folder outside of the tree; None where they cannot be kept.

    Raises OSError where a file cannot be read.
    """
    return kernel_folders.folder_key(folder, _hash_of_module, MODE_ENTRIES)


def _hash_of_module(name: str) -> str | None:
    path = ROOT.joinpath(*name.split("."))
    return module_hash(path.with_suffix(".py")) or module_hash(path / "__init__.py")


def module_hashes(root: Path) -> dict[str, str]:
    """Hash each file of the packages that hold kernels together with all that it imports.

    What it imports counts because a kernel bakes in the code and the constants of other modules, whether
    those name numba or not. What a file does not import, directly or not, does not count: an edit there costs
    no compilation. The YAML beside a mode's hooks counts as a part of each file there: hooks bake in the
    numbers of their card.

    Args:
        root: the folder that holds the packages `KERNEL_PACKAGES`.

    Returns:
        16 hexadecimal digits for each file, by its path below ``root``.
    """
    sources = {
        path.relative_to(root): path.read_bytes()
        for package in KERNEL_PACKAGES
        for path in sorted((root / package).rglob("*.py"))
    }
    digests = {
        path: hashlib.blake2b(source + _yaml_beside(root / path), digest_size=16).digest()
        for path, source in sources.items()
    }
    imports = {
        path: [target for target in _imports(source) if target in sources] for path, source in sources.items()
    }
    hashes = {}
    for path in sources:
        digest = hashlib.blake2b(digest_size=8)
        for reached in sorted(_reached(path, imports)):
            digest.update(str(reached).encode() + b"\0" + digests[reached])
        hashes[str(path)] = digest.hexdigest()
    return hashes


@functools.cache
def _hashes_of_this_tree() -> dict[str, str]:
    """The ``module_hashes`` of the running tree, looked up by each file's name, size, inode and time of
    change.

    Reading and searching every file takes 0.2 s; asking for their times takes 2 ms. A file that is written
    has another time of change, which nobody can set back (``st_ctime_ns``).
    """
    cache = os.environ.get(CACHE_VARIABLE)
    if cache is None:
        return module_hashes(ROOT)
    state = hashlib.blake2b(digest_size=16)
    for package in KERNEL_PACKAGES:
        for line in sorted(_file_states(ROOT / package)):
            state.update(os.fsencode(line))
    folder = Path(cache, "source-hashes")
    known = folder / f"{state.hexdigest()}.json"
    with contextlib.suppress(OSError, ValueError):
        remembered: dict[str, str] = json.loads(known.read_text())
        return remembered
    found = module_hashes(ROOT)
    with contextlib.suppress(
        OSError
    ):  # a folder that cannot be written: the hashes are worked out again next time
        folder.mkdir(parents=True, exist_ok=True)
        kept = by_age(folder.glob(f"{'[0-9a-f]' * 32}.json"))
        remove_files(folder, [old.name for old in kept[MAX_KEPT_HASHES - 1 :]])
        fresh = known.with_suffix(f".{os.getpid()}")
        fresh.write_text(json.dumps(found))
        fresh.replace(known)
    return found


def by_age(paths: Iterable[Path]) -> list[Path]:
    """The paths, the newest first."""

    def changed_at(path: Path) -> float:
        with contextlib.suppress(FileNotFoundError):  # another process may be at it too
            return path.stat().st_mtime
        return 0.0

    return sorted(paths, key=changed_at, reverse=True)


def _mark(folder: str, part: str) -> Path:
    return _marked(Path(folder), part, _hashes_of_this_tree())


def _marked(folder: Path, part: str, hashes: dict[str, str]) -> Path:
    digits = hashes[PART_ENTRIES[part]]
    if part in PARTS_WITH_MODES:  # which no import leads to: modes are found by their cards
        shipped = [found for path, found in sorted(hashes.items()) if SHIPPED_HOOKS.fullmatch(path)]
        known = " ".join((digits, *shipped, _modes_in_force()))
        digits = hashlib.blake2b(known.encode(), digest_size=8).hexdigest()
    return folder / f"{part}-{digits}.{_compiler()}.compiled"


def _modes_in_force() -> str:
    """The keys of the modes that the environment brings: each is compiled with the parts that play it."""
    keys = []
    for folder in filter(None, (each.strip() for each in os.environ.get(MODES_VARIABLE, "").split(","))):
        try:
            keys.append(str(mode_key(Path(folder))))
        except OSError as error:  # whoever reads the card says so
            keys.append(str(error))
    return " ".join(keys)


@functools.cache
def _compiler() -> str:
    """The Python, the numba and the processor that kernels are compiled for: each has its own."""
    python, numba = sys.implementation.cache_tag, importlib.metadata.version("numba")
    return f"{python}-numba-{numba}-{_processor()}"


def _processor() -> str:
    """A name for what this processor can do: an image, or a home, may come from another machine."""
    known = []
    with contextlib.suppress(OSError), open(CPU_INFO, encoding="utf-8", errors="replace") as lines:
        for line in lines:
            name = line.partition(":")[0].strip()
            if not name:
                break  # the first of them
            if name in CPU_NAMES:
                known.append(line)
    return hashlib.blake2b("".join(known).encode(), digest_size=4).hexdigest()


def _reached(start: Path, imports: dict[Path, list[Path]]) -> set[Path]:
    reached: set[Path] = set()
    ahead = [start]
    while ahead:
        if (path := ahead.pop()) not in reached:
            reached.add(path)
            ahead += imports[path]
    return reached


def _file_states(folder: Path) -> Iterator[str]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.endswith((".py", ".yaml")):
                at = entry.stat()
                yield f"{entry.path}\0{at.st_size}\0{at.st_ino}\0{at.st_ctime_ns}\n"
            elif entry.is_dir(follow_symlinks=False) and entry.name != "__pycache__":
                yield from _file_states(Path(entry.path))


def _yaml_beside(path: Path) -> bytes:
    """What a mode's card and map say, for a file in the mode's folder; nothing for any other."""
    if not path.with_name(CARD).exists():
        return b""
    return b"".join(other.read_bytes() for other in sorted(path.parent.glob("*.yaml")))


def _imports(source: bytes) -> Iterator[Path]:
    """Yield the files that the import statements of ``source`` can mean; a name that is no module gives a
    path that is not there.

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
