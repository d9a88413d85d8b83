"""Tells numba in which folder a file's kernels lie: one for each state of the file and of all that it
imports.

Numba imports this by name (``NUMBA_CACHE_LOCATOR_CLASSES``, see `launchday.kernel_cache`); nothing else does
before it has to, because it imports numba. From then on no fault of the cache ends a process: a folder that
is full, cannot be written, or holds what cannot be read costs the compilation and nothing else.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from numba.core import caching
from numba.core.caching import UserProvidedCacheLocator

from launchday import kernel_cache, kernel_folders
from launchday.folders import remove_files

HASH = re.compile(r".+-[0-9a-f]+")
KERNEL_FILES = ("*.nbi", "*.nbc", "saving")
MAX_GENERATIONS = 4  # folders kept of each file: a branch switch or two without compiling anew


class SourceHashLocator(UserProvidedCacheLocator):
    """A folder for each file of ours, named after the module and the hash of its sources.

    The files of a studio's mode share one, named after the mode's folder and its key.
    """

    def __init__(self, function: Callable[..., Any], file: str) -> None:
        super().__init__(function, file)
        self._module, digits = _module_and_hash(file)
        self._cache_path = os.path.join(os.environ["NUMBA_CACHE_DIR"], f"{self._module}-{digits}")

    @classmethod
    def from_function(cls, function: Callable[..., Any], file: str) -> UserProvidedCacheLocator | None:
        """Return a locator, or None for a file that is not ours: numba then asks the next class."""
        brought = kernel_folders.folder_of(file)
        if brought is not None and brought[1] is None:
            return NoFolderLocator(function, file)
        if "NUMBA_CACHE_DIR" not in os.environ or _module_and_hash(file)[1] is None:
            return None
        locator = cls(function, file)
        try:
            locator.ensure_cache_path()
        except OSError:
            return locator if os.path.isdir(locator.get_cache_path()) else None  # to be read alone
        return locator

    def ensure_cache_path(self) -> None:
        """Make the folder where it is missing, and remove the oldest of the same module."""
        folder = Path(self._cache_path)
        if not folder.exists():
            others = kernel_cache.by_age(folder.parent.glob(f"{self._module}-*"))
            for old in [one for one in others if HASH.fullmatch(one.name)][MAX_GENERATIONS - 1 :]:
                if not old.is_symlink():
                    remove_files(old, KERNEL_FILES)
                    with contextlib.suppress(OSError):  # somebody keeps a file of theirs in it
                        old.rmdir()
        super().ensure_cache_path()


def _module_and_hash(file: str) -> tuple[str, str | None]:
    """The two parts of the name of a file's folder; no hash where the file is not ours."""
    if (brought := kernel_folders.folder_of(file)) is not None:
        folder, key = brought
        place = hashlib.blake2b(os.fsencode(folder), digest_size=4).hexdigest()
        return f"mode.{folder.name}.{place}", key
    path = Path(file)
    if not path.is_relative_to(kernel_cache.ROOT):
        return path.stem, None
    return ".".join(path.relative_to(kernel_cache.ROOT).with_suffix("").parts), kernel_cache.module_hash(file)


class NoFolderLocator(UserProvidedCacheLocator):
    """Numba's last choice: there is no folder, and nothing is kept."""

    @classmethod
    def from_function(cls, function: Callable[..., Any], file: str) -> NoFolderLocator:
        """Return a locator, whatever the file."""
        return cls(function, file)

    def get_cache_path(self) -> str:
        """Return a path at which nothing is ever found."""
        return os.path.join(os.devnull, "kernels")

    def ensure_cache_path(self) -> None:
        """Leave it."""


_load_index = caching.IndexDataCacheFile._load_index
_load = caching.IndexDataCacheFile.load
_save = caching.IndexDataCacheFile.save
_save_overload = caching.Cache.save_overload


def _load_index_or_none(self: Any) -> Any:
    """An index that cannot be read, or was cut off by a power cut, is none."""
    try:
        return _load_index(self)
    except Exception:  # whatever a damaged pickle makes of itself
        return {}


def _load_or_compile(self: Any, key: Any) -> Any:
    try:
        return _load(self, key)
    except Exception:
        return None


def _save_or_lose(self: Any, key: Any, data: Any) -> None:
    try:
        _save(self, key, data)
    except OSError as error:
        kernel_cache.lose_save(error)


def _save_overload_or_lose(self: Any, signature: Any, data: Any) -> None:
    if isinstance(self._impl.locator, NoFolderLocator):
        return
    try:
        _save_overload(self, signature, data)
    except OSError as error:  # its folder cannot be made
        kernel_cache.lose_save(error)


caching.IndexDataCacheFile._load_index = _load_index_or_none
caching.IndexDataCacheFile.load = _load_or_compile
caching.IndexDataCacheFile.save = _save_or_lose
caching.Cache.save_overload = _save_overload_or_lose
