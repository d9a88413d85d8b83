"""Tells numba in which folder a file's kernels lie: one for each state of the file and of all that it
imports.

Numba imports this by name (``NUMBA_CACHE_LOCATOR_CLASSES``, see `launchday.kernel_cache`); nothing else does,
because it imports numba.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from numba.core.caching import UserProvidedCacheLocator

from launchday import kernel_cache

MAX_GENERATIONS = 4  # folders kept of each file: a branch switch or two without compiling anew


class SourceHashLocator(UserProvidedCacheLocator):
    """A folder for each file of ours, named after the module and the hash of its sources."""

    def __init__(self, function: Callable[..., Any], file: str) -> None:
        super().__init__(function, file)
        relative = Path(file).relative_to(kernel_cache.ROOT).with_suffix("")
        self._module = ".".join(relative.parts)
        self._cache_path = os.path.join(
            os.environ["NUMBA_CACHE_DIR"], f"{self._module}-{kernel_cache.module_hash(file)}"
        )

    @classmethod
    def from_function(cls, function: Callable[..., Any], file: str) -> SourceHashLocator | None:
        """Return a locator, or None for a file that is not ours: numba then asks the next class."""
        if "NUMBA_CACHE_DIR" not in os.environ or kernel_cache.module_hash(file) is None:
            return None
        locator: SourceHashLocator | None = super().from_function(function, file)
        return locator

    def ensure_cache_path(self) -> None:
        """Make the folder where it is missing, and remove the oldest of the same module."""
        folder = Path(self._cache_path)
        if not folder.exists():
            others = kernel_cache.by_age(folder.parent.glob(f"{self._module}-*"))
            for old in others[MAX_GENERATIONS - 1 :]:
                shutil.rmtree(old, ignore_errors=True)
        super().ensure_cache_path()
